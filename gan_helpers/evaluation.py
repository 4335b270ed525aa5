"""Measures of generated samples, and what each cannot see: what notebook 13 derives and uses.

All take arrays; what is called a cloud is points `(n, d)`, for images the features of `metrics.features`. Every
measure of samples has a floor, the value that other samples of the same distribution would get: compare with that.
"""

from functools import cache

import numpy as np
from scipy.stats import entropy, mannwhitneyu
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from gan_helpers.data import mnist
from gan_helpers.metrics import _check_finite, features, frechet_distance, nearest_neighbours


def _clouds(a, b, least=2):
    """Two clouds of points as float64 `(n, d)` and `(m, d)`, with at least so many points each; or ValueError."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < least:
        raise ValueError(
            f"both clouds need shape (n, d) with n of at least {least} and the same d, not {a.shape} and {b.shape}."
        )
    _check_finite(a, b)
    return a, b


def _blocks(a, b, n):
    """Pairs of blocks of n points, one of each cloud, as many as the smaller cloud holds."""
    return [(a[i : i + n], b[i : i + n]) for i in range(0, min(len(a), len(b)) - n + 1, n)]


def frechet_floor(points, n, m):
    """Fréchet distance to be expected between n and m points that come from *one* distribution.

    To first order in 1/n and 1/m, for any distribution with fourth moments, not only a Gaussian: with the axes y
    turned so that the covariance is diagonal, with eigenvalues l, and V_ij the variance of the product y_i y_j,
    it is [sum_i l_i + 1/2 sum_ij V_ij / (l_i + l_j)] (1/n + 1/m). For a Gaussian V_ij is l_i l_j (1 + (i = j)).

    Args:
        points: `(k, d)`, many points of the distribution.
        n, m: sizes of the two clouds; `np.inf` for one whose mean and covariance are known.

    Raises:
        ValueError: other shapes, or values that are not finite.

    Examples:
        On a line with variance 1: means differ by 2/n, and deviations, whose variance is 1/2n each, by 1/n.

        >>> points = np.random.default_rng(0).standard_normal((100_000, 1))
        >>> round(100 * frechet_floor(points, 100, 100), 1)
        3.0
    """
    points, _ = _clouds(points, points)
    values, axes = np.linalg.eigh(np.atleast_2d(np.cov(points.T)))
    kept = values > 1e-9 * values.max()  # along the others all points are equal, and add nothing
    values = values[kept]
    squares = ((points - points.mean(axis=0)) @ axes[:, kept]) ** 2
    variances = squares.T @ squares / len(points) - np.diag(values**2)
    spread = (variances / (values[:, None] + values)).sum() / 2
    return float((values.sum() + spread) * (1 / n + 1 / m))


def frechet_at_infinity(a, b, sizes=(1000, 2000, 5000), seed=0):
    """Fréchet distance without its bias: a line in 1/n through distances of n points to n points, read off at 0.

    M. J. Chong and D. Forsyth, arXiv:1911.07023, who shrink one cloud only; with both, equal ones end at 0.

    Args:
        a, b: `(k, d)` and `(m, d)`, at least as many points as the largest size.
        sizes: values of n, each much larger than d. The distance for n is the mean over all blocks of n points.
        seed: of the order in which the points are dealt into blocks.

    Returns:
        limit: the distance at n -> infinity. It may be a little below 0 where the clouds are equal.
        slope: bias times n.
        distances: float array, one for each size.

    Examples:
        >>> draw = np.random.default_rng(0).standard_normal
        >>> limit, slope, distances = frechet_at_infinity(draw((4000, 2)), draw((4000, 2)) + 1, (500, 1000, 2000))
        >>> abs(limit - 2) < 0.2
        True
    """
    a, b = _clouds(a, b, max(sizes))
    rng = np.random.default_rng(seed)
    a, b = rng.permutation(a), rng.permutation(b)
    distances = [np.mean([frechet_distance(*pair) for pair in _blocks(a, b, n)]) for n in sizes]
    slope, limit = np.polyfit(1 / np.array(sizes), distances, 1)
    return float(limit), float(slope), np.array(distances)


def kernel_distance(a, b, size=500):
    """Squared maximum mean discrepancy, kernel (x y / d + 1)^3, unbiased. M. Bińkowski et al., arXiv:1801.01401.

    The mean over blocks of `size` points. On features of the Inception network it is known as KID.

    Args:
        a, b: `(n, d)` and `(m, d)`, at least two blocks each.
        size: points in a block.

    Returns:
        mean: 0 on average for two samples of one distribution, so it may be negative.
        error: standard error of the mean, from the spread over the blocks.

    Examples:
        >>> draw = np.random.default_rng(0).standard_normal
        >>> mean, error = kernel_distance(draw((2000, 4)), draw((2000, 4)))
        >>> abs(mean) < 4 * error
        True
    """
    a, b = _clouds(a, b, 2 * size)

    def kernel(x, y):
        alike = x @ y.T / x.shape[1] + 1
        return alike * alike * alike  # NumPy's power would take several times as long

    found = []
    for x, y in _blocks(a, b, size):
        # A point's likeness to itself says nothing about the distribution: without the diagonal nothing is biased.
        within = sum(k.sum() - np.trace(k) for k in (kernel(x, x), kernel(y, y))) / (size * (size - 1))
        found.append(within - 2 * kernel(x, y).mean())
    return float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(len(found)))


def precision_recall_density_coverage(real, made, k=5):
    """Four shares that tell bad samples from missing ones, by balls that reach to the k-th neighbour.

    T. Kynkäänniemi et al., arXiv:1904.06991 (precision, recall); M. F. Naeem et al., arXiv:2002.09797 (the others).

    Args:
        real, made: `(n, d)` and `(m, d)`, more than k points each. Memory grows with n m: 5,000 each need 0.3 GB.
        k: which neighbour a ball around a point reaches, the point itself not counted.

    Returns:
        precision: share of the made points that lie in a ball around some real point.
        recall: share of the real points that lie in a ball around some made point.
        density: in how many of the real balls a made point lies, divided by k; 1 on average for perfect samples.
        coverage: share of the real balls that hold a made point; 1 - 1/2^k for perfect samples, if n = m is large.

    Examples:
        >>> real = np.random.default_rng(0).standard_normal((200, 2))
        >>> [float(value) for value in precision_recall_density_coverage(real, real + 100)]
        [0.0, 0.0, 0.0, 0.0]
    """
    real, made = _clouds(real, made, k + 1)
    search = NearestNeighbors(n_neighbors=k, algorithm="brute")
    real_radius, made_radius = (search.fit(cloud).kneighbors()[0][:, -1] for cloud in (real, made))
    distance = pairwise_distances(real, made)
    inside = distance < real_radius[:, None]
    precision, recall = inside.any(axis=0).mean(), (distance < made_radius).any(axis=1).mean()
    density, coverage = inside.sum(axis=0).mean() / k, (distance.min(axis=1) < real_radius).mean()
    return float(precision), float(recall), float(density), float(coverage)


def data_copying(samples, fresh, pool):
    """Do samples lie nearer to the training set than new real data do? C. Meehan et al., arXiv:2004.05675, one cell.

    Args:
        samples: `(n, ...)`, generated.
        fresh: `(m, ...)`, real, not in `pool`.
        pool: `(k, ...)`, the training set or a part of it.

    Returns:
        z: Mann-Whitney's U of the two lists of distances to the pool, as a number of its standard deviations:
            near 0 for honest samples, strongly negative for copies. It grows with the root of the number of samples.
        share: of all pairs of a sample and a fresh one those in which the sample is farther from the pool: 1/2 for
            honest samples, whatever their number.

    Examples:
        >>> pool = np.arange(100.0)[:, None]
        >>> z, share = data_copying(pool[:50], pool[:50] + 0.3, pool)
        >>> share, z < -8
        (0.0, True)
    """
    (near, _), (near_fresh, _) = nearest_neighbours(samples, pool), nearest_neighbours(fresh, pool)
    n, m = len(near), len(near_fresh)
    u = mannwhitneyu(near, near_fresh).statistic
    return float((u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12)), float(u / (n * m))


def share_divergence(found, wanted):
    """KL divergence in nats of shares that were found from those that were wanted, and its floor.

    Args:
        found: how often each of k kinds was counted, `(k,)`.
        wanted: shares, or counts, of the kinds in the data, `(k,)`, none of them 0.

    Returns:
        kl: KL(found || wanted).
        floor: (k - 1) / 2n, what n perfect samples get on average, if n is much larger than k.

    Examples:
        >>> kl, floor = share_divergence([50, 0], [1, 1])
        >>> round(kl, 3), floor
        (0.693, 0.01)
    """
    found, wanted = np.asarray(found, float), np.asarray(wanted, float)
    if found.ndim != 1 or found.shape != wanted.shape or found.min() < 0 or found.sum() == 0 or wanted.min() <= 0:
        raise ValueError("found and wanted must be counts of the same kinds, none negative, and no wanted one 0.")
    return float(entropy(found, wanted)), float((len(found) - 1) / (2 * found.sum()))


@cache
def _held_out(digits):
    """Features of the test images of `digits`, a tuple, mixed: the test set is sorted by groups of writers."""
    held_out = features(mnist(digits, "test")[0])
    return held_out[np.random.default_rng(0).permutation(len(held_out))]


def scorecard(images, digits=None):
    """What the scoreboard of notebook 13 says of a generator, as a row for a record: call it with 5,000 images.

    All against the held-out test images of `digits`, on the classifier's features. The test set's own values stand
    in the notebook.

    Args:
        images: `(5000, 28, 28, 1)` in [0, 1]. One number for all models, since the distance depends on it.
        digits: those the generator makes, an int or several; None means all ten.

    Returns:
        dict of numbers: "distance" (Fréchet), "kernel" (the kernel distance), "precision", "recall", "density",
        "coverage" (against at most 5,000 test images).
    """
    if len(images) != 5000:
        raise ValueError(f"the scoreboard compares 5,000 images of each model, not {len(images)}.")
    made = features(images)
    held_out = _held_out(tuple(np.unique(np.arange(10) if digits is None else digits).tolist()))
    four = precision_recall_density_coverage(held_out[:5000], made)
    names = ("precision", "recall", "density", "coverage")
    kernel, _ = kernel_distance(made, held_out)
    return {"distance": frechet_distance(made, held_out), "kernel": kernel, **dict(zip(names, four, strict=True))}
