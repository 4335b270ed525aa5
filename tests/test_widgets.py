import base64
import io
import re
import threading
import time

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gan_helpers import data, plotting, widgets
from tests.test_training import X, conv_pair, dense_pair, make


def text_of(view_output):
    return view_output.readouterr().err


def test_view_is_one_line_of_text_without_a_front_end(capsys):
    gan = make()
    view = widgets.TrainingView(title="a test")
    view.PAUSE = 0.0
    gan.fit(X, steps=300, callbacks=[view])
    out = text_of(capsys)
    last = out.split("\r")[-1]
    assert "a test" in last and "300/300" in last and "steps/s" in last and "d_loss" in last and "g_loss" in last
    assert out.count("\n") == 1 and "100%" in last


@pytest.fixture
def in_notebook(monkeypatch):
    """Pretends that a notebook is there; gives the list of what it was asked to show."""
    shown = []

    class Handle:
        def update(self, content):
            shown.append(("update", content.data))

    class Shell:
        kernel = object()

    monkeypatch.setattr(widgets, "get_ipython", Shell)
    monkeypatch.setattr(widgets, "display", lambda content, display_id: shown.append(("new", content.data)) or Handle())
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return shown


def test_view_in_a_notebook_refreshes_one_display(in_notebook):
    gan = make()
    z = np.zeros((4, 8), "float32")
    view = widgets.TrainingView(lambda: gan(z), columns=4)
    view.PAUSE, view.SHARE = 0.0, 1e9  # draw at every call
    gan.fit(X, steps=50, callbacks=[view])
    kinds = [kind for kind, _ in in_notebook]
    assert kinds[0] == "new" and set(kinds[1:]) == {"update"}
    assert all(part in in_notebook[-1][1] for part in ("50/50", "data:image/png;base64,", "d_loss"))


def test_view_works_with_any_keras_model(capsys):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(
        np.zeros((20, 3)), np.zeros((20, 1)), batch_size=5, epochs=2, verbose=0, callbacks=[widgets.TrainingView()]
    )
    assert "8/8" in text_of(capsys)


def test_view_of_a_generator_without_an_end(capsys):
    """Keras does not know beforehand how many steps the batches of a Python generator make."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    batches = ((np.zeros((5, 3)), np.zeros((5, 1))) for _ in range(7))
    model.fit(batches, verbose=0, callbacks=[widgets.TrainingView(title="unknown")])
    last = text_of(capsys).split("\r")[-1]
    assert "unknown" in last and "7 steps" in last and "loss" in last and last.endswith("\n")


def test_view_counts_the_epochs_of_a_generator(in_notebook):
    view = widgets.TrainingView()
    view.set_params({"epochs": 2, "steps": None})
    view.on_train_begin()
    for epoch in range(2):
        view.on_epoch_begin(epoch)
        for batch in range(3):
            view.on_train_batch_end(batch, {"loss": np.float32(0.5)})
    view.on_train_end()
    assert "6 steps" in in_notebook[-1][1]


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (lambda: np.full((2, 4, 4, 1), -0.5), "such as tanh makes, become (x + 1) / 2"),
        (lambda: np.full((2, 4, 4, 1), 200, np.uint8), "divide 0-255 images by 255"),
        (lambda: np.full((2, 4, 4, 1), np.nan), "contain NaN"),
        (lambda: np.zeros((4, 4, 3)), "one image of shape"),
        (lambda: 1 / 0, "division by zero"),
    ],
)
def test_view_tells_what_is_wrong_with_the_samples_and_trains_on(in_notebook, sample, words):
    gan = make()
    view = widgets.TrainingView(sample)
    view.PAUSE, view.SHARE = 0.0, 1e9
    gan.fit(X, steps=20, callbacks=[view])
    last = in_notebook[-1][1]
    assert int(gan.step) == 20 and "20/20" in last and words in last and "alert" in last and "<img" not in last


@pytest.mark.parametrize(("setting", "value"), [("columns", 0), ("columns", "8"), ("sample", np.zeros((2, 4, 4, 1)))])
def test_view_refuses_other_settings(setting, value):
    with pytest.raises(ValueError, match=f"{setting} must be"):
        widgets.TrainingView(**{setting: value})


def test_view_ends_cleanly_whatever_happens(in_notebook, monkeypatch):
    """The loop says that training has ended after interrupts and errors, too."""
    monkeypatch.setenv("JPY_SESSION_NAME", "a notebook")
    monkeypatch.setattr("ipykernel.connect.get_connection_file", lambda: "/somewhere/kernel-12-ab.json")

    def interrupted():
        raise KeyboardInterrupt

    view = widgets.TrainingView(interrupted)
    view.on_train_end()  # another callback failed before this one began
    view.set_params({"epochs": 1, "steps": 5})
    view.on_train_begin()
    with pytest.raises(KeyboardInterrupt):
        view.on_train_end()
    assert in_notebook[-1] == ("update", "")


@pytest.mark.clock
def test_view_costs_under_5_percent(in_notebook):
    """The cost of drawing, measured inside one training run, with samples and a notebook's display."""
    gan, z, spent = make(), np.zeros((16, 8), "float32"), []
    view = widgets.TrainingView(lambda: gan(z))
    draw = view._draw

    def timed():
        start = time.perf_counter()
        draw()
        spent.append(time.perf_counter() - start)

    view._draw = timed
    gan.fit(X, steps=10)  # compiles outside of what is measured
    start = time.perf_counter()
    gan.fit(X, steps=6000, callbacks=[view])
    assert len(spent) >= 3
    assert sum(spent) < 0.05 * (time.perf_counter() - start)


def test_live_picture_follows_its_controls():
    def draw(level, count):
        return plotting.png(np.full((count, 4, 4), level))

    panel = widgets.live_picture(draw, level=(0.0, 1.0, 0.25), count=(1, 5, 2))
    (level, count, problem), picture = panel.children[0].children, panel.picture
    assert problem is panel.problem
    assert isinstance(level, ipywidgets.FloatSlider) and isinstance(count, ipywidgets.IntSlider)
    assert level.description == "level" and picture.value == draw(0.25, 2)
    level.value = 0.5
    assert picture.value == draw(0.5, 2)
    count.value = 4
    assert picture.value == draw(0.5, 4) and problem.value == ""


def test_live_picture_takes_any_control():
    choice = ipywidgets.SelectionSlider(options=[1, 10, 100], description="N")
    box = widgets.live_picture(lambda n: str(n).encode(), n=choice)
    choice.value = 100
    assert box.picture.value == b"100" and choice.description == "N"
    silent = ipywidgets.SelectionSlider(options=[1, 2])
    widgets.live_picture(lambda shoe_size: str(shoe_size).encode(), shoe_size=silent)
    assert silent.description == "shoe size"  # every control has a label


def test_live_picture_says_what_went_wrong_and_recovers():
    def draw(level):
        if level > 0.5:
            raise ValueError("level must be at most 0.5.")
        return str(level).encode()

    panel = widgets.live_picture(draw, level=(0.0, 1.0, 0.0))
    slider, problem, picture = panel.children[0].children[0], panel.problem, panel.picture
    slider.value = 0.8
    assert "level must be at most 0.5" in problem.value and picture.value == b"0.0"
    slider.value = 0.2
    assert problem.value == "" and picture.value == b"0.2"


def two_moves(first, second, inside, go_on):
    """Two threads, the first of which is held up while it draws."""
    threads = [threading.Thread(target=slider.set_trait, args=("value", value)) for slider, value in (first, second)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    threads[1].join(0.2)
    go_on.set()
    for thread in threads:
        thread.join(10)


def test_the_last_picture_is_that_of_the_last_values():
    """JupyterLab sends the messages of widgets on two threads."""
    inside, go_on = threading.Event(), threading.Event()

    def draw(level):
        if level == 0.2:
            inside.set()
            go_on.wait(10)
        return str(level).encode()

    panel = widgets.live_picture(draw, level=(0.0, 1.0, 0.5))
    slider = panel.children[0].children[0]
    two_moves((slider, 0.2), (slider, 0.8), inside, go_on)
    assert slider.value == 0.8 and panel.picture.value == b"0.8"


def test_explorer_moved_and_reset_on_two_threads():
    inside, go_on = threading.Event(), threading.Event()

    def generate(z):
        if explorer and abs(z[0, 0] - explorer[0].start[0, 0] - 2) < 1e-3:
            inside.set()
            go_on.wait(10)
        return np.broadcast_to(1 / (1 + np.exp(-z[:, :1, None, None])), (len(z), 4, 4, 1))

    explorer = []
    explorer.append(widgets.LatentExplorer(generate, inputs={"z": 2}, directions=0, raw=[0, 1]))
    first = explorer[0].shifts[0]
    two_moves((first, 2.0), (first, -1.0), inside, go_on)
    assert first.value == -1 and explorer[0].picture.value == explorer[0].draw()
    inside.clear(), go_on.clear()
    move = threading.Thread(target=first.set_trait, args=("value", 2.0))
    move.start()
    assert inside.wait(10)
    reset = threading.Thread(target=explorer[0].reset)
    reset.start()
    reset.join(0.2)
    go_on.set()
    move.join(10)
    reset.join(10)
    assert first.value == 0 and explorer[0].picture.value == explorer[0].draw()


def test_pictures_that_share_a_figure_draw_one_after_the_other():
    inside, go_on, at_once = threading.Event(), threading.Event(), []

    def draw(level):
        at_once.append(level)
        if level == 0.2:
            inside.set()
            go_on.wait(10)
        at_once.remove(level)
        return str([level, *at_once]).encode()

    panels = [widgets.live_picture(draw, level=(0.0, 1.0, 0.5)) for _ in range(2)]
    sliders = [panel.children[0].children[0] for panel in panels]
    two_moves((sliders[0], 0.2), (sliders[1], 0.8), inside, go_on)
    assert [bytes(panel.picture.value) for panel in panels] == [b"[0.2]", b"[0.8]"]


@pytest.mark.parametrize(
    ("control", "words"),
    [
        ((0, 1), "three numbers (low, high, start)"),
        (7, "three numbers (low, high, start)"),
        ((0, 1, 2), "low <= start <= high"),
        ((1, 0, 0.5), "low <= start <= high"),
        ((1, 1, 1), "low < high"),
        ((0, 1, "0"), "level must be a finite number"),
        ((0, np.nan, 0), "level must be a finite number"),
    ],
)
def test_live_picture_refuses_other_controls(control, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        widgets.live_picture(lambda level: b"", level=control)


def test_live_picture_of_numpy_numbers():
    panel = widgets.live_picture(lambda n: b"", n=(np.int64(0), np.int64(5), np.int64(2)))
    assert isinstance(panel.children[0].children[0], ipywidgets.IntSlider)


def test_live_picture_of_what_is_no_picture():
    for wrong in (None, plt, np.zeros((4, 4))):
        panel = widgets.live_picture(lambda level, wrong=wrong: wrong, level=(0, 1, 0))
        assert "must come as the bytes of a PNG file" in panel.problem.value


def test_pictures_are_described():
    """By a script in the page: an Image of ipywidgets has no alternative text."""
    scripts = [
        panel.children[2].value
        for panel in (
            widgets.live_picture(lambda level: b"", level=(0, 1, 0)),
            widgets.LatentExplorer(dense_generator()),
            widgets.plane_picture(lambda z: np.zeros((1, 4, 4, 1)), np.eye(2)),
        )
    ]
    for script, words in zip(
        scripts, ("follows level", "images that the generator makes", "code 1, code 2"), strict=True
    ):
        assert "image.alt = &quot;" in script and words in script and script.count("<") == 1
    quoted = widgets.live_picture(lambda **_: b"", **{"a<'\"b": (0, 1, 0)}).children[2].value
    assert quoted.count("<") == 1 and quoted.count("'") == 6 and quoted.count('"') == 2


def test_stop_button_interrupts_this_kernel_and_goes_away(in_notebook, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "a notebook")
    monkeypatch.setattr("ipykernel.connect.get_connection_file", lambda: "/somewhere/kernel-12-ab.json")
    view = widgets.TrainingView()
    make().fit(X, steps=5, callbacks=[view])
    assert "stop training</button>" in in_notebook[0][1] and "api/kernels/12-ab/interrupt" in in_notebook[0][1]
    assert in_notebook[-1] == ("update", "")


def test_view_shows_the_samples_as_they_are(in_notebook):
    twos = data.mnist(2)[0][:16]
    make().fit(X, steps=5, callbacks=[widgets.TrainingView(lambda: twos, columns=4)])
    (shown,) = re.findall("src='data:image/png;base64,(.*?)'", in_notebook[-1][1])
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown))))
    assert np.array_equal(picture, plotting.tile(twos, columns=4, scale=2)) and picture.max() == 255
    assert "alt='samples from fixed noise'" in in_notebook[-1][1]


# --- the explorer


def dense_generator(latent=16):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((latent,)), keras.layers.Dense(784, activation="sigmoid"), keras.layers.Reshape((28, 28, 1))]
    )


def press(explorer, text):
    row = next(w for w in explorer.children[0].children if isinstance(w, ipywidgets.HBox))
    next(w for w in row.children if w.description == text).click()


def test_explorer_plugs_in_with_one_line():
    generator, gan = dense_generator(), make()
    for model, dim in ((generator, 16), (gan, 8)):
        explorer = widgets.LatentExplorer(model)
        assert explorer.z.shape == (1, dim) and explorer.problem.value == ""
        assert bytes(explorer.picture.value) == plotting.png(np.asarray(model(explorer.z)), scale=8)
    assert [slider.description[:11] for slider in explorer.shifts] == [f"direction {i}" for i in range(1, 5)]


def test_explorer_moves_along_its_directions_and_back():
    explorer = widgets.LatentExplorer(dense_generator(), raw=[3])
    start, picture = explorer.z, explorer.picture.value
    explorer.shifts[0].value = 2.0
    assert np.allclose(explorer.z - start, 2 * explorer.directions[0], atol=1e-6)
    assert explorer.picture.value != picture
    explorer.shifts[4].value = -1.0
    assert explorer.shifts[4].description == "z[3]" and explorer.directions[4, 3] == 1
    press(explorer, "reset sliders")
    assert explorer.picture.value == picture and explorer.shifts[0].value == 0
    press(explorer, "new noise")
    assert explorer.picture.value != picture
    explorer.walk.value = 1.0
    assert np.allclose(explorer.z, explorer.end, atol=1e-5)


def test_walk_keeps_the_length_of_codes():
    start, end = np.random.default_rng(0).standard_normal((2, 5, 64))
    middle = np.linalg.norm(widgets.arc(start, end, 0.5), axis=1)
    ends = np.linalg.norm(start, axis=1), np.linalg.norm(end, axis=1)
    assert (middle > 0.9 * np.minimum(*ends)).all() and (middle < 1.1 * np.maximum(*ends)).all()
    assert np.allclose(widgets.arc(start, end, 0.0), start) and np.allclose(widgets.arc(start, end, 1.0), end)
    assert np.allclose(widgets.arc(start, start, 0.5), start)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (np.zeros((2, 4)), np.ones((2, 4))),
        (np.ones((2, 4)), np.zeros((2, 4))),
        (np.zeros(4), np.zeros(4)),
        (np.ones((2, 4)), -np.ones((2, 4))),
        (np.float32([[0.3, -1.7]]), -1.3 * np.float32([[0.3, -1.7]])),
        (np.array([[0.4]]), np.array([[-2.0]])),  # on a line all codes agree or are opposite
    ],
)
def test_walk_between_codes_that_no_arc_joins_is_straight(start, end):
    for t in (0.0, 0.25, 1.0):
        assert np.allclose(widgets.arc(start, end, t), (1 - t) * start + t * end, atol=1e-6)


def test_walk_between_almost_opposite_codes():
    start = np.array([3.0, 0.0])
    for angle in (np.pi - 1e-3, np.pi - 1e-6, np.pi - 1e-9):
        ways = [widgets.arc(start, 3 * np.array([np.cos(angle), np.sin(angle)]), t) for t in np.linspace(0, 1, 9)]
        assert np.isfinite(ways).all() and (np.linalg.norm(ways, axis=1) < 3 + 1e-6).all()


def test_walk_of_nan():
    with pytest.raises(ValueError, match="contain NaN"):
        widgets.arc(np.full(3, np.nan), np.ones(3), 0.5)


def test_strongest_directions_of_a_known_map():
    scales = np.float32([1, 5, 0.1, 3])
    directions, share = widgets.strongest_directions(lambda z: z * scales, 4, 2)
    assert np.allclose(abs(directions), np.eye(4)[[1, 3]], atol=1e-3)
    assert np.allclose(share, np.array([25, 9]) / (scales**2).sum(), atol=1e-3)


@pytest.mark.parametrize("generate", [lambda z: z * np.nan, lambda z: z[1:]])
def test_strongest_directions_of_a_broken_generator(generate):
    with pytest.raises(ValueError, match="one image of finite numbers for each code"):
        widgets.strongest_directions(generate, 4, 2)


@pytest.mark.parametrize(
    "setting", [{"n": 0}, {"n": 5}, {"n": "2"}, {"codes": 0}, {"step": 0}, {"step": np.nan}, {"latent_dim": 0.5}]
)
def test_strongest_directions_refuse_other_settings(setting):
    (name,) = setting
    with pytest.raises(ValueError, match=f"{name} must be"):
        widgets.strongest_directions(**{"generate": lambda z: z, "latent_dim": 4, "n": 2, **setting})


def test_explorer_rows_and_path():
    explorer = widgets.LatentExplorer(dense_generator(), row=3, directions=2)
    assert explorer.z.shape == (3, 16)
    explorer.record.value = True
    for value in np.linspace(0, 3, 20):
        explorer.shifts[0].value = value
    assert len(explorer.path) == 20 and explorer.path[-1].shape == (3, 16)  # one for "record", one a move but the first
    assert explorer.path_picture.layout.display is None and explorer.path_picture.value[:4] == b"\x89PNG"
    explorer.record.value = False
    assert explorer.path_picture.layout.display == "none"


def test_explorer_of_a_conditional_model():
    seen = {}

    class Conditional:
        latent_inputs = {"z": 4, "codes": 2, "labels": ["shoe", "shirt", "hat"]}  # noqa: RUF012

        def __call__(self, z, codes, labels):
            seen.update(z=z, codes=codes, labels=labels)
            return np.broadcast_to(labels[:, None, None, None] / 3 + codes[:, :1, None, None] / 9, (len(z), 4, 4, 1))

    explorer = widgets.LatentExplorer(Conditional(), row=2)
    explorer.selectors["labels"].value = 2
    explorer.code_sliders[1].value = -0.5
    assert seen["labels"].tolist() == [2, 2] and seen["codes"].tolist() == [[0, -0.5]] * 2 and seen["z"].shape == (2, 4)
    assert explorer.selectors["labels"].description == "label" and explorer.problem.value == ""
    explorer.code_sliders[0].value = 7.0  # out of range: the slider stays at its end
    assert explorer.code_sliders[0].value == 1.0 and explorer.problem.value == ""


def test_explorer_of_a_conditional_keras_model():
    class Conditional(keras.Model):
        latent_inputs = {"z": 4, "labels": 3}  # noqa: RUF012

        def call(self, z, labels):
            return tf.broadcast_to(tf.cast(labels, tf.float32)[:, None, None, None] / 3, (tf.shape(z)[0], 4, 4, 1))

    explorer = widgets.LatentExplorer(Conditional(), directions=0)
    black = bytes(explorer.picture.value)
    explorer.selectors["labels"].value = 2
    assert explorer.problem.value == "" and bytes(explorer.picture.value) != black


@pytest.mark.parametrize(
    ("generate", "words"),
    [
        (lambda z: np.full((len(z), 4, 4, 1), np.nan), "contain NaN"),
        (lambda z: np.zeros((len(z), 7)), "must have shape"),
        (lambda z: np.full((len(z), 4, 4, 1), -0.5), "such as tanh makes, become (x + 1) / 2"),
        (lambda z: np.full((len(z), 4, 4, 3), 200.0), "must lie in [0, 1]"),
        (lambda z: np.zeros((len(z) + 1, 4, 4, 1)), "gave 2 images for 1 codes"),
    ],
)
def test_explorer_tells_what_is_wrong_with_a_generator(generate, words):
    explorer = widgets.LatentExplorer(generate, inputs={"z": 4}, directions=0)
    assert words in explorer.problem.value


def test_explorer_keeps_the_last_good_picture():
    broken = []
    explorer = widgets.LatentExplorer(
        lambda z: np.zeros((len(z), 4, 4, 1)) + (np.nan if broken else z.mean()), inputs={"z": 4}, directions=np.eye(4)
    )
    good = explorer.picture.value
    broken.append(True)
    explorer.shifts[0].value = 1.0
    assert explorer.picture.value == good and "contain NaN" in explorer.problem.value
    broken.clear()
    explorer.shifts[0].value = 2.0
    assert explorer.picture.value != good and explorer.problem.value == ""


def test_explorer_of_what_does_not_tell_its_inputs():
    with pytest.raises(ValueError, match="say what the generator takes"):
        widgets.LatentExplorer(lambda z: z)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"seed": "0"}, "seed must be a whole number"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"row": 0}, "row must be a positive whole number"),
        ({"row": 2.5}, "row must be a positive whole number"),
        ({"scale": 0}, "scale must be a positive whole number"),
        ({"scale": "big"}, "scale must be a positive whole number"),
        ({"directions": -1}, "directions must be a positive whole number"),
        ({"directions": 1.5}, "directions must be a positive whole number"),
        ({"directions": "four"}, "directions must be"),
        ({"directions": np.zeros((2, 15))}, "directions must be finite numbers of shape (n, 16)"),
        ({"directions": np.ones(16)}, "directions must be finite numbers of shape (n, 16)"),
        ({"directions": np.full((1, 16), np.nan)}, "directions must be finite numbers of shape (n, 16)"),
        ({"raw": [16]}, "raw must be numbers of coordinates, from 0 to 15, not [16]"),
        ({"raw": [-1]}, "raw must be numbers of coordinates"),
        ({"raw": [1.5]}, "raw must be numbers of coordinates"),
        ({"raw": "12"}, "raw must be numbers of coordinates"),
        ({"raw": [True]}, "raw must be numbers of coordinates"),
        ({"inputs": {"labels": 10}}, "inputs must name z"),
        ({"inputs": {"z": 0}}, "z must be a positive whole number"),
        ({"inputs": {"z": 4, "codes": -1}}, "codes must be a positive whole number"),
        ({"inputs": {"z": 4, "labels": 0}}, "labels must be a positive whole number"),
    ],
)
def test_explorer_refuses_other_settings(settings, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        widgets.LatentExplorer(dense_generator(), **settings)


def test_explorer_takes_numpys_numbers():
    explorer = widgets.LatentExplorer(
        dense_generator(), directions=np.int64(2), raw=np.array([0, 3]), row=np.int64(2), seed=np.int64(1)
    )
    assert len(explorer.shifts) == 4 and explorer.z.shape == (2, 16) and explorer.problem.value == ""
    assert len(widgets.LatentExplorer(dense_generator(), directions=0, raw=3).shifts) == 1
    assert len(widgets.LatentExplorer(dense_generator(), directions=[]).shifts) == 0


@pytest.mark.parametrize("start", [np.zeros((2, 16)), np.ones((1, 16))])
def test_explorer_walks_from_any_codes(start):
    explorer = widgets.LatentExplorer(dense_generator(), directions=0, start=start)
    if start.any():
        explorer.end = -explorer.start
    for place in (0.0, 0.5, 1.0):
        explorer.walk.value = place
        assert np.allclose(explorer.z, (1 - place) * start + place * explorer.end, atol=1e-6)
        assert explorer.problem.value == ""


def test_explorer_starts_from_given_codes():
    z = np.random.default_rng(1).standard_normal((3, 16))
    explorer = widgets.LatentExplorer(dense_generator(), start=z)
    assert explorer.row == 3
    there = explorer.end
    explorer.shifts[0].value = 2.0
    explorer.new_noise()
    assert np.allclose(explorer.z, z) and not np.allclose(explorer.end, there)


@pytest.mark.parametrize("start", [np.zeros((2, 15)), np.zeros(16), np.full((1, 16), np.nan), "zeros"])
def test_explorer_turns_down_other_codes(start):
    with pytest.raises(ValueError, match="start must be finite numbers of shape"):
        widgets.LatentExplorer(dense_generator(), start=start)


def milliseconds(action, times=30):
    taken = []
    for i in range(times):
        start = time.perf_counter()
        action(i)
        taken.append(1000 * (time.perf_counter() - start))
    return np.median(taken)


@pytest.mark.clock
@pytest.mark.parametrize("pair", [dense_pair, conv_pair])
def test_a_move_takes_a_fraction_of_redrawing_a_figure(pair):
    """A ratio within one run, since machines differ; `benchmarks/sliders.py` measures milliseconds."""
    gan = make(pair)
    explorer = widgets.LatentExplorer(gan)

    def redraw_figure(i):
        figure, ax = plt.subplots(figsize=(3, 3))
        ax.imshow(gan(explorer.z)[0, ..., 0], cmap="gray")
        figure.savefig(io.BytesIO(), format="png")
        plt.close(figure)

    moved = milliseconds(lambda i: setattr(explorer.shifts[0], "value", 0.1 * (i + 1)))
    assert moved < 0.4 * milliseconds(redraw_figure)


def test_callbacks_without_pytest():
    """The script that the other environments run works in this one."""
    from tests import widget_callbacks

    widget_callbacks.main()


# --- the player


def test_player_holds_all_frames_and_needs_no_kernel():
    frames = [plotting.png(np.full((1, 4, 4), level)) for level in (0, 0.5, 1)]
    page = widgets.player(frames, ["a", "b <c>", "d"], title="step").data
    assert page.count("<figure") == 3 and page.count("hidden") >= 2 and "b &lt;c&gt;" in page
    assert "<script" not in page and "http" not in page and "<label>step" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"captions": []}, "as many captions as frames"),
        ({"frames": [], "captions": []}, "as many captions as frames"),
        ({"frames": ["one", "two"]}, "frames must be the bytes of PNG files"),
        ({"frames": np.zeros((2, 4, 4))}, "frames must be the bytes of PNG files"),
        ({"start": 2}, "start must be the number of a frame, 0 to 1, not 2"),
        ({"start": -1}, "start must be the number of a frame"),
        ({"start": 0.5}, "start must be the number of a frame"),
        ({"start": "0"}, "start must be the number of a frame"),
        ({"milliseconds": 0}, "milliseconds must be a positive whole number"),
        ({"milliseconds": "fast"}, "milliseconds must be a positive whole number"),
    ],
)
def test_player_refuses_others(arguments, words):
    with pytest.raises(ValueError, match=words):
        widgets.player(**{"frames": [b"1", b"2"], "captions": ["a", "b"], **arguments})


def test_every_frame_of_a_player_is_described():
    page = widgets.player(iter([b"1", memoryview(b"2")]), [1, "it's <b>"], title=7).data
    assert re.findall("alt='(.*?)'", page) == ["1", "it&#x27;s &lt;b&gt;"] and "<figcaption>1<" in page


def test_plane_picture_decodes_the_point():
    asked = []

    def decode(codes):
        asked.append(tuple(np.round(codes[0], 3).tolist()))
        return np.full((1, 4, 4, 1), 0.5 + codes[0, 0] / 10)

    panel = widgets.plane_picture(decode, np.random.default_rng(0).standard_normal((50, 2)), start=(1.0, 0.0))
    sliders = [control for control in panel.children[0].children if isinstance(control, ipywidgets.FloatSlider)]
    assert [slider.description for slider in sliders] == ["code 1", "code 2"]
    before = panel.picture.value
    sliders[1].value = -2.0
    assert asked[-1] == (1.0, -2.0) and panel.picture.value != before


def test_plane_picture_of_colours():
    red = np.zeros((1, 4, 4, 3))
    red[..., 0] = 1.0
    panel = widgets.plane_picture(lambda codes: red if codes[0, 1] == 0 else 1 - red, np.eye(2), start=(1.0, 0.0))
    for move, colour in ((0.0, (255, 0, 0)), (2.0, (0, 255, 255))):
        panel.children[0].children[1].value = move
        pixels = np.asarray(Image.open(io.BytesIO(panel.picture.value)).convert("RGB"), int)
        assert (np.abs(pixels - colour).max(axis=-1) < 12).mean() > 0.1 and panel.problem.value == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"reach": 0}, "reach must be positive"),
        ({"reach": None}, "reach must be a finite number"),
        ({"start": (1.0, 9.0)}, "code_2 must be (low, high, start)"),
        ({"start": (1.0, 0.0, 0.0)}, "start must be points of shape (n, 2)"),
        ({"start": (np.nan, 0.0)}, "start contain NaN"),
        ({"codes": np.zeros((5, 3))}, "codes must be points of shape (n, 2)"),
        ({"labels": [0]}, "1 labels for 2 codes"),
        ({"decode": lambda codes: np.full((1, 4, 4, 1), -0.5)}, "such as tanh makes"),
        ({"decode": lambda codes: np.zeros((4, 4, 3))}, "one image of shape"),
        ({"decode": lambda codes: np.zeros((1, 784))}, "decoded images must have shape"),
    ],
)
def test_plane_picture_refuses_others(arguments, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        widgets.plane_picture(**{"decode": lambda codes: np.zeros((1, 4, 4, 1)), "codes": np.eye(2), **arguments})
    assert not plt.get_fignums()


def test_plane_picture_tells_of_a_decoder_that_leaves_the_range():
    panel = widgets.plane_picture(lambda codes: np.full((1, 4, 4, 1), codes[0, 0]), np.eye(2), start=(1.0, 0.0))
    picture = panel.picture.value
    panel.children[0].children[0].value = -0.5
    assert "such as tanh makes" in panel.problem.value and panel.picture.value == picture


def sent(pad, drawing):
    """As the page sends it."""
    pad.sent.value = np.rint(255 * drawing).astype(np.uint8).tobytes().hex()


def test_drawing_pad_shows_what_is_made_of_the_drawing():
    asked = []

    def translate(drawing):
        asked.append(drawing)
        return np.repeat(1 - drawing, 3, axis=3)

    first, other = np.zeros((8, 8, 1)), np.linspace(0, 1, 64).reshape(8, 8, 1)
    pad = widgets.DrawingPad(translate, {"night": first, "<day>": other}, side=8, scale=2)
    assert np.array_equal(opened(pad), np.full((16, 16, 3), 255)) and "&lt;day&gt;" in pad.canvas.value
    sent(pad, other)
    np.testing.assert_allclose(pad.drawing, other, atol=1 / 255)
    assert asked[-1].shape == (1, 8, 8, 1) and asked[-1].dtype == np.float32
    assert opened(pad)[0, 0, 0] == 255 and opened(pad)[-1, -1, 0] == 0
    for text in ("00", "no digits", ""):
        before = bytes(pad.picture.value)
        pad.sent.value = text
        assert "8x8 pixels was expected" in pad.problem.value and bytes(pad.picture.value) == before
    sent(pad, first)
    assert pad.problem.value == ""


def opened(panel):
    return np.asarray(Image.open(io.BytesIO(bytes(panel.picture.value))))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (({}, 8), "at least one drawing"),
        (({"a": np.zeros((8, 8, 3))}, 8), "must have shape"),
        (({"a": np.zeros((9, 9, 1))}, 8), "must have shape"),
        (({"a": np.full((8, 8, 1), 2.0)}, 8), r"must lie in \[0, 1\]"),
        (({"a": np.zeros((8, 8, 1))}, 0), "side must be"),
        (({"a": np.zeros((8, 8, 1))}, 8, 0.5), "scale must be"),
    ],
)
def test_drawing_pad_refuses_others(arguments, words):
    with pytest.raises(ValueError, match=words):
        widgets.DrawingPad(lambda drawing: drawing, *arguments)


def test_drawing_pad_tells_what_is_wrong_with_the_translation():
    pad = widgets.DrawingPad(lambda drawing: drawing + 1, {"a": np.ones((8, 8, 1))}, side=8)
    assert "could not be drawn: what translate makes must lie in [0, 1]" in pad.problem.value
