"""Keras' habits: what `fit` keeps of its contract, what it refuses by a sentence, and what takes effect."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from gan_helpers import losses
from gan_helpers.models import training
from gan_helpers.models.gan import GAN
from gan_helpers.models.infogan import InfoGAN
from tests.test_training import X, adam, conv_pair, dense_pair, make, same

# --- players that could not learn


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_network_is_refused_before_and_after_the_first_fit(frozen):
    pair = dense_pair()
    pair[frozen].trainable = False
    gan = GAN(*pair)
    with pytest.raises(ValueError, match=r"no weight that ._optimizer could move.*trainable set to False"):
        gan.compile(adam(), adam())
    gan = make()
    gan.fit(X, steps=2)
    gan.networks[frozen].trainable = False
    before = gan.get_weights()
    with pytest.raises(ValueError, match="would not learn anything"):
        gan.fit(X, steps=2)
    assert all(map(np.array_equal, before, gan.get_weights()))


def test_a_layer_that_is_frozen_after_the_first_fit_stays_as_it_is():
    gan = make()
    gan.fit(X, steps=2)
    layer = gan.discriminator.layers[1]
    layer.trainable = False
    kernel, rest = layer.get_weights()[0], gan.discriminator.layers[2].get_weights()[0]
    gan.fit(X, steps=2)
    assert np.array_equal(kernel, layer.get_weights()[0])
    assert not np.array_equal(rest, gan.discriminator.layers[2].get_weights()[0])


@pytest.mark.parametrize("wrong", ["adam", None, 1e-3, keras.optimizers.Adam])
def test_what_is_no_optimizer(wrong):
    with pytest.raises(ValueError, match="must be a Keras optimizer"):
        GAN(*dense_pair()).compile(wrong, adam())


def test_an_optimizer_of_another_model():
    used = adam()
    GAN(*dense_pair()).compile(used, adam())
    with pytest.raises(ValueError, match="d_optimizer belongs to other networks"):
        GAN(*dense_pair()).compile(used, adam())


@pytest.mark.parametrize(
    "wrong", ["hinge", keras.losses.BinaryCrossentropy(), lambda real, fake: real, losses.cross_entropy]
)
def test_what_is_no_loss(wrong):
    with pytest.raises(ValueError, match="loss must be a function of the logits"):
        make(loss=wrong)


@pytest.mark.parametrize(
    "wrong", [{"r1": -1}, {"r2": np.nan}, {"r1": "0.1"}, {"gradient_penalty": np.inf}, {"d_steps": 1.5}]
)
def test_weights_that_cannot_be_meant(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be a"):
        make(**wrong)


# --- judged by trying, not by a layer's name


def judge(*end):
    return keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(1), *end])


@pytest.mark.parametrize(
    "end",
    [
        [layers.Activation("sigmoid"), layers.Dropout(0.1)],
        [layers.Lambda(lambda x: keras.ops.sigmoid(x))],
        [layers.Activation("softsign")],
        [layers.Activation(lambda x: 5 * keras.ops.tanh(x))],
        [layers.ReLU(max_value=1.0)],
    ],
)
def test_a_discriminator_that_squashes_its_logit_somehow(end):
    with pytest.raises(ValueError, match="the losses want logits"):
        GAN(dense_pair()[0], judge(*end))


@pytest.mark.parametrize("end", [[], [layers.Activation("linear")], [layers.LeakyReLU(0.2)], [layers.Rescaling(0.01)]])
def test_a_discriminator_whose_logit_is_free(end):
    GAN(dense_pair()[0], judge(*end))


def generator(*end):
    return keras.Sequential([keras.Input((8,)), layers.Dense(784), layers.Reshape((28, 28, 1)), *end])


@pytest.mark.parametrize(
    ("end", "limits"),
    [
        ([layers.ReLU(max_value=1.0)], (0, 1)),
        ([layers.Activation("sigmoid"), layers.Dropout(0.1)], (0, 1)),
        ([layers.Activation("tanh")], (-1, 1)),
        ([layers.Lambda(lambda x: keras.ops.clip(x, 0, 1))], (0, 1)),
        ([layers.Activation("sigmoid"), layers.Rescaling(255.0)], (0, 255)),
        ([], (-np.inf, np.inf)),
    ],
)
def test_the_range_of_a_generator_is_found_and_its_weights_stay(end, limits):
    network = generator(*end)
    before = network.get_weights()
    assert training.output_range(network) == limits
    assert all(map(np.array_equal, before, network.get_weights()))


def test_data_in_another_range_than_the_samples():
    gan = GAN(generator(layers.ReLU(max_value=1.0)), judge())
    gan.compile(adam(), adam())
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\].*not in \[0, 255\]"):
        gan.fit(255 * X, steps=1)
    gan = GAN(generator(layers.Activation("tanh")), judge())
    gan.compile(adam(), adam())
    with pytest.raises(ValueError, match=r"must lie in \[-1, 1\]"):
        gan.fit(2 * X, steps=1)


def test_rounding_is_no_fault_of_the_data():
    make().fit(X * np.float32(1.0000001), steps=1)


# --- what is passed to fit


@pytest.mark.parametrize("steps", [np.int64(25), 25.0, np.float32(25)])
def test_steps_of_other_types_are_converted(steps):
    gan = make()
    history = gan.fit(X, steps=steps, steps_per_epoch=np.int32(10)).history
    assert history["step"] == [10, 20, 25]


@pytest.mark.parametrize("steps", ["25", None, 2.5, np.nan, True, [25]])
def test_steps_that_are_no_number_are_refused_before_training(steps):
    gan = make()
    with pytest.raises(ValueError, match="steps must be a positive whole number"):
        gan.fit(X, steps=steps)
    assert int(gan.step) == 0


@pytest.mark.parametrize(
    "data",
    [
        tf.data.Dataset.from_tensor_slices(X).batch(10),
        (row for row in X),
        (X, np.zeros(len(X))),
        [X],
        {"x": X},
        "mnist",
    ],
    ids=["dataset", "generator", "pair", "list", "dict", "text"],
)
def test_data_that_are_no_array(data):
    with pytest.raises(ValueError, match=r"the data must be (NumPy arrays|one array)"):
        make().fit(data, steps=1)


def test_tensors_are_data():
    a, b = make(), make()
    a.fit(X, steps=2)
    b.fit(tf.constant(X), steps=2)
    assert same(a, b)


# --- callbacks


def test_backup_and_restore_goes_on_where_it_was_cut_off(tmp_path):
    class Cut(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError("the machine went off")

    whole = make()
    whole.fit(X, steps=50, steps_per_epoch=10)
    backup = lambda: keras.callbacks.BackupAndRestore(tmp_path / "backup")  # noqa: E731
    with pytest.raises(RuntimeError, match="went off"):
        make().fit(X, steps=50, steps_per_epoch=10, callbacks=[backup(), Cut()])
    again = make()
    history = again.fit(X, steps=50, steps_per_epoch=10, callbacks=[backup()]).history
    assert same(whole, again) and history["step"] == [40, 50]
    assert not list((tmp_path / "backup").glob("*.h5"))  # done: the copy is gone


def test_backup_survives_an_interrupt(tmp_path):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    make().fit(X, steps=40, steps_per_epoch=10, callbacks=[keras.callbacks.BackupAndRestore(tmp_path), Interrupt()])
    again, whole = make(), make()
    again.fit(X, steps=40, steps_per_epoch=10, callbacks=[keras.callbacks.BackupAndRestore(tmp_path)])
    whole.fit(X, steps=40)
    assert same(again, whole)


def test_checkpoints_and_early_stopping(tmp_path):
    gan = make()
    checkpoint = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch:02d}.keras"))
    weights = keras.callbacks.ModelCheckpoint(
        str(tmp_path / "best.weights.h5"), "g_loss", mode="min", save_best_only=True, save_weights_only=True
    )
    early = keras.callbacks.EarlyStopping("step", patience=1, mode="min")  # steps only grow: stops at once
    gan.fit(X, steps=100, steps_per_epoch=10, callbacks=[checkpoint, weights, early])
    assert int(gan.step) == 20
    assert sorted(p.name for p in tmp_path.iterdir()) == ["01.keras", "02.keras", "best.weights.h5"]
    assert int(keras.models.load_model(tmp_path / "02.keras").step) == 20


def test_checkpoint_after_so_many_steps(tmp_path):
    gan = make()
    gan.fit(X, steps=25, callbacks=[keras.callbacks.ModelCheckpoint(str(tmp_path / "{batch}.keras"), save_freq=10)])
    assert sorted(int(keras.models.load_model(path).step) for path in tmp_path.iterdir()) == [10, 20]


@pytest.mark.parametrize(
    "callback",
    [keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate), keras.callbacks.ReduceLROnPlateau("g_loss")],
)
def test_schedulers_that_would_reach_one_player_only(callback):
    with pytest.raises(ValueError, match="learning rate of one player only"):
        make().fit(X, steps=1, callbacks=[callback])


@pytest.mark.parametrize("callback", [print, "view", keras.callbacks.History])
def test_what_is_no_callback(callback):
    with pytest.raises(ValueError, match="must be Keras callbacks"):
        make().fit(X, steps=1, callbacks=[callback])


def test_progress_bar_and_nan_watch_of_keras(capsys):
    gan = make()
    gan.fit(
        X, steps=20, steps_per_epoch=10, callbacks=[keras.callbacks.ProgbarLogger(), keras.callbacks.TerminateOnNaN()]
    )
    out = capsys.readouterr().out
    assert "Epoch 2/2" in out and "10/10" in out and "g_loss" in out


def test_batch_callbacks_see_every_step():
    class Watch(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seen = []

        def on_train_batch_end(self, batch, logs=None):
            self.seen.append((batch, round(logs["d_loss"], 5), int(self.model.step)))

    runs = []
    for _ in range(2):
        watch = Watch()
        make().fit(X, steps=25, steps_per_epoch=10, callbacks=[watch])
        runs.append(watch.seen)
    assert runs[0] == runs[1]
    assert [batch for batch, *_ in runs[0]] == [*range(10), *range(10), *range(5)]
    assert [step for *_, step in runs[0]] == list(range(1, 26))


def test_stopping_before_an_epoch_begins():
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    gan = make()
    assert gan.fit(X, steps=30, steps_per_epoch=10, callbacks=[Stop()]).history["step"] == [10]
    assert int(gan.step) == 10


# --- under Keras' own loops


@pytest.mark.parametrize(
    "options", [{}, {"r1": 0.1, "loss": losses.relativistic}, {"gradient_penalty": 1.0, "d_steps": 2}]
)
def test_the_step_runs_under_keras_own_fit_and_train_on_batch(options):
    gan = make(ema=0.9, **options)
    history = keras.Model.fit(gan, X, batch_size=100, epochs=2, verbose=0).history
    assert len(history["d_loss"]) == 2 and int(gan.step) == 12
    before = gan.get_weights()
    gan.train_on_batch(X[:50])
    assert int(gan.step) == 13 and not all(map(np.array_equal, before, gan.get_weights()))


def test_noise_differs_from_step_to_step_under_keras_own_fit():
    gan, drawn = make(), []
    original = gan.draw_z
    gan.draw_z = lambda n: tf.py_function(lambda z: drawn.append(z.numpy()) or z, [original(n)], tf.float32)
    generator_step = gan.generator_step
    gan.generator_step = lambda x, z: generator_step(x, tf.ensure_shape(z, (None, 8)))
    discriminator_step = gan.discriminator_step
    gan.discriminator_step = lambda x, z: discriminator_step(x, tf.ensure_shape(z, (None, 8)))
    keras.Model.fit(gan, X[:200], batch_size=100, epochs=1, verbose=0)
    assert len(drawn) == 4 and len({z.tobytes() for z in drawn}) == 4


def test_what_has_no_meaning_says_so():
    gan = make()
    with pytest.raises(ValueError, match=r"gan_helpers\.metrics"):
        gan.evaluate(X)
    with pytest.raises(ValueError, match=r"export a network"):
        gan.export("folder")


# --- changes after the first fit


@pytest.mark.parametrize("change", [{"r1": 50.0}, {"seed": 7}, {"ema": 0.1}, {"loss": losses.least_squares}])
def test_what_is_changed_after_the_first_fit_takes_effect(change):
    one, other, fresh = make(ema=0.9), make(ema=0.9), make(ema=0.9)
    for gan in (one, other):
        gan.fit(X, steps=2)
    for gan in (other, fresh):
        for name, value in change.items():
            setattr(gan, name, value)
    for gan in (one, other):
        gan.fit(X, steps=2)
    assert not same(one, other)


def test_learning_rates_take_effect_without_compiling_anew():
    gan = make()
    gan.fit(X, steps=2)
    gan.d_optimizer.learning_rate = gan.g_optimizer.learning_rate = 0.0
    before = gan.generator.get_weights()
    gan.fit(X, steps=2)
    assert all(map(np.array_equal, before, gan.generator.get_weights())) and len(gan._runs) == 1


def test_a_schedule_that_has_run_out_is_announced(capsys):
    keras.utils.set_random_seed(0)
    gan = GAN(*dense_pair())
    rate = lambda: keras.optimizers.schedules.CosineDecay(1e-3, 10)  # noqa: E731
    gan.compile(keras.optimizers.Adam(rate()), keras.optimizers.Adam(rate()))
    gan.fit(X, steps=10)
    assert "schedule" not in capsys.readouterr().out
    gan.fit(X, steps=5)
    out = capsys.readouterr().out
    assert "of d_optimizer" in out and "of g_optimizer" in out and "nothing will move" in out


# --- how it is compiled


def test_jit_compile_forces_either(monkeypatch):
    asked = []
    original = training.AdversarialModel._new_run
    monkeypatch.setattr(
        training.AdversarialModel, "_new_run", lambda self, n, jit: asked.append(jit) or original(self, n, jit)
    )
    gan = make()
    gan.fit(X, steps=1, jit_compile=True)
    gan.fit(X, steps=1, jit_compile=False)
    assert asked == [True, False]


@pytest.mark.xla
@pytest.mark.parametrize("move", [layers.RandomTranslation(0.1, 0.1), layers.RandomRotation(0.1)])
def test_a_dense_discriminator_behind_random_moves_trains(move):
    d = keras.Sequential([keras.Input((28, 28, 1)), move, layers.Flatten(), layers.Dense(1)])
    gan = GAN(dense_pair()[0], d)
    gan.compile(adam(), adam())
    gan.fit(X, steps=3)
    gan.fit(X, steps=3, jit_compile=True)  # asked for, but there is no way
    assert int(gan.step) == 6


@pytest.mark.xla
def test_on_a_gpu_the_length_of_the_run_decides(monkeypatch):
    monkeypatch.setattr(training, "on_gpu", lambda: True)
    strategy, dense, conv = tf.distribute.get_strategy(), dense_pair(), conv_pair()
    assert [training.prefers_xla(dense, strategy, n) for n in (100, 20_000)] == [False, True]
    assert [training.prefers_xla(conv, strategy, n) for n in (100, 4_500)] == [False, True]


def test_infogan_with_agreement_never_meets_xla_on_a_gpu(monkeypatch):
    generator, d = dense_pair(latent=11)
    q = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(3)])
    model = InfoGAN(generator, d, q, categories=3, codes=0)
    model.compile(adam(), adam(), adam(), transform=lambda x, seed: x, agreement_weight=1.0)
    assert model.uses_xla(10**6, jit_compile=True)
    monkeypatch.setattr("gan_helpers.models.infogan.on_gpu", lambda: True)
    assert not model.uses_xla(10**6) and not model.uses_xla(10**6, jit_compile=True)


def test_sampling_compiles_nothing(monkeypatch):
    gan = make(conv_pair)
    monkeypatch.setattr(tf, "function", None)
    monkeypatch.setattr(keras.Model, "predict", None)
    assert [len(gan.generate(n)) for n in (1, 7, 501)] == [1, 7, 501]


# --- Keras set to something else


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ("keras.config.set_floatx('float64')", "float32, not to float64"),
        ("keras.mixed_precision.set_dtype_policy('mixed_float16')", "float32, not to mixed_float16"),
        ("keras.config.set_image_data_format('channels_first')", "channels_last, not to channels_first"),
    ],
)
def test_other_settings_of_keras_get_one_sentence(setting, wanted):
    code = (
        f"import keras; {setting}\nfrom gan_helpers.models.gan import GAN\n"
        "g = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])\n"
        "d = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])\n"
        "try:\n    GAN(g, d)\nexcept ValueError as error:\n    print(error)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout
    assert wanted in out and out.count("\n") == 1


def test_a_network_of_another_precision():
    d = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(1, dtype="mixed_float16")])
    with pytest.raises(ValueError, match="discriminator must compute in float32"):
        GAN(dense_pair()[0], d)
