"""Training steps per second: the classic Keras loop, `fit` with Keras' defaults, and the course's own `fit`.

    python benchmarks/throughput.py [rounds]

Every round times all of them one after the other, so that a machine whose speed drifts slows all of
them; the table shows medians over the rounds and the ratios within the rounds. One step is one
update of the discriminator and one of the generator (InfoGAN: of Q as well), in each of them.
"""

import os
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from gan_helpers import data, losses
from gan_helpers.models.aae import AdversarialAutoencoder
from gan_helpers.models.augment import random_affine
from gan_helpers.models.bigan import BiGAN
from gan_helpers.models.conditional import ConditionalGAN
from gan_helpers.models.cyclegan import CycleGAN
from gan_helpers.models.gan import GAN
from gan_helpers.models.infogan import InfoGAN


def dense_pair():
    """The reference networks of notebook 05."""
    generator = keras.Sequential(
        [
            keras.Input((100,)),
            layers.Dense(256, activation="relu"),
            layers.Dense(784, activation="sigmoid"),
            layers.Reshape((28, 28, 1)),
        ]
    )
    discriminator = [layers.Flatten(), layers.Dense(256, activation="relu"), layers.Dense(1)]
    return generator, keras.Sequential([keras.Input((28, 28, 1)), *discriminator])


def conv_pair():
    """A small DCGAN: 64 and 32 channels, batch normalisation in G, layer normalisation in D."""
    generator = keras.Sequential(
        [
            keras.Input((100,)),
            layers.Dense(7 * 7 * 64),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Reshape((7, 7, 64)),
            layers.Conv2DTranspose(32, 4, 2, "same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2DTranspose(1, 4, 2, "same", activation="sigmoid"),
        ]
    )
    discriminator = [
        layers.Conv2D(32, 4, 2, "same"),
        layers.LeakyReLU(0.2),
        layers.Conv2D(64, 4, 2, "same"),
        layers.LayerNormalization(),
        layers.LeakyReLU(0.2),
        layers.Flatten(),
        layers.Dense(1),
    ]
    return generator, keras.Sequential([keras.Input((28, 28, 1)), *discriminator])


def adams():
    return keras.optimizers.Adam(1e-4), keras.optimizers.Adam(2e-4)


def classic(pair, x, batch):
    """`predict` and `train_on_batch`, as most tutorials print it, repaired so that D learns (see notebook 05)."""
    generator, discriminator = pair()
    d_optimizer, g_optimizer = adams()
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    discriminator.compile(d_optimizer, loss)
    # A step before the flag is set, so that D's updates are really done and timed.
    discriminator.train_on_batch(x[:batch], np.ones((batch, 1)))
    discriminator.trainable = False
    combined = keras.Sequential([generator, discriminator])
    combined.compile(g_optimizer, loss)
    ones, zeros = np.ones((batch, 1)), np.zeros((batch, 1))

    def run(steps):
        for _ in range(steps):
            z = np.random.standard_normal((batch, 100))
            discriminator.train_on_batch(x[np.random.randint(len(x), size=batch)], ones)
            discriminator.train_on_batch(generator.predict(z, verbose=0), zeros)
            combined.train_on_batch(z, ones)

    return run


class DefaultGAN(keras.Model):
    """The same two updates as a `train_step` under Keras' own `fit`, nothing tuned."""

    def __init__(self, generator, discriminator):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.d_optimizer, self.g_optimizer = adams()

    def train_step(self, x):
        n = tf.shape(x)[0]
        with tf.GradientTape() as tape:
            fake = self.discriminator(self.generator(tf.random.normal((n, 100)), training=True), training=True)
            d_loss, _ = losses.non_saturating(self.discriminator(x, training=True), fake)
        weights = self.discriminator.trainable_variables
        self.d_optimizer.apply(tape.gradient(d_loss, weights), weights)
        with tf.GradientTape() as tape:
            fake = self.discriminator(self.generator(tf.random.normal((n, 100)), training=True), training=True)
            _, g_loss = losses.non_saturating(fake, fake)
        weights = self.generator.trainable_variables
        self.g_optimizer.apply(tape.gradient(g_loss, weights), weights)
        return {"d_loss": d_loss, "g_loss": g_loss}


def default(pair, x, batch):
    model = DefaultGAN(*pair())
    model.compile()
    x = x[: len(x) // batch * batch]
    return lambda steps: model.fit(x, batch_size=batch, epochs=steps * batch // len(x), verbose=0)


def ours(pair, x, batch):
    model = GAN(*pair())
    model.compile(*adams())
    return lambda steps: model.fit(x, steps=steps, batch_size=batch)


def family(make, x, batch):
    """(default, ours) of a model of the course, each a function of a number of steps; `x` is what `fit` takes."""

    inner, own = make(), make()
    rows = batch * inner.batches_per_step

    def default(steps):
        parts = [np.resize(part, (steps * rows, *part.shape[1:])) for part in x]
        data = tf.data.Dataset.from_tensor_slices(parts[0] if len(x) == 1 else tuple(parts)).batch(rows)
        keras.Model.fit(inner, data, verbose=0)

    return {"default": default, "ours": lambda steps: own.fit(*x, steps=steps, batch_size=batch)}


def hidden(h):
    for _ in range(2):
        h = layers.Dense(512, activation=layers.LeakyReLU(0.2))(h)
    return h


def conditional():
    """The networks and the game of notebook 08."""
    z, c, x, c_too = keras.Input((64,)), keras.Input((10,)), keras.Input((28, 28, 1)), keras.Input((10,))
    image = layers.Reshape((28, 28, 1))(layers.Dense(784, activation="sigmoid")(hidden(layers.Concatenate()([z, c]))))
    opinions = layers.Dense(10)(hidden(layers.Flatten()(x)))
    generator = keras.Model([z, c], image)
    model = ConditionalGAN(generator, keras.Model([x, c_too], layers.Dot(axes=1)([opinions, c_too])), ema=0.999)
    model.compile(*adams(), loss=losses.relativistic, r1=0.1, r2=0.1)
    return model


def infogan():
    """The networks and the game of notebook 09, for ten categories and two codes."""
    z, x = keras.Input((74,)), keras.Input((28, 28, 1))
    generator = keras.Model(z, layers.Reshape((28, 28, 1))(layers.Dense(784, activation="sigmoid")(hidden(z))))
    h = hidden(layers.Flatten()(x))
    q = layers.Dense(12)(layers.Dense(256, activation=layers.LeakyReLU(0.2))(h))
    model = InfoGAN(generator, keras.Model(x, layers.Dense(1)(h)), keras.Model(x, q), categories=10, ema=0.999)
    real = {"transform": random_affine, "agreement_weight": 0.6, "vat_weight": 1.0}
    model.compile(*adams(), keras.optimizers.Adam(1e-3), loss=losses.relativistic, r1=0.1, r2=0.1, **real)
    return model


def cyclegan():
    """The networks and the game of notebook 11."""

    def block(kind, channels, side, stride):
        return [kind(channels, side, stride, "same"), layers.GroupNormalization(groups=8), layers.LeakyReLU(0.2)]

    def translator():
        down = block(layers.Conv2D, 32, 4, 2) + block(layers.Conv2D, 64, 4, 2) + block(layers.Conv2D, 64, 3, 1)
        up = [*block(layers.Conv2DTranspose, 32, 4, 2), layers.Conv2DTranspose(3, 4, 2, "same", activation="sigmoid")]
        return keras.Sequential([keras.Input((28, 28, 3)), *down, *up])

    def discriminator():
        network = [layers.Conv2D(32, 4, 2, "same"), layers.LeakyReLU(0.2), layers.Conv2D(64, 4, 2, "same")]
        network += [layers.LeakyReLU(0.2), layers.Flatten(), layers.Dense(256), layers.LeakyReLU(0.2), layers.Dense(1)]
        return keras.Sequential([keras.Input((28, 28, 3)), *network])

    model = CycleGAN(translator(), translator(), discriminator(), discriminator(), ema=0.99)
    model.compile(*adams(), identity_weight=5.0, r1=0.3)
    return model


def bigan():
    """The game of notebook 10 and its networks, G without batch normalisation."""
    z, x, x_too, z_too = keras.Input((50,)), keras.Input((28, 28, 1)), keras.Input((28, 28, 1)), keras.Input((50,))
    generator = keras.Model(z, layers.Reshape((28, 28, 1))(layers.Dense(784, activation="sigmoid")(hidden(z))))
    encoder = keras.Model(x, layers.Dense(50)(hidden(layers.Flatten()(x))))
    pair = hidden(layers.Concatenate()([layers.Flatten()(x_too), z_too]))
    model = BiGAN(generator, encoder, keras.Model([x_too, z_too], layers.Dense(1)(pair)), ema=0.999)
    model.compile(*adams(), loss=losses.relativistic, r1=0.3, r2=0.3, cycle_weight=1000.0, code_noise=0.7)
    return model


def aae():
    """The networks and the game of notebook 12."""
    dense = lambda units: layers.Dense(units, activation="relu")  # noqa: E731
    encoder = [keras.Input((28, 28, 1)), layers.Flatten(), dense(500), dense(300), layers.Dense(2)]
    decoder = [keras.Input((2,)), dense(300), dense(500), layers.Dense(784, activation="sigmoid")]
    judge = [keras.Input((2,)), layers.Dense(100, "leaky_relu"), layers.Dense(100, "leaky_relu"), layers.Dense(1)]
    networks = map(keras.Sequential, (encoder, [*decoder, layers.Reshape((28, 28, 1))], judge))
    model = AdversarialAutoencoder(*networks, ema=0.999)
    model.compile(*adams())
    return model


def measure(title, runs, steps, rounds):
    """Time each of `runs`, functions of a number of steps, in turn; `steps` says how many for each."""
    speeds = {key: [] for key in runs}
    for key, run in runs.items():
        run(steps[key])  # traces, compiles and warms up
    for _ in range(rounds):
        for key, run in runs.items():
            start = time.perf_counter()
            run(steps[key])
            speeds[key].append(steps[key] / (time.perf_counter() - start))
    print(f"\n{title}, {rounds} rounds: steps per second, median (lowest to highest)")
    for key, values in speeds.items():
        ratio = statistics.median(o / v for o, v in zip(speeds["ours"], values, strict=True))
        line = f"  {key:<8} {statistics.median(values):7.1f}  ({min(values):.1f} to {max(values):.1f})"
        print(line + ("" if key == "ours" else f"   ours is {ratio:.2f} times as fast"), flush=True)


def measure_gan(title, pair, batch, epochs, rounds):
    x, _ = data.mnist(2)
    per_epoch = len(x) // batch  # Keras counts in epochs, so everybody's steps are whole epochs where it matters
    steps = {"classic": 20, **{key: n * per_epoch for key, n in epochs.items()}}
    runs = {make.__name__: make(pair, x, batch) for make in (classic, default, ours)}
    measure(f"{title}, batch {batch}", runs, steps, rounds)


if __name__ == "__main__":
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    keras.utils.set_random_seed(0)
    measure_gan("dense", dense_pair, 100, {"default": 6, "ours": 15}, rounds)
    measure_gan("convolutions", conv_pair, 64, {"default": 1, "ours": 1}, rounds)
    x, y = data.mnist()
    for title, make, parts in (
        ("conditional GAN", conditional, (x, y)),
        ("InfoGAN", infogan, (x,)),
        ("BiGAN", bigan, (x,)),
        ("adversarial autoencoder", aae, (x,)),
    ):
        measure(f"{title}, batch 64", family(make, parts, 64), {"default": 100, "ours": 100}, rounds)
    hue = np.linspace(0, 1, 1000)
    signs, sheets = data.neon(x[:1000], hue), data.paper(x[1000:2000], hue)
    measure("CycleGAN, batch 16", family(cyclegan, (signs, sheets), 16), {"default": 20, "ours": 20}, rounds)
