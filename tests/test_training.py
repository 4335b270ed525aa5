"""The training loop and the GAN: repeatable, resumable, honest about what goes wrong."""

import os
import signal
import subprocess
import sys
import textwrap
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from gan_helpers import data, losses
from gan_helpers.models.gan import GAN
from gan_helpers.models.training import prefers_xla

X = data.mnist(2)[0][:600]


def dense_pair(latent=8, units=16, end="sigmoid"):
    generator = keras.Sequential(
        [
            keras.Input((latent,)),
            layers.Dense(units, activation="relu"),
            layers.Dense(784, activation=end),
            layers.Reshape((28, 28, 1)),
        ]
    )
    hidden = [layers.Flatten(), layers.Dense(units, activation="relu"), layers.Dense(1)]
    return generator, keras.Sequential([keras.Input((28, 28, 1)), *hidden])


def conv_pair():
    generator = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(7 * 7 * 8),
            layers.Reshape((7, 7, 8)),
            layers.BatchNormalization(),
            layers.Conv2DTranspose(8, 4, 2, "same", activation="relu"),
            layers.Conv2DTranspose(1, 4, 2, "same", activation="sigmoid"),
        ]
    )
    hidden = [layers.Conv2D(8, 4, 2, "same", activation="relu"), layers.Dropout(0.2), layers.Flatten(), layers.Dense(1)]
    return generator, keras.Sequential([keras.Input((28, 28, 1)), *hidden])


def bad_images(x):
    """Images that no model of images `x` takes, and what is said of them."""
    return [
        (x[0], "must have shape"),
        (x * 2, r"must lie in \[0, 1\]"),
        (x * np.nan, "NaN"),
        (np.uint8(x), "must be float"),
    ]


def assert_same_step(model, twin):
    """All weights agree after a step of the model and one by hand."""
    for network, copy in zip(model.networks, twin.networks, strict=True):
        for own, other in zip(network.get_weights(), copy.get_weights(), strict=True):
            np.testing.assert_allclose(own, other, atol=1e-6)


def adam(rate=1e-3):
    return keras.optimizers.Adam(rate, beta_1=0.5)


def make(pair=dense_pair, seed=0, ema=None, **compiled):
    keras.utils.set_random_seed(seed)
    gan = GAN(*pair(), ema=ema, seed=seed)
    gan.compile(adam(), adam(), **compiled)
    return gan


def equal(a, b):
    """Two lists of arrays are the same bits."""
    return all(np.array_equal(u, v) for u, v in zip(a, b, strict=True))


def same(a, b):
    return equal(a.get_weights(), b.get_weights())


def assert_goes_on_when_reloaded(model, folder, *data, batch_size):
    """Training that is split, saved and reloaded ends in the same bits as one run. Returns the reloaded model."""
    model.save_weights(folder / "start.weights.h5")
    model.fit(*data, steps=10, batch_size=batch_size)
    whole = model.get_weights()
    model.load_weights(folder / "start.weights.h5")  # back to the start: a second model would be compiled anew
    model.fit(*data, steps=6, batch_size=batch_size)
    model.save(folder / "model.keras")
    loaded = keras.models.load_model(folder / "model.keras")
    assert same(model, loaded)
    loaded.fit(*data, steps=4, batch_size=batch_size)
    assert equal(whole, loaded.get_weights())
    return loaded


# --- right answers


@pytest.mark.xla
@pytest.mark.parametrize("pair", [dense_pair, conv_pair])
def test_two_runs_give_the_same_bits(pair):
    a, b, c = make(pair, ema=0.99), make(pair, ema=0.99), make(pair, seed=1, ema=0.99)
    history_a, history_b = a.fit(X, steps=30), b.fit(X, steps=30)
    c.fit(X, steps=30)
    assert same(a, b) and history_a.history == history_b.history
    assert not same(a, c)


@pytest.mark.parametrize("pair", [dense_pair, conv_pair])
def test_both_networks_learn(pair):
    gan = make(pair)
    before = [network.get_weights() for network in gan.networks]
    gan.fit(X, steps=3)
    for weights, network in zip(before, gan.networks, strict=True):
        assert all(not np.array_equal(a, b) for a, b in zip(weights, network.get_weights(), strict=True))


def test_a_step_is_algorithm_1():
    """One step with plain gradient descent, against slopes worked out with separate tapes."""
    keras.utils.set_random_seed(0)
    generator, discriminator = dense_pair()
    twin_g, twin_d = (keras.models.clone_model(network) for network in (generator, discriminator))
    twin_g.set_weights(generator.get_weights())
    twin_d.set_weights(discriminator.get_weights())
    gan = GAN(generator, discriminator)
    gan.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.2), r1=2.0)
    z = tf.random.normal((2, 50, 8))
    given = iter(z)
    gan.draw_z = lambda n: next(given)
    x = tf.constant(X[:50])
    logs = gan.train_step(x)

    with tf.GradientTape() as tape:
        real, fake = twin_d(x), twin_d(twin_g(z[0]))
        d_loss = tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))
        with tf.GradientTape() as inner:
            inner.watch(x)
            score = tf.reduce_sum(twin_d(x))
        total = d_loss + tf.reduce_mean(tf.reduce_sum(inner.gradient(score, x) ** 2, axis=(1, 2, 3)))
    for w, slope in zip(twin_d.trainable_variables, tape.gradient(total, twin_d.trainable_variables), strict=True):
        w.assign_sub(0.1 * slope)
    with tf.GradientTape() as tape:
        g_loss = tf.reduce_mean(tf.nn.softplus(-twin_d(twin_g(z[1]))))
    for w, slope in zip(twin_g.trainable_variables, tape.gradient(g_loss, twin_g.trainable_variables), strict=True):
        w.assign_sub(0.2 * slope)

    assert logs["d_loss"].numpy() == pytest.approx(d_loss.numpy(), rel=1e-5)
    assert logs["g_loss"].numpy() == pytest.approx(g_loss.numpy(), rel=1e-5)
    for own, his in ((generator, twin_g), (discriminator, twin_d)):
        assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(own.get_weights(), his.get_weights(), strict=True))


def test_k_discriminator_steps_use_k_batches():
    gan = make(d_steps=3)
    seen = []
    original = gan.discriminator_step
    gan.discriminator_step = lambda x, z: seen.append(x.shape) or original(x, z)
    gan.fit(X, steps=4, batch_size=20)
    assert seen == [(20, 28, 28, 1)] * 3  # traced once
    assert gan.d_optimizer.iterations.numpy() == 12 and gan.g_optimizer.iterations.numpy() == 4


def test_average_of_the_generator():
    gan = make(ema=0.5)
    first = gan.generator.get_weights()
    gan.fit(X, steps=1)
    # The first step's decay is min(0.5, 1/10): the average forgets its untrained start at once.
    for old, new, average in zip(first, gan.generator.get_weights(), gan.averaged_generator.get_weights(), strict=True):
        assert np.allclose(average, 0.1 * old + 0.9 * new, atol=1e-6)


def test_r1_counts_slopes_at_real_and_r2_at_generated_samples():
    gan = make(r1=2.0, r2=6.0)
    x, x_fake = tf.constant(X[:20]), gan(tf.random.stateless_normal((20, gan.latent_dim), (0, 1)))
    real, r1 = losses.logits_and_penalty(gan.discriminator, x, gan.r1)
    fake, r2 = losses.logits_and_penalty(gan.discriminator, x_fake, gan.r2)
    squares = []
    for images, logits in ((x, real), (x_fake, fake)):
        with tf.GradientTape() as tape:
            tape.watch(images)
            again = gan.discriminator(images, training=True)
        squares.append(float(tf.reduce_sum(tape.gradient(again, images) ** 2)) / 20)
        np.testing.assert_allclose(logits, again, rtol=1e-5)
    assert float(r1 + r2) == pytest.approx(0.5 * (2 * squares[0] + 6 * squares[1]), rel=1e-5)


@pytest.mark.parametrize("penalty", ["r1", "r2", "gradient_penalty"])
def test_penalties_change_the_training(penalty):
    plain, penalised = make(), make(**{penalty: 10.0})
    plain.fit(X, steps=5)
    penalised.fit(X, steps=5)
    assert not same(plain, penalised)


def test_learns_a_known_distribution():
    # One run in twenty strays by more than .2, which one depends on the processor: the middle of three counts.
    target = data.GaussianMixture([[3.0, -1.0]], sigma=0.5)
    hidden = {"activation": "relu"}
    errors = []
    for seed in range(3):
        keras.utils.set_random_seed(seed)
        generator = keras.Sequential([keras.Input((2,)), layers.Dense(64, **hidden), layers.Dense(2)])
        discriminator = keras.Sequential([keras.Input((2,)), layers.Dense(64, **hidden), layers.Dense(1)])
        gan = GAN(generator, discriminator, ema=0.99)
        rates = (keras.optimizers.schedules.CosineDecay(2e-3, 2000) for _ in range(2))
        gan.compile(*map(adam, rates), loss=losses.relativistic, r1=0.3, r2=0.3)
        gan.fit(target.sample(5000, seed=0), steps=2000)
        made = gan.generate(5000, seed=1)
        errors.append(np.abs([made.mean(axis=0) - [3, -1], made.std(axis=0) - 0.5]).max())
    assert np.median(errors) < 0.2


def test_history_has_means_over_epochs():
    gan = make()
    history = gan.fit(X, steps=25, steps_per_epoch=10).history
    assert history["step"] == [10, 20, 25] and len(history["d_loss"]) == len(history["g_loss"]) == 3
    single = make().fit(X, steps=10, steps_per_epoch=1).history
    assert np.mean(single["d_loss"]) == pytest.approx(history["d_loss"][0], rel=1e-5)


@pytest.mark.xla
def test_xla_for_dense_and_graph_for_convolutions():
    strategy = tf.distribute.get_strategy()
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    assert prefers_xla(dense_pair(), strategy, 10_000)
    assert prefers_xla(conv_pair(), strategy, 10_000) == on_gpu


def test_generate():
    gan = make()
    images = gan.generate(5, seed=1)
    assert images.shape == (5, 28, 28, 1) and images.dtype == np.float32
    assert np.array_equal(images, gan.generate(5, seed=1)) and not np.array_equal(images, gan.generate(5, seed=2))
    z = np.ones((2, 8))
    assert np.allclose(gan.generate(z=z), gan(z.astype("float32")), atol=1e-6)
    assert np.allclose(gan.generate(z=z), gan.predict(z, verbose=0), atol=1e-6)  # batches of other sizes
    for wrong in (0, -1, 1.5, None):
        with pytest.raises(ValueError, match="positive whole number"):
            gan.generate(wrong)
    for wrong in (np.ones((2, 9)), np.ones(8), np.full((1, 8), np.nan)):
        with pytest.raises(ValueError, match="finite numbers of shape"):
            gan.generate(z=wrong)


# --- going on: split runs, interrupts, files


@pytest.mark.xla
def test_split_training_equals_one_run():
    whole, parts = make(ema=0.99), make(ema=0.99)
    whole.fit(X, steps=30)
    parts.fit(X, steps=11)
    parts.fit(X, steps=19)
    assert same(whole, parts)


@pytest.mark.parametrize("step", [0, 1, 7, 29])
def test_interrupt_at_any_step_keeps_what_was_learned(step, capsys):
    class Interrupt(keras.callbacks.Callback):
        ended = False

        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.step.numpy()) > step:
                raise KeyboardInterrupt

        def on_train_end(self, logs=None):
            self.ended = True

    whole, parts = make(), make()
    whole.fit(X, steps=30)
    callback = Interrupt()
    history = parts.fit(X, steps=30, steps_per_epoch=1, callbacks=[callback])
    done = int(parts.step.numpy())
    assert done == step + 1 and callback.ended and len(history.history.get("step", [])) == step
    assert f"Stopped after {done} of 30 steps" in capsys.readouterr().out
    if done < 30:
        parts.fit(X, steps=30 - done)
    assert same(whole, parts)


def test_a_real_signal_in_mid_training():
    class Send(keras.callbacks.Callback):
        timer = None

        def on_train_batch_end(self, batch, logs=None):
            if self.timer is None:  # from another thread, as the kernel's signal comes from another process
                self.timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
                self.timer.start()

    whole, parts = make(), make()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with & ignores it
    try:
        parts.fit(X, steps=10_000_000, steps_per_epoch=10_000_000, callbacks=[Send()])  # would take hours
    finally:
        signal.signal(signal.SIGINT, before)
    done = int(parts.step.numpy())
    assert 0 < done < 10_000_000
    whole.fit(X, steps=done)
    assert same(whole, parts)


def test_stop_training_is_honoured():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    gan = make()
    gan.fit(X, steps=100, steps_per_epoch=5, callbacks=[Stop()])
    assert int(gan.step.numpy()) == 10
    gan.fit(X, steps=5)
    assert int(gan.step.numpy()) == 15


@pytest.mark.xla
@pytest.mark.parametrize("form", ["model.keras", "model.weights.h5"])
def test_save_reload_and_go_on(tmp_path, form):
    whole, parts = make(ema=0.99, r1=0.1), make(ema=0.99, r1=0.1)
    whole.fit(X, steps=20)
    parts.fit(X, steps=12)
    path = tmp_path / form
    if form.endswith(".keras"):
        parts.save(path)
        again = keras.models.load_model(path)
    else:
        parts.save_weights(path)
        again = make(seed=5, ema=0.99, r1=0.1)
        again.load_weights(path)
        again.seed = 0
    assert np.array_equal(parts.generate(3, seed=1), again.generate(3, seed=1))
    again.fit(X, steps=8)
    assert same(whole, again)


def test_weights_of_another_architecture(tmp_path):
    gan, other = make(), GAN(*dense_pair(units=24))
    other.compile(adam(), adam())
    other.save_weights(tmp_path / "other.weights.h5")
    before = gan.get_weights()
    with pytest.raises(ValueError, match="weights of another architecture"):
        gan.load_weights(tmp_path / "other.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(before, gan.get_weights(), strict=True))


@pytest.mark.parametrize("content", [None, b"not a weights file"])
def test_missing_or_damaged_weights(tmp_path, content):
    gan, path = make(), tmp_path / "some.weights.h5"
    if content:
        path.write_bytes(content)
    before = gan.get_weights()
    with pytest.raises((ValueError, OSError), match=r"some.weights.h5"):
        gan.load_weights(path)
    assert all(np.array_equal(a, b) for a, b in zip(before, gan.get_weights(), strict=True))


@pytest.mark.parametrize("method", ["save", "save_weights"])
def test_a_folder_that_cannot_be_written(tmp_path, method):
    gan = make()
    gan.fit(X, steps=2)
    before = gan.get_weights()
    folder = tmp_path / "locked"
    if os.geteuid() == 0:
        folder.write_text("a file where a folder is wanted: root may write anywhere else")
    else:
        folder.mkdir(mode=0o500)
    path = folder / ("model.keras" if method == "save" else "model.weights.h5")
    with pytest.raises(OSError, match=r"cannot be written.*nothing is lost"):
        getattr(gan, method)(path)
    assert all(np.array_equal(a, b) for a, b in zip(before, gan.get_weights(), strict=True))
    getattr(gan, method)(tmp_path / path.name)


def test_training_needs_no_folder_at_all(tmp_path):
    """Nothing is written while training: a read-only course works."""
    before = sorted(os.listdir("."))
    make().fit(X, steps=2)
    assert sorted(os.listdir(".")) == before


# --- bad input


def test_networks_that_do_not_fit():
    generator, discriminator = dense_pair()
    flat = keras.Sequential([keras.Input((8,)), layers.Dense(784)])
    with pytest.raises(ValueError, match=r"makes samples of shape \(784,\).*takes \(28, 28, 1\)"):
        GAN(flat, discriminator)
    squashed = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(1, activation="sigmoid")])
    with pytest.raises(ValueError, match=r"gives values in \[0, 1\] only, but the losses want logits"):
        GAN(generator, squashed)
    late = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(1), layers.Activation("sigmoid")])
    with pytest.raises(ValueError, match=r"gives values in \[0, 1\] only, but the losses want logits"):
        GAN(generator, late)
    nested = keras.Sequential([keras.Input((28, 28, 1)), squashed])
    with pytest.raises(ValueError, match=r"gives values in \[0, 1\] only, but the losses want logits"):
        GAN(generator, nested)
    for unbuilt in (keras.Sequential([layers.Dense(784)]), lambda z: z):
        with pytest.raises(ValueError, match=r"the generator must be .* begins with keras\.Input"):
            GAN(unbuilt, discriminator)
    wide = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ValueError, match="1 logit per sample"):
        GAN(generator, wide)
    with pytest.raises(ValueError, match=r"codes of shape \(n, latent_dim\)"):
        GAN(discriminator, discriminator)
    with pytest.raises(ValueError, match="ema must lie between 0 and 1"):
        GAN(generator, discriminator, ema=1.5)


def test_compile_errors():
    gan = GAN(*dense_pair())
    with pytest.raises(ValueError, match="call compile"):
        gan.fit(X, steps=1)
    shared = adam()
    with pytest.raises(ValueError, match="separate optimizers"):
        gan.compile(shared, shared)
    with pytest.raises(ValueError, match="d_steps"):
        gan.compile(adam(), adam(), d_steps=0)


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (X[:, :14], r"shape \(n, 28, 28, 1\), not \(600, 14, 28, 1\)"),
        (X.reshape(-1, 784), r"shape \(n, 28, 28, 1\), not \(600, 784\)"),
        ((X * 255).astype("uint8"), r"float in \[0, 1\], not uint8: divide 0-255 images by 255"),
        (X * 255, r"must lie in \[0, 1\].*not in \[0, 255\]"),
        (2 * X - 1, r"must lie in \[0, 1\].*not in \[-1, 1\]"),
        (np.where(X > 0.99, np.nan, X), "NaN or infinity"),
        (X[:50], "batch_size 100 is larger than the data: there are only 50 rows"),
        (X[:0], "there are no data"),
    ],
)
def test_data_that_do_not_fit(x, sentence):
    gan = make()
    gan.fit(X, steps=2)
    before = gan.get_weights()
    with pytest.raises(ValueError, match=sentence) as caught:
        gan.fit(x, steps=5)
    assert "\n" not in str(caught.value)
    assert all(np.array_equal(a, b) for a, b in zip(before, gan.get_weights(), strict=True))


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"steps": 1.5}, {"steps": 5, "batch_size": -1}])
def test_sizes_must_be_positive(wrong):
    with pytest.raises(ValueError, match="positive whole number"):
        make().fit(X, **wrong)


@pytest.mark.parametrize("pair", [dense_pair, conv_pair])
def test_nan_in_the_loss_gives_the_last_good_state_back(pair):
    def explodes_at_ten(real, fake):
        d_loss, g_loss = losses.non_saturating(real, fake)
        return tf.where(gan.step.value >= 10, np.nan, 1.0) * d_loss, g_loss

    gan, good = make(pair, ema=0.9, loss=explodes_at_ten), make(pair, ema=0.9)
    gan.fit(X, steps=8)
    with pytest.raises(FloatingPointError, match=r"NaN.*between steps \d+ and \d+.*back at step \d+"):
        gan.fit(X, steps=20)
    done = int(gan.step.numpy())
    assert 8 <= done <= 10 and all(np.isfinite(w).all() for w in gan.get_weights())
    good.fit(X, steps=done)
    assert same(gan, good)


@pytest.mark.xla
def test_weights_that_explode_are_noticed():
    gan = make()
    gan.compile(keras.optimizers.SGD(1e30), keras.optimizers.SGD(1e30))
    with pytest.raises(FloatingPointError, match="smaller learning rate"):
        gan.fit(X, steps=50)
    assert all(np.isfinite(w).all() for w in gan.get_weights())


# --- several devices


def test_mirrored_strategy_on_two_devices():
    """In a process of its own, because devices must be split before TensorFlow is used."""
    code = """
        import tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        import keras, numpy as np
        from tests.test_training import GAN, X, adam, dense_pair
        keras.utils.set_random_seed(0)
        alone_g, alone_d = dense_pair()
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            gan = GAN(*dense_pair(), ema=0.9)
            gan.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
        for own, other in ((gan.generator, alone_g), (gan.discriminator, alone_d)):
            other.set_weights(own.get_weights())
        # The same codes and images on both replicas: the step must equal that of one device.
        z = np.random.default_rng(0).standard_normal((50, 8)).astype("float32")
        row = np.repeat(X[:1], 200, axis=0)
        alone = GAN(alone_g, alone_d, ema=0.9)
        alone.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
        for model in (gan, alone):
            model.draw_z = lambda n: tf.constant(z[:n])
        gan.fit(row, steps=3, batch_size=100)
        alone.fit(row, steps=3, batch_size=50)
        assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(gan.get_weights(), alone.get_weights()))
        # And with noise of their own the replicas stay in step with each other.
        del gan.draw_z
        gan.fit(X, steps=5, batch_size=100)
        for variable in gan.variables:
            first, second = (v.numpy() for v in variable.value.values)
            assert np.array_equal(first, second), variable.path
        assert gan.step.numpy() == 8 and gan.generate(3).shape == (3, 28, 28, 1)
        try:
            gan.fit(X, steps=1, batch_size=101)
        except ValueError as error:
            assert "multiple of the 2 replicas" in str(error)
        else:
            raise AssertionError("an odd batch was accepted")
        print("done")
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert result.stdout.strip().endswith("done"), result.stderr[-3000:]
