import io
import time

import ipywidgets
import keras
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import tensorflow as tf
from jupyter_client.kernelspec import KernelSpecManager

from gan_helpers import data, plotting, widgets
from tests.test_training import X, conv_pair, dense_pair, make
from tools import notebooks


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


def test_stop_button_interrupts_this_kernel_and_goes_away(in_notebook, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "a notebook")
    monkeypatch.setattr("ipykernel.connect.get_connection_file", lambda: "/somewhere/kernel-12-ab.json")
    view = widgets.TrainingView()
    make().fit(X, steps=5, callbacks=[view])
    assert "stop training</button>" in in_notebook[0][1] and "api/kernels/12-ab/interrupt" in in_notebook[0][1]
    assert in_notebook[-1] == ("update", "")


def test_samples_of_real_data_fit_the_view():
    picture = plotting.png(data.mnist(2)[0][:16])
    assert io.BytesIO(picture).read(4) == b"\x89PNG"


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


def test_strongest_directions_of_a_known_map():
    scales = np.float32([1, 5, 0.1, 3])
    directions, share = widgets.strongest_directions(lambda z: z * scales, 4, 2)
    assert np.allclose(abs(directions), np.eye(4)[[1, 3]], atol=1e-3)
    assert np.allclose(share, np.array([25, 9]) / (scales**2).sum(), atol=1e-3)


@pytest.mark.parametrize("generate", [lambda z: z * np.nan, lambda z: z[1:]])
def test_strongest_directions_of_a_broken_generator(generate):
    with pytest.raises(ValueError, match="one image of finite numbers for each code"):
        widgets.strongest_directions(generate, 4, 2)


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
    with pytest.raises(ValueError, match="numbered 0 to 15: there is no 16"):
        widgets.LatentExplorer(dense_generator(), raw=[16])


def test_explorer_starts_from_given_codes():
    z = np.random.default_rng(1).standard_normal((3, 16))
    explorer = widgets.LatentExplorer(dense_generator(), start=z)
    assert explorer.row == 3
    there = explorer.end
    explorer.shifts[0].value = 2.0
    explorer.new_noise()
    assert np.allclose(explorer.z, z) and not np.allclose(explorer.end, there)


@pytest.mark.parametrize("start", [np.zeros((2, 15)), np.zeros(16), np.zeros((0, 16)), np.full((1, 16), np.nan)])
def test_explorer_turns_down_other_codes(start):
    with pytest.raises(ValueError, match=r"finite codes of shape \(row, 16\)"):
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


COLAB_KERNEL = "gan-course-colab"
COLAB_CELL = """
import ipywidgets, keras
from keras import layers
from gan_helpers import arena, data, pretrained, widgets
from gan_helpers.models.gan import GAN
assert ipywidgets.__version__.startswith("7."), ipywidgets.__version__

def make_gan(noise, depth, width):
    hidden = lambda: [layers.Dense(width, activation="relu") for _ in range(depth)]
    generator = keras.Sequential([keras.Input((noise,)), *hidden(), layers.Dense(2)])
    return GAN(generator, keras.Sequential([keras.Input((2,)), *hidden(), layers.Dense(1)]))

explorer = widgets.LatentExplorer(pretrained.load("05_gan_mnist")["generator"], raw=[1])
for slider in [*explorer.shifts, explorer.walk]:
    before = bytes(explorer.picture.value)
    slider.value = 0.7
    assert bytes(explorer.picture.value) != before and explorer.problem.value == ""
place = arena.Arena(make_gan, {"ring": data.ring(sigma=0.05)}, width=16, layers=1)
place.play._playing = True
place.play.value += 1
assert place.rounds == 10 and place.playing, place.problem.value
place.pause()
assert not place.playing
for name, control in place.controls.items():
    options = getattr(control, "options", None)
    control.value = options[0] if options else control.min
    place.frame()
    assert place.problem.value == "", name
place.click.value = "0.2,0.5,1"
assert len(place.own) == 25, place.problem.value
"""


@pytest.mark.skipif(
    COLAB_KERNEL not in KernelSpecManager().find_kernel_specs(), reason=f"no kernel named {COLAB_KERNEL}: see README.md"
)
def test_callbacks_with_the_packages_of_colab():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(COLAB_CELL)])
    notebooks.execute(notebook, kernel=COLAB_KERNEL)


# --- the player


def test_player_holds_all_frames_and_needs_no_kernel():
    frames = [plotting.png(np.full((1, 4, 4), level)) for level in (0, 0.5, 1)]
    page = widgets.player(frames, ["a", "b <c>", "d"], title="step").data
    assert page.count("<figure") == 3 and page.count("hidden") >= 2 and "b &lt;c&gt;" in page
    assert "<script" not in page and "http" not in page and "<label>step" in page


def test_player_refuses_frames_without_captions():
    for frames, captions in (([b"1"], []), ([], [])):
        with pytest.raises(ValueError, match="as many captions as frames"):
            widgets.player(frames, captions)


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
