"""Checks of what readers pass in, each written once: a wrong input gets one sentence that says what was expected.

Every check returns what it was given, converted to the type that the package computes with, or raises ValueError.
"""

import numpy as np

# Arithmetic in float32 may end this far outside of a range that it should not leave; such values are set to its border.
ROUNDING = 1e-5


def count(name, value):
    """A positive whole number, as int; the sentence calls it `name`. NumPy's integers and 250.0 will do."""
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):
        whole = 0
    if isinstance(value, (bool, np.bool_, str)) or whole < 1 or whole != value:
        raise ValueError(f"{name} must be a positive whole number, not {value!r}.")
    return whole


def number(name, value, low=-np.inf, high=np.inf):
    """A finite number from `low` to `high`, as float; the sentence calls it `name`."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = np.nan
    if isinstance(value, (bool, str)) or not (np.isfinite(found) and low <= found <= high):
        between = (
            f" from {low:g} to {high:g}" if np.isfinite(high) else f" of at least {low:g}" * bool(np.isfinite(low))
        )
        raise ValueError(f"{name} must be a finite number{between}, not {value!r}.")
    return found


def finite(x, name="the data"):
    """A numeric array without NaN or infinity; float64 stays float64."""
    x = np.asarray(x)
    if not (np.issubdtype(x.dtype, np.number) or x.dtype == bool):
        raise ValueError(f"{name} must be numbers, not {x.dtype}.")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} contain NaN or infinity: every value must be a finite number.")
    return x


def within(x, low, high, name, why=""):
    """float32 in [low, high], where what lies outside by rounding only is set to the border."""
    x = np.asarray(x)
    if not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"{name} must be float in [{low:g}, {high:g}], not {x.dtype}: divide 0-255 images by 255.")
    x = finite(x, name).astype(np.float32, copy=False)
    smallest, largest = x.min(initial=low), x.max(initial=high)
    if smallest < low - ROUNDING or largest > high + ROUNDING:
        tanh, whole = (
            " Images in [-1, 1], such as tanh makes, become (x + 1) / 2.",
            " Images of 0 to 255 are divided by 255.",
        )
        hint = tanh if smallest < 0 and smallest >= -1 - ROUNDING and largest <= 1 + ROUNDING else whole * (largest > 2)
        raise ValueError(
            f"{name} must lie in [{low:g}, {high:g}]{why}, not in [{x.min():.6g}, {x.max():.6g}]." + hint * (low == 0)
        )
    return x.clip(low, high) if smallest < low or largest > high else x


def images(x, name="images", side=None, channels=(1, 3)):
    """Images in [0, 1] as float32 `(n, h, w, c)`, at least one, with one of the numbers of channels.

    Args:
        side: for square images of one size: its pixels.
    """
    x = np.asarray(x)
    fits = (
        x.ndim == 4 and x.shape[-1] in channels and min(x.shape) > 0 and (side is None or x.shape[1:3] == (side, side))
    )
    if not fits:
        size = "h, w" if side is None else f"{side}, {side}"
        shapes = " or ".join(f"(n, {size}, {c})" for c in channels)
        raise ValueError(f"{name} must have shape {shapes} with n of at least 1, not {x.shape}.")
    return within(x, 0, 1, name)


def codes(x, dim, name="codes"):
    """Codes as float32 `(n, dim)`, finite numbers."""
    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] != dim or x.dtype.kind not in "fiub" or not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite numbers of shape (n, {dim}), not {x.dtype} of shape {x.shape}.")
    return x.astype(np.float32)


def points(x, name="points", dim=2):
    """Points as float64 `(n, dim)`, at least one, finite numbers."""
    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] != dim or len(x) == 0:
        raise ValueError(f"{name} must be points of shape (n, {dim}), at least one, not {x.shape}.")
    return finite(x, name).astype(float)


def labels(x, classes):
    """Labels as int64 `(n,)`, whole numbers from 0 to classes - 1, at least one."""
    x = np.asarray(x)
    if x.ndim != 1 or len(x) == 0 or not np.issubdtype(x.dtype, np.integer):
        raise ValueError(
            f"labels must be integers of shape (n,), such as [7, 1], not {x.dtype} of shape {x.shape}; "
            "one-hot rows become integers by labels.argmax(axis=1)."
        )
    if x.min() < 0 or x.max() >= classes:
        raise ValueError(f"labels must lie between 0 and {classes - 1}, not between {x.min()} and {x.max()}.")
    return x.astype(np.int64)


def seed(value):
    """A seed: a whole number, as int."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or abs(int(value)) >= 2**50:
        raise ValueError(f"seed must be a whole number of less than 2^50, not {value!r}.")
    return int(value)


def generator_of(seed):
    """A NumPy generator for the numbers that a user draws; a seed of None takes one from NumPy's global generator."""
    return np.random.default_rng(np.random.randint(2**31) if seed is None else seed)


def answer(value, shape=()):
    """The answer to an exercise, as float64 of this shape, finite; anything else is "not yet" an answer."""
    try:
        found = np.asarray(value, float)
    except (TypeError, ValueError):
        found = np.zeros((0, 0))
    if found.shape != shape or isinstance(value, str) or not np.isfinite(found).all():
        wanted = "a number" if shape == () else f"numbers of shape {shape}"
        raise AssertionError(f"Not yet: the answer should be {wanted}, not {' '.join(repr(value).split()):.60}.")
    return found


def positive(name, value):
    """A finite number above zero, as float; the sentence calls it `name`."""
    found = number(name, value)
    if found <= 0:
        raise ValueError(f"{name} must be positive, not {value!r}.")
    return found
