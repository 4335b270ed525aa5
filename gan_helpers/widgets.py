"""Things that move: the live view of training, pictures and generators that follow sliders, a player.

Only controls that ipywidgets 7.7 and 8 share are used. The functions take arrays and callables and
know no model. A picture travels to the browser as the bytes of one PNG file, and a front end asks
for the next only when the last has arrived, so a slider that is dragged never lags behind.
"""

import base64
import html
import os
import sys
import time
from pathlib import Path

import ipywidgets
import keras
import numpy as np
import tensorflow as tf
from IPython import get_ipython
from IPython.display import HTML, display
from tqdm import tqdm

from gan_helpers import plotting


class TrainingView(keras.callbacks.Callback):
    """Shows training while it runs: bar, steps per second, time left, losses and samples.

    In JupyterLab and Colab the view is refreshed in place; its last state stays in the notebook. Where
    there is no front end it is one line of text that is rewritten. It looks at the clock and keeps
    its own cost under 5 % of the time that training takes. In JupyterLab there is a stop button;
    the kernel's own interrupt works everywhere. Both keep what was learned.

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
        self.start = time.monotonic()
        self.epoch = self.done = 0
        self.due = self.start + self.PAUSE
        self.logs, self.handle = {}, None
        self.button = None
        if self.in_notebook and "JPY_SESSION_NAME" in os.environ:  # there is a Jupyter server to ask
            self.button = display(_interrupt_button(), display_id=True)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.done = self.epoch * self.params["steps"] + batch + 1
        self.logs = logs or {}
        if time.monotonic() >= self.due:
            self._draw()

    def on_train_end(self, logs=None):
        self._draw()
        if self.button is not None:
            self.button.update(HTML(""))
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


def _interrupt_button():
    """A button that asks the Jupyter server to interrupt this kernel.

    An ipywidgets button would not do: a kernel serves its click when the cell has ended.
    """
    from ipykernel.connect import get_connection_file  # there is one where there is a Jupyter server

    kernel = Path(get_connection_file()).stem.removeprefix("kernel-")
    script = (
        "const page = document.getElementById('jupyter-config-data');"
        "if (!page) { this.textContent = 'use the stop button of the toolbar'; return; }"
        "const cookie = document.cookie.match('\\\\b_xsrf=([^;]*)'), {baseUrl, token} = JSON.parse(page.textContent);"
        f"fetch(baseUrl + 'api/kernels/{kernel}/interrupt', {{method: 'POST', headers: {{"
        "'X-XSRFToken': cookie ? cookie[1] : '', 'Authorization': 'token ' + token}});"
        "this.textContent = 'stopping';"
    )
    tip = "ends the training and keeps what was learned, as the interrupt of the kernel does"
    return HTML(f'<button title="{tip}" onclick="{script}">stop training</button>')


def labelled_button(text, on_click, tooltip="", width=None):
    """A button that calls `on_click(button)`."""
    button = ipywidgets.Button(description=text, tooltip=tooltip or text, layout={"width": width})
    button.on_click(on_click)
    return button


def styled(control, width="420px", label="140px"):
    """The same sizes for all controls, so that labels and sliders stand in line."""
    control.layout.width = width
    control.style.description_width = label
    return control


class Panel(ipywidgets.HBox):
    """Controls on the left, under them what went wrong, in words, and a picture on the right.

    On a narrow page the picture stands below. When drawing fails the last good picture stays.

    Args:
        draw: callable without arguments that returns the bytes of a PNG file.
        controls: ipywidgets, in their order.
    """

    def __init__(self, draw, controls):
        self.draw = draw
        # Without these a box stretches the picture to the width of the page, and pixels blur.
        layout = {"width": "max-content", "align_self": "flex-start"}
        nothing = plotting.png(np.ones((1, 1, 1)), scale=1)  # a browser shows a torn picture for none
        self.picture = ipywidgets.Image(value=nothing, format="png", layout=layout)
        self.problem = ipywidgets.HTML()
        left = ipywidgets.VBox([*controls, self.problem], layout={"width": "450px"})
        super().__init__([left, self.picture], layout={"flex_flow": "row wrap"})

    def redraw(self, change=None):
        """Draw and show; an exception is told under the controls instead of falling silent."""
        try:
            self.picture.value = self.draw()
            self.problem.value = ""
        except Exception as error:
            self.say(f"This picture could not be drawn: {error}")

    def say(self, text):
        """Show a sentence under the controls."""
        self.problem.value = f"<div role='alert' style='max-width:420px; line-height:1.4'>⚠ {html.escape(text)}</div>"


def live_picture(draw, **controls):
    """A picture that follows its controls.

    Args:
        draw: callable that takes one keyword argument for each control and returns the bytes of a
            PNG file (see `plotting.png` and `plotting.MovingFigure`).
        controls: for each argument of `draw` an ipywidgets control, or a tuple
            `(low, high, start)` that becomes a slider: of whole numbers when all three are ints.
            One without a description is labelled with the argument's name.

    Returns:
        A `Panel`.
    """
    for name, control in controls.items():
        if isinstance(control, tuple):
            low, high, start = control
            whole = all(isinstance(number, int) for number in control)
            slider = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
            step = 1 if whole else (high - low) / 100
            control = slider(min=low, max=high, value=start, step=step)
        control.description = control.description or name.replace("_", " ")
        controls[name] = styled(control)
    panel = Panel(lambda: draw(**{name: c.value for name, c in controls.items()}), controls.values())
    for control in controls.values():
        control.observe(panel.redraw, names="value")
    panel.redraw()
    return panel


def plane_picture(decode, codes, labels=None, reach=2.5, start=(1.4, 0.0)):
    """A point that two sliders move over a plane of codes, and beside it what it decodes to.

    Args:
        decode: a `keras.Model` or callable from codes `(1, 2)` to an image `(1, h, w, 1)` in [0, 1].
        codes, labels: the points of the plane, see `plotting.latent_plane`.
        reach: how far from the origin the sliders lead.
        start: where the point is at first.

    Returns:
        A `Panel`.
    """
    decode = tf.function(decode) if isinstance(decode, keras.Model) else decode
    image = lambda *code: np.asarray(decode(np.float32([code])))[0, ..., 0]  # noqa: E731
    figure, (plane, decoded) = plotting.plt.subplots(1, 2, figsize=(9.0, 4.8), layout="none")
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.15, top=0.9)
    plotting.latent_plane(codes, labels, reach, ax=plane)
    (point,) = plane.plot(*[[number] for number in start], "o", markersize=11, color="black", markerfacecolor="white")
    shown = decoded.imshow(image(*start), cmap="gray", vmin=0, vmax=1)
    decoded.set(xticks=[], yticks=[], title="decoded")
    moving = plotting.MovingFigure(figure, [point, shown])

    def draw(code_1, code_2):
        point.set_data([code_1], [code_2])
        shown.set_data(image(code_1, code_2))
        return moving.png()

    return live_picture(draw, code_1=(-reach, reach, start[0]), code_2=(-reach, reach, start[1]))


def arc(start, end, t):
    """Codes on the arc between two: they keep the length of typical codes, which a straight line loses.

    Args:
        start, end: `(..., d)`, not zero and not opposite to one another.
        t: place on the way, 0 to 1.
    """
    lengths = np.linalg.norm(start, axis=-1, keepdims=True) * np.linalg.norm(end, axis=-1, keepdims=True)
    angle = np.arccos(np.clip((start * end).sum(axis=-1, keepdims=True) / lengths, -1, 1))
    # sin(t a) / sin(a), written so that it holds for an angle of zero, too.
    share_start, share_end = (t * np.sinc(t * angle / np.pi) / np.sinc(angle / np.pi) for t in (1 - t, t))
    return share_start * start + share_end * end


def strongest_directions(generate, latent_dim, n, seed=0, codes=16, step=0.1):
    """Directions of the latent space along which the images change most.

    The eigenvectors with the largest eigenvalues of E[J^T J], where J is the table of slopes of all
    pixels by all code numbers; slopes are differences over a small step, so any callable will do.

    Args:
        generate: callable from codes `(m, latent_dim)` to arrays `(m, ...)`.
        n: how many directions.
        codes: how many codes z ~ N(0, 1) the mean is taken over.

    Returns:
        directions: float32 `(n, latent_dim)`, of length 1, strongest first.
        share: float `(n,)`, the part each has in the whole squared change.

    Raises:
        ValueError: NaN, infinity or another number of images than codes.
    """
    squares = 0.0
    for z in np.random.default_rng(seed).standard_normal((codes, latent_dim)).astype(np.float32):
        around = z + step * np.concatenate([np.eye(latent_dim), -np.eye(latent_dim)]).astype(np.float32)
        images = np.asarray(generate(around), float)
        if len(images) != len(around) or not np.isfinite(images).all():
            raise ValueError("the generator must give one image of finite numbers for each code.")
        images = images.reshape(2, latent_dim, -1)
        slopes = (images[0] - images[1]) / (2 * step)
        squares = squares + slopes @ slopes.T
    effect, directions = np.linalg.eigh(squares)
    return directions[:, ::-1].T[:n].astype(np.float32), effect[::-1][:n] / max(effect.sum(), 1e-12)


class LatentExplorer(Panel):
    """Sliders on the latent code of a generator: `LatentExplorer(gan)`.

    Args:
        model: a generator: a `keras.Model` or any callable from codes to images `(n, h, w, 1)` or
            `(n, h, w, 3)` in [0, 1].
        inputs: what the generator takes: {"z": 64} for 64 normal numbers, to which a conditional
            model adds {"codes": 2} for continuous codes in [-1, 1], and selectors such as
            {"labels": 10} or {"labels": ["T-shirt", "shoe"]}; it is then called with these names as
            keywords. None asks the model: its `latent_inputs`, its `latent_dim` or its input's shape.
        directions: how many directions of largest effect get a slider, or directions `(k, latent_dim)`.
        raw: numbers of single coordinates of z that get a slider.
        row: how many pictures, each from noise of its own, move together.
        seed: of the first noise.
        scale: screen pixels for one pixel of the image; None chooses it by their number.
        start: codes `(row, latent_dim)` to start from in place of noise, such as those of real images;
            "new noise" then changes only where the walk leads.

    Attributes:
        z: the codes of the pictures shown, `(row, latent_dim)`.
        path: list of such codes, one for each picture, while "record the path" is on.

    Raises:
        ValueError: it cannot be told what the model takes, or `start` are not such codes.
    """

    PATH = 12  # pictures of the path that are shown; all codes are kept

    def __init__(self, model, inputs=None, directions=4, raw=(), row=1, seed=0, scale=None, start=None):
        inputs = dict(inputs or getattr(model, "latent_inputs", None) or {"z": self._latent_dim(model)})
        self.latent_dim, self.codes = inputs.pop("z"), inputs.pop("codes", 0)
        self.conditional = bool(self.codes or inputs)
        self.model = tf.function(model) if isinstance(model, keras.Model) else model
        self.given = None if start is None else self._checked_start(start)
        self.row = row if start is None else len(self.given)
        self.scale, self.path, self._pictures = scale or (8 if self.row == 1 else 4), [], []
        self.rng, self._quiet = np.random.default_rng(seed), True

        self.selectors = {}
        for name, options in inputs.items():
            names = range(options) if isinstance(options, int) else options
            pairs = [(str(text), i) for i, text in enumerate(names)]
            self.selectors[name] = ipywidgets.Dropdown(options=pairs, value=0, description=name.rstrip("s"))
        code = {"min": -1.0, "max": 1.0, "step": 0.02}
        self.code_sliders = [ipywidgets.FloatSlider(description=f"code {i + 1}", **code) for i in range(self.codes)]
        self.directions, texts = self._named_directions(directions, raw)
        # Along a direction of length 1 codes have deviation 1: six to either side pass through all that is typical.
        reach = {"min": -6.0, "max": 6.0, "step": 0.1}
        self.shifts = [ipywidgets.FloatSlider(description=text, **reach) for text in texts]
        self.walk = ipywidgets.FloatSlider(min=0, max=1, step=0.01, description="walk to another")
        self.record = ipywidgets.Checkbox(description="record the path", indent=False)
        sliders = [*self.code_sliders, *self.shifts, self.walk]
        for control in (*self.selectors.values(), *sliders):
            styled(control).observe(self._moved, names="value")
        self.record.observe(self._recording, names="value")
        buttons = [
            labelled_button("new noise", self.new_noise),
            labelled_button("reset sliders", self.reset),
            self.record,
        ]
        self.path_picture = ipywidgets.Image(format="png", layout={"width": "max-content", "display": "none"})
        controls = [*self.selectors.values(), *sliders, ipywidgets.HBox(buttons), self.path_picture]
        super().__init__(self._draw, controls)
        self.new_noise()

    @staticmethod
    def _latent_dim(model):
        shape = getattr(model, "input_shape", None)
        dim = getattr(model, "latent_dim", None) or (shape[-1] if isinstance(shape, tuple) else None)
        if dim is None:
            raise ValueError('say what the generator takes, such as inputs={"z": 64}: it does not tell by itself.')
        return dim

    def _checked_start(self, start):
        z = np.asarray(start, np.float32)
        if z.ndim != 2 or z.shape[1] != self.latent_dim or len(z) == 0 or not np.isfinite(z).all():
            raise ValueError(f"start must be finite codes of shape (row, {self.latent_dim}), not {z.shape}.")
        return z

    def _named_directions(self, directions, raw):
        if isinstance(directions, int):
            count = min(directions, self.latent_dim)
            fixed = self._conditions(2 * self.latent_dim)
            generate = lambda z: self._generate(z, fixed)  # noqa: E731
            directions, share = strongest_directions(generate, self.latent_dim, count) if count else ([], [])
            texts = [f"direction {i + 1} ({part:.0%})" for i, part in enumerate(share)]
        else:
            texts = [f"direction {i + 1}" for i in range(len(directions))]
        for i in raw:
            if not 0 <= i < self.latent_dim:
                raise ValueError(f"raw coordinates are numbered 0 to {self.latent_dim - 1}: there is no {i}.")
        rows = [*directions, *np.eye(self.latent_dim)[list(raw)]]
        rows = np.asarray(rows, np.float32).reshape(-1, self.latent_dim)
        return rows, [*texts, *(f"z[{i}]" for i in raw)]

    def _conditions(self, n):
        """The other inputs of a conditional model, from their controls."""
        conditions = {name: np.full(n, control.value) for name, control in self.selectors.items()}
        if self.codes:
            conditions["codes"] = np.tile(np.float32([slider.value for slider in self.code_sliders]), (n, 1))
        return conditions

    def _generate(self, z, conditions):
        return self.model(z=z, **conditions) if self.conditional else self.model(z)

    @property
    def z(self):
        z = arc(self.start, self.end, self.walk.value)
        if self.shifts:
            z = z + np.float32([slider.value for slider in self.shifts]) @ self.directions
        return z.astype(np.float32)

    def _draw(self):
        images = np.asarray(self._generate(self.z, self._conditions(self.row)))
        if len(images) != self.row:
            raise ValueError(f"the generator gave {len(images)} images for {self.row} codes.")
        picture = plotting.png(images, columns=8, scale=self.scale)
        if self.record.value:
            self.path.append(self.z)
            self._pictures = [*self._pictures, images[0]][-self.PATH :]
            self.path_picture.value = plotting.png(np.stack(self._pictures), columns=self.PATH, scale=1)
        return picture

    def _moved(self, change):
        if not self._quiet:
            self.redraw()

    def _recording(self, change):
        if change["new"]:
            self.path, self._pictures = [], []
        self.path_picture.layout.display = None if change["new"] else "none"
        self.redraw()

    def reset(self, button=None):
        """Put all sliders back to where they began."""
        self._quiet = True
        for slider in (*self.shifts, *self.code_sliders, self.walk):
            slider.value = 0
        self._quiet = False
        self.redraw()

    def new_noise(self, button=None):
        """Draw new codes z ~ N(0, 1) to walk to and, unless they were given, to start from."""
        noise, self.end = self.rng.standard_normal((2, self.row, self.latent_dim)).astype(np.float32)
        self.start = noise if self.given is None else self.given
        self.reset()


def player(frames, captions, title="frames", start=None, milliseconds=150):
    """Recorded pictures with a slider and a play button that need no kernel, also in exported HTML.

    Args:
        frames: list of the bytes of PNG files, all of one size.
        captions: a text for each frame.
        title: what is shown, for the slider's label.
        start: number of the frame shown at first; None shows the last.
        milliseconds: between two frames while playing.

    Returns:
        An `IPython.display.HTML`; make it the last line of a cell.
    """
    if len(frames) != len(captions) or not frames:
        raise ValueError(
            f"a player needs as many captions as frames, at least one, not {len(captions)}, {len(frames)}."
        )
    start = len(frames) - 1 if start is None else start
    # Handlers stand in the tags, since a page that is filled in later runs no script of its own.
    show = (
        "const box = this.closest('[data-player]'), bar = box.querySelector('input');"
        "const show = () => box.querySelectorAll('figure').forEach((f, i) => f.hidden = i != bar.value);"
    )
    stop = "clearInterval(box.timer); box.timer = null; box.querySelector('button').textContent = 'play';"
    move = f"{show}{stop} show();"
    last = len(frames) - 1
    play = (
        f"{show} if (box.timer) {{ {stop} }} else {{ this.textContent = 'pause';"
        f"if (bar.value == {last}) bar.value = 0; show();"
        f"box.timer = setInterval(() => {{ if (bar.value == {last} || !box.isConnected) {{ {stop} }}"
        f"else {{ bar.value++; show(); }} }}, {milliseconds}); }}"
    )
    figures = "".join(
        f"<figure style='margin:0' {'' if i == start else 'hidden'}>"
        f"<img style='max-width:100%' alt='{html.escape(caption)}' "
        f"src='data:image/png;base64,{base64.b64encode(frame).decode()}'>"
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for i, (frame, caption) in enumerate(zip(frames, captions, strict=True))
    )
    return HTML(
        f"<div data-player>{figures}<button onclick=\"{play}\" style='width:5em'>play</button> "
        f"<label>{html.escape(title)} <input type='range' min='0' max='{last}' value='{start}' "
        f"style='width:360px; vertical-align:middle' oninput=\"{move}\"></label></div>"
    )
