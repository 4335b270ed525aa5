import io
import time

import ipywidgets
import keras
import numpy as np
import pytest

from gan_helpers import data, plotting, widgets
from tests.test_training import X, make


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

    box = widgets.live_picture(draw, level=(0.0, 1.0, 0.25), count=(1, 5, 2))
    level, count, problem, picture = box.children
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
    assert box.children[-1].value == b"100"


def test_live_picture_says_what_went_wrong_and_recovers():
    def draw(level):
        if level > 0.5:
            raise ValueError("level must be at most 0.5.")
        return str(level).encode()

    slider, problem, picture = widgets.live_picture(draw, level=(0.0, 1.0, 0.0)).children
    slider.value = 0.8
    assert "level must be at most 0.5" in problem.value and picture.value == b"0.0"
    slider.value = 0.2
    assert problem.value == "" and picture.value == b"0.2"


def test_samples_of_real_data_fit_the_view():
    picture = plotting.png(data.mnist(2)[0][:16])
    assert io.BytesIO(picture).read(4) == b"\x89PNG"
