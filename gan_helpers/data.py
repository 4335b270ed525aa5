"""Data of the course: MNIST and emoji, which ship inside the package, toy densities, image domains, your own pictures.

MNIST: Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits"
(1998), shared under CC BY-SA 3.0. Emoji: Fluent Emoji, Copyright (c) Microsoft Corporation, MIT licence.
"""

import contextlib
import hashlib
import io
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy import ndimage

from gan_helpers import checks

MNIST_FILE = Path(__file__).with_name("mnist.npz")

MNIST_SHA256 = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"

EMOJI_FILE = Path(__file__).with_name("emoji.npz")

EMOJI_SHA256 = "d9c0e44bae5218e1e1fcca3623041227ea077195bef370e9f960758aef7b361b"

PARTS = ("train", "validation", "test")  # of the emoji; their file holds places in this tuple


def checksum(content):
    """SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def read_arrays(path, sha256):
    """Read the named arrays of an `.npz` file, without pickle, after checking the file's SHA-256.

    Returns:
        dict from name to array, in the order of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged: its bytes do not match the hash.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is missing from {path.parent}: reinstall gan_helpers to get it back.")
    content = path.read_bytes()
    if checksum(content) != sha256:
        raise ValueError(f"{path.name} is damaged, its checksum is not the expected one: reinstall gan_helpers.")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return dict(archive)


@contextlib.contextmanager
def written_beside(*paths):
    """Other paths beside these, to be written to: they take their places together, if the block ends without error."""
    parts = [path.with_name(f".{os.getpid()}.{path.name}") for path in paths]
    try:
        yield parts
        for part, path in zip(parts, paths, strict=True):
            os.replace(part, path)
    finally:
        for part in parts:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


@cache
def _mnist_arrays(path):
    arrays = read_arrays(path, MNIST_SHA256)
    for array in arrays.values():
        array.flags.writeable = False  # the cache hands out the same arrays to everybody
    return arrays


def _set_of_digits(digits):
    several = list(digits) if np.iterable(digits) and not isinstance(digits, str) else [digits]
    matches = [[k for k in range(10) if np.array_equal(k, d) and not isinstance(d, (bool, np.bool_))] for d in several]
    if not matches or not all(matches):
        raise ValueError(f"digits must be whole numbers from 0 to 9, such as 3 or [3, 7], not {digits!r}.")
    return sorted({k for (k,) in matches})


def mnist(digits=None, split="train", flat=False):
    """MNIST images and labels, read from the package: no network, no pickle, under a second.

    Args:
        digits: keep only these digits, an int or several; None keeps all ten.
        split: "train" (60,000 images) or "test" (10,000 images).
        flat: give each image as 784 numbers in a row instead of a 28x28x1 array.

    Returns:
        x: float32 `(n, 28, 28, 1)`, or `(n, 784)` when flat, in [0, 1]: 0 is paper, 1 is ink.
        y: int64 `(n,)`, the digit in each image.

    Raises:
        ValueError: a digit outside 0-9, an unknown split, or a damaged data file.
        FileNotFoundError: the data file is missing.

    Examples:
        >>> x, y = mnist([3, 7], "test")
        >>> x.shape, x.dtype, set(y.tolist())
        ((2038, 28, 28, 1), dtype('float32'), {3, 7})
    """
    if not isinstance(split, str) or split not in ("train", "test"):
        raise ValueError(f'split must be "train" or "test", not {split!r}.')
    wanted = range(10) if digits is None else _set_of_digits(digits)
    arrays = _mnist_arrays(MNIST_FILE)
    x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
    if len(wanted) < 10:
        keep = np.isin(y, wanted)
        x, y = x[keep], y[keep]
    shape = (len(x), 784) if flat else (len(x), 28, 28, 1)
    # One pass: dividing by a float32 gives float32 without a float64 copy in between.
    return np.divide(x, np.float32(255), dtype=np.float32).reshape(shape), y.astype(np.int64)


@cache
def _emoji_arrays(path):
    return read_arrays(path, EMOJI_SHA256)


def emoji(part="train"):
    """Pairs of pictures of one thing: an ink drawing and a coloured one, from Microsoft's Fluent Emoji.

    No drawing of one part has a near double in another. Two drawings are of one family, and families are not
    parted, if slightly blurred they correlate above .9, or above .9 when one is mirrored, or if their names differ
    only by man, woman or person, by a direction, a colour or the time on a clock.

    Args:
        part: "train" (1,244 pairs), "validation" (150) or "test" (200).

    Returns:
        ink: float32 `(n, 32, 32, 1)` in [0, 1]: 0 is ink, 1 is paper.
        colour: float32 `(n, 32, 32, 3)` in [0, 1]; row i shows the same thing as row i of `ink`.
        names: str `(n,)`, what is shown.

    Raises:
        ValueError: an unknown part, or a damaged data file.
        FileNotFoundError: the data file is missing.

    Examples:
        >>> ink, colour, names = emoji("test")
        >>> ink.shape, colour.shape, str(names[0])
        ((200, 32, 32, 1), (200, 32, 32, 3), 'ab-button-blood-type')
    """
    if not isinstance(part, str) or part not in PARTS:
        raise ValueError(f'part must be "train", "validation" or "test", not {part!r}.')
    arrays = _emoji_arrays(EMOJI_FILE)
    keep = arrays["part"] == PARTS.index(part)
    ink, colour = (np.divide(arrays[name][keep], np.float32(255), dtype=np.float32) for name in ("ink", "colour"))
    return ink[..., None], colour, arrays["names"][keep]


def load_folder(folder, side):
    """Your own pictures, from a folder and the folders in it, cut to squares from the middle.

    Whatever Pillow reads will do: JPEG, PNG, WebP, TIFF, BMP, GIF (its first frame) and more. Photographs are
    turned as the camera was held, what is transparent becomes white, and grey of 16 bits keeps its shades. Files
    whose suffix is no picture's, such as .txt, and hidden ones are passed over.

    Args:
        folder: path of the folder.
        side: pixels of a side of the squares.

    Returns:
        float32 `(n, side, side, 3)` in [0, 1], in the order of the files' names.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: no picture is in it, or one of them cannot be read; it is named.
    """
    from PIL import Image  # only pictures from files need it

    side = checks.count("side", side)
    if not isinstance(folder, (str, os.PathLike)) or not Path(folder).is_dir():
        raise FileNotFoundError(f"there is no folder {folder}.")
    read = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    pictures = read | {".heic", ".heif", ".avif", ".svg"}  # what Pillow cannot read is named, not left out in silence
    files = (path.relative_to(folder) for path in Path(folder).rglob("*") if path.is_file())
    names = sorted(name for name in files if name.suffix.lower() in pictures and "/." not in f"/{name.as_posix()}")
    if not names:
        raise ValueError(f"there is no picture in {folder} or in the folders in it.")
    return np.stack([_square(Path(folder) / name, side) for name in names])


def _square(path, side):
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode[0] in "IF":  # grey of 16 bits or floats: `convert` would cut it off at 255
                grey = checks.finite(np.asarray(picture, float))
                white = 65535 if picture.mode[0] == "I" else next(v for v in (1, 255, 65535) if v >= grey.max())
                picture = Image.fromarray((255 * checks.within(grey / white, 0, 1, "grey")).round().astype(np.uint8))
            if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            square = ImageOps.fit(picture.convert("RGB"), (side, side))
    except Exception as error:  # each of Pillow's readers stumbles in its own way
        raise ValueError(f"{path} cannot be read: it is damaged, or no picture that Pillow knows.") from error
    return np.asarray(square, np.float32) / 255


def _pure_colours(hue, n):
    """Colours of full strength, `(n, 1, 1, 3)`: 0 is red, 1/3 green, 2/3 blue, 1 red again."""
    hue = checks.finite(hue, "hues").astype(float)
    if hue.shape != (n,) or (np.abs(hue - 0.5) > 0.5 + checks.ROUNDING).any():
        raise ValueError(f"hue must be {n} numbers in [0, 1], one for each image.")
    away = np.abs((6 * hue[:, None] + [0, 4, 2]) % 6 - 3)  # from the hue opposite to each of red, green and blue
    return np.clip(away - 1, 0, 1)[:, None, None]


def neon(ink, hue):
    """Digits as neon signs in the night: a glowing tube along the outline of the ink.

    Args:
        ink: float `(n, h, w, 1)` in [0, 1], such as MNIST.
        hue: `(n,)` in [0, 1], the colour of each sign: 0 red, 1/3 green, 2/3 blue.

    Returns:
        float32 `(n, h, w, 3)` in [0, 1].
    """
    ink = checks.images(ink, "ink", channels=(1,))[..., 0]
    tube = np.clip(ndimage.grey_dilation(ink, (1, 3, 3)) - ink, 0, 1)[..., None]
    glow = ndimage.gaussian_filter(tube[..., 0], (0, 2, 2))[..., None]
    colour = _pure_colours(hue, len(ink))
    night = np.array([0.05, 0.03, 0.12])
    return np.clip(night + colour * glow + tube * (0.3 + 0.5 * colour), 0, 1).astype(np.float32)


def paper(ink, hue):
    """Digits in coloured pen on ruled paper; arguments and result as those of `neon`."""
    ink = checks.images(ink, "ink", channels=(1,))[..., 0]
    sheet = np.full((*ink.shape[1:], 3), [0.98, 0.95, 0.86])
    sheet[4::6] = [0.80, 0.87, 0.95]  # the lines
    ink = ink[..., None]
    return (sheet * (1 - ink) + 0.75 * _pure_colours(hue, len(ink)) * ink).astype(np.float32)


def _shares(p):
    """Numbers `(k,)` that are not negative and sum to one, as float64; None if `p` is anything else."""
    try:
        p = checks.finite(np.asarray(p, float))
    except (TypeError, ValueError):
        return None
    return p if p.ndim == 1 and (p >= 0).all() and np.isclose(p.sum(), 1) else None


@dataclass(frozen=True)
class Die:
    """A die with faces 1, 2, ... and a probability for each.

    Raises ValueError when the probabilities are negative or do not sum to one.

    Examples:
        >>> coin = Die((0.5, 0.5))
        >>> np.exp(coin.log_density([1, 2, 3])).tolist()
        [0.5, 0.5, 0.0]
    """

    probabilities: tuple = (1 / 6, 1 / 6, 1 / 6, 0.0, 1 / 6, 2 / 6)

    def __post_init__(self):
        if _shares(self.probabilities) is None:
            raise ValueError(f"the probabilities of a die must be non-negative and sum to 1, not {self.probabilities}.")

    @property
    def faces(self):
        """The numbers on the faces, int `(k,)`."""
        return np.arange(1, len(self.probabilities) + 1)

    def sample(self, n, seed=None):
        """Throw the die `n` times: int `(n,)`. `seed` is an int, a NumPy generator or None."""
        return np.random.default_rng(seed).choice(self.faces, size=checks.count("n", n), p=self.probabilities)

    def log_density(self, x):
        """Logarithm of the probability of each face in `x`; -inf for what cannot happen."""
        x = np.asarray(x)
        p = (x[..., None] == self.faces) @ np.asarray(self.probabilities, float)
        with np.errstate(divide="ignore"):
            return np.log(p)


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """A mixture of round Gaussians: a density that can be sampled and computed exactly.

    Args:
        means: centres of the modes, `(k, d)`; `(k,)` means d = 1.
        sigma: standard deviation of every mode in every direction, or `(k,)` one for each mode.
        weights: share of each mode, `(k,)`, sums to 1; None means equal shares.

    Raises:
        ValueError: sigma is not positive, or the weights do not fit or do not sum to 1.

    Examples:
        >>> bell = GaussianMixture([0.0], sigma=2.0)
        >>> bell.sample(5, seed=0).shape
        (5, 1)
        >>> float(np.exp(bell.log_density([[0.0]]))[0].round(4))  # 1 / (2 sqrt(2 pi))
        0.1995
    """

    means: np.ndarray
    sigma: np.ndarray | float = 1.0
    weights: np.ndarray | None = None

    def __post_init__(self):
        means = checks.finite(self.means, "means").astype(float)
        means = means[:, None] if means.ndim == 1 else means
        if means.ndim != 2 or 0 in means.shape:
            raise ValueError(f"means must have shape (k, d) or (k,), with at least one mode, not {means.shape}.")
        sigma = checks.finite(self.sigma, "sigma").astype(float)
        if not (sigma > 0).all() or sigma.shape not in ((), (len(means),)):
            raise ValueError(f"sigma must be positive, one number or {len(means)}, not {self.sigma}.")
        sigma = np.broadcast_to(sigma, len(means))
        weights = _shares(np.full(len(means), 1 / len(means)) if self.weights is None else self.weights)
        if weights is None or len(weights) != len(means):
            raise ValueError(f"weights must be {len(means)} non-negative numbers that sum to 1, not {self.weights}.")
        for name, value in (("means", means), ("sigma", sigma), ("weights", weights)):
            object.__setattr__(self, name, value)

    def sample(self, n, seed=None):
        """Draw `n` points: float32 `(n, d)`. `seed` is an int, a NumPy generator or None."""
        rng = np.random.default_rng(seed)
        mode = rng.choice(len(self.means), size=checks.count("n", n), p=self.weights)
        noise = rng.standard_normal((len(mode), self.means.shape[1]))
        return (self.means[mode] + self.sigma[mode, None] * noise).astype(np.float32)

    def log_density(self, x):
        """Exact log p(x) in nats for points `(..., d)`: float64 `(...)`."""
        x = np.asarray(x, float)
        d = self.means.shape[1]
        if x.shape[-1:] != (d,):
            raise ValueError(f"points must have {d} coordinates in their last axis, not shape {x.shape}.")
        squared = ((x[..., None, :] - self.means) ** 2).sum(-1) / self.sigma**2
        log_norm = d * np.log(self.sigma * np.sqrt(2 * np.pi))
        with np.errstate(divide="ignore"):
            return np.logaddexp.reduce(np.log(self.weights) - log_norm - squared / 2, axis=-1)


def ring(modes=8, radius=1.0, sigma=0.01):
    """Equal Gaussians on a circle, the standard test for mode collapse (VEEGAN, arXiv:1705.07761).

    Examples:
        >>> (ring(modes=4).means.round(3) + 0.0).tolist()
        [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]
    """
    modes, radius = checks.count("modes", modes), checks.number("radius", radius)
    angle = 2 * np.pi * np.arange(modes) / modes
    return GaussianMixture(radius * np.stack([np.cos(angle), np.sin(angle)], axis=1), sigma)


def grid(side=5, step=2.0, sigma=0.05):
    """`side` x `side` equal Gaussians, `step` apart, centred on the origin (VEEGAN, arXiv:1705.07761)."""
    side, step = checks.count("side", side), checks.number("step", step)
    axis = step * (np.arange(side) - (side - 1) / 2)
    return GaussianMixture(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2), sigma)


def moons(n, noise=0.05, seed=None):
    """`n` points on two interleaved half circles: float32 `(n, 2)`. Its density has no closed form."""
    from sklearn.datasets import make_moons  # slow to import; only this toy needs it

    # Scikit-learn takes an int or a legacy RandomState, so draw an int from the generator.
    state = int(np.random.default_rng(seed).integers(2**31))
    n, noise = checks.count("n", n), checks.number("noise", noise, low=0)
    return make_moons(n, noise=noise, random_state=state)[0].astype(np.float32)


def spiral(n, turns=2.0, noise=0.02, seed=None):
    """`n` points along a spiral of radius 1: float32 `(n, 2)`. Its density has no closed form."""
    n, turns, noise = checks.count("n", n), checks.number("turns", turns), checks.number("noise", noise, low=0)
    rng = np.random.default_rng(seed)
    t = np.sqrt(rng.uniform(size=n))  # the square root spreads the points evenly along the arm
    angle = 2 * np.pi * turns * t
    arm = t[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (arm + noise * rng.standard_normal((n, 2))).astype(np.float32)


def in_batches(function, *arrays, size=500):
    """`function(*arrays)` of arrays with many rows, in chunks that fit into memory, as one NumPy array.

    A network that is called so computes at once: `predict` would compile it first, for each shape anew on a GPU.

    Args:
        function: such as a `keras.Model`, from arrays `(m, ...)` to an array or tensor `(m, ...)`.
        arrays: each `(n, ...)`, n of at least 1.
        size: rows in a chunk.
    """
    starts = range(0, len(arrays[0]), size)
    return np.concatenate([np.asarray(function(*(array[i : i + size] for array in arrays))) for i in starts])
