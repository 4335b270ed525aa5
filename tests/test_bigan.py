"""BiGAN: the algorithm, what it learns, what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from gan_helpers import losses
from gan_helpers.models.bigan import BiGAN
from tests.test_training import adam, assert_goes_on_when_reloaded, assert_same_step, bad_images, same

X = np.random.default_rng(0).uniform(size=(200, 4, 4, 1)).astype(np.float32)


def generator(latent_dim=3):
    return keras.Sequential(
        [keras.Input((latent_dim,)), layers.Dense(16, activation="sigmoid"), layers.Reshape((4, 4, 1))]
    )


def encoder(latent_dim=3):
    return keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(latent_dim)])


def discriminator(latent_dim=3, activation=None):
    x, z = keras.Input((4, 4, 1)), keras.Input((latent_dim,))
    h = layers.Dense(8, activation="tanh")(layers.Concatenate()([layers.Flatten()(x), z]))
    return keras.Model([x, z], layers.Dense(1, activation=activation)(h))


def make(ema=None, seed=0, **compiled):
    keras.utils.set_random_seed(0)
    model = BiGAN(generator(), encoder(), discriminator(), ema=ema, seed=seed)
    model.compile(adam(), adam(), **compiled)
    return model


def test_a_step_is_the_algorithm():
    """By hand, with the cross-entropy of the paper: D first, then E and G, for whom the two labels change places."""
    model, twin = make(), make()
    z = [tf.random.stateless_normal([6, 3], (i, 0)) for i in range(2)]
    draws = iter(z)
    model.draw_z = lambda n: next(draws)
    found = model.train_step(tf.constant(X[:6]))

    x = tf.constant(X[:6])
    entropy = tf.nn.sigmoid_cross_entropy_with_logits

    def cost(label_of_real, z):
        real, fake = twin.discriminator([x, twin.encoder(x)]), twin.discriminator([twin.generator(z), z])
        as_real, as_fake = tf.fill([6, 1], float(label_of_real)), tf.fill([6, 1], 1 - float(label_of_real))
        return tf.reduce_mean(entropy(as_real, real)) + tf.reduce_mean(entropy(as_fake, fake))

    with tf.GradientTape() as tape:
        d_loss = cost(1, z[0])
    weights = twin.discriminator.trainable_variables
    twin.d_optimizer.apply(tape.gradient(d_loss, weights), weights)
    with tf.GradientTape() as tape:
        g_loss = cost(0, z[1])
    weights = twin.generator.trainable_variables + twin.encoder.trainable_variables
    twin.g_optimizer.apply(tape.gradient(g_loss, weights), weights)

    np.testing.assert_allclose([found["d_loss"], found["g_loss"]], [d_loss, g_loss], rtol=1e-5)
    assert_same_step(model, twin)


OPTIONS = [
    {"r1": 1.0},
    {"r2": 1.0},
    {"gradient_penalty": 1.0},
    {"d_steps": 2},
    {"cycle_weight": 1.0},
    {"code_noise": 0.5},
]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_counts(option):
    plain, changed = make(), make(**option)
    for model in (plain, changed):
        model.train_step(tf.constant(X[:10]))
    assert not same(plain, changed)


@pytest.mark.parametrize("size", [1.0, 10.0])
def test_noise_is_in_units_of_the_codes_own_deviation(size):
    model = make(code_noise=0.5)
    model.encoder.set_weights([size * weights for weights in model.encoder.get_weights()])
    x = tf.random.stateless_uniform((4000, 4, 4, 1), (1, 2))
    code = model.encoder(x)
    noise = tf.math.reduce_std(model.noisy_code(x) - code, axis=0) / tf.math.reduce_std(code, axis=0)
    np.testing.assert_allclose(noise, 0.5, rtol=0.1)


def test_penalty_counts_the_slope_by_image_and_by_code():
    """D(x, z) = sum(x) + 2 sum(z) has slopes of 1 in 16 pixels and of 2 in 3 codes: |slope|^2 is 16 + 12."""
    judge = lambda pair, training: tf.reduce_sum(pair[0], [1, 2, 3]) + 2 * tf.reduce_sum(pair[1], 1)  # noqa: E731
    pair = [tf.constant(X[:5]), tf.zeros((5, 3))]
    assert float(losses.logits_and_penalty(judge, pair, 1.0)[1]) == pytest.approx(0.5 * 28)
    other = [part + 1 for part in pair]
    assert float(losses.gradient_penalty(judge, pair, other, tf.fill([5], 0.3))) == pytest.approx((28**0.5 - 1) ** 2)


def test_learns_to_invert():
    """Images that a line of codes made: the encoder finds the code, the generator the image."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((2000, 1)).astype(np.float32)
    pattern = np.linspace(-1, 1, 16).reshape(4, 4, 1)
    x = 1 / (1 + np.exp(-z[..., None, None] * pattern)).astype(np.float32)
    keras.utils.set_random_seed(0)
    hidden = layers.Dense(64, activation="tanh")
    network = [layers.Flatten(), layers.Dense(64, activation="tanh"), layers.Dense(1)]
    back = keras.Sequential([keras.Input((4, 4, 1)), *network])
    one, other = keras.Input((4, 4, 1)), keras.Input((1,))
    logit = layers.Dense(1)(hidden(layers.Concatenate()([layers.Flatten()(one), other])))
    model = BiGAN(generator(1), back, keras.Model([one, other], logit), ema=0.99)
    optimizer = lambda: keras.optimizers.Adam(3e-3, beta_1=0.0, beta_2=0.99)  # noqa: E731
    model.compile(optimizer(), optimizer(), loss=losses.relativistic, r1=0.1, r2=0.1)
    before = np.abs(model.reconstruct(x) - x).mean()
    model.fit(x, steps=3000, batch_size=50)
    assert np.abs(model.reconstruct(x) - x).mean() < before / 3
    assert abs(np.corrcoef(model.encode(x)[:, 0], z[:, 0])[0, 1]) > 0.95


def test_split_and_reloaded_training_ends_in_the_same_bits(tmp_path):
    assert_goes_on_when_reloaded(make(ema=0.9), tmp_path, X, batch_size=10)


def test_use():
    model = make(ema=0.9)
    codes = model.encode(X[:7])
    assert codes.shape == (7, 3) and model.generate(4, seed=0).shape == (4, 4, 4, 1)
    np.testing.assert_array_equal(model.reconstruct(X[:7]), model.generate(z=codes))


@pytest.mark.parametrize(("images", "sentence"), bad_images(X))
def test_images_that_do_not_fit(images, sentence):
    for use in (make().encode, make().reconstruct, lambda x: make().fit(x, steps=1)):
        with pytest.raises(ValueError, match=sentence):
            use(images)


@pytest.mark.parametrize(
    ("networks", "sentence"),
    [
        ((generator(), encoder(4), discriminator()), "the encoder must lead from"),
        ((generator(), generator(), discriminator()), "the encoder must lead from"),
        ((generator(), encoder(), discriminator(4)), r"must take \[x, z\]"),
        ((generator(), encoder(), keras.Sequential([encoder(), layers.Dense(1)])), r"must take \[x, z\]"),
        ((generator(), encoder(), discriminator(activation="sigmoid")), "logits"),
    ],
)
def test_networks_that_do_not_fit(networks, sentence):
    with pytest.raises(ValueError, match=sentence):
        BiGAN(*networks)
