"""Figures of the course. Real is always blue, generated always orange, D's belief runs between them.

The functions take arrays and callables and know no model. Those that draw into axes take `ax=None`,
make a figure when it is None, and return the axes.
"""

import io

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgba_array
from matplotlib.image import AxesImage
from PIL import Image

from gan_helpers import checks

# Two colours of the Okabe-Ito palette, told apart by every kind of colour vision.
REAL, FAKE, NEUTRAL = "#0072B2", "#D55E00", "#555555"
# D = 0 "generated" is orange, D = 1 "real" is blue, D = 1/2 "cannot tell" is white.
BELIEF = LinearSegmentedColormap.from_list("belief", [FAKE, "white", REAL])
# Further lines in one figure: the rest of the palette.
OTHERS = ("#009E73", "#CC79A7", "#56B4E9", "#E69F00")


def use_style():
    """Set matplotlib's defaults to the look of the course: large type, light frame, white ground."""
    plt.rcdefaults()  # another style, such as a dark one, would leave its colours where ours has none
    plt.rcParams.update(
        {
            "figure.figsize": (8, 4),
            "figure.dpi": 80,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 13,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": plt.cycler(color=[REAL, FAKE, *OTHERS]),
            "lines.linewidth": 2,
            "legend.frameon": False,
            "animation.embed_limit": 30,
        }
    )


def as_images(x, name="images"):
    """Images in [0, 1] as float32 `(n, h, w, c)`, of one channel or three, also given as `(n, h, w)`; or ValueError."""
    x = np.asarray(x)
    if x.ndim == 3:
        if x.shape[2] in (1, 3, 4) and x.shape[1] != x.shape[2]:
            raise ValueError(f"{name} must be several: one image of shape {x.shape} becomes a batch of one by x[None].")
        x = x[..., None]
    if x.dtype.kind in "biu" and x.size and x.min() >= 0 and x.max() <= 1:  # masks
        x = x.astype(np.float32)
    return checks.images(x, name)


def tile(images, columns=8, gap=1, scale=1):
    """Lay images out in rows: uint8 array `(height, width)`, or `(height, width, 3)` for colour.

    Args:
        images: float `(n, h, w)`, `(n, h, w, 1)` or `(n, h, w, 3)` in [0, 1].
        columns: images in a row.
        gap: pixels between images.
        scale: whole number, how many screen pixels make one image pixel.

    Raises:
        ValueError: the shape is none of these, there is no image, or a value is NaN or not in [0, 1].
    """
    images = as_images(images)
    n, h, w, channels = images.shape
    columns, scale = min(checks.count("columns", columns), n), checks.count("scale", scale)
    gap = checks.count("gap", gap) if gap else 0
    rows = -(-n // columns)
    sheet = np.full((rows * columns, h + gap, w + gap, channels), 0.5, np.float32)
    sheet[:n, :h, :w] = images
    sheet[n:] = 1.0
    sheet = sheet.reshape(rows, columns, h + gap, w + gap, channels).swapaxes(1, 2)
    sheet = sheet.reshape(rows * (h + gap), columns * (w + gap), channels)[: -gap or None, : -gap or None]
    sheet = np.rint(sheet * 255).astype(np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)
    return sheet[..., 0] if channels == 1 else sheet


def _packed(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)  # quickly, not tightly
    return buffer.getvalue()


def png(images, columns=8, gap=1, scale=3):
    """The sheet of `tile` as the bytes of a PNG file, quick enough for a slider."""
    return _packed(Image.fromarray(tile(images, columns, gap, scale)))


class MovingFigure:
    """A figure whose still parts are drawn once, so that the moving ones can follow a slider.

    Args:
        figure: a complete matplotlib figure; pyplot forgets it.
        moving: the artists of it that will change (lines, bars, images, titles). Change them with
            their own `set_...` methods, then ask for `png()`.
    """

    def __init__(self, figure, moving):
        plt.close(figure)
        self.figure, self.moving = figure, list(moving)
        self.canvas = FigureCanvasAgg(figure)
        for artist in self.moving:
            artist.set_animated(True)
        self.refresh()
        self.palette = self._palette()

    def refresh(self):
        """Draw the still parts anew: needed after a change of theirs, such as the limits of an axis."""
        self.canvas.draw()
        self.still = self.canvas.copy_from_bbox(self.figure.bbox)

    def _palette(self):
        """The colours of the course, pure and mixed with white, and those that this figure has beside them."""
        named = to_rgba_array([REAL, FAKE, "black", NEUTRAL])
        shades = np.concatenate([BELIEF(np.linspace(0, 1, 40)), named])[:, :3]
        mixed = np.rint(255 * np.concatenate([1 - share * (1 - shades) for share in (1, 0.75, 0.5)])).astype(int)
        own = self._picture().quantize(255 - len(mixed), method=Image.Quantize.MEDIANCUT).getpalette()
        colours = np.concatenate([mixed, np.reshape(own, (-1, 3))])
        colours = colours[colours.min(axis=1) < 246]  # Pillow rounds, and what is nearly white would stand in for it
        palette = Image.new("P", (1, 1))
        palette.putpalette([*colours.ravel().tolist(), 255, 255, 255])
        return palette

    def _picture(self, moving=True):
        self.canvas.restore_region(self.still)
        for artist in self.moving if moving else ():
            self.figure.draw_artist(artist)
        size = tuple(map(int, self.figure.bbox.size))
        return Image.frombuffer("RGBA", size, self.canvas.buffer_rgba(), "raw", "RGBA", 0, 1).convert("RGB")

    def png(self, still=False):
        """The figure, or only its still parts, as the bytes of a PNG file."""
        picture = self._picture(not still)
        if not still and any(
            np.ndim(artist.get_array()) == 3 for artist in self.moving if isinstance(artist, AxesImage)
        ):
            return _packed(picture)  # a photograph has colours of its own, another time others
        # With 256 colours the picture packs four times as fast, and half as large.
        return _packed(picture.quantize(palette=self.palette, dither=Image.Dither.NONE))


def image_grid(images, columns=8, title=None, colour=NEUTRAL, ax=None):
    """Draw images in rows; `colour` (REAL or FAKE) tints title and frame. Returns the axes."""
    sheet = tile(images, columns)
    if ax is None:
        width = min(10, 0.9 * min(columns, len(images)))
        ax = plt.figure(figsize=(width, width * sheet.shape[0] / sheet.shape[1] + (0.4 if title else 0))).gca()
    ax.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color=colour, linewidth=2)
    if title:
        ax.set_title(title, color=colour)
    return ax


def loss_curves(steps, curves, ax=None):
    """Losses over training steps.

    Args:
        steps: int `(t,)`.
        curves: dict from label to values `(t,)`; "discriminator" and "generator" get fixed styles.
    """
    ax = ax or plt.figure().gca()
    styles = {"discriminator": {"color": REAL}, "generator": {"color": FAKE, "linestyle": "--"}}
    for label, values in curves.items():
        ax.plot(steps, values, label=label, **styles.get(label, {}))
    ax.set(xlabel="training step", ylabel="loss")
    ax.legend()
    return ax


LOGITS = " (a logit becomes a belief by sigmoid)"


def densities(x, real=None, fake=None, belief=None, ax=None):
    """One-dimensional densities over the points `x` `(t,)`, with D's belief on the right-hand axis.

    `real`, `fake` and `belief` are values `(t,)`, beliefs in [0, 1]; what is None is left out.
    """
    if belief is not None:
        checks.within(np.nan_to_num(belief), 0, 1, "beliefs", LOGITS)  # NaN where there are no points at all
    ax = ax or plt.figure().gca()
    if real is not None:
        ax.fill_between(x, real, color=REAL, alpha=0.2)
        ax.plot(x, real, color=REAL, label=r"real, $p_{data}$")
    if fake is not None:
        ax.plot(x, fake, color=FAKE, linestyle="--", label=r"generated, $p_{model}$")
    ax.set(xlabel="x", ylabel="density", ylim=(0, None))
    ax.legend(loc="upper left")
    if belief is not None:
        right = ax.twinx()
        right.plot(x, belief, color=NEUTRAL, linestyle=":")
        right.set(ylabel="D(x), belief that x is real", ylim=(0, 1))
    return ax


def belief_map(belief, extent, resolution=100, ax=None):
    """Colour the plane by D's belief: `belief` maps points `(n, 2)` to probabilities `(n,)`.

    `extent` is (left, right, bottom, top).
    """
    resolution = checks.count("resolution", resolution)
    xs = np.linspace(*extent[:2], resolution)
    ys = np.linspace(*extent[2:], resolution)
    points = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2).astype(np.float32)
    values = checks.within(belief(points), 0, 1, "beliefs", LOGITS).reshape(resolution, resolution)
    ax = ax or plt.figure(figsize=(5.5, 5)).gca()
    image = ax.imshow(values, cmap=BELIEF, vmin=0, vmax=1, origin="lower", extent=extent, aspect="auto")
    ax.figure.colorbar(image, ax=ax, label="belief that a point is real")
    return ax


def points(real=None, fake=None, ax=None):
    """Two clouds of points `(n, 2)`: real as blue dots, generated as orange crosses."""
    real, fake = (cloud if cloud is None else checks.points(cloud) for cloud in (real, fake))
    ax = ax or plt.figure(figsize=(5, 5)).gca()
    if real is not None:
        ax.scatter(*real.T, s=12, color=REAL, alpha=0.6, label="real", linewidths=0)
    if fake is not None:
        ax.scatter(*fake.T, s=18, color=FAKE, marker="x", linewidths=1, label="generated")
    ax.set(xlabel="$x_1$", ylabel="$x_2$")
    ax.legend()
    return ax


LABEL_BOX = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": NEUTRAL}
# Ten colours for ten digits; the digits themselves stand beside them, since ten colours are too many for some eyes.
DIGITS = (REAL, FAKE, *OTHERS, "#8C564B", "#7F7F7F", "#111111", "#BCBD22")


def latent_plane(codes, labels=None, reach=None, title=None, ax=None):
    """Codes in the plane, coloured by class, with the number of each class in the middle of its points.

    Args:
        codes: `(n, 2)`.
        labels: int `(n,)` from 0 to 9, or None for one colour.
        reach: half the side of the square that is shown; None fits it to the codes.

    Raises:
        ValueError: other codes, other labels or another number of them, or a reach that is not positive.
    """
    codes = checks.points(codes, "codes")
    reach = (1.05 * np.abs(codes).max() or 1.0) if reach is None else checks.positive("reach", reach)
    kinds = np.zeros(len(codes), int) if labels is None else checks.labels(labels, len(DIGITS))
    if len(kinds) != len(codes):
        raise ValueError(f"there must be one label for each code, not {len(kinds)} labels for {len(codes)} codes.")
    ax = ax or plt.figure(figsize=(4.6, 4.6)).gca()
    ax.scatter(*codes.T, s=5, color=np.array(DIGITS)[kinds], alpha=0.5, linewidths=0)
    for kind in [] if labels is None else np.unique(kinds):
        middle = np.median(codes[kinds == kind], axis=0)
        ax.text(*middle, str(kind), ha="center", va="center", fontsize=13, fontweight="bold", bbox=LABEL_BOX)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="$z_1$", ylabel="$z_2$", title=title)
    return ax


def block_diagram(blocks, arrows, size=(9, 2.6), ax=None):
    """Boxes joined by arrows, for pictures of networks and of how they are wired.

    Args:
        blocks: dict from name to `(x, y, text)` or `(x, y, text, colour)`; boxes sit on a grid whose
            step is one box. A text without colour gets a grey box.
        arrows: list of `(from, to)` or `(from, to, label)`, names of blocks.
        size: inches, when a figure has to be made.

    Raises:
        ValueError: an arrow names a block that does not exist.
    """
    ax = ax or plt.figure(figsize=size).gca()
    boxes = {}
    for name, (x, y, text, *colour) in blocks.items():
        edge = colour[0] if colour else NEUTRAL
        boxes[name] = plt.Rectangle((x - 0.34, y - 0.28), 0.68, 0.56, facecolor="white", edgecolor=edge, lw=2.5)
        ax.add_patch(boxes[name])
        ax.text(x, y, text, ha="center", va="center", color="black", fontsize=12)
    for start, end, *label in arrows:
        if start not in blocks or end not in blocks:
            raise ValueError(f"the arrow {start} -> {end} needs two of the blocks {', '.join(blocks)}.")
        a, b = boxes[start].get_center(), boxes[end].get_center()
        edges = {"patchA": boxes[start], "patchB": boxes[end], "shrinkA": 0, "shrinkB": 1}
        ax.annotate("", b, a, arrowprops={"arrowstyle": "-|>", "lw": 1.8, "color": NEUTRAL, **edges})
        if label:
            ax.text(*((a + b) / 2 + (0, 0.06)), label[0], ha="center", va="bottom", fontsize=11)
    xs, ys = zip(*(block[:2] for block in blocks.values()), strict=True)
    ax.set(xlim=(min(xs) - 0.5, max(xs) + 0.5), ylim=(min(ys) - 0.45, max(ys) + 0.45))
    ax.set_axis_off()
    return ax


def number_grids(arrays, titles, windows=None, size=1.0):
    """Tables of numbers side by side, as squares shaded by their value, for the steps of a convolution.

    Args:
        arrays: list of 2-D arrays; a square that is NaN stays empty.
        titles: a text above each.
        windows: for each array a frame (top, left, height, width) in squares, or None.
        size: height of the figure, in inches for every four squares of the largest array.

    Returns:
        The axes, one for each array.
    """
    arrays = [np.atleast_2d(np.asarray(array, float)) for array in arrays]
    widths = [array.shape[1] for array in arrays]
    figsize = (size * sum(widths) / 2 + 1.2, size * max(map(len, arrays)) / 2 + 0.5)
    _, axes = plt.subplots(1, len(arrays), figsize=figsize, width_ratios=widths, squeeze=False)
    for ax, array, title, window in zip(axes[0], arrays, titles, windows or [None] * len(arrays), strict=True):
        largest = max(np.nanmax(np.abs(array)), 1e-9) if np.isfinite(array).any() else 1.0
        ax.imshow(array, cmap=BELIEF, vmin=-2 * largest, vmax=2 * largest)
        for (i, j), value in np.ndenumerate(array):
            if np.isfinite(value):
                ax.text(j, i, f"{value:g}", ha="center", va="center", fontsize=11)
        ax.set(xticks=np.arange(-0.5, array.shape[1]), yticks=np.arange(-0.5, len(array)))
        ax.grid(color=NEUTRAL, linewidth=0.5)
        ax.tick_params(length=0, labelbottom=False, labelleft=False)
        ax.spines[:].set(visible=True, color=NEUTRAL)
        ax.set_title(title, fontsize=12)
        if window:
            top, left, tall, wide = window
            ax.add_patch(plt.Rectangle((left - 0.5, top - 0.5), wide, tall, fill=False, edgecolor="black", lw=3))
    return axes[0]
