"""CycleGAN: the algorithm, what it learns, what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from gan_helpers import losses
from gan_helpers.models.cyclegan import CycleGAN
from tests.test_training import adam, assert_goes_on_when_reloaded, assert_same_step, same

RNG = np.random.default_rng(0)
X, Y = (RNG.uniform(size=(n, 8, 8, 3)).astype(np.float32) for n in (60, 40))  # unequal numbers are allowed


def translator(side=8, activation="sigmoid", strides=2):
    half, double = layers.Conv2D(4, 4, strides, "same"), layers.Conv2DTranspose(3, 4, strides, "same")
    network = [keras.Input((side, side, 3)), half, layers.ReLU(), double, layers.Activation(activation)]
    return keras.Sequential(network, name="translator")


def judge(side=8, end=()):
    network = [keras.Input((side, side, 3)), layers.Conv2D(4, 4, 2, "same"), layers.LeakyReLU(0.2)]
    return keras.Sequential([*network, layers.Conv2D(1, 3, 1, "same"), *end], name="judge")  # a logit for each patch


def make(ema=None, pool=0, seed=0, **compiled):
    keras.utils.set_random_seed(0)
    model = CycleGAN(translator(), translator(), judge(), judge(), ema=ema, pool=pool, seed=seed)
    model.compile(adam(), adam(), **compiled)
    return model


def test_a_step_is_the_algorithm():
    """By hand, with the least-squares loss of the paper, cycle and identity terms: G and F first, then both D."""
    model, twin = make(identity_weight=5.0), make(identity_weight=5.0)
    x, y = tf.constant(X[:6]), tf.constant(Y[:6])
    found = model.train_step((x, y))

    error = lambda a, b: tf.reduce_mean(tf.abs(a - b))  # noqa: E731
    square = lambda a, to: tf.reduce_mean((a - to) ** 2) / 2  # noqa: E731
    with tf.GradientTape() as tape:
        y_fake, x_fake = twin.to_y(x), twin.to_x(y)
        fooled = square(twin.discriminator_y(y_fake), 1) + square(twin.discriminator_x(x_fake), 1)
        cycle = error(twin.to_x(y_fake), x) + error(twin.to_y(x_fake), y)
        identity = error(twin.to_y(y), y) + error(twin.to_x(x), x)
        total = fooled + 10 * cycle + 5 * identity
    weights = twin.to_y.trainable_variables + twin.to_x.trainable_variables
    twin.g_optimizer.apply(tape.gradient(total, weights), weights)
    with tf.GradientTape() as tape:
        d_loss = square(twin.discriminator_y(y), 1) + square(twin.discriminator_y(y_fake), 0)
        d_loss += square(twin.discriminator_x(x), 1) + square(twin.discriminator_x(x_fake), 0)
    weights = twin.discriminator_x.trainable_variables + twin.discriminator_y.trainable_variables
    twin.d_optimizer.apply(tape.gradient(d_loss, weights), weights)

    wanted = {"d_loss": d_loss, "g_loss": fooled, "cycle_loss": cycle, "identity_loss": identity}
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5)
    assert_same_step(model, twin)


def test_the_domains_are_drawn_apart():
    """The rows of x and y in a batch are no pairs, and every image of the larger set has its turn."""
    model = make()
    x, y = (np.arange(n, dtype=np.float32).reshape(n, 1, 1, 1) for n in (60, 40))
    seen_x, seen_y = model.draw_batch((tf.constant(x), tf.constant(y)), 2000)
    pairs = np.stack([np.ravel(seen_x), np.ravel(seen_y)])
    assert len(np.unique(pairs[0])) == 60 and len(np.unique(pairs[1])) == 40
    assert abs(np.corrcoef(pairs)[0, 1]) < 0.1


def test_pool_gives_back_half_old_images():
    model = make(pool=8)
    number = lambda n: tf.fill([4, 8, 8, 3], float(n))  # noqa: E731
    shown = []
    for n in range(1, 41):
        shown.append(model.from_pool(model.pool_x, number(n)).numpy()[:, 0, 0, 0])
        model.pooled.assign_add(4)
    shown = np.array(shown)
    assert np.array_equal(shown[:2], [[1] * 4, [2] * 4])  # the pool fills up first
    old = shown[2:] < np.arange(3, 41)[:, None]
    assert 0.35 < old.mean() < 0.65
    kept = model.pool_x.numpy()[:, 0, 0, 0]
    assert kept.min() > 0 and len(np.unique(kept)) > 3
    # What was given back has left the pool: only the images that filled it are shown twice.
    values, counts = np.unique(shown, return_counts=True)
    assert counts[values > 2].max() <= 4 and np.isin(values, np.arange(1, 41)).all()


def test_another_batch_size_meets_no_place_of_the_pool_that_was_never_filled():
    model = make(pool=8)
    model.fit(X, Y, steps=3, batch_size=2)
    assert int(model.pooled) == 6
    for _ in range(10):
        assert (model.from_pool(model.pool_x, tf.fill([8, 8, 8, 3], 0.5)).numpy().max(axis=(1, 2, 3)) > 0).all()
        model.pooled.assign_add(8)
    assert (model.pool_x.numpy().max(axis=(1, 2, 3)) > 0).all()


@pytest.mark.parametrize("option", [{"r1": 5.0}, {"identity_weight": 5.0}, {"cycle_weight": 0.0}])
def test_every_term_of_the_losses_counts(option):
    plain, changed = make(), make(**option)
    for model in (plain, changed):
        model.fit(X, Y, steps=3, batch_size=4)
    assert not same(plain, changed)


def test_learns_to_translate_colours_and_back():
    """Red squares and blue squares, of any brightness: dark red becomes dark blue, and comes back."""

    def squares(n, channel, seed):
        images = np.zeros((n, 8, 8, 3), np.float32)
        rng = np.random.default_rng(seed)
        images[:, 2:6, 2:6, channel] = rng.uniform(0.4, 1, n)[:, None, None]
        return images

    x, y = squares(200, 0, 0), squares(150, 2, 1)
    model = make(ema=0.9, pool=20)
    model.d_optimizer.learning_rate = model.g_optimizer.learning_rate = 5e-3
    model.fit(x, y, steps=400, batch_size=10)
    made = model.translate(x)
    assert np.abs(model.translate(made, to="X") - x).mean() < 0.05
    inside = made[:, 3:5, 3:5].mean(axis=(1, 2))
    assert inside[:, 2].mean() > 4 * inside[:, 0].mean()


def test_split_and_reloaded_training_ends_in_the_same_bits(tmp_path):
    assert_goes_on_when_reloaded(make(ema=0.9, pool=8), tmp_path, X, Y, batch_size=4)


def test_translate():
    model = make(ema=0.9)
    for to in ("X", "Y"):
        images = model.translate(X[:3], to=to)
        assert images.shape == (3, 8, 8, 3) and images.dtype == np.float32
        assert images.min() >= 0 and images.max() <= 1
    np.testing.assert_allclose(model(X[:3]), model.translate(X[:3]), atol=1e-6)
    with pytest.raises(ValueError, match='"X" or "Y"'):
        model.translate(X, to="Z")
    with pytest.raises(ValueError, match="must have shape"):
        model.translate(X[0])
    with pytest.raises(ValueError, match="NaN"):
        model.translate(np.full_like(X, np.nan))


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (X[:, :4], Y, "domain X: the data must have shape"),
        (X, np.zeros((9, 8, 8, 1), np.float32), "domain Y: the data must have shape"),
        (X, 2 * Y - 1, r"domain Y: the data must lie in \[0, 1\]"),
        (np.uint8(255 * X), Y, "domain X: .*divide"),
        (X, np.full_like(Y, np.nan), "domain Y: .*NaN"),
        (X[:1], Y, "domain X has one image only"),
        (X, Y[:0], "domain Y: there are no data"),
    ],
)
def test_domains_that_do_not_fit(x, y, sentence):
    with pytest.raises(ValueError, match=sentence):
        make().fit(x, y, steps=1, batch_size=1)


def test_batches_that_do_not_fit():
    with pytest.raises(ValueError, match="only 40 rows"):
        make().fit(X, Y, steps=1, batch_size=50)
    with pytest.raises(ValueError, match="larger than the pool"):
        make(pool=8).fit(X, Y, steps=1, batch_size=9)


@pytest.mark.parametrize(
    ("networks", "sentence"),
    [
        ([translator(10, strides=4), translator(10), judge(10), judge(10)], "divided by 2"),
        ([translator(), translator(), judge(), judge(12)], "their discriminator takes"),
        ([translator(), translator(), judge(end=[layers.Activation("sigmoid")]), judge()], "logits"),
        ([translator(), translator(activation="tanh"), judge(), judge()], "same activation"),
    ],
)
def test_networks_that_do_not_fit(networks, sentence):
    with pytest.raises(ValueError, match=sentence):
        CycleGAN(*networks)


def test_compile_refuses_what_cannot_work():
    model = make()
    optimizer = adam()
    with pytest.raises(ValueError, match="separate optimizers"):
        model.compile(optimizer, optimizer)
    with pytest.raises(ValueError, match="ema"):
        CycleGAN(translator(), translator(), judge(), judge(), ema=1.5)


def test_the_loss_may_be_logistic():
    model = make(loss=losses.non_saturating)
    history = model.fit(X, Y, steps=5, batch_size=4).history
    assert set(history) == {"step", *CycleGAN.loss_names} and np.isfinite(history["d_loss"]).all()
