import numpy as np
import pytest
from scipy import ndimage

from gan_helpers import data, metrics


def test_classifier_reads_99_percent_of_the_test_set():
    x, y = data.mnist(split="test")
    probabilities = metrics.classify(x)
    assert probabilities.shape == (10000, 10) and np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.argmax(axis=1) == y).mean() >= 0.99
    assert metrics.share_read_as(x, y) == (probabilities.argmax(axis=1) == y).mean()


def test_share_read_as():
    x, y = data.mnist([2, 7], "test")
    assert metrics.share_read_as(x, 2) == pytest.approx(np.mean(y == 2), abs=0.01)
    for wrong in (10, -1, 2.5, [2, 7]):
        with pytest.raises(ValueError, match="whole number from 0 to 9"):
            metrics.share_read_as(x, wrong)


def test_frechet_distance_by_hand():
    # Two clouds on a line each: means 0 and 3, variances 1 and 4, so 9 + 1 + 4 - 2 * 2 = 10.
    a, b = np.array([[-1.0], [0.0], [1.0]]), np.array([[1.0], [3.0], [5.0]])
    assert metrics.frechet_distance(a, b) == pytest.approx(10)
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-12)


def test_frechet_distance_of_gaussians_that_do_not_commute():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    a = rng.standard_normal((500, 6)) @ rng.standard_normal((6, 6)) + 1
    b = rng.standard_normal((400, 6)) @ rng.standard_normal((6, 6))
    c_a, c_b = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c_a + c_b - 2 * sqrtm(c_a @ c_b).real)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected)
    assert metrics.frechet_distance(b, a) == pytest.approx(expected)


def test_frechet_distance_with_fewer_points_than_dimensions():
    rng = np.random.default_rng(0)
    assert np.isfinite(metrics.frechet_distance(rng.standard_normal((5, 20)), rng.standard_normal((7, 20))))


def test_frechet_distance_errors():
    with pytest.raises(ValueError, match="same d"):
        metrics.frechet_distance(np.zeros((3, 2)), np.zeros((3, 4)))
    with pytest.raises(ValueError, match="NaN"):
        metrics.frechet_distance(np.full((3, 2), np.nan), np.zeros((3, 2)))


def test_frechet_to_digits_orders_real_other_and_noise():
    # Drawn at random: the first writers of the training set are neater than the others.
    twos = np.random.default_rng(1).permutation(data.mnist(2)[0])[:2000]
    sevens = data.mnist(7)[0][:2000]
    real, floor = metrics.frechet_to_digits(twos, 2)
    assert real == pytest.approx(floor, rel=0.3)
    other, _ = metrics.frechet_to_digits(sevens, 2)
    noisy, _ = metrics.frechet_to_digits(np.clip(twos + 0.3 * np.random.default_rng(0).random(twos.shape), 0, 1), 2)
    one_over_and_over, _ = metrics.frechet_to_digits(np.repeat(twos[:1], 2000, axis=0), 2)
    assert floor < noisy and 10 * floor < other and 10 * floor < one_over_and_over


def test_nearest_neighbours():
    pool = np.zeros((3, 2, 2, 1))
    pool[1] += 1
    pool[2, 0, 0] = 3
    distance, index = metrics.nearest_neighbours(np.full((1, 2, 2, 1), 0.9), pool)
    assert index.tolist() == [1] and distance[0] == pytest.approx(0.2)
    with pytest.raises(ValueError, match="same shape"):
        metrics.nearest_neighbours(np.zeros((1, 3)), np.zeros((2, 4)))


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (np.zeros((2, 28, 28)), "shape"),
        (np.zeros((0, 28, 28, 1)), "shape"),
        (np.zeros((2, 28, 28, 1), "uint8"), "divide 0-255 images by 255"),
        (np.full((2, 28, 28, 1), 255.0), r"in \[0, 1\]"),
        (np.full((2, 28, 28, 1), np.nan), "NaN"),
    ],
)
@pytest.mark.parametrize("measure", [metrics.classify, metrics.features, metrics.frechet_to_digits])
def test_images_that_cannot_be_judged(measure, images, sentence):
    with pytest.raises(ValueError, match=sentence):
        measure(images)


def test_weights_of_another_network(monkeypatch):
    import keras

    other = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    monkeypatch.setattr(metrics, "build_classifier", lambda: other)
    metrics._classifier.cache_clear()
    with pytest.raises(ValueError, match=r"fit another classifier: part 2 should be Conv2D"):
        metrics.classifier()
    monkeypatch.undo()


def test_mode_coverage_of_known_samples():
    ring = data.ring()
    covered, quality, kl = metrics.mode_coverage(ring.sample(20_000, seed=0), ring)
    assert covered == 8 and kl < 0.002
    assert abs(quality - (1 - np.exp(-4.5))) < 0.003  # three deviations in the plane
    assert metrics.mode_coverage(ring.means[:4], ring) == (4, 1.0, pytest.approx(np.log(2)))
    far = metrics.mode_coverage(np.zeros((10, 2)), ring)
    assert far == (0, 0.0, np.inf)


@pytest.mark.parametrize("samples", [np.zeros((0, 2)), np.zeros((5, 3)), np.full((5, 2), np.nan)])
def test_mode_coverage_refuses_what_are_no_points(samples):
    with pytest.raises(ValueError, match=r"samples (must have shape|contain NaN)"):
        metrics.mode_coverage(samples, data.ring())


def bar(width, height=18.0, slant=0.0, fine=8):
    """An image of a bar of `width` x `height` pixels that leans by `slant` degrees."""
    y, x = 14 - (np.mgrid[: 28 * fine, : 28 * fine] + 0.5) / fine
    inside = (abs(-x - y * np.tan(np.radians(slant))) < width / 2) & (abs(y) < height / 2)
    return inside.reshape(28, fine, 28, fine).mean(axis=(1, 3))[None, ..., None].astype(np.float32)


def sheared(images, degrees):
    """Images pushed to the right by the tangent of the angle times the height above the middle."""
    slope = np.tan(np.radians(degrees))
    return np.stack(
        [
            ndimage.affine_transform(x, [[1, 0, 0], [slope, 1, 0], [0, 0, 1]], [0, -13.5 * slope, 0], order=1)
            for x in images
        ]
    )


@pytest.mark.parametrize("width", [2, 3, 4, 6])
@pytest.mark.parametrize("slant", [-20, 0, 15, 30])
def test_strokes_of_a_bar(width, slant):
    measures = {name: value[0] for name, value in metrics.stroke_measures(bar(width, slant=slant)).items()}
    assert abs(measures["slant"] - slant) < 0.5
    across, along = width * np.cos(np.radians(slant)), 18 / np.cos(np.radians(slant))
    # The mean distance to the border of a rectangle a x b is a/4 - a^2/(12 b): its ends count, too.
    assert abs(measures["thickness"] - (across - across**2 / (3 * along))) < 0.3
    assert abs(measures["height"] - 0.95 * 18) < 1
    assert abs(measures["length"] - width * 18 / measures["thickness"]) < 1


@pytest.mark.parametrize("degrees", [-20, -10, 10, 20])
def test_slant_follows_a_known_shear(degrees):
    x = data.mnist(None, "test")[0][:200]
    before, after = (
        np.tan(np.radians(metrics.stroke_measures(a)["slant"])) for a in (x, sheared(x, degrees).clip(0, 1))
    )
    wanted = np.degrees(np.arctan(before + np.tan(np.radians(degrees))))
    assert np.abs(np.degrees(np.arctan(after)) - wanted).mean() < 0.5


def test_thickness_follows_a_known_growth():
    x = data.mnist(None, "test")[0][:200]
    grown = ndimage.grey_dilation(x, size=(1, 3, 3, 1))  # a pixel more on either side
    gain = metrics.stroke_measures(grown)["thickness"] - metrics.stroke_measures(x)["thickness"]
    assert 1.5 < np.median(gain) < 2.5


def test_an_image_without_ink_has_no_strokes():
    with pytest.raises(ValueError, match="image 1 has no ink"):
        metrics.stroke_measures(np.stack([bar(3)[0], np.zeros((28, 28, 1), np.float32)]))


def test_match_categories_finds_a_hidden_permutation():
    rng = np.random.default_rng(0)
    labels, hidden = rng.integers(0, 10, 5000), rng.permutation(10)
    categories = hidden[labels]
    categories[:500] = rng.integers(0, 10, 500)  # a tenth at random: nine tenths of these are wrong
    digit_of, agreement = metrics.match_categories(categories, labels)
    assert np.array_equal(digit_of[hidden], np.arange(10))
    assert abs(agreement - 0.91) < 0.01


def test_match_categories_gives_no_digit_twice():
    """Two categories that both hold only threes: one of them has to take another digit."""
    digit_of, agreement = metrics.match_categories([0, 0, 1, 1, 1], [2, 2, 2, 2, 2], k=3)
    assert sorted(digit_of) == [0, 1, 2] and digit_of[1] == 2 and agreement == 0.6


@pytest.mark.parametrize("labels", [[0, 10], [0.5, 1], [0], [[0], [1]]])
def test_match_categories_errors(labels):
    with pytest.raises(ValueError, match=r"labels|one label"):
        metrics.match_categories([0, 1], labels)


def test_explained_share_of_known_relations():
    rng = np.random.default_rng(0)
    code, noise = rng.uniform(-1, 1, 20_000), rng.standard_normal(20_000)
    # No straight line, and all of it but what varies within a bin, (1/20)^2 * 5 = 1.25 %.
    assert abs(metrics.explained_share(code, code**2) - 0.9875) < 0.001
    assert metrics.explained_share(code, noise) < 0.003
    # Half of the variance each: that of a uniform number from -1 to 1 is 1/3.
    assert abs(metrics.explained_share(code, code + noise / np.sqrt(3)) - 0.5) < 0.02
    for bad in (np.full(20_000, np.nan), np.zeros(20_000), noise[:-1]):
        with pytest.raises(ValueError, match="code and factor"):
            metrics.explained_share(code, bad)


def test_partial_correlations_tell_a_cause_from_its_companion():
    rng = np.random.default_rng(0)
    cause = rng.standard_normal(20_000)
    companion = cause + rng.standard_normal(20_000)  # goes with the cause, and has no effect of its own
    effect = cause + 0.5 * rng.standard_normal(20_000)
    table = metrics.partial_correlations(np.stack([cause, companion], axis=1), effect[:, None])
    assert np.corrcoef(companion, effect)[0, 1] > 0.6
    # Given the companion, the cause keeps a variance of 1/2, and the noise has 1/4.
    assert abs(table[0, 0] - np.sqrt(0.5 / 0.75)) < 0.02 and abs(table[1, 0]) < 0.02
    with pytest.raises(ValueError, match="codes and factors"):
        metrics.partial_correlations(cause, effect)


def test_measures_find_the_transform_that_was_set():
    """Real digits sheared and thickened by known amounts: each amount explains its own measure."""
    rng = np.random.default_rng(0)
    x = data.mnist(3, "test")[0][:400]
    shear, thick = rng.uniform(-30, 30, 400), rng.integers(0, 2, 400)
    made = np.stack([sheared(image[None], angle)[0] for image, angle in zip(x, shear, strict=True)])
    grown = ndimage.grey_dilation(made, size=(1, 3, 3, 1))
    made = np.where(thick[:, None, None, None] == 1, grown, made).clip(0, 1)
    measures = metrics.stroke_measures(made)
    table = metrics.partial_correlations(
        np.stack([shear, thick], axis=1), np.stack([measures["slant"], measures["thickness"]], axis=1)
    )
    assert table[0, 0] > 0.8 and table[1, 1] > 0.8 and abs(table[1, 0]) < 0.2
    assert metrics.explained_share(shear, measures["slant"]) > 0.6
    assert metrics.explained_share(shear, measures["thickness"]) < 0.2


def test_sliced_wasserstein_of_a_shift_is_the_length_of_its_shadow():
    """Shifted by 3 along an axis of the plane, the shadow on a random line is 3 cos; the mean of its square is 9/2."""
    a = np.random.default_rng(0).standard_normal((500, 2))
    found = metrics.sliced_wasserstein(a, a[::-1] + np.array([3, 0]), directions=2000)
    assert abs(found - 3 / np.sqrt(2)) < 0.05 and metrics.sliced_wasserstein(a, a) == 0


def test_sliced_wasserstein_refuses_what_it_cannot_compare():
    a = np.zeros((5, 2))
    for other in (np.zeros((5, 3)), np.zeros((4, 2))):
        with pytest.raises(ValueError, match="same shape"):
            metrics.sliced_wasserstein(a, other)
    with pytest.raises(ValueError, match="NaN"):
        metrics.sliced_wasserstein(a, a * np.nan)
