"""What must work with any versions of the packages: `python tests/environment_checks.py`, one line for each check.

It needs no pytest, so that it also runs where only the course itself is installed, as on Colab.
"""

import sys
import tempfile
import traceback
from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import layers

from gan_helpers import pretrained
from gan_helpers.models.aae import AdversarialAutoencoder, LabelAAE, SemiSupervisedAAE, category_and_style
from gan_helpers.models.augment import random_affine
from gan_helpers.models.bigan import BiGAN
from gan_helpers.models.conditional import ConditionalGAN
from gan_helpers.models.cyclegan import CycleGAN
from gan_helpers.models.gan import GAN
from gan_helpers.models.infogan import InfoGAN

RNG = np.random.default_rng(0)
X = RNG.random((60, 4, 4, 1), dtype=np.float32)
LABELS = RNG.integers(0, 3, 60)
SOME_LABELS = np.where(np.arange(60) < 20, LABELS, -1)  # -1: no label
adam = partial(keras.optimizers.Adam, 1e-3, beta_1=0.5)


def network(inputs, *parts, units=8):
    """A small dense network: what comes in is flattened and put side by side, a hidden layer, then `parts`."""
    inputs = [keras.Input(shape) for shape in inputs]
    flat = [layers.Flatten()(x) for x in inputs]
    x = layers.Dense(units, activation="relu")(flat[0] if len(flat) == 1 else layers.Concatenate()(flat))
    for part in parts:
        x = part(x)
    return keras.Model(inputs[0] if len(inputs) == 1 else inputs, x)


def image():
    return [layers.Dense(16, activation="sigmoid"), layers.Reshape((4, 4, 1))]


IMAGE, D = (4, 4, 1), layers.Dense


def gan():
    return GAN(network([(3,)], *image()), network([IMAGE], D(1)), ema=0.9), 2, (X,)


def gan_with_norms_and_dropout():
    norms = [layers.BatchNormalization(), layers.LeakyReLU(0.2)]
    return GAN(network([(3,)], *norms, *image()), network([IMAGE], layers.Dropout(0.3), D(1)), ema=0.9), 2, (X,)


def convolutional_gan():
    up = [D(8), layers.Reshape((2, 2, 2)), layers.Conv2DTranspose(1, 4, 2, "same", activation="sigmoid")]
    down = [layers.Conv2D(2, 4, 2, "same"), layers.BatchNormalization(), layers.Flatten(), D(1)]
    return GAN(keras.Sequential([keras.Input((3,)), *up]), keras.Sequential([keras.Input(IMAGE), *down])), 2, (X,)


def conditional_gan():
    return ConditionalGAN(network([(3,), (3,)], *image()), network([IMAGE, (3,)], D(1)), ema=0.9), 2, (X, LABELS)


def infogan():
    q = network([IMAGE], D(5))
    return InfoGAN(network([(8,)], *image()), network([IMAGE], D(1)), q, categories=3, codes=2, ema=0.9), 3, (X,)


def bigan():
    return BiGAN(network([(3,)], *image()), network([IMAGE], D(3)), network([IMAGE, (3,)], D(1)), ema=0.9), 2, (X,)


def cyclegan():
    players = [network([IMAGE], *image()) for _ in range(2)] + [network([IMAGE], D(1)) for _ in range(2)]
    return CycleGAN(*players, ema=0.9, pool=20), 2, (X, 1 - X)


def adversarial_autoencoder():
    return AdversarialAutoencoder(*autoencoder(), network([(2,)], D(1)), classes=3, ema=0.9), 2, (X,)


def label_aae():
    return LabelAAE(*autoencoder(), network([(2,), (4,)], D(1)), classes=3, ema=0.9), 2, (X, SOME_LABELS)


def semi_supervised_aae():
    x = keras.Input(IMAGE)
    h = D(8, activation="relu")(layers.Flatten()(x))
    encoder = keras.Model(x, layers.Concatenate()([D(3, activation="softmax")(h), D(2)(h)]))
    players = encoder, network([(5,)], *image()), network([(5,)], D(1))
    model = SemiSupervisedAAE(*players, prior=category_and_style, classes=3, ema=0.9)
    return model, 3, (X, SOME_LABELS), {"transform": random_affine}


def autoencoder():
    return network([IMAGE], D(2)), network([(2,)], *image())


FAMILIES = [gan, gan_with_norms_and_dropout, convolutional_gan, conditional_gan, infogan, bigan, cyclegan]
FAMILIES += [adversarial_autoencoder, label_aae, semi_supervised_aae]


def bits(model):
    return [np.asarray(weight).tobytes() for weight in model.get_weights()]


def trains_saves_and_goes_on(make):
    """Three steps, saved, and three more: the model that was loaded from the file ends in the same bits."""
    keras.utils.set_random_seed(0)
    model, optimizers, data, *options = make()
    model.compile(*[adam() for _ in range(optimizers)], **(options[0] if options else {}))
    model.fit(*data, steps=3, batch_size=12)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        loaded = keras.models.load_model(Path(folder) / "model.keras")
    assert bits(loaded) == bits(model), "the reloaded model differs"
    for each in (model, loaded):
        each.fit(*data, steps=3, batch_size=12)
        assert all(np.isfinite(weight).all() for weight in each.get_weights())
    assert bits(loaded) == bits(model), "training that was reloaded ends in other bits"


def loads(name):
    networks = pretrained.load(name)
    networks.pop("history", None)
    for role, model in networks.items():
        x = [RNG.standard_normal((2, *x.shape[1:])).astype("float32") for x in model.inputs]
        for y in keras.tree.flatten(model(x if len(x) > 1 else x[0])):
            assert np.isfinite(y).all(), role
    pretrained.load(name, **{role: keras.models.clone_model(model) for role, model in networks.items()})


CHECKS = {f"load {name}": partial(loads, name) for name in pretrained.names()}
CHECKS |= {f"train {make.__name__}": partial(trains_saves_and_goes_on, make) for make in FAMILIES}


def main():
    failed = False
    for name, check in CHECKS.items():
        try:
            check()
            print(f"{name}: ok", flush=True)
        except Exception as error:
            failed = True
            traceback.print_exc()
            print(f"{name}: FAILED {type(error).__name__}: {' '.join(str(error).split())[:300]}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
