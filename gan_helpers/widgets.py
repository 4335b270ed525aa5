"""Things that move: the live view of training, pictures and generators that follow sliders, a player.

Only controls that ipywidgets 7.7 and 8 share are used. The functions take arrays and callables and
know no model. A picture travels to the browser as the bytes of one PNG file, and a front end asks
for the next only when the last has arrived, so a slider that is dragged never lags behind.

A cell that ends in a picture with controls shows it twice: as a widget, for front ends with a kernel,
and as HTML that computes by itself, for all others (see `gan_helpers.live`). Both have the controls
that stand here, and notebooks keep the second.
"""

import base64
import functools
import html
import json
import os
import sys
import threading
import time
from pathlib import Path

import ipywidgets
import keras
import numpy as np
import tensorflow as tf
from IPython import get_ipython
from IPython.display import HTML, display
from tqdm import tqdm

from gan_helpers import checks, live, plotting

# A front end may send the messages of widgets on two threads. Whoever draws reads the controls and sets the picture
# while holding this one lock, so the last picture is that of the last values, whatever figures and networks are shared.
LOCK = threading.RLock()
BYTES = (bytes, bytearray, memoryview)  # an Image keeps its picture as the last of these


def one_at_a_time(method):
    """A method that no other thread interrupts with one of these, of this object or another."""

    @functools.wraps(method)
    def run(*args, **kwargs):
        with LOCK:
            return method(*args, **kwargs)

    return run


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
    per_step = False  # its batch hooks may be called after several steps at once

    def __init__(self, sample=None, columns=8, title="training"):
        super().__init__()
        if not (sample is None or callable(sample)):
            raise ValueError(f"sample must be a function without arguments or None, not a {type(sample).__name__}.")
        self.sample, self.columns, self.title = sample, checks.count("columns", columns), str(title)
        self.start = None

    def on_train_begin(self, logs=None):
        epochs, self.steps = self.params["epochs"], self.params["steps"]  # the steps of a Python generator are unknown
        self.total = self.params.get("total_steps") or (epochs * self.steps if self.steps else None)
        self.start = time.monotonic()
        self.before = self.done = 0
        self.due = self.start + self.PAUSE
        self.logs, self.handle, self.button = {}, None, None
        if hasattr(get_ipython(), "kernel"):  # a notebook
            if "JPY_SESSION_NAME" in os.environ:  # there is a Jupyter server to ask
                self.button = display(_interrupt_button(), display_id=True)
            self.handle = display(HTML(""), display_id=True)

    def on_epoch_begin(self, epoch, logs=None):
        self.before = epoch * self.steps if self.steps else self.done

    def on_train_batch_end(self, batch, logs=None):
        self.done = self.before + batch + 1
        self.logs = logs or {}
        if time.monotonic() >= self.due:
            self._draw()

    def on_train_end(self, logs=None):
        if self.start is None:
            return  # what failed was the beginning
        try:
            self._draw()
        finally:
            if self.button is not None:
                self.button.update(HTML(""))
            if self.handle is None:
                print(file=sys.stderr)

    def _draw(self):
        clock = time.monotonic()
        losses = "  ".join(f"{name} {float(value):.3f}" for name, value in self.logs.items())
        bar = tqdm.format_meter(self.done, self.total, clock - self.start, ncols=78, unit=" steps", prefix=self.title)
        if self.handle is None:
            print(f"\r{bar}  {losses}", end="", file=sys.stderr, flush=True)
        else:
            text = html.escape(f"{bar}\n{losses}")
            self.handle.update(HTML(f"<pre style='margin:0'>{text}</pre>{self._samples()}"))
        cost = time.monotonic() - clock
        self.due = time.monotonic() + max(self.PAUSE, cost / self.SHARE)

    def _samples(self):
        if self.sample is None:
            return ""
        try:
            return live.still(plotting.png(self.sample(), self.columns, scale=2), "samples from fixed noise", "")
        except Exception as error:  # training goes on without the picture
            return alert(f"The samples cannot be shown: {error}")


def alert(text):
    """HTML of a sentence that says what is wrong."""
    return f"<div role='alert' style='max-width:420px; line-height:1.4'>⚠ {html.escape(text)}</div>"


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


def page_script(script):
    """A widget that shows nothing and runs JavaScript once it is on a page; `this` is an element of the page.

    Widgets run no script tags. The pause lets those that stand beside it appear first.
    """
    image = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
    return ipywidgets.HTML(
        f"<img alt='' style='display:none' src='{image}' onload=\"setTimeout(() => {{ {html.escape(script)} }}, 300)\">"
    )


class Panel(ipywidgets.HBox):
    """Controls on the left, under them what went wrong, in words, and a picture on the right.

    On a narrow page the picture stands below. When drawing fails the last good picture stays.

    Args:
        draw: callable without arguments that returns the bytes of a PNG file.
        controls: ipywidgets, in their order.
        alt: what the picture shows, in words, for those who do not see it.
        travel: callable that returns what `live.page` needs to show the same without a kernel, a dict and a
            network or None, or raises `live.Unsupported`.
    """

    _ipython_display_ = None  # of ipywidgets 7, which would come before `_repr_mimebundle_`

    def __init__(self, draw, controls, alt, travel):
        self.draw, self.controls, self.alt, self.travel = draw, list(controls), alt, travel
        # Without these a box stretches the picture to the width of the page, and pixels blur.
        layout = {"width": "max-content", "align_self": "flex-start"}
        nothing = plotting.png(np.ones((1, 1, 1)), scale=1)  # a browser shows a torn picture for none
        self.picture = ipywidgets.Image(value=nothing, format="png", layout=layout)
        self.problem = ipywidgets.HTML()
        left = ipywidgets.VBox([*self.controls, self.problem], layout={"width": "450px"})
        # An Image has no alternative text of its own.
        images = "this.closest('.gan-panel').querySelectorAll('img.widget-image')"
        named = page_script(f"{images}.forEach(image => {{ image.alt = {json.dumps(alt)}; }})")
        super().__init__([left, self.picture, named], layout={"flex_flow": "row wrap"})
        self.add_class("gan-panel")

    @one_at_a_time
    def redraw(self, change=None):
        """Draw and show; an exception is told under the controls instead of falling silent."""
        try:
            picture = self.draw()
            if not isinstance(picture, BYTES):
                kind = type(picture).__name__
                raise ValueError(f"it must come as the bytes of a PNG file, see plotting.MovingFigure, not as {kind}.")
            self.picture.value, self.problem.value = picture, ""
        except Exception as error:
            self.say(f"This picture could not be drawn: {error}")

    def say(self, text):
        """Show a sentence under the controls."""
        self.problem.value = alert(text)

    def page(self):
        """HTML that shows the same without a kernel, or a still picture and why it cannot."""
        picture = bytes(self.picture.value)
        try:
            return live.page(*self.travel(), picture, self.alt)
        except live.Unsupported as error:
            said = f"The controls of this picture need a kernel, since {error}."
            return f"{live.still(picture, self.alt)}<p>{html.escape(said)}</p>"

    def _repr_mimebundle_(self, **kwargs):
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        page = {"text/plain": self.alt, "text/html": self.page()}
        return {"application/vnd.jupyter.widget-view+json": view, **page}


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

    Raises:
        ValueError: neither a control nor three numbers with low <= start <= high.
    """
    for name, control in controls.items():
        if not hasattr(control, "value"):
            control = _slider(name, control)
        control.description = control.description or name.replace("_", " ")
        controls[name] = styled(control)
    panel = Panel(
        lambda: draw(**{name: c.value for name, c in controls.items()}),
        controls.values(),
        alt=f"a picture that follows {', '.join(control.description for control in controls.values())}",
        travel=one_at_a_time(lambda: live.recorded(draw, controls)),
    )
    for control in controls.values():
        control.observe(panel.redraw, names="value")
    panel.redraw()
    return panel


def _slider(name, ends):
    if not isinstance(ends, (tuple, list)) or len(ends) != 3:
        raise ValueError(f"{name} must be an ipywidgets control or three numbers (low, high, start), not {ends!r}.")
    low, high, start = (checks.number(name, number) for number in ends)
    if not low <= start <= high or low == high:
        raise ValueError(f"{name} must be (low, high, start) with low <= start <= high and low < high, not {ends!r}.")
    if all(isinstance(number, (int, np.integer)) for number in ends):
        return ipywidgets.IntSlider(min=int(low), max=int(high), value=int(start))
    return ipywidgets.FloatSlider(min=low, max=high, value=start, step=(high - low) / 100)


def plane_picture(decode, codes, labels=None, reach=2.5, start=(1.4, 0.0)):
    """A point that two sliders move over a plane of codes, and beside it what it decodes to.

    Args:
        decode: a `keras.Model` or callable from codes `(1, 2)` to an image `(1, h, w, 1)` or `(1, h, w, 3)` in [0, 1].
        codes, labels: the points of the plane, see `plotting.latent_plane`.
        reach: how far from the origin the sliders lead.
        start: where the point is at first.

    Returns:
        A `Panel`.

    Raises:
        ValueError: other codes, labels or images, or a start that the sliders do not reach.
    """
    decode = tf.function(decode) if isinstance(decode, keras.Model) else decode
    reach, start = checks.positive("reach", reach), checks.points([start], "start")[0].tolist()
    image = lambda *code: plotting.as_images(decode(np.float32([code])), "decoded images")[0]  # noqa: E731
    figure = plotting.plt.Figure(figsize=(9.0, 4.8), layout="none")
    plane, decoded = figure.subplots(1, 2)
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

    def travel():
        height = figure.bbox.height
        origin, one = plane.transData.transform([[0, 0], [1, 1]])
        box = shown.get_window_extent()
        spec = {
            "kind": "plane",
            "controls": [live.control(control) for control in panel.controls],
            "still": live.picture(moving.png(still=True)),
            "size": [int(figure.bbox.width), int(height)],
            "image": [box.x0, height - box.y1, box.width, box.height],
            "origin": [origin[0], height - origin[1]],
            "unit": [one[0] - origin[0], origin[1] - one[1]],
            "radius": point.get_markersize() * figure.dpi / 144,
        }
        return spec, live.network(lambda codes: decode(codes), codes=((1, 2), "float32"))

    panel = live_picture(draw, code_1=(-reach, reach, start[0]), code_2=(-reach, reach, start[1]))
    panel.travel = travel
    return panel


def arc(start, end, t):
    """Codes on the arc between two: they keep the length of typical codes, which a straight line loses.

    Where no arc is the one between them, since a code is zero or they are opposite, the way is the straight line.

    Args:
        start, end: `(..., d)`, finite numbers.
        t: place on the way, 0 to 1.
    """
    start, end = checks.finite(start, "codes"), checks.finite(end, "codes")
    kind = np.result_type(start, end, np.float32)
    start, end = start.astype(float), end.astype(float)
    lengths = np.linalg.norm(start, axis=-1, keepdims=True) * np.linalg.norm(end, axis=-1, keepdims=True)
    cosine = (start * end).sum(axis=-1, keepdims=True) / np.where(lengths > 0, lengths, 1)
    angle = np.where((lengths > 0) & (cosine > -1 + 1e-9), np.arccos(np.clip(cosine, -1, 1)), 0)
    # sin(t a) / sin(a), written so that it holds for an angle of zero, too.
    share_start, share_end = (t * np.sinc(t * angle / np.pi) / np.sinc(angle / np.pi) for t in (1 - t, t))
    return (share_start * start + share_end * end).astype(kind)


def strongest_directions(generate, latent_dim, n, seed=0, codes=16, step=0.1):
    """Directions of the latent space along which the images change most.

    The eigenvectors with the largest eigenvalues of E[J^T J], where J is the table of slopes of all
    pixels by all code numbers; slopes are differences over a small step, so any callable will do.

    Args:
        generate: callable from codes `(m, latent_dim)` to arrays `(m, ...)`.
        n: how many directions.
        codes: how many codes z ~ N(0, 1) the mean is taken over.
        step: the small step.

    Returns:
        directions: float32 `(n, latent_dim)`, of length 1, strongest first.
        share: float `(n,)`, the part each has in the whole squared change.

    Raises:
        ValueError: NaN, infinity or another number of images than codes, or settings that are no such numbers.
    """
    latent_dim, codes = checks.count("latent_dim", latent_dim), checks.count("codes", codes)
    n, step = int(checks.number("n", checks.count("n", n), 1, latent_dim)), checks.positive("step", step)
    squares, rng = 0.0, checks.generator_of(seed)
    for z in rng.standard_normal((codes, latent_dim)).astype(np.float32):
        around = z + step * np.concatenate([np.eye(latent_dim), -np.eye(latent_dim)]).astype(np.float32)
        images = np.asarray(generate(around), float)
        if len(images) != len(around) or not np.isfinite(images).all():
            raise ValueError("the generator must give one image of finite numbers for each code.")
        images = images.reshape(2, latent_dim, -1)
        slopes = (images[0] - images[1]) / (2 * step)
        squares = squares + slopes @ slopes.T
    effect, directions = np.linalg.eigh(squares)
    return directions[:, ::-1].T[:n].astype(np.float32), effect[::-1][:n] / max(effect.sum(), 1e-12)


RENEW, RESET = "new noise", "reset sliders"


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
        ValueError: it cannot be told what the model takes, or a setting is none of these.
    """

    PATH = 12  # pictures of the path that are shown; all codes are kept

    def __init__(self, model, inputs=None, directions=4, raw=(), row=1, seed=0, scale=None, start=None):
        inputs = dict(inputs or getattr(model, "latent_inputs", None) or {"z": self._latent_dim(model)})
        if "z" not in inputs:
            raise ValueError(f'inputs must name z, as {{"z": 64}} does, not only {", ".join(inputs)}.')
        self.latent_dim, codes = checks.count("z", inputs.pop("z")), inputs.pop("codes", 0)
        codes = checks.count("codes", codes) if codes else 0
        self.model = tf.function(model) if isinstance(model, keras.Model) else model
        self.given = None if start is None else checks.codes(start, self.latent_dim, "start")
        self.row = checks.count("row", row if start is None else len(self.given))
        self.scale = (8 if self.row == 1 else 4) if scale is None else checks.count("scale", scale)
        self.seed = checks.seed(seed) % 2**32
        self.rng = np.random.default_rng(self.seed)
        self.path, self._pictures = [], []

        self.selectors = {}
        for name, options in inputs.items():
            names = options if isinstance(options, (list, tuple)) else range(checks.count(name, options))
            pairs = [(str(text), i) for i, text in enumerate(names)]
            self.selectors[name] = ipywidgets.Dropdown(options=pairs, value=0, description=name.rstrip("s"))
        code = {"min": -1.0, "max": 1.0, "step": 0.02}
        self.code_sliders = [ipywidgets.FloatSlider(description=f"code {i + 1}", **code) for i in range(codes)]
        self.directions, texts = self._named_directions(directions, raw)
        # Along a direction of length 1 codes have deviation 1: the prior goes three to either side, but once in 370.
        reach = {"min": -3.0, "max": 3.0, "step": 0.1}
        self.shifts = [ipywidgets.FloatSlider(description=text, **reach) for text in texts]
        self.walk = ipywidgets.FloatSlider(min=0, max=1, step=0.01, description="walk to another")
        self.record = ipywidgets.Checkbox(description="record the path", indent=False)
        sliders = [*self.code_sliders, *self.shifts, self.walk]
        for control in (*self.selectors.values(), *sliders):
            styled(control).observe(self._moved, names="value")
        self.record.observe(self._recording, names="value")
        self.sliders = sliders
        buttons = [labelled_button(RENEW, self.new_noise), labelled_button(RESET, self.reset), self.record]
        self.path_picture = ipywidgets.Image(format="png", layout={"width": "max-content", "display": "none"})
        controls = [*self.selectors.values(), *sliders, ipywidgets.HBox(buttons), self.path_picture]
        super().__init__(self._draw, controls, "images that the generator makes of the codes chosen", self._travel)
        self.new_noise()

    @staticmethod
    def _latent_dim(model):
        shape = getattr(model, "input_shape", None)
        dim = getattr(model, "latent_dim", None) or (shape[-1] if isinstance(shape, tuple) else None)
        if dim is None:
            raise ValueError('say what the generator takes, such as inputs={"z": 64}: it does not tell by itself.')
        return dim

    def _named_directions(self, directions, raw):
        dim, share, raw = self.latent_dim, None, np.atleast_1d(raw).tolist()
        if not all(type(i) is int and 0 <= i < dim for i in raw):
            raise ValueError(f"raw must be numbers of coordinates, from 0 to {dim - 1}, not {raw}.")
        if np.ndim(directions) == 0 and directions:
            fixed, n = self._conditions(2 * dim), min(checks.count("directions", directions), dim)
            directions, share = strongest_directions(lambda z: self._generate(z, fixed), dim, n)
        else:  # directions, or none at all: [], 0 or None
            directions = checks.codes(directions, dim, "directions") if np.ndim(directions) and len(directions) else []
        texts = [f"direction {i + 1}" + ("" if share is None else f" ({share[i]:.0%})") for i in range(len(directions))]
        rows = np.float32([*directions, *np.eye(dim)[raw]]).reshape(-1, dim)
        return rows, [*texts, *(f"z[{i}]" for i in raw)]

    def _conditions(self, n):
        """The other inputs of a conditional model, from their controls."""
        conditions = {name: np.full(n, control.value) for name, control in self.selectors.items()}
        if self.code_sliders:
            conditions["codes"] = np.tile(np.float32([slider.value for slider in self.code_sliders]), (n, 1))
        return conditions

    def _generate(self, z, conditions):
        return self.model(z=z, **conditions) if conditions else self.model(z)

    def _travel(self):
        # For one picture, whatever the row: explorers of one network share it.
        inputs = {"z": ((1, self.latent_dim), "float32")}
        inputs |= {name: (np.shape(value), value.dtype) for name, value in self._conditions(1).items()}
        network = live.network(lambda z, **conditions: self._generate(z, conditions), **inputs)
        spec = {
            "kind": "explorer",
            "controls": [live.control(control) for control in (*self.selectors.values(), *self.sliders)],
            "menus": list(self.selectors),
            "codes": len(self.code_sliders),
            "row": self.row,
            "dim": self.latent_dim,
            "scale": self.scale,
            "path": self.PATH,
            "given": self.given is not None,
            "seed": self.seed,
            **{name: live.text_of(np.float32(getattr(self, name))) for name in ("directions", "start", "end")},
            **{"record": self.record.description, "renew": RENEW, "reset": RESET},
        }
        return spec, network

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

    @one_at_a_time
    def _recording(self, change):
        if change["new"]:
            self.path, self._pictures = [], []
        self.path_picture.layout.display = None if change["new"] else "none"
        self.redraw()

    @one_at_a_time
    def reset(self, button=None):
        """Put all sliders back to where they began."""
        self._quiet = True
        for slider in (*self.shifts, *self.code_sliders, self.walk):
            slider.value = 0
        self._quiet = False
        self.redraw()

    @one_at_a_time
    def new_noise(self, button=None):
        """Draw new codes z ~ N(0, 1) to walk to and, unless they were given, to start from."""
        noise, self.end = self.rng.standard_normal((2, self.row, self.latent_dim)).astype(np.float32)
        self.start = noise if self.given is None else self.given
        self.reset()


# The canvas of a page with a kernel: what is drawn becomes the hexadecimal digits of its greys, two for each pixel.
# JupyterLab takes keys such as the arrows to itself, unless it is told not to.
SEND = """
const box = this.closest('.gan-panel'), text = box.querySelector('.gan-drawing input');
box.querySelectorAll('select, input, button').forEach(tool => tool.setAttribute('data-lm-suppress-shortcuts', 'true'));
ganLive.pad(box, %d, greys => {
  text.value = Array.from(greys, grey => Math.round(255 * grey).toString(16).padStart(2, '0')).join('');
  text.dispatchEvent(new Event('input', {bubbles: true}));
});
"""


class DrawingPad(Panel):
    """A canvas to draw on, and beside it what a network makes of the drawing, at once: `DrawingPad(model.translate)`.

    Pen and mouse, or for the keyboard a menu of drawings; a file of the reader's own will do as well. All that happens
    on the canvas happens in the page; Python gets the drawing as text, through a hidden text field.

    Args:
        translate: callable from a drawing, float32 `(1, side, side, 1)`, 0 ink and 1 paper, to an image
            `(1, h, w, 1)` or `(1, h, w, 3)` in [0, 1].
        drawings: dict from name to a drawing `(side, side, 1)`, for the menu; the first is shown at the start.
        side: pixels of a side of the drawings.
        scale: screen pixels for one pixel of a drawing.

    Attributes:
        drawing: the drawing as it is now, float32 `(side, side, 1)`.

    Raises:
        ValueError: there is no drawing, or one has another shape.
    """

    def __init__(self, translate, drawings, side=32, scale=8):
        self.side, self.scale = checks.count("side", side), checks.count("scale", scale)
        if not drawings:
            raise ValueError("drawings must hold at least one drawing, which is shown at the start.")
        names = list(map(str, drawings))
        sheets = [checks.images(np.asarray(drawing)[None], "a drawing", side, (1,)) for drawing in drawings.values()]
        self.translate, self.drawing, size = translate, sheets[0][0], self.side * self.scale
        options = "".join(
            f"<option value='{base64.b64encode(plotting.png(sheet, scale=1)).decode()}'>{html.escape(name)}</option>"
            for name, sheet in zip(names, sheets, strict=True)
        )
        self.canvas = ipywidgets.HTML(
            f"<canvas width='{size}' height='{size}' tabindex='0' role='img' aria-label='a sheet to draw on' "
            "style='border:1px solid #555; background:white; cursor:crosshair; touch-action:none'></canvas><br>"
            f"<label>a drawing <select class='gan-drawings'>{options}</select></label> "
            "<label>of yours <input type='file' accept='image/*' style='width:190px'></label><br>"
            "<label>pen <input type='range' min='1' max='6' step='0.5' value='2' aria-label='width of the pen' "
            "style='width:90px'></label> <label><input type='checkbox'> erase</label> <button>clear</button>"
        )
        self.sent = ipywidgets.Text(layout={"display": "none"})
        self.sent.add_class("gan-drawing")
        self.sent.observe(self._received, names="value")
        super().__init__(self._draw, [self.canvas, self.sent], "the drawing, coloured", self._travel)
        self.children = [*self.children, page_script(live.engine() + SEND % self.side)]
        self.redraw()

    def _travel(self):
        network = live.network(
            lambda drawing: self.translate(drawing), drawing=((1, self.side, self.side, 1), "float32")
        )
        size = self.side * self.scale
        spec = {"kind": "pad", "controls": [], "tools": self.canvas.value, "side": self.side, "size": size}
        return spec, network

    def _draw(self):
        made = plotting.as_images(self.translate(self.drawing[None]), "what translate makes")
        return plotting.png(made, scale=max(1, round(self.side * self.scale / made.shape[1])))

    def _received(self, change):
        """The page sends the drawing as the hexadecimal digits of its greys, row by row, two for each pixel."""
        try:
            grey = np.frombuffer(bytes.fromhex(change["new"]), np.uint8)
            self.drawing = grey.reshape(self.side, self.side, 1).astype(np.float32) / 255
        except ValueError:
            self.say(f"A drawing of {self.side}x{self.side} pixels was expected.")
        else:
            self.redraw()


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
    frames, captions = list(frames), list(map(str, captions))
    last = len(frames) - 1
    if len(frames) != len(captions) or not frames:
        raise ValueError(f"a player needs as many captions as frames, at least one, not {len(captions)}, {last + 1}.")
    if not all(isinstance(frame, BYTES) for frame in frames):
        raise ValueError("frames must be the bytes of PNG files, as plotting.png and MovingFigure.png make them.")
    start = last if start is None else start
    if start not in range(last + 1):
        raise ValueError(f"start must be the number of a frame, 0 to {last}, not {start!r}.")
    milliseconds = checks.count("milliseconds", milliseconds)
    # Handlers stand in the tags, since a page that is filled in later runs no script of its own.
    show = (
        "const box = this.closest('[data-player]'), bar = box.querySelector('input');"
        "const show = () => box.querySelectorAll('figure').forEach((f, i) => f.hidden = i != bar.value);"
    )
    stop = "clearInterval(box.timer); box.timer = null; box.querySelector('button').textContent = 'play';"
    move = f"{show}{stop} show();"
    play = (
        f"{show} if (box.timer) {{ {stop} }} else {{ this.textContent = 'pause';"
        f"if (bar.value == {last}) bar.value = 0; show();"
        f"box.timer = setInterval(() => {{ if (bar.value == {last} || !box.isConnected) {{ {stop} }}"
        f"else {{ bar.value++; show(); }} }}, {milliseconds}); }}"
    )
    figures = "".join(
        f"<figure style='margin:0' {'' if i == start else 'hidden'}>"
        f"{live.still(frame, caption)}<figcaption>{html.escape(caption)}</figcaption></figure>"
        for i, (frame, caption) in enumerate(zip(frames, captions, strict=True))
    )
    return HTML(
        f"<div data-player>{figures}<button onclick=\"{play}\" style='width:5em'>play</button> "
        f"<label>{html.escape(str(title))} <input type='range' min='0' max='{last}' value='{start}' "
        f"style='width:360px; vertical-align:middle' oninput=\"{move}\"></label></div>"
    )
