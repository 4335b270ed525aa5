"""Things that move: the live view of training, and pictures that follow sliders.

Only controls that ipywidgets 7.7 and 8 share are used. The functions take arrays and callables and
know no model.
"""

import base64
import html
import sys
import time

import ipywidgets
import keras
from IPython import get_ipython
from IPython.display import HTML, display
from tqdm import tqdm

from gan_helpers import plotting


class TrainingView(keras.callbacks.Callback):
    """Shows training while it runs: bar, steps per second, time left, losses and samples.

    In JupyterLab and Colab the view is refreshed in place; its last state stays in the notebook. Where
    there is no front end it is one line of text that is rewritten. It looks at the clock and keeps
    its own cost under 5 % of the time that training takes.

    Args:
        sample: callable without arguments that returns images `(n, h, w, 1)` or `(n, h, w, 3)` in
            [0, 1], always from the same noise, so that progress can be seen. None shows no images.
        columns: images in a row.
        title: a few words in front of the bar.
    """

    SHARE = 0.03  # of the training time may go into drawing
    PAUSE = 0.5  # seconds between two drawings at least: more would only flicker

    def __init__(self, sample=None, columns=8, title="training"):
        super().__init__()
        self.sample, self.columns, self.title = sample, columns, title

    def on_train_begin(self, logs=None):
        epochs, steps = self.params["epochs"], self.params["steps"]
        self.total = self.params.get("total_steps", epochs * steps)
        self.in_notebook = get_ipython() is not None and hasattr(get_ipython(), "kernel")
        self.start = self.drawn = time.monotonic()
        self.epoch = self.done = 0
        self.due = self.start + self.PAUSE
        self.logs, self.handle = {}, None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.done = self.epoch * self.params["steps"] + batch + 1
        self.logs = logs or {}
        if time.monotonic() >= self.due:
            self._draw()

    def on_train_end(self, logs=None):
        self._draw()
        if not self.in_notebook:
            print(file=sys.stderr)

    def _draw(self):
        clock = time.monotonic()
        losses = "  ".join(f"{name} {value:.3f}" for name, value in self.logs.items())
        bar = tqdm.format_meter(self.done, self.total, clock - self.start, ncols=78, unit=" steps", prefix=self.title)
        if self.in_notebook:
            self._show(f"{bar}\n{losses}")
        else:
            print(f"\r{bar}  {losses}", end="", file=sys.stderr, flush=True)
        cost = time.monotonic() - clock
        self.due = time.monotonic() + max(self.PAUSE, cost / self.SHARE)

    def _show(self, text):
        content = f"<pre style='margin:0'>{html.escape(text)}</pre>"
        if self.sample is not None:
            picture = base64.b64encode(plotting.png(self.sample(), self.columns, scale=2)).decode()
            content += f"<img alt='samples from fixed noise' src='data:image/png;base64,{picture}'>"
        if self.handle is None:
            self.handle = display(HTML(content), display_id=True)
        else:
            self.handle.update(HTML(content))


def live_picture(draw, **controls):
    """A picture that follows its sliders.

    Args:
        draw: callable that takes one keyword argument for each control and returns the bytes of a
            PNG file (see `plotting.png` and `plotting.figure_png`).
        controls: for each argument of `draw` an ipywidgets control, or a tuple
            `(low, high, start)` that becomes a slider: of whole numbers when all three are ints.

    Returns:
        A widget: the controls, under them in words what went wrong if `draw` raised an exception,
        and the picture, which then stays the last good one.
    """
    for name, control in controls.items():
        if isinstance(control, tuple):
            low, high, start = control
            whole = all(isinstance(number, int) for number in control)
            slider = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
            step = 1 if whole else (high - low) / 100
            controls[name] = slider(min=low, max=high, value=start, step=step, description=name.replace("_", " "))
    # Without these a box stretches the picture to the width of the page, and pixels blur.
    picture = ipywidgets.Image(format="png", layout={"width": "max-content", "align_self": "flex-start"})
    problem = ipywidgets.Label()

    def redraw(change=None):
        try:
            picture.value = draw(**{name: control.value for name, control in controls.items()})
            problem.value = ""
        except Exception as error:  # a slider must say what is wrong, not fall silent
            problem.value = f"This picture could not be drawn: {error}"

    for control in controls.values():
        control.layout.width = "420px"
        control.style.description_width = "130px"
        control.observe(redraw, names="value")
    redraw()
    return ipywidgets.VBox([*controls.values(), problem, picture])
