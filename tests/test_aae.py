"""Adversarial autoencoders: the priors, the algorithms, what they learn, what they refuse."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from gan_helpers import losses
from gan_helpers.models.aae import (
    AdversarialAutoencoder,
    LabelAAE,
    SemiSupervisedAAE,
    category_and_style,
    gaussian,
    petals,
    swiss_roll,
)
from gan_helpers.models.augment import random_affine
from tests.test_training import adam, assert_goes_on_when_reloaded, assert_same_step, bad_images, same

RNG = np.random.default_rng(0)
X = RNG.uniform(size=(120, 4, 4, 1)).astype(np.float32)
LABELS = RNG.integers(0, 3, 120)


def encoder(dim=2):
    return keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(dim)])


def decoder(dim=2, activation="sigmoid"):
    return keras.Sequential([keras.Input((dim,)), layers.Dense(16, activation=activation), layers.Reshape((4, 4, 1))])


def judge(dim=2, end=None):
    return keras.Sequential([keras.Input((dim,)), layers.Dense(8, activation="tanh"), layers.Dense(1, activation=end)])


def judge_of_pairs(dim=2, told=4):
    code, label = keras.Input((dim,)), keras.Input((told,))
    return keras.Model([code, label], layers.Dense(1)(layers.Dense(8, "tanh")(layers.Concatenate()([code, label]))))


def encoder_of_two(classes=3, style=2):
    x = keras.Input((4, 4, 1))
    h = layers.Flatten()(x)
    return keras.Model(x, layers.Concatenate()([layers.Dense(classes, "softmax")(h), layers.Dense(style)(h)]))


def make(ema=None, seed=0, **compiled):
    keras.utils.set_random_seed(0)
    model = AdversarialAutoencoder(encoder(), decoder(), judge(), classes=3, ema=ema, seed=seed)
    model.compile(adam(), adam(), **compiled)
    return model


def make_labelled(ema=None, seed=0, **compiled):
    keras.utils.set_random_seed(0)
    model = LabelAAE(encoder(), decoder(), judge_of_pairs(), classes=3, ema=ema, seed=seed)
    model.compile(adam(), adam(), **compiled)
    return model


def make_semi(ema=None, seed=0, **compiled):
    keras.utils.set_random_seed(0)
    model = SemiSupervisedAAE(encoder_of_two(), decoder(5), judge(5), classes=3, ema=ema, seed=seed)
    model.compile(adam(), adam(), adam(), **{"transform": random_affine, **compiled})
    return model


def sample(prior, dim, n=60_000, classes=6, **options):
    z = np.random.default_rng(0).standard_normal((n, dim)).astype(np.float32)
    k = np.arange(n) % classes
    return z, k, prior(tf.constant(z), tf.constant(k), classes, **options).numpy()


# --- priors


def test_petals_lie_where_the_recipe_says():
    """Turned back by the angle of its petal, each code has mean (1.4, 0) and deviations 0.3 and 0.05."""
    _, k, codes = sample(petals, 4)
    for plane in (codes[:, :2], codes[:, 2:]):  # a flower in each pair of coordinates
        back = (plane[:, 0] + 1j * plane[:, 1]) * np.exp(-2j * np.pi * k / 6)
        for petal in range(6):
            mine = back[k == petal]
            np.testing.assert_allclose([mine.real.mean(), mine.imag.mean()], [1.4, 0], atol=0.01)
            np.testing.assert_allclose([mine.real.std(), mine.imag.std()], [0.3, 0.05], atol=0.01)


def test_swiss_roll_is_a_band_with_equal_parts():
    _, k, codes = sample(swiss_roll, 2)
    distance = np.linalg.norm(codes, axis=1)
    angle = 3 * np.pi * np.clip(distance / 2, 0, 1)
    turned = np.angle((codes[:, 0] + 1j * codes[:, 1]) * np.exp(-1j * angle))
    middle = distance > 0.7  # near the origin a deviation of 0.05 is a large angle
    assert np.abs(turned[middle]).std() < 0.4
    # Classes follow one another outwards, and each has its part of the squared radius.
    for part in range(6):
        assert np.quantile(distance[k == part], 0.05) > 2 * np.sqrt(part / 6) - 0.12
        assert np.quantile(distance[k == part], 0.95) < 2 * np.sqrt((part + 1) / 6) + 0.12


def test_gaussian_is_the_noise_and_a_category_is_one_hot():
    z, k, codes = sample(gaussian, 3)
    np.testing.assert_array_equal(codes, z)
    z, k, codes = sample(category_and_style, 9)
    np.testing.assert_array_equal(codes[:, :6], np.eye(6)[k])
    np.testing.assert_array_equal(codes[:, 6:], z[:, 6:])


@pytest.mark.parametrize(
    ("prior", "dim", "sentence"),
    [(petals, 3, "even number"), (swiss_roll, 3, "2 code dimensions"), (category_and_style, 6, "more than 6")],
)
def test_priors_refuse_other_dimensions(prior, dim, sentence):
    with pytest.raises(ValueError, match=sentence):
        sample(prior, dim, n=12)
    with pytest.raises(ValueError, match=sentence):
        AdversarialAutoencoder(encoder(dim), decoder(dim), judge(dim), prior=prior, classes=6)


# --- the algorithms


def test_a_step_is_the_algorithm():
    """By hand: the discriminator tells prior from codes; encoder and decoder copy, and the encoder deceives."""
    options = {"loss": losses.non_saturating, "adversarial_weight": 0.2, "r1": 0.0, "r2": 0.0, "d_steps": 1}
    model, twin = make(**options), make(**options)
    x = tf.constant(X[:6])
    c = tf.constant(sample(petals, 2, n=6, classes=3)[2])
    model.draw_prior = lambda k: c
    found = model.train_step(x)

    entropy = tf.nn.sigmoid_cross_entropy_with_logits
    one, zero = tf.ones((6, 1)), tf.zeros((6, 1))
    with tf.GradientTape() as tape:
        d_loss = tf.reduce_mean(entropy(one, twin.discriminator(c)))
        d_loss += tf.reduce_mean(entropy(zero, twin.discriminator(twin.encoder(x))))
    weights = twin.discriminator.trainable_variables
    twin.d_optimizer.apply(tape.gradient(d_loss, weights), weights)
    with tf.GradientTape() as tape:
        codes = twin.encoder(x)
        again = twin.decoder(codes)
        copied = -tf.reduce_mean(x * tf.math.log(again) + (1 - x) * tf.math.log(1 - again))
        deceived = tf.reduce_mean(entropy(one, twin.discriminator(codes)))
        total = copied + 0.2 * deceived
    weights = twin.encoder.trainable_variables + twin.decoder.trainable_variables
    twin.ae_optimizer.apply(tape.gradient(total, weights), weights)

    wanted = {"reconstruction_loss": copied, "d_loss": d_loss, "g_loss": deceived}
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4)
    assert_same_step(model, twin)


@pytest.mark.parametrize("option", [{"adversarial_weight": 0.0}, {"r1": 9.0}, {"r2": 9.0}, {"d_steps": 2}])
def test_every_option_counts(option):
    plain, changed = make(), make(**option)
    for model in (plain, changed):
        model.train_step(tf.constant(X[:12]))
    assert not same(plain, changed)


def test_the_judge_hears_the_label_or_that_there_is_none():
    """Half of a batch comes with labels, the other half, from all images, with the class after the last."""
    model = make_labelled()
    labels = np.where(np.arange(120) < 30, LABELS, -1)
    x, told = model.draw_batch(tuple(map(tf.constant, model.check_data((X, labels)))), 1000)
    which = np.array([np.flatnonzero((image == X).all(axis=(1, 2, 3)))[0] for image in x.numpy()])
    assert (told.numpy()[1::2] == 3).all() and len(np.unique(which[1::2])) == 120
    assert (told.numpy()[::2] == labels[which[::2]]).all() and set(which[::2]) == set(range(30))
    seen, prior = [], model.draw_prior
    model.draw_prior = lambda k: seen.append(k) or prior(k)
    model.train_step((x[:30], told[:30]))
    k, heard = seen[0].numpy(), told[:10].numpy()
    assert (k[heard < 3] == heard[heard < 3]).all() and k.max() < 3  # a sample of the petal that is named


def blobs(n, seed):
    """Three kinds of images, each bright in rows of its own: what any encoder can sort."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    x = 0.2 * rng.uniform(size=(n, 4, 4, 1))
    x[np.arange(n), kind] += 0.6
    return x.astype(np.float32), kind


def faster(model, *optimizers):
    for optimizer in optimizers:
        optimizer.learning_rate = 5e-3
    return model


def test_codes_become_the_prior():
    """The mean distance of codes from the middle of their petal falls to what the prior itself has."""
    x, _ = blobs(600, 0)
    model = make(ema=0.99)
    faster(model, model.ae_optimizer, model.d_optimizer)
    middles = sample(petals, 2, n=3, classes=3)[2] * 0 + 1.4 * np.stack(
        [[np.cos(a), np.sin(a)] for a in 2 * np.pi * np.arange(3) / 3]
    )
    away = lambda codes: np.linalg.norm(codes[:, None] - middles, axis=2).min(axis=1).mean()  # noqa: E731
    before = away(model.encode(x))
    model.fit(x, steps=1500, batch_size=30)
    assert away(model.encode(x)) < 1.5 * away(model.sample_prior(600, seed=0)) < before
    assert np.abs(model.reconstruct(x) - x).mean() < 0.15


def test_a_few_labels_name_the_petals():
    x, kind = blobs(600, 0)
    labels = np.where(np.arange(600) < 60, kind, -1)
    model = make_labelled(ema=0.99)
    faster(model, model.ae_optimizer, model.d_optimizer)
    model.fit(x, labels, steps=1500, batch_size=30)
    other, truth = blobs(200, 1)
    assert (model.predict_digit(other) == truth).mean() > 0.95
    made = model.generate(classes=np.repeat(np.arange(3), 20), seed=0)
    assert (made.mean(axis=(2, 3)).argmax(axis=1) == np.repeat(np.arange(3), 20)).mean() > 0.9


def test_a_category_is_learnt_from_few_labels():
    x, kind = blobs(600, 0)
    labels = np.where(np.arange(600) < 12, kind, -1)
    model = make_semi(ema=0.99, transform=lambda x, seed: x, d_steps=1, adversarial_weight=0.1)
    faster(model, model.ae_optimizer, model.d_optimizer, model.label_optimizer)
    model.fit(x, labels, steps=600, batch_size=20)
    other, truth = blobs(200, 1)
    assert (model.predict_digit(other) == truth).mean() > 0.95
    assert model.encode(other)[:, 3:].std() > 0.3  # and the style is in use


@pytest.mark.parametrize("option", [{"vat_weight": 0.0}, {"radius": 0.1}, {"transform": lambda x, seed: x}])
def test_every_option_of_the_labels_counts(option):
    plain, changed = make_semi(), make_semi(**option)
    for model in (plain, changed):
        model.train_step((tf.constant(X[:12]), tf.constant(X[12:18]), tf.constant(LABELS[12:18])))
    assert not same(plain, changed)


@pytest.mark.parametrize("kind", [make, make_labelled, make_semi])
def test_split_and_reloaded_training_ends_in_the_same_bits(kind, tmp_path):
    data = (X,) if kind is make else (X, np.where(LABELS == 1, -1, LABELS))
    model = kind(ema=0.9)
    loaded = assert_goes_on_when_reloaded(model, tmp_path, *data, batch_size=12)
    assert loaded.prior is model.prior


# --- use


def test_use():
    model = make(ema=0.9)
    codes = model.encode(X[:7])
    assert codes.shape == (7, 2) and model.decode(codes).shape == (7, 4, 4, 1)
    np.testing.assert_array_equal(model.decode(codes), model.reconstruct(X[:7]))
    np.testing.assert_array_equal(model.generate(5, seed=1), model.generate(5, seed=1))
    k = np.array([0, 2, 1])
    np.testing.assert_array_equal(
        model.generate(classes=k, seed=1), model.decode(model.sample_prior(classes=k, seed=1))
    )


def test_digits_are_read_from_the_nearest_petal():
    model = make_labelled()
    codes = model.sample_prior(classes=np.repeat(np.arange(3), 50), seed=0)
    model.encode = lambda images: codes
    np.testing.assert_array_equal(model.predict_digit(X), np.repeat(np.arange(3), 50))


# --- what is refused


@pytest.mark.parametrize(("images", "sentence"), bad_images(X))
def test_images_that_do_not_fit(images, sentence):
    for use in (make().encode, make().reconstruct, lambda x: make().fit(x, steps=1)):
        with pytest.raises(ValueError, match=sentence):
            use(images)


def test_codes_that_do_not_fit():
    model = make()
    model.decode(model.sample_prior(5000, seed=0))  # all samples of the prior are inside the plane
    for codes, sentence in (
        (np.zeros((3, 4)), r"shape \(n, 2\)"),
        (np.full((3, 2), np.nan), "finite"),
        ([[9.0, 0.0]], "within 3.* of the origin"),
    ):
        with pytest.raises(ValueError, match=sentence):
            model.decode(codes)


@pytest.mark.parametrize("kind", [make_labelled, make_semi])
@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (LABELS + 1, "between 0 and 2, not between 1 and 3"),
        (np.where(LABELS == 0, -2, LABELS), "not between -2 and 2"),
        (np.full(120, -1), "no image has a label"),
        (LABELS[:50], "one label for each image"),
        (LABELS.astype(float), "an integer"),
    ],
)
def test_labels_that_do_not_fit(kind, labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        kind().fit(X, labels, steps=1)


@pytest.mark.parametrize(
    ("prior", "sentence"),
    [
        (lambda z, k, classes: z * np.nan, "NaN or infinity"),
        (lambda z, k, classes: z[:, :1], r"shape \(n, 2\)"),
        (lambda z, k, classes: z[:5], "one for each row"),
    ],
)
def test_priors_that_do_not_fit(prior, sentence):
    with pytest.raises(ValueError, match=sentence):
        AdversarialAutoencoder(encoder(), decoder(), judge(), prior=prior)


@pytest.mark.parametrize(
    ("kind", "networks", "sentence"),
    [
        (AdversarialAutoencoder, (encoder(3), decoder(), judge()), "both must be the same"),
        (AdversarialAutoencoder, (encoder(), decoder(activation="tanh"), judge()), "must end in a sigmoid"),
        (AdversarialAutoencoder, (encoder(), decoder(), judge(3)), "must take codes of shape"),
        (AdversarialAutoencoder, (encoder(), decoder(), judge(end="sigmoid")), "logits"),
        (LabelAAE, (encoder(), decoder(), judge()), "must take two inputs"),
        (LabelAAE, (encoder(), decoder(), judge_of_pairs(told=6)), "one place for unlabelled"),
        (SemiSupervisedAAE, (encoder(14), decoder(14), judge(14)), "must be probabilities"),
    ],
)
def test_networks_that_do_not_fit(kind, networks, sentence):
    with pytest.raises(ValueError, match=sentence):
        kind(*networks)


def test_compile_refuses_what_cannot_work():
    optimizer = adam()
    with pytest.raises(ValueError, match="separate optimizers"):
        make().compile(optimizer, optimizer)
    with pytest.raises(ValueError, match="d_steps"):
        make(d_steps=1.5)
    with pytest.raises(ValueError, match="separate optimizers"):
        make_semi().compile(optimizer, adam(), optimizer, random_affine)
