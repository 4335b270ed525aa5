"""The conditional GAN: the algorithm, what it learns, what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from gan_helpers import data, losses, widgets
from gan_helpers.models.conditional import ConditionalGAN
from tests.test_training import adam, assert_goes_on_when_reloaded, assert_same_step, same

X, Y = (part[:600] for part in data.mnist())
BAD_IMAGES = [
    (np.zeros((600, 14, 14, 1), np.float32), "must have shape"),
    (255 * X, r"must lie in \[0, 1\]"),
    (np.full_like(X, np.nan), "NaN"),
]
MEANS = np.float32([[-2, 0], [2, 1], [0, -3]])  # of three classes of points


def image_pair(latent=8, classes=10):
    z, c = keras.Input((latent,)), keras.Input((classes,))
    h = layers.Dense(16, activation="relu")(layers.Concatenate()([z, c]))
    x_fake = layers.Reshape((28, 28, 1))(layers.Dense(784, activation="sigmoid")(h))
    x, c_too = keras.Input((28, 28, 1)), keras.Input((classes,))
    h = layers.Dense(16, activation="relu")(layers.Concatenate()([layers.Flatten()(x), c_too]))
    generator = keras.Model([z, c], x_fake, name="generator")
    return generator, keras.Model([x, c_too], layers.Dense(1)(h), name="discriminator")


def point_pair():
    z, c, x = keras.Input((2,)), keras.Input((3,)), keras.Input((2,))
    h = layers.Dense(32, activation="relu")(layers.Concatenate()([z, c]))
    opinions = layers.Dense(3)(layers.Dense(32, activation="relu")(x))
    generator = keras.Model([z, c], layers.Dense(2)(h), name="generator")
    return generator, keras.Model([x, c], layers.Dot(axes=1)([opinions, c]), name="discriminator")


def make(pair=image_pair, ema=None, **compiled):
    keras.utils.set_random_seed(0)
    model = ConditionalGAN(*pair(), ema=ema)
    model.compile(adam(), adam(), **compiled)
    return model


def test_a_step_is_the_algorithm_with_a_condition():
    """By hand: D sees real and generated samples of the same classes, then G moves against the new D."""
    model, twin = make(point_pair), make(point_pair)
    x, labels = tf.constant(MEANS[[0, 1, 2, 1]]), tf.constant([0, 1, 2, 1])
    codes = [tf.random.stateless_normal((4, 2), [0, i]) for i in range(2)]
    given = iter(codes)
    model.draw_z = lambda n: next(given)
    model.train_step((x, labels))

    c, generator, discriminator = tf.one_hot(labels, 3), twin.generator, twin.discriminator
    with tf.GradientTape() as tape:
        d_loss, _ = losses.non_saturating(discriminator([x, c]), discriminator([generator([codes[0], c]), c]))
    twin.d_optimizer.apply(tape.gradient(d_loss, discriminator.trainable_variables))
    with tf.GradientTape() as tape:
        fake = discriminator([generator([codes[1], c]), c])
        _, g_loss = losses.non_saturating(fake, fake)
    twin.g_optimizer.apply(tape.gradient(g_loss, generator.trainable_variables))
    assert_same_step(model, twin)


def test_k_discriminator_steps_use_k_batches_with_their_labels():
    model = make(point_pair, d_steps=3)
    seen = []
    model.discriminator_step = lambda x, c, z: seen.append((x.numpy(), c.numpy().argmax(axis=1))) or 0.0
    labels = np.arange(12) % 3
    model.train_step((tf.constant(MEANS[labels]), tf.constant(labels)))
    assert len(seen) == 3
    assert all(np.array_equal(x, MEANS[c]) for x, c in seen)  # each sample still has its own label


@pytest.mark.parametrize("penalty", ["r1", "r2", "gradient_penalty"])
def test_penalties_look_at_the_judge_with_its_condition(penalty):
    plain, penalised = make(point_pair), make(point_pair, **{penalty: 10.0})
    labels = np.arange(600) % 3
    for model in (plain, penalised):
        model.fit(MEANS[labels], labels, steps=5, batch_size=30)
    assert not same(plain, penalised)


def test_learns_which_class_is_where():
    model = make(point_pair, ema=0.99, loss=losses.relativistic, r1=0.1, r2=0.1)
    labels = np.arange(3000) % 3
    x = (MEANS[labels] + 0.2 * np.random.default_rng(0).standard_normal((3000, 2))).astype(np.float32)
    model.d_optimizer.learning_rate = model.g_optimizer.learning_rate = 5e-3
    model.fit(x, labels, steps=1500, batch_size=100)
    asked = np.repeat([0, 1, 2], 500)
    samples = model.generate(asked, seed=1)
    nearest = np.linalg.norm(samples[:, None] - MEANS, axis=2).argmin(axis=1)
    assert np.mean(nearest == asked) > 0.98


def test_split_and_reloaded_training_ends_in_the_same_bits(tmp_path):
    assert_goes_on_when_reloaded(make(ema=0.9), tmp_path, X, Y, batch_size=50)


def test_generate():
    model = make()
    images = model.generate([7, 1, 7], seed=3)
    assert images.shape == (3, 28, 28, 1) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1
    assert np.array_equal(images, model.generate(np.array([7, 1, 7]), seed=3))
    z = np.zeros((2, 8))
    assert not np.array_equal(*model.generate([0, 1], z=z))
    np.testing.assert_allclose(model(z.astype(np.float32), np.array([0, 1])), model.generate([0, 1], z=z), atol=1e-6)


def follows_its_selector(model, name):
    """Assert that the explorer of `model` has one selector, of that name, and that it changes the picture."""
    explorer = widgets.LatentExplorer(model)
    before = bytes(explorer.picture.value)
    assert list(explorer.selectors) == [name] and not explorer.problem.value
    explorer.selectors[name].value = 4
    assert bytes(explorer.picture.value) != before and not explorer.problem.value


def test_plugs_into_the_explorer():
    follows_its_selector(make(), "labels")


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0, 10], "between 0 and 9"),
        ([-1], "between 0 and 9"),
        ([1.0, 2.0], "must be integers"),
        (np.eye(10)[[1, 2]], "argmax"),
        (np.eye(10, dtype=int)[[1, 2]], "argmax"),
        ([], "must be integers"),
        (["3"], "must be integers"),
    ],
)
def test_labels_that_are_no_classes(labels, sentence):
    model = make()
    with pytest.raises(ValueError, match=sentence):
        model.generate(labels)
    with pytest.raises(ValueError, match=sentence):
        model.fit(X[: len(labels) or 1], labels, steps=1, batch_size=1)


def test_codes_and_labels_must_be_equally_many():
    model = make()
    for labels, n in (([1, 2, 3], 2), ([1], 2)):
        with pytest.raises(ValueError, match="one code z for each label"):
            model.generate(labels, z=np.zeros((n, 8)))
    with pytest.raises(ValueError, match="finite numbers of shape"):
        model.generate([1], z=np.full((1, 8), np.nan))
    with pytest.raises(ValueError, match="one label for each image"):
        model.fit(X, Y[:-1], steps=1)


@pytest.mark.parametrize(("x", "sentence"), BAD_IMAGES)
def test_images_that_do_not_fit(x, sentence):
    with pytest.raises(ValueError, match=sentence):
        make().fit(x, Y, steps=1)


def test_networks_that_do_not_take_a_condition():
    generator = image_pair()[0]
    single = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(1)], name="discriminator")
    with pytest.raises(ValueError, match="two inputs"):
        ConditionalGAN(generator, single)
    with pytest.raises(ValueError, match="of classes"):
        ConditionalGAN(generator, image_pair(classes=9)[1])
