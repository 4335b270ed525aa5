"""InfoGAN: the algorithm, what it learns, what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy.special import softmax

from gan_helpers import losses
from gan_helpers.models.augment import random_affine
from gan_helpers.models.infogan import InfoGAN
from tests.test_conditional import BAD_IMAGES, X, follows_its_selector
from tests.test_training import adam, assert_goes_on_when_reloaded, assert_same_step, same


def image_trio(latent=8, categories=10, codes=2, learnt=False):
    """A generator, and a discriminator and a recogniser that share their first layer."""
    generator = keras.Sequential(
        [
            keras.Input((latent + categories + codes,)),
            layers.Dense(16, activation="relu"),
            layers.Dense(784, activation="sigmoid"),
            layers.Reshape((28, 28, 1)),
        ]
    )
    x = keras.Input((28, 28, 1))
    h = layers.Dense(16, activation="relu")(layers.Flatten()(x))
    discriminator = keras.Model(x, layers.Dense(1)(h), name="discriminator")
    outputs = categories + codes * (2 if learnt else 1)
    return generator, discriminator, keras.Model(x, layers.Dense(outputs)(h), name="recogniser")


def make(trio=image_trio, categories=10, codes=2, ema=None, learnt=False, **compiled):
    keras.utils.set_random_seed(0)
    model = InfoGAN(*trio(categories=categories, codes=codes, learnt=learnt), categories, codes, ema=ema)
    model.compile(adam(), adam(), adam(), **compiled)
    return model


def test_a_step_is_the_algorithm():
    """By hand: D's step, then G and Q move against one L_I; instance noise and the transform are left out."""
    model, twin = make(category_weight=0.7, code_weight=0.3), make()
    x = tf.constant(X[:4])
    given = [twin.draw_z(4) for _ in range(2)]
    queue = iter(given)
    model.draw_z = lambda n: next(queue)
    model.train_step(x)

    generator, discriminator, recogniser = twin.generator, twin.discriminator, twin.recogniser
    with tf.GradientTape() as tape:
        d_loss, _ = losses.non_saturating(discriminator(x), discriminator(generator(given[0])))
    twin.d_optimizer.apply(tape.gradient(d_loss, discriminator.trainable_variables))
    category, codes = given[1][:, 8:18], given[1][:, 18:]
    with tf.GradientTape(persistent=True) as tape:
        x_fake = generator(given[1])
        _, g_loss = losses.non_saturating(discriminator(x), discriminator(x_fake))
        out = recogniser(x_fake)
        log_q_category = tf.reduce_sum(category * tf.nn.log_softmax(out[:, :10]), axis=1)
        log_q_codes = tf.reduce_sum(-0.5 * (codes - out[:, 10:]) ** 2 - 0.5 * np.log(2 * np.pi), axis=1)
        q_loss = -tf.reduce_mean(0.7 * log_q_category + 0.3 * log_q_codes)
        g_total = g_loss + q_loss
    twin.g_optimizer.apply(tape.gradient(g_total, generator.trainable_variables), generator.trainable_variables)
    twin.q_optimizer.apply(tape.gradient(q_loss, recogniser.trainable_variables), recogniser.trainable_variables)
    assert_same_step(model, twin)


def test_codes_are_drawn_from_their_prior():
    model = make()
    drawn = model.draw_z(4000).numpy()
    z, category, codes = drawn[:, :8], drawn[:, 8:18], drawn[:, 18:]
    assert abs(z.mean()) < 0.03 and abs(z.std() - 1) < 0.03
    assert set(np.unique(category)) == {0, 1} and (category.sum(axis=1) == 1).all()
    assert abs(category.mean(axis=0) - 0.1).max() < 0.03
    assert -1 <= codes.min() < -0.99 < 0.99 < codes.max() <= 1 and abs(codes.mean()) < 0.05


def test_a_learnt_deviation_is_the_spread_of_what_cannot_be_known():
    """A code plus noise of deviation s: the best Q says it knows the code to about s."""
    model = make(learnt=True, categories=0, codes=1, code_weight=1.0)
    dense = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(2)])
    rng = np.random.default_rng(0)
    code = rng.uniform(-1, 1, 1000).astype(np.float32)
    images = np.zeros((1000, 28, 28, 1), np.float32)
    images[:, 0, 0, 0] = code + 0.2 * rng.standard_normal(1000)
    model.recogniser = dense
    optimizer = keras.optimizers.Adam(0.02)
    optimizer.build(dense.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = model.negative_log_likelihood(tf.constant(images), tf.constant(code[:, None]))
        optimizer.apply(tape.gradient(loss, dense.trainable_variables), dense.trainable_variables)

    for _ in range(300):
        step()
    deviation = np.exp(dense.predict(images, verbose=0)[:, 1])
    assert abs(np.median(deviation) - 0.2) < 0.03


@pytest.mark.parametrize("option", [{"instance_noise": 1.0}, {"transform": random_affine}])
def test_instance_noise_and_transform_reach_what_q_reads(option):
    plain, changed = make(), make(**option)
    for model in (plain, changed):
        model.fit(X, steps=3, batch_size=20)
    assert not same(plain, changed)


def test_weights_of_codes_can_change_between_two_fits():
    """A code without weight teaches Q nothing; once it has some, it does."""
    weights = tf.Variable([1.0, 0.0])
    model = make(categories=0, code_weight=weights)
    head = model.recogniser.layers[-1]
    before = head.get_weights()[1]
    model.fit(X, steps=3, batch_size=20)
    alone = head.get_weights()[1]
    assert alone[0] != before[0] and alone[1] == before[1]
    weights.assign([1.0, 1.0])
    model.fit(X, steps=3, batch_size=20)
    assert head.get_weights()[1][1] != alone[1]


def test_what_q_learns_from_real_images_is_the_sum_of_what_is_asked_for():
    """Nothing in the paper; agreement counts negative, since it is to grow."""
    x, found = tf.constant(X[:20]), {}
    for weights in ((0.0, 0.0), (2.0, 0.0), (0.0, 3.0), (2.0, 3.0)):
        model = make(transform=random_affine, agreement_weight=weights[0], vat_weight=weights[1])
        model._draws = 0
        found[weights] = float(model.clustering_loss(x))
    assert found[0.0, 0.0] == 0 and found[0.0, 3.0] > 0
    assert found[2.0, 0.0] + found[0.0, 3.0] == pytest.approx(found[2.0, 3.0], abs=1e-5)


def test_the_loss_of_codes_that_are_read_without_error_is_zero():
    """The constant of the Gaussian is left out, so that a weight does not lift the curve."""
    model = make(categories=0, code_weight=25.0)
    codes = tf.constant([[0.5, -0.25]])
    model.read = lambda x: (None, codes, tf.zeros_like(codes))
    assert float(model.negative_log_likelihood(tf.zeros((1, 28, 28, 1)), codes)) == 0


def test_agreement_is_the_information_between_two_views():
    model = make(transform=lambda x, seed: x, agreement_weight=2.0)
    logits = {"each": 20.0 * np.eye(10), "one": np.tile(20.0 * np.eye(10)[:1], (10, 1)), "unsure": np.zeros((10, 10))}
    wanted = {"each": np.log(10), "one": 0.0, "unsure": 0.0}
    for name, values in logits.items():
        model.read = lambda x, values=values: (tf.constant(values, tf.float32), None, None)
        np.testing.assert_allclose(model.agreement(*tf.zeros((2, 10, 28, 28, 1))), wanted[name], atol=1e-4)
    # Views that disagree: the same category half of the time, and any of the ten otherwise.
    eye = np.eye(10).repeat(10, axis=0)
    views = iter([eye, 0.5 * eye + 0.05])
    model.read = lambda x: (tf.constant(np.log(next(views) + 1e-9), tf.float32), None, None)
    joint = (0.5 * np.eye(10) + 0.05) / 10
    information = (joint * np.log(100 * joint)).sum()
    np.testing.assert_allclose(model.agreement(*tf.zeros((2, 100, 28, 28, 1))), information, atol=1e-4)


def test_balance_is_how_often_agreement_counts_the_entropy_of_the_shares():
    share = np.arange(1, 11) / 55
    p = np.eye(10)[np.repeat(np.arange(10), np.arange(1, 11))]  # 55 images, surely read, some categories rare
    entropy = -(share * np.log(share)).sum()
    for balance in (1.0, 3.0):
        model = make(transform=lambda x, seed: x, agreement_weight=1.0, balance=balance)
        model.read = lambda x: (tf.constant(30 * p, tf.float32), None, None)
        found = float(model.agreement(*tf.zeros((2, 55, 28, 28, 1))))
        assert found == pytest.approx((2 * balance - 1) * entropy, abs=1e-4)


def test_virtual_adversarial_loss_is_the_kl_after_the_worst_step():
    """Where Q's logits are a known linear function of the image, the worst direction is known, too."""
    model = make(transform=random_affine, vat_weight=1.0, radius=2.0)
    slope = np.zeros((784, 10), np.float32)
    slope[300, 0] = 1.0  # one pixel speaks for category 0, no other pixel says anything
    model.read = lambda x: (tf.reshape(x, (-1, 784)) @ slope, None, None)
    x = np.full((4, 28, 28, 1), 0.25, np.float32)
    p, up, down = (softmax(np.eye(10)[0] * value) for value in (0.25, 2.25, -1.75))
    possible = [(p * np.log(p / q)).sum() for q in (up, down)]  # the sign is that of the random start
    found = float(model.virtual_adversarial(tf.constant(x)))
    mixtures = [(k * possible[0] + (4 - k) * possible[1]) / 4 for k in range(5)]
    assert min(abs(found - mixture) for mixture in mixtures) < 1e-4
    model.radius = 0.0
    assert abs(float(model.virtual_adversarial(tf.constant(x)))) < 1e-6


def test_random_affine_moves_each_image_a_little():
    x = tf.constant(X[:50])
    moved = random_affine(x, [1, 2]).numpy()
    assert moved.shape == x.shape and moved.min() >= 0 and moved.max() <= 1 + 1e-6
    assert np.array_equal(moved, random_affine(x, [1, 2])) and not np.array_equal(moved, random_affine(x, [1, 3]))
    np.testing.assert_allclose(random_affine(x, [1, 2], stretch=0.0, slant=0.0, tilt=0.0, shift=0.0), x, atol=1e-6)
    # A bright square keeps its ink; its centre moves by at most the shift.
    square = np.zeros((200, 28, 28, 1), np.float32)
    square[:, 11:17, 11:17] = 1
    moved = random_affine(tf.constant(square), [3, 4], stretch=0.0, slant=0.0, tilt=0.0, shift=3.0).numpy()[..., 0]
    np.testing.assert_allclose(moved.sum(axis=(1, 2)), 36, rtol=1e-4)
    centres = np.array([(moved.sum(axis=axis) @ np.arange(28)) / 36 - 13.5 for axis in (1, 2)])
    assert abs(centres).max() <= 3.001 and abs(centres.std() - 3 / np.sqrt(3)) < 0.15


def test_learns_codes_that_can_be_read():
    """Three clusters without labels: each category becomes one of them, and Q finds it in the data."""
    rng = np.random.default_rng(0)
    centres = np.float32([[-2, 0], [2, 1], [0, -3]])
    cluster = rng.integers(0, 3, 3000)
    x = (centres[cluster] + 0.2 * rng.standard_normal((3000, 2))).astype(np.float32)
    keras.utils.set_random_seed(0)
    generator = keras.Sequential([keras.Input((5,)), layers.Dense(32, activation="relu"), layers.Dense(2)])
    critic, reader = (
        keras.Sequential([keras.Input((2,)), layers.Dense(32, activation="relu"), layers.Dense(outputs)])
        for outputs in (1, 3)
    )
    model = InfoGAN(generator, critic, reader, categories=3, codes=0, ema=0.99)
    model.compile(adam(5e-3), adam(5e-3), adam(5e-3), loss=losses.relativistic, r1=0.1, r2=0.1)
    model.fit(x, steps=1500, batch_size=100)
    made = model.generate(600, category=np.arange(600) % 3, seed=0)
    probabilities, codes = model.infer(made)
    assert codes.shape == (600, 0)
    assert np.mean(probabilities.argmax(axis=1) == np.arange(600) % 3) > 0.98


def test_split_and_reloaded_training_ends_in_the_same_bits(tmp_path):
    options = {"instance_noise": 0.5, "code_weight": [0.2, 0.1], "transform": random_affine, "agreement_weight": 1.0}
    loaded = assert_goes_on_when_reloaded(make(ema=0.9, **options), tmp_path, X, batch_size=50)
    shared = {id(weight) for weight in loaded.discriminator.weights} & {
        id(weight) for weight in loaded.recogniser.weights
    }
    assert len(shared) == 2  # kernel and bias of the first layer


def test_generate_holds_what_is_given_and_draws_the_rest():
    model = make()
    images = model.generate(6, seed=3)
    assert images.shape == (6, 28, 28, 1) and images.dtype == np.float32
    assert np.array_equal(images, model.generate(6, seed=3))
    z, category, codes = np.zeros((6, 8)), np.arange(6), np.zeros((6, 2))
    fixed = model.generate(z=z, category=category, codes=codes)
    assert np.array_equal(fixed, model.generate(6, category=category, codes=[0.0, 0.0], z=z))
    assert np.array_equal(model.generate(6, category=3, seed=1), model.generate(category=np.full(6, 3), seed=1))
    # Fixing the category leaves z and codes as the seed draws them: the same hand writes something else.
    assert not np.array_equal(model.generate(1, category=3, seed=1), model.generate(1, category=4, seed=1))
    np.testing.assert_allclose(model(z, category, codes), fixed, atol=1e-6)
    two = make(categories=0)
    assert two.generate(3, codes=[[0.1, 0.2]] * 3, seed=0).shape == (3, 28, 28, 1)


def test_infer():
    probabilities, codes = make(learnt=True).infer(X[:7])
    assert probabilities.shape == (7, 10) and codes.shape == (7, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    probabilities, codes = make(categories=0).infer(X[:7])
    assert probabilities.shape == (7, 0) and codes.shape == (7, 2)


def test_plugs_into_the_explorer():
    follows_its_selector(make(), "category")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"n": 2, "codes": [[0.0, 1.01]] * 2}, r"codes must lie in \[-1, 1\]"),
        ({"n": 1, "codes": [[0.0, np.nan]]}, r"codes must lie in \[-1, 1\]"),
        ({"n": 1, "codes": [[0.0]]}, "codes must have shape"),
        ({"n": 1, "category": 10}, "between 0 and 9"),
        ({"n": 2, "category": [-1, 0]}, "between 0 and 9"),
        ({"n": 1, "category": 1.0}, "whole number"),
        ({"n": 2, "category": np.eye(10, dtype=int)[:2]}, "whole number"),
        ({"n": 2, "category": [1, 2, 3]}, "n must be"),
        ({"n": 0}, "n must be"),
        ({}, "n must be"),
        ({"n": 2, "z": np.zeros((3, 8))}, "n must be"),
        ({"n": 2, "z": np.zeros((2, 9))}, "z must be finite"),
    ],
)
def test_codes_that_do_not_exist(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        make().generate(**given)


def test_a_model_without_category_says_so():
    with pytest.raises(ValueError, match="no category"):
        make(categories=0).generate(2, category=1)


@pytest.mark.parametrize(("x", "sentence"), BAD_IMAGES)
def test_images_that_do_not_fit(x, sentence):
    for use in (lambda: make().fit(x, steps=1), lambda: make().infer(x)):
        with pytest.raises(ValueError, match=sentence):
            use()


def test_networks_that_do_not_fit():
    generator, discriminator, recogniser = image_trio()
    with pytest.raises(ValueError, match="must give 14 numbers"):
        InfoGAN(generator, discriminator, recogniser, categories=12, codes=2)
    with pytest.raises(ValueError, match="at least one number of z"):
        InfoGAN(generator, discriminator, recogniser, categories=18, codes=2)
    with pytest.raises(ValueError, match="at least one number of z"):
        InfoGAN(generator, discriminator, recogniser, categories=0, codes=0)
    small = keras.Sequential([keras.Input((14, 14, 1)), layers.Flatten(), layers.Dense(12)])
    with pytest.raises(ValueError, match="recogniser takes"):
        InfoGAN(generator, discriminator, small, categories=10, codes=2)


def test_compile_says_what_is_missing():
    model, optimizer = make(), adam()
    with pytest.raises(ValueError, match="separate optimizers"):
        model.compile(optimizer, adam(), optimizer)
    with pytest.raises(ValueError, match="need a transform"):
        model.compile(adam(), adam(), adam(), agreement_weight=1.0)
    with pytest.raises(ValueError, match="need a transform"):
        model.compile(adam(), adam(), adam(), vat_weight=1.0)
