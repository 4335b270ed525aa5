"""How good are the samples? Measures that read generated digits with a classifier of real ones.

The classifier ships as weights made by `tools/train_classifier.py`, and reads more than 99 % of
the MNIST test set correctly. It has never seen a generated image.
"""

from functools import cache

import keras
import numpy as np
import tensorflow as tf
from scipy import linalg, ndimage
from scipy.optimize import linear_sum_assignment
from scipy.stats import entropy
from sklearn.neighbors import NearestNeighbors

from gan_helpers import checks, pretrained
from gan_helpers.data import in_batches, mnist

FEATURES = "features"  # name of the layer whose 128 outputs the Fréchet distance compares


def build_classifier():
    """The untrained digit classifier: images `(n, 28, 28, 1)` in [0, 1] to 10 logits."""
    conv = {"padding": "same", "activation": "relu"}
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(32, 3, **conv),
            keras.layers.Conv2D(32, 3, strides=2, **conv),
            keras.layers.Conv2D(64, 3, **conv),
            keras.layers.Conv2D(64, 3, strides=2, **conv),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(128, activation="relu", name=FEATURES),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(10),
        ],
        name="digit_classifier",
    )


@cache
def _classifier():
    network = pretrained.load("digit_classifier", classifier=build_classifier())["classifier"]
    network.trainable = False
    hidden = keras.Model(network.inputs, network.get_layer(FEATURES).output)
    # Compiled, since that fuses convolutions with what follows them; two shapes of chunks at most, full and last.
    return network, *(tf.function(part, reduce_retracing=True) for part in (network, hidden))


def classifier():
    """The trained digit classifier, a `keras.Model` from images to 10 logits."""
    return _classifier()[0]


def _checked(images):
    return checks.images(images, side=28, channels=(1,))


def classify(images):
    """Probabilities `(n, 10)` of the ten digits, for images `(n, 28, 28, 1)` in [0, 1]."""
    logits = in_batches(_classifier()[1], _checked(images), size=200)
    return np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))


def features(images):
    """The classifier's last hidden layer, float32 `(n, 128)`, for images `(n, 28, 28, 1)` in [0, 1]."""
    return in_batches(_classifier()[2], _checked(images), size=200)


def share_read_as(images, digit):
    """Share of the images, in [0, 1], that the classifier reads as `digit`: an int, or `(n,)` one each.

    Examples:
        >>> twos, _ = mnist(2, "test")
        >>> share_read_as(twos, 2) > 0.99
        True
    """
    digit = np.asarray(digit)
    if not np.isin(digit, np.arange(10)).all() or digit.shape not in ((), (len(images),)):
        raise ValueError(f"digit must be a whole number from 0 to 9, or one for each of the {len(images)} images.")
    return float((classify(images).argmax(axis=1) == digit).mean())


def _check_finite(*clouds):
    if not all(np.isfinite(cloud).all() for cloud in clouds):
        raise ValueError("the points contain NaN or infinity: every coordinate must be a finite number.")


def frechet_distance(a, b):
    """Fréchet distance between Gaussians fitted to two clouds of points. M. Heusel et al., arXiv:1706.08500.

    |m_a - m_b|^2 + trace(C_a + C_b - 2 (C_a C_b)^(1/2)), with mean m and covariance C of each cloud.

    Args:
        a, b: `(n, d)` and `(m, d)`, at least two points each.

    Raises:
        ValueError: other shapes, or values that are not finite.

    Examples:
        Two clouds of the same shape, one moved by 3: the squared distance of their means.

        >>> cloud = np.random.default_rng(0).standard_normal((100, 2))
        >>> round(frechet_distance(cloud, cloud + [3, 0]), 6)
        9.0
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"both clouds need shape (n, d) with n > 1 and the same d, not {a.shape} and {b.shape}.")
    _check_finite(a, b)
    roots = []  # upper triangular R with R^T R = C, so that C itself is never squared or inverted
    for cloud in (a, b):
        centred = (cloud - cloud.mean(axis=0)) / np.sqrt(len(cloud) - 1)
        roots.append(linalg.qr(centred, mode="r")[0][: a.shape[1]])
    root_a, root_b = roots
    # trace((C_a C_b)^(1/2)) is the sum of the singular values of R_a R_b^T.
    cross = linalg.svdvals(root_a @ root_b.T).sum()
    spread = (root_a**2).sum() + (root_b**2).sum() - 2 * cross
    return float(((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + max(spread, 0.0))


@cache
def _reference(digits, n):
    """Features of the test images of `digits`, and the distance of `n` training images to them."""
    held_out = features(mnist(digits, "test")[0])
    x = mnist(digits)[0]
    chosen = np.random.default_rng(0).permutation(len(x))[:n]
    return held_out, frechet_distance(features(x[chosen]), held_out)


def frechet_to_digits(images, digits=None):
    """Fréchet distance of images to held-out real digits, on the classifier's features.

    Args:
        images: `(n, 28, 28, 1)` in [0, 1]; n of 5,000 or more keeps the distance's own error small.
        digits: the digits to compare with, an int or several; None means all ten.

    Returns:
        distance: to the test images of these digits; 0 would be identical Gaussians.
        floor: the same for n real training images (all of them if there are fewer): the
            value that a perfect generator would get.
    """
    made = features(images)
    key = tuple(np.unique(np.arange(10) if digits is None else digits).tolist())
    held_out, floor = _reference(key, len(images))
    return frechet_distance(made, held_out), floor


def nearest_neighbours(images, pool):
    """For each image its nearest image of `pool`, by Euclidean distance of the pixels.

    Args:
        images: `(n, ...)`.
        pool: `(m, ...)`, images of the same shape.

    Returns:
        distance: float `(n,)`.
        index: int `(n,)`, places in `pool`.

    Examples:
        >>> distance, index = nearest_neighbours([[0.0, 0.0]], [[3.0, 4.0], [0.0, 2.0]])
        >>> distance.tolist(), index.tolist()
        ([2.0], [1])
    """
    images, pool = np.asarray(images), np.asarray(pool)
    if images.shape[1:] != pool.shape[1:]:
        raise ValueError(f"images and pool must have the same shape, not {images.shape[1:]} and {pool.shape[1:]}.")
    # Brute force: in 784 dimensions a search tree saves nothing.
    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(pool.reshape(len(pool), -1))
    distance, index = search.kneighbors(images.reshape(len(images), -1))
    return distance[:, 0], index[:, 0]


def sliced_wasserstein(a, b, directions=100, seed=0):
    """How far one cloud of points must be moved to become another, seen along random lines.

    On a line the cheapest way moves the smallest number to the smallest, the next to the next, and so
    on. The distance is the root of the mean squared way, over points and lines. N. Bonneel et al.,
    doi 10.1007/s10851-014-0506-3.

    Args:
        a, b: `(n, d)`, equally many points.
        directions: how many lines.
        seed: int, of the lines.

    Returns:
        A float in the units of the points; two samples of one distribution are not at 0, so compare with those.

    Raises:
        ValueError: other shapes, or values that are not finite.

    Examples:
        On a line every direction is the line itself: all points move by 1.

        >>> round(sliced_wasserstein([[0.0], [1.0]], [[1.0], [2.0]]), 6)
        1.0
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.ndim != 2 or a.shape != b.shape or len(a) == 0:
        raise ValueError(f"both clouds need the same shape (n, d), not {a.shape} and {b.shape}.")
    _check_finite(a, b)
    lines = np.random.default_rng(seed).standard_normal((a.shape[1], directions))
    lines /= np.linalg.norm(lines, axis=0)
    return float(np.sqrt(np.mean((np.sort(a @ lines, axis=0) - np.sort(b @ lines, axis=0)) ** 2)))


def mode_coverage(samples, mixture):
    """How samples spread over the modes of a known mixture. A. Srivastava et al. (VEEGAN), arXiv:1705.07761.

    A sample is of high quality if it lies within three standard deviations of the centre of a mode.

    Args:
        samples: `(n, d)`; the papers use n = 2,500.
        mixture: a `data.GaussianMixture` of k modes.

    Returns:
        covered: how many modes have at least one high-quality sample, int.
        high_quality: share of the samples that are of high quality; perfect samples in the plane reach 98.9 %.
        kl: KL(shares of the high-quality samples over the modes || weights of the mixture), in nats.

    Examples:
        >>> from gan_helpers.data import GaussianMixture
        >>> mixture = GaussianMixture([[0, 0], [5, 0]], sigma=0.1)
        >>> covered, high_quality, kl = mode_coverage([[0.0, 0.1], [0.1, 0.0], [2.5, 0.0], [0.0, 0.0]], mixture)
        >>> covered, high_quality, round(kl, 3)
        (1, 0.75, 0.693)
    """
    samples = np.asarray(samples, float)
    if samples.ndim != 2 or samples.shape[1] != mixture.means.shape[1] or len(samples) == 0:
        raise ValueError(f"samples must have shape (n, {mixture.means.shape[1]}), not {samples.shape}.")
    if not np.isfinite(samples).all():
        raise ValueError("the samples contain NaN or infinity: every coordinate must be a finite number.")
    distance = np.linalg.norm(samples[:, None] - mixture.means, axis=-1) / mixture.sigma
    good = distance.min(axis=1) <= 3
    counts = np.bincount(distance.argmin(axis=1)[good], minlength=len(mixture.means))
    kl = entropy(counts, mixture.weights) if good.any() else np.inf
    return int((counts > 0).sum()), float(good.mean()), float(kl)


def stroke_measures(images):
    """How a digit is written: five measures of the ink of each image.

    Args:
        images: `(n, 28, 28, 1)` in [0, 1]. Ink is what is darker than 1/2.

    Returns:
        dict from name to float64 `(n,)`:
        "slant": degrees by which the ink leans to the right (left: negative); the angle of the shear
            that would set it upright.
        "thickness": of the stroke, in pixels. A band of width w has a mean distance of w/4 from its
            points to its border, so this is four times the mean distance.
        "length": of the stroke, in pixels: the area of the ink divided by its thickness.
        "width", "height": of the middle 95 % of the ink, in pixels.

    Raises:
        ValueError: images of another shape or range, or one without any ink.

    Examples:
        An upright bar, four pixels wide and twenty high:

        >>> image = np.zeros((1, 28, 28, 1), np.float32)
        >>> image[:, 4:24, 12:16] = 1
        >>> {name: float(values[0].round(1)) for name, values in stroke_measures(image).items()}["slant"]
        0.0
    """
    zoom = 4  # borders are found to a quarter of a pixel
    measures = {name: [] for name in ("slant", "thickness", "length", "width", "height")}
    for number, image in enumerate(_checked(images)[..., 0]):
        ink = ndimage.zoom(image, zoom, order=1, grid_mode=True, mode="grid-constant") > 0.5
        if not ink.any():
            raise ValueError(f"image {number} has no ink: no pixel is above 1/2.")
        y, x = np.nonzero(ink)
        y, x = y / zoom, x / zoom
        covariance = np.cov(x, -y)  # rows are counted downwards
        thickness = 4 * (ndimage.distance_transform_edt(ink)[ink].mean() - 0.5) / zoom
        measures["slant"].append(np.degrees(np.arctan2(covariance[0, 1], covariance[1, 1])))
        measures["thickness"].append(max(thickness, 1 / zoom))
        measures["length"].append(len(x) / zoom**2 / measures["thickness"][-1])
        measures["width"].append(np.subtract(*np.quantile(x, [0.975, 0.025])))
        measures["height"].append(np.subtract(*np.quantile(y, [0.975, 0.025])))
    return {name: np.array(values) for name, values in measures.items()}


def match_categories(categories, labels, k=10):
    """Give each category the digit of its own that makes the most pairs agree (the Hungarian method).

    Args:
        categories, labels: int `(n,)`, both from 0 to k - 1.

    Returns:
        digit_of: int `(k,)`, the digit of each category; no digit is given twice.
        agreement: the share of pairs with `digit_of[category] == label`.

    Raises:
        ValueError: the two have different lengths, or are not whole numbers from 0 to k - 1.

    Examples:
        >>> digit_of, agreement = match_categories([0, 0, 1, 1, 2], [1, 1, 0, 0, 0], k=3)
        >>> digit_of.tolist(), agreement
        ([1, 0, 2], 0.8)
    """
    categories, labels = np.asarray(categories), np.asarray(labels)
    for name, values in (("categories", categories), ("labels", labels)):
        if values.ndim != 1 or len(values) == 0 or not np.isin(values, np.arange(k)).all():
            raise ValueError(f"{name} must be whole numbers from 0 to {k - 1}, of shape (n,).")
    if len(categories) != len(labels):
        raise ValueError(f"there must be one label for each category, not {len(labels)} for {len(categories)}.")
    table = np.zeros((k, k), int)
    np.add.at(table, (categories, labels), 1)
    _, digit_of = linear_sum_assignment(table, maximize=True)
    return digit_of, float((digit_of[categories] == labels).mean())


def explained_share(code, factor, bins=20):
    """Share of the variance of a factor that a code explains, var(E[factor | code]) / var(factor).

    The conditional mean is taken over bins with equally many samples, so the relation may be any
    curve. Pure chance explains about (bins - 1)/n.

    Args:
        code, factor: float `(n,)` with n of at least 2 * bins.

    Raises:
        ValueError: other shapes, too few samples, NaN, or a factor that does not vary.

    Examples:
        >>> code = np.linspace(-1, 1, 1000)
        >>> round(explained_share(code, code**2), 2)
        0.99
    """
    code, factor = np.asarray(code, float), np.asarray(factor, float)
    if code.ndim != 1 or code.shape != factor.shape or len(code) < 2 * bins:
        raise ValueError(f"code and factor must be (n,) with n >= {2 * bins}, not {code.shape} and {factor.shape}.")
    if not np.isfinite(code + factor).all() or factor.std() == 0:
        raise ValueError("code and factor must be finite, and the factor must vary.")
    parts = np.array_split(factor[np.argsort(code, kind="stable")], bins)
    between = sum(len(part) * (part.mean() - factor.mean()) ** 2 for part in parts)
    return float(between / ((factor - factor.mean()) ** 2).sum())


def partial_correlations(codes, factors):
    """How each code goes with each factor when all other codes are held fixed.

    Both are freed of what the other codes predict of them linearly; the correlation of the rests
    is returned.

    Args:
        codes: float `(n, k)`.
        factors: float `(n, m)`.

    Returns:
        float `(k, m)` in [-1, 1].

    Examples:
        >>> codes = np.random.default_rng(0).standard_normal((1000, 2))
        >>> partial_correlations(codes, codes[:, :1] - codes[:, 1:]).round(3).tolist()
        [[1.0], [-1.0]]
    """
    codes, factors = np.asarray(codes, float), np.asarray(factors, float)
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors):
        raise ValueError(f"codes and factors must be (n, k) and (n, m), not {codes.shape} and {factors.shape}.")
    table = np.empty((codes.shape[1], factors.shape[1]))
    for i in range(codes.shape[1]):
        others = np.column_stack([np.ones(len(codes)), np.delete(codes, i, axis=1)])
        both = np.column_stack([codes[:, i], factors])
        rest = both - others @ np.linalg.lstsq(others, both, rcond=None)[0]
        table[i] = np.corrcoef(rest.T)[0, 1:]
    return table
