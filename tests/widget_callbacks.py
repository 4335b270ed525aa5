"""The widgets' callbacks without a front end: `python tests/widget_callbacks.py`, with any versions of the packages.

It needs no pytest, so that it also runs where only the course itself is installed, as on Colab.
"""

import contextlib
import io
import sys

import ipywidgets
import keras
import numpy as np
from IPython.core.formatters import DisplayFormatter
from keras import layers

from gan_helpers import arena, data, plotting, widgets
from gan_helpers.models.gan import GAN


def make_gan(noise, depth, width):
    hidden = lambda: [layers.Dense(width, activation="relu") for _ in range(depth)]  # noqa: E731
    generator = keras.Sequential([keras.Input((noise,)), *hidden(), layers.Dense(2)])
    return GAN(generator, keras.Sequential([keras.Input((2,)), *hidden(), layers.Dense(1)]))


def assert_moves_change(panel, controls, value):
    for control in controls:
        before = bytes(panel.picture.value)
        control.value = value
        assert bytes(panel.picture.value) != before and panel.problem.value == "", control.description


def explorer():
    pixels = [layers.Dense(64, activation="sigmoid"), layers.Reshape((8, 8, 1))]
    explorer = widgets.LatentExplorer(keras.Sequential([keras.Input((16,)), *pixels]), raw=[1])
    assert len(explorer.shifts) == 5
    assert_moves_change(explorer, [*explorer.shifts, explorer.walk], 0.7)
    explorer.record.value = True
    explorer.new_noise()
    assert len(explorer.path) == 2 and explorer.problem.value == ""
    shown, _ = DisplayFormatter().format(explorer)  # a widget where there is a kernel, and a page elsewhere
    assert any("widget-view" in kind for kind in shown) and "ganLive.network(" in shown["text/html"], shown
    tanh = widgets.LatentExplorer(lambda z: np.tanh(np.zeros((len(z), 4, 4, 1)) - 1), inputs={"z": 4}, directions=0)
    assert "tanh" in tanh.problem.value


def pictures():
    figure, ax = plotting.plt.subplots()
    (line,) = ax.plot([0, 1], [0, 1])
    moving = plotting.MovingFigure(figure, [line])

    def draw(slope, choice):
        line.set_ydata([0, slope / choice])
        return moving.png()

    choice = ipywidgets.SelectionSlider(options=[1, 2, 4], description="choice")
    panel = widgets.live_picture(draw, slope=(0.0, 1.0, 0.9), choice=choice)
    assert_moves_change(panel, [panel.children[0].children[0]], 0.4)
    assert_moves_change(panel, [choice], 2)
    colours = lambda codes: np.full((1, 4, 4, 3), [0.5 + codes[0, 0] / 10, 0.0, 1.0])  # noqa: E731
    plane = widgets.plane_picture(colours, np.random.default_rng(0).standard_normal((50, 2)), np.arange(50) % 10)
    assert_moves_change(plane, plane.children[0].children[:2], -2.0)
    pad = widgets.DrawingPad(lambda drawing: drawing, {"blank": np.ones((4, 4, 1))}, side=4)
    assert_moves_change(pad, [pad.sent], "00" * 16)
    page = widgets.player([bytes(panel.picture.value)] * 2, ["a", "b"]).data
    assert page.count("<img") == page.count("alt='") == 2


def playground():
    place = arena.Arena(make_gan, {"ring": data.ring(sigma=0.05)}, width=16, layers=1)
    place.play.set_trait(arena.PLAYING, True)
    place.play.value += 1
    assert place.rounds == 10 and place.playing, place.problem.value
    place.scrub.max = place.scrub.value = 1
    assert not place.playing and place.picture.value == place.frames[1]
    for name, control in place.controls.items():
        options = getattr(control, "options", None)
        control.value = options[0] if options else control.min
        place.frame()
        assert place.problem.value == "", (name, place.problem.value)
    place.click.value = "0.2,0.5,1"
    assert len(place.own) == 25, place.problem.value


def training():
    x, said = np.random.default_rng(0).standard_normal((100, 2)).astype("float32"), io.StringIO()
    gan = make_gan(2, 1, 16)
    gan.compile(*(keras.optimizers.Adam(1e-3) for _ in range(2)))
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    with contextlib.redirect_stderr(said):
        gan.fit(x, steps=20, callbacks=[widgets.TrainingView(title="known")])
        batches = ((x, x[:, :1]) for _ in range(5))
        model.fit(batches, verbose=0, callbacks=[widgets.TrainingView(title="unknown")])
    assert "20/20" in said.getvalue() and "5 steps" in said.getvalue(), said.getvalue()


def main():
    for part in (explorer, pictures, playground, training):
        part()


if __name__ == "__main__":
    main()
    versions = f"ipywidgets {ipywidgets.__version__}, Keras {keras.__version__}, Python {sys.version.split()[0]}"
    print(f"The widgets' callbacks work with {versions}.")
