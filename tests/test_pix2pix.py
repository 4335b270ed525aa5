"""pix2pix: the algorithm, what it learns, what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from gan_helpers import losses
from gan_helpers.models.pix2pix import Pix2Pix
from tests.test_training import adam, assert_goes_on_when_reloaded, assert_same_step, same

RNG = np.random.default_rng(0)
X, Y = (RNG.uniform(size=(60, 8, 8, channels)).astype(np.float32) for channels in (1, 3))


def translator(side=8, activation="sigmoid"):
    half, double = layers.Conv2D(16, 4, 2, "same"), layers.Conv2DTranspose(3, 4, 2, "same")
    network = [keras.Input((side, side, 1)), half, layers.LeakyReLU(0.2), double, layers.Activation(activation)]
    return keras.Sequential(network, name="generator")


def judge(channels=1, side=8, end=()):
    x, y = keras.Input((side, side, channels)), keras.Input((side, side, 3))
    h = layers.Conv2D(4, 4, 2, "same")(layers.Concatenate()([x, y]))
    h = layers.Conv2D(1, 3, 1, "same")(layers.LeakyReLU(0.2)(h))  # a logit for each patch
    return keras.Model([x, y], keras.Sequential([*end, layers.Activation("linear")])(h), name="judge")


def make(ema=None, seed=0, **compiled):
    keras.utils.set_random_seed(0)
    model = Pix2Pix(translator(), judge(), ema=ema, seed=seed)
    model.compile(adam(), adam(), **compiled)
    return model


def test_a_step_is_the_algorithm():
    """By hand: G comes close and fools D; D tells true pairs from pairs (x, G(x)), with G as it was before the step."""
    model, twin = make(l1_weight=20.0), make(l1_weight=20.0)
    x, y = tf.constant(X[:6]), tf.constant(Y[:6])
    found = model.train_step((x, y))

    with tf.GradientTape() as tape:
        y_fake = twin.generator(x)
        l1 = tf.reduce_mean(tf.abs(y - y_fake))
        fooled = tf.reduce_mean(tf.nn.softplus(-twin.discriminator([x, y_fake])))
        total = fooled + 20 * l1
    weights = twin.generator.trainable_variables
    twin.g_optimizer.apply(tape.gradient(total, weights), weights)
    with tf.GradientTape() as tape:
        real, fake = twin.discriminator([x, y]), twin.discriminator([x, y_fake])
        d_loss = tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))
    weights = twin.discriminator.trainable_variables
    twin.d_optimizer.apply(tape.gradient(d_loss, weights), weights)

    for name, value in {"d_loss": d_loss, "g_loss": fooled, "l1_loss": l1}.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5)
    assert_same_step(model, twin)


def test_a_batch_holds_pairs():
    x = np.arange(60, dtype=np.float32).reshape(60, 1, 1, 1)
    seen_x, seen_y = make().draw_batch((tf.constant(x), tf.constant(2 * x)), 200)
    assert np.array_equal(2 * seen_x, seen_y) and len(np.unique(seen_x)) > 30


@pytest.mark.parametrize("option", [{"r1": 5.0}, {"l1_weight": 1.0}, {"game_weight": 0.0}, {"loss": losses.hinge}])
def test_every_term_of_the_losses_counts(option):
    plain, changed = make(), make(**option)
    for model in (plain, changed):
        model.fit(X, Y, steps=3, batch_size=4)
    assert not same(plain, changed)


def test_without_a_weight_nobody_listens_to_the_discriminator():
    generators = []
    for rate in (0.0, 1e-2):
        model = make(game_weight=0.0)
        model.d_optimizer.learning_rate = rate
        model.fit(X, Y, steps=3, batch_size=4)
        generators.append(model.generator.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*generators, strict=True))


def test_the_penalty_is_that_of_the_true_pairs():
    model, twin = make(r1=4.0), make(r1=4.0)
    x, y = tf.constant(X[:6]), tf.constant(Y[:6])
    y_fake = twin.generator(x)
    model.discriminator_step(x, y, y_fake)
    with tf.GradientTape() as tape:
        with tf.GradientTape() as inner:
            inner.watch([x, y])
            real = twin.discriminator([x, y])
        slopes = inner.gradient(real, [x, y])
        squared = sum(tf.reduce_sum(slope**2, axis=(1, 2, 3)) for slope in slopes)
        total = sum(twin.loss(real, twin.discriminator([x, y_fake]))[:1]) + 2.0 * tf.reduce_mean(squared)
    weights = twin.discriminator.trainable_variables
    twin.d_optimizer.apply(tape.gradient(total, weights), weights)
    assert_same_step(model, twin)


def test_learns_what_only_pairs_tell():
    """Dark drawings belong to red squares, light ones to blue. The sets alone would allow the exchange as well."""
    light = (np.arange(200) % 2)[:, None, None]
    x, y = np.full((200, 8, 8, 1), 0.5, np.float32), np.full((200, 8, 8, 3), 0.5, np.float32)
    x[:, 2:6, 2:6, 0] = light
    y[:, 2:6, 2:6, 0], y[:, 2:6, 2:6, 2] = 0.8 - 0.6 * light, 0.2 + 0.6 * light
    model = make(ema=0.9)
    model.d_optimizer.learning_rate = model.g_optimizer.learning_rate = 5e-3
    model.fit(x, y, steps=400, batch_size=10)
    assert np.abs(model.translate(x) - y).mean() < 0.02


def test_split_and_reloaded_training_ends_in_the_same_bits(tmp_path):
    assert_goes_on_when_reloaded(make(ema=0.9), tmp_path, X, Y, batch_size=4)


def test_translate():
    model = make(ema=0.9)
    made = model.translate(X[:3])
    assert made.shape == (3, 8, 8, 3) and made.dtype == np.float32 and 0 <= made.min() <= made.max() <= 1
    np.testing.assert_allclose(model(X[:3]), made, atol=1e-6)
    model.translate(5 * X[:3] - 9)  # what x is, is the reader's choice
    with pytest.raises(ValueError, match="must have shape"):
        model.translate(X[0])
    with pytest.raises(ValueError, match="NaN"):
        model.translate(np.full_like(X, np.nan))


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (X[:, :4], Y, "x: the data must have shape"),
        (X, X, "y: the data must have shape"),
        (X, 2 * Y - 1, r"y: the data must lie in \[0, 1\]"),
        (X, np.uint8(255 * Y), "y: .*divide"),
        (np.full_like(X, np.nan), Y, "x: .*NaN"),
        (X[:9], Y, "x and y must be pairs, not 9 and 60 images"),
        (X[:0], Y[:0], "x: there are no data"),
    ],
)
def test_pairs_that_do_not_fit(x, y, sentence):
    with pytest.raises(ValueError, match=sentence):
        make().fit(x, y, steps=1, batch_size=1)


def test_batches_that_do_not_fit():
    with pytest.raises(ValueError, match="only 60 rows"):
        make().fit(X, Y, steps=1, batch_size=70)


@pytest.mark.parametrize(
    ("networks", "sentence"),
    [
        ([translator(), judge(channels=3)], r"must judge pairs \[x, y\]"),
        ([translator(), judge(side=12)], r"must judge pairs \[x, y\]"),
        ([translator(), translator()], r"must judge pairs \[x, y\]"),
        ([translator(), judge(end=[layers.Activation("sigmoid")])], "logits"),
        ([None, judge()], "the generator must be"),
        ([judge(), judge()], "must take one input, images x, not 2"),
    ],
)
def test_networks_that_do_not_fit(networks, sentence):
    with pytest.raises(ValueError, match=sentence):
        Pix2Pix(*networks)


def test_compile_refuses_what_cannot_work():
    model, optimizer = make(), adam()
    with pytest.raises(ValueError, match="separate optimizers"):
        model.compile(optimizer, optimizer)
    for weight in (-1.0, None):
        with pytest.raises(ValueError, match="l1_weight must be a finite number"):
            model.compile(adam(), adam(), l1_weight=weight)
    with pytest.raises(ValueError, match="both 0: the generator would have nothing to learn"):
        model.compile(adam(), adam(), l1_weight=0, game_weight=0.0)
    with pytest.raises(ValueError, match="ema"):
        Pix2Pix(translator(), judge(), ema=1.5)
