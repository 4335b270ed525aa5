import numpy as np
import pytest
import tensorflow as tf

from gan_helpers import losses
from gan_helpers.models.augment import virtual_adversarial_loss

REAL = tf.constant([[0.0], [2.0]])
FAKE = tf.constant([[1.0], [-1.0]])


def softplus(a):
    return np.log1p(np.exp(a))


CROSS_ENTROPY = (softplus(0) + softplus(-2)) / 2 + (softplus(1) + softplus(-1)) / 2

# Each pair of losses worked out by hand from its formula for the four logits above.
BY_HAND = {
    "minimax": (CROSS_ENTROPY, -(softplus(1) + softplus(-1)) / 2),
    "non_saturating": (CROSS_ENTROPY, (softplus(-1) + softplus(1)) / 2),
    "maximum_likelihood": (CROSS_ENTROPY, -(np.e + 1 / np.e) / 4),
    "least_squares": (0.5 * 1 + 0.5 * 1, 0.5 * (0 + 4) / 2),
    "hinge": ((1 + 0) / 2 + (2 + 0) / 2, 0.0),
    "wasserstein": (0 - 1, 0.0),
    "relativistic": ((softplus(1) + softplus(-3)) / 2, (softplus(-1) + softplus(3)) / 2),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_game_matches_hand_computation(name):
    assert np.allclose(getattr(losses, name)(REAL, FAKE), BY_HAND[name], atol=1e-6)


@pytest.mark.parametrize("name", ["minimax", "non_saturating", "relativistic"])
def test_logits_far_out_give_finite_losses(name):
    values = getattr(losses, name)(tf.constant([[200.0]]), tf.constant([[-200.0]]))
    assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("minimax", lambda d: -d),  # vanishes when the discriminator rejects the fakes
        ("non_saturating", lambda d: d - 1),
        ("maximum_likelihood", lambda d: -0.5 * d / (1 - d)),
    ],
)
def test_generator_slopes_are_those_of_the_theory(name, slope):
    for logit in (-5.0, 0.0, 3.0):
        a = tf.Variable([[logit]])
        with tf.GradientTape() as tape:
            _, g_loss = getattr(losses, name)(REAL, a)
        belief = 1 / (1 + np.exp(-logit))
        assert tape.gradient(g_loss, a).numpy()[0, 0] == pytest.approx(slope(belief), rel=1e-4)


def linear(x, training=True):
    """A critic whose slope is (3, 4), of length 5, everywhere."""
    return tf.reshape(3 * x[:, 0] + 4 * x[:, 1], (-1, 1))


def bowl(x, training=True):
    """A critic |x|^2 / 2, whose slope at x is x."""
    return tf.reduce_sum(x**2, axis=1, keepdims=True) / 2


def test_gradient_penalty():
    real, fake = tf.random.normal((6, 2)), tf.random.normal((6, 2))
    share = tf.random.uniform((6,))
    assert losses.gradient_penalty(linear, real, fake, share).numpy() == pytest.approx((5 - 1) ** 2, rel=1e-5)


def test_gradient_penalty_looks_between_real_and_fake():
    real, fake = tf.constant([[4.0, 0.0]]), tf.constant([[0.0, 0.0]])
    values = [losses.gradient_penalty(bowl, real, fake, tf.constant([s])).numpy() for s in (0.25, 0.5, 1.0)]
    assert np.allclose(values, [0, 1, 9], atol=1e-5)  # slopes 1, 2 and 4


def test_gradient_penalty_where_the_slope_is_zero():
    x = tf.zeros((2, 2))
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = losses.gradient_penalty(bowl, x, x, tf.constant([0.5, 0.5]))
    assert np.isfinite(tape.gradient(value, x)).all()


@pytest.mark.parametrize("gamma", [1.0, 0.2])
def test_logits_and_penalty(gamma):
    _, penalty = losses.logits_and_penalty(linear, tf.zeros((3, 2)), gamma)
    assert penalty.numpy() == pytest.approx(gamma * 12.5)
    x = tf.constant([[3.0, 4.0], [0.0, 1.0]])
    logits, penalty = losses.logits_and_penalty(bowl, x, gamma)
    assert penalty.numpy() == pytest.approx(gamma * (25 + 1) / 4)
    assert np.array_equal(logits, bowl(x))


def test_one_pass_serves_logits_and_penalty():
    passes = []
    losses.logits_and_penalty(lambda x, training: passes.append(x) or linear(x), tf.zeros((3, 2)), gamma=1.0)
    assert len(passes) == 1


def test_penalty_works_on_images():
    def darkness(x, training=True):
        return tf.reduce_sum(x, axis=(1, 2, 3))[:, None]

    assert losses.logits_and_penalty(darkness, tf.zeros((2, 4, 4, 1)), 1.0)[1].numpy() == pytest.approx(8)


def test_virtual_adversarial_loss_counts_from_the_probabilities_given():
    """For a reader that is linear in the image the worst change lies along its weights."""
    x, noise = tf.zeros((3, 2, 2, 1)), tf.random.stateless_normal((3, 2, 2, 1), (0, 1))
    direction = tf.constant([[3.0, 0, 4.0, 0]])
    read = lambda x: tf.matmul(tf.reshape(x, [-1, 4]), direction, transpose_b=True) * [[1.0, 0.0]]  # noqa: E731
    half = tf.fill((3, 2), 0.5)
    found = virtual_adversarial_loss(read, x, 0.4, noise, half)  # logits become (2, 0) or (-2, 0)
    q = 1 / (1 + np.exp(-2.0))
    assert float(found) == pytest.approx(-np.log(2) - 0.5 * np.log(q * (1 - q)), rel=1e-4)
    assert float(virtual_adversarial_loss(read, x, 0.0, noise, tf.constant([[1.0, 0.0]] * 3))) == pytest.approx(
        np.log(2)
    )
