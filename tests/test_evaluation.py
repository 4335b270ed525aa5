"""Measures of notebook 13: against other libraries, against theory, and what they refuse."""

import numpy as np
import pytest

from gan_helpers import data, evaluation, metrics


@pytest.fixture(scope="module")
def clouds():
    rng = np.random.default_rng(0)
    return rng.standard_normal((2000, 64)), 0.1 + 0.9 * rng.standard_normal((2000, 64))


# --- as well-kept libraries compute them, which stay out of the requirements: the values are those of
#     pip install --no-deps prdc==0.2 torch-fidelity==0.4.0
# on `clouds`; of torch-fidelity the NumPy functions metric_kid.mmd2 and metric_fid.fid_statistics_to_metric.


def test_precision_recall_density_coverage_are_those_of_prdc(clouds):
    found = evaluation.precision_recall_density_coverage(*clouds, k=5)
    assert found == pytest.approx((0.936, 0.3115, 3.5412, 0.9985), abs=1e-12)


def test_kernel_distance_is_that_of_torch_fidelity(clouds):
    mean, error = evaluation.kernel_distance(*clouds, size=500)
    assert mean == pytest.approx(0.03369715027664777, rel=1e-10) and 0 < error < mean


def test_frechet_distance_is_that_of_torch_fidelity(clouds):
    assert metrics.frechet_distance(*clouds) == pytest.approx(2.278825067733706, rel=1e-10)


# --- theory


def test_floor_is_what_samples_of_one_distribution_have():
    rng = np.random.default_rng(1)
    cloud = lambda n: np.maximum(rng.standard_normal((n, 4)) @ np.eye(4, 6), 0) + 1e-3 * rng.standard_normal((n, 6))  # noqa: E731
    floor = evaluation.frechet_floor(cloud(50_000), 400, 800)
    simulated = [metrics.frechet_distance(cloud(400), cloud(800)) for _ in range(200)]
    assert floor == pytest.approx(np.mean(simulated), rel=0.06)  # four standard errors, and terms of order d/n


def test_floor_forgets_directions_in_which_nothing_varies():
    points = np.random.default_rng(2).standard_normal((1000, 3))
    flat = np.hstack([points, np.zeros((1000, 2))])
    assert evaluation.frechet_floor(flat, 100, 100) == pytest.approx(evaluation.frechet_floor(points, 100, 100))
    one_known = evaluation.frechet_floor(points, 100, np.inf)
    assert 2 * one_known == pytest.approx(evaluation.frechet_floor(points, 100, 100))


def test_distance_at_infinity_has_no_bias():
    draw = np.random.default_rng(3).standard_normal
    limit, slope, distances = evaluation.frechet_at_infinity(draw((8000, 16)), draw((8000, 16)), (200, 400, 800))
    assert abs(limit) < 0.1 * distances.min() and slope > 0 and (np.diff(distances) < 0).all()


def test_kernel_distance_sees_a_moved_cloud_and_not_the_same_one():
    draw = np.random.default_rng(4).standard_normal
    mean, error = evaluation.kernel_distance(draw((4000, 8)), draw((4000, 8)))
    moved, _ = evaluation.kernel_distance(draw((4000, 8)), draw((4000, 8)) + 1)
    assert abs(mean) < 4 * error and moved > 100 * error


def test_a_narrow_cloud_lacks_recall_and_a_wide_one_precision():
    draw = np.random.default_rng(5).standard_normal
    real = draw((500, 2))
    precision, recall, density, coverage = evaluation.precision_recall_density_coverage(real, 0.1 * draw((500, 2)))
    assert precision > 0.99 and recall < 0.2 and coverage < 0.5
    precision, recall, density, coverage = evaluation.precision_recall_density_coverage(real, 10 * draw((500, 2)))
    assert precision < 0.3 and recall > 0.9 and density < 0.3


def test_copies_are_as_far_below_zero_as_possible():
    rng = np.random.default_rng(6)
    pool, fresh, samples = (rng.standard_normal((n, 8)) for n in (300, 200, 100))
    z, share = evaluation.data_copying(pool[:100], fresh, pool)
    assert z == pytest.approx(-np.sqrt(3 * 100 * 200 / 301)) and share == 0
    z, share = evaluation.data_copying(samples, fresh, pool)
    assert abs(z) < 4 and abs(share - 0.5) < 0.15


def test_share_divergence_has_its_floor_as_mean():
    rng = np.random.default_rng(7)
    found = [evaluation.share_divergence(rng.multinomial(2500, np.full(25, 1 / 25)), np.ones(25)) for _ in range(500)]
    assert np.mean([kl for kl, _ in found]) == pytest.approx(found[0][1], rel=0.06)


def test_scorecard_puts_real_digits_above_copies_of_one():
    x, _ = data.mnist(2)
    real = evaluation.scorecard(x[:5000], 2)
    one = evaluation.scorecard(np.repeat(x[:1], 5000, axis=0), 2)
    assert list(real) == ["distance", "kernel", "precision", "recall", "density", "coverage"]
    assert one["distance"] > 10 * real["distance"] and real["coverage"] > 0.9 > 0.1 > one["coverage"]


# --- what they refuse


@pytest.mark.parametrize(
    "measure",
    [evaluation.kernel_distance, evaluation.precision_recall_density_coverage, evaluation.frechet_at_infinity],
)
@pytest.mark.parametrize(
    "a, b, words",
    [
        (np.zeros((9000, 2)), np.zeros((9000, 3)), "same d"),
        (np.zeros(9000), np.zeros(9000), "shape"),
        (np.zeros((3, 2)), np.zeros((3, 2)), "at least"),
        (np.full((9000, 2), np.nan), np.zeros((9000, 2)), "NaN"),
    ],
)
def test_clouds_of_another_kind_are_refused(measure, a, b, words):
    with pytest.raises(ValueError, match=words):
        measure(a, b)


@pytest.mark.parametrize("found, wanted", [([1, 2], [1]), ([-1, 2], [1, 1]), ([0, 0], [1, 1]), ([1, 1], [0, 1])])
def test_counts_of_other_kinds_are_refused(found, wanted):
    with pytest.raises(ValueError, match="counts of the same kinds"):
        evaluation.share_divergence(found, wanted)


def test_scorecard_takes_one_number_of_images():
    with pytest.raises(ValueError, match="5,000"):
        evaluation.scorecard(np.zeros((10, 28, 28, 1)))
