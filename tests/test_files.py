"""Files of trained models: whole or not at all, and what comes back is what was saved."""

import errno
import functools
import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from gan_helpers import losses
from gan_helpers.models.aae import AdversarialAutoencoder
from gan_helpers.models.gan import GAN
from gan_helpers.models.infogan import InfoGAN
from tests.test_training import X, adam, conv_pair, dense_pair, equal, make, same


@keras.saving.register_keras_serializable(package="tests")
def hinge(real, fake):
    """A loss of a reader's own, with the name of one of the library."""
    return tf.reduce_mean((real - 1) ** 2) + tf.reduce_mean(fake**2), tf.reduce_mean((fake - 1) ** 2)


def unregistered(real, fake):
    return losses.hinge(real, fake)


def augmented_pair():
    generator, _ = dense_pair()
    moves = [layers.RandomTranslation(0.1, 0.1), layers.GaussianNoise(0.1), layers.Flatten(), layers.Dropout(0.3)]
    return generator, keras.Sequential([keras.Input((28, 28, 1)), *moves, layers.Dense(8, "relu"), layers.Dense(1)])


# --- random states


@pytest.mark.parametrize("pair", [conv_pair, augmented_pair])
@pytest.mark.parametrize("form", ["model.keras", "model.weights.h5"])
def test_training_with_random_layers_resumes_bit_by_bit(tmp_path, pair, form):
    whole, parts = make(pair, ema=0.9), make(pair, ema=0.9)
    whole.fit(X, steps=8)
    parts.fit(X, steps=5)
    if form == "model.keras":
        parts.save(tmp_path / form)
        again = keras.models.load_model(tmp_path / form)
    else:
        parts.save_weights(tmp_path / form)
        again = make(pair, ema=0.9)
        again.load_weights(tmp_path / form)
    again.fit(X, steps=3)
    assert same(whole, again)


# --- functions in files


def test_a_loss_comes_back_by_its_registered_name_not_by_its_plain_one(tmp_path):
    gan = make(loss=hinge)
    gan.save(tmp_path / "own.keras")
    assert keras.models.load_model(tmp_path / "own.keras").loss is hinge
    gan = make(loss=losses.hinge)
    gan.save(tmp_path / "library.keras")
    assert keras.models.load_model(tmp_path / "library.keras").loss is losses.hinge


@pytest.mark.parametrize(
    "loss",
    [unregistered, lambda real, fake: losses.hinge(real, fake), functools.partial(losses.hinge)],
    ids=["unregistered", "lambda", "partial"],
)
def test_a_loss_that_no_file_can_hold_trains_but_is_not_saved(tmp_path, loss):
    path = tmp_path / "model.keras"
    make().save(path)
    before = path.read_bytes()
    gan = make(loss=loss)
    gan.fit(X, steps=2)
    with pytest.raises(ValueError, match=r"loss cannot be saved.*register_keras_serializable.*Nothing was written"):
        gan.save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.keras"]
    gan.save_weights(tmp_path / "model.weights.h5")  # weights need no loss


def test_a_prior_or_transform_of_ones_own_is_refused_in_the_same_way(tmp_path):
    encoder = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(2)])
    generator, _ = dense_pair(latent=2)
    critic = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model = AdversarialAutoencoder(encoder, generator, critic, prior=lambda noise, k, classes: noise)
    model.compile(adam(), adam())
    with pytest.raises(ValueError, match="prior cannot be saved"):
        model.save(tmp_path / "model.keras")


def in_a_new_process(code):
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    return result.stdout.strip().splitlines(), result.stderr


@pytest.mark.parametrize(
    "first", ["import gan_helpers, keras", "import keras, gan_helpers", "from gan_helpers import data; import keras"]
)
def test_load_model_in_a_process_that_has_imported_gan_helpers_only(tmp_path, first):
    make(r1=0.5).save(tmp_path / "model.keras")
    out, error = in_a_new_process(f"""
        {first}
        print(keras.models.load_model({str(tmp_path / "model.keras")!r}).r1)
    """)
    assert out == ["0.5"], error[-2000:]


def test_a_file_with_a_function_that_this_process_does_not_know(tmp_path):
    make(loss=hinge).save(tmp_path / "model.keras")
    out, error = in_a_new_process(f"""
        import keras, gan_helpers
        try:
            keras.models.load_model({str(tmp_path / "model.keras")!r})
        except ValueError as error:
            print(error)
    """)
    assert len(out) == 1 and "tests>hinge" in out[0] and "run the cell that defines it" in out[0], error[-2000:]


@pytest.mark.parametrize("shared_input", [True, False])
def test_a_shared_trunk_stays_shared(tmp_path, shared_input):
    keras.utils.set_random_seed(0)
    generator, _ = dense_pair(latent=10)
    trunk = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(8, "relu")])
    one = keras.Input((28, 28, 1))
    other = one if shared_input else keras.Input((28, 28, 1))
    d, q = keras.Model(one, layers.Dense(1)(trunk(one))), keras.Model(other, layers.Dense(2)(trunk(other)))
    model = InfoGAN(generator, d, q, codes=2)
    model.compile(adam(), adam(), adam())
    model.fit(X, steps=2)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert same(model, again)
    shared = {id(w) for w in again.discriminator.weights} & {id(w) for w in again.recogniser.weights}
    assert len(shared) == 2
    for part in (model, again):
        part.fit(X, steps=2)
    assert same(model, again)


# --- failures while writing


@pytest.mark.parametrize("method", ["save", "save_weights"])
@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("flush"), KeyboardInterrupt()]
)
def test_a_failed_save_leaves_the_good_file(tmp_path, monkeypatch, method, failure):
    gan = make()
    path = tmp_path / ("model.keras" if method == "save" else "model.weights.h5")
    getattr(gan, method)(path)
    before = path.read_bytes()
    gan.fit(X, steps=1)

    def half(self, filepath, **kwargs):
        with open(filepath, "wb") as file:
            file.write(b"half a file")
        raise failure

    monkeypatch.setattr(keras.Model, method, half)
    with pytest.raises(KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else OSError):
        getattr(gan, method)(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("name", ["model.h5", "model", "model.weights.h5", "model.keras.zip"])
def test_another_ending_is_named(tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in \.keras, not be"):
        make().save(tmp_path / name)
    assert not os.listdir(tmp_path)


def test_overwriting_can_be_refused(tmp_path):
    make().save(tmp_path / "model.keras")
    with pytest.raises(FileExistsError, match="nothing was written"):
        make().save(tmp_path / "model.keras", overwrite=False)


# --- damage


@pytest.mark.parametrize("form", ["model.weights.h5", "model.keras"])
def test_damage_anywhere_changes_nothing_and_is_named(tmp_path, form):
    gan = make()
    gan.fit(X, steps=1)
    path = tmp_path / form
    (gan.save if form == "model.keras" else gan.save_weights)(path)
    content, victim = path.read_bytes(), make(seed=3)
    before, rng = [w.copy() for w in victim.get_weights()], np.random.default_rng(0)
    values = gan.generator.get_weights()[2].tobytes()  # where weights lie in the file, a flipped bit is a wrong value
    place = content.find(values[:64])
    damages = [content[: len(content) // 2], b"", b"not a weights file" * 9, content[:-3000]]
    for spot in [place + 40, *rng.integers(0, len(content) - 4096, 4)]:
        flipped = bytearray(content)
        flipped[spot] ^= 1
        damages += [bytes(flipped), content[:spot] + bytes(4096) + content[spot + 4096 :]]
    refused = 0
    for damage in damages:
        path.write_bytes(damage)
        try:
            victim.load_weights(path)
        except ValueError as error:
            refused += 1
            assert form in str(error) and "the model is unchanged" in str(error)
            assert equal(before, victim.get_weights())
        else:  # what was hit holds no value: then all values must be those that were saved
            assert same(gan, victim)
            victim.set_weights(before)
    assert refused >= 6


def test_an_interrupt_while_loading_changes_nothing(tmp_path, monkeypatch):
    gan, victim = make(), make(seed=3)
    gan.save_weights(tmp_path / "model.weights.h5")
    before = victim.get_weights()

    def interrupted(self, filepath, **kwargs):
        self.generator.set_weights([w + 1 for w in self.generator.get_weights()])
        raise KeyboardInterrupt

    monkeypatch.setattr(keras.Model, "load_weights", interrupted)
    with pytest.raises(KeyboardInterrupt):
        victim.load_weights(tmp_path / "model.weights.h5")
    assert equal(before, victim.get_weights())


def test_weights_of_a_plain_keras_model_are_foreign(tmp_path):
    dense_pair()[0].save_weights(tmp_path / "plain.weights.h5")
    with pytest.raises(ValueError, match=r"plain\.weights\.h5 is damaged or holds the weights of another"):
        make().load_weights(tmp_path / "plain.weights.h5")


def test_weights_without_optimizers_for_a_model_without_them(tmp_path):
    gan = make(ema=0.9)
    gan.fit(X, steps=2)
    gan.save_weights(tmp_path / "model.weights.h5")
    bare = GAN(*dense_pair(), ema=0.9)
    bare.load_weights(tmp_path / "model.weights.h5")
    assert same(gan, bare)
