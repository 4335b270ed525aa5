"""The conditional generative adversarial network. M. Mirza and S. Osindero, arXiv:1411.1784."""

import keras
import numpy as np
import tensorflow as tf

from gan_helpers import checks, data, losses
from gan_helpers.models.gan import GAN
from gan_helpers.models.training import rows


@keras.saving.register_keras_serializable(package="gan_helpers")
class ConditionalGAN(GAN):
    """A generator and a discriminator that are both told the class of the sample.

    Args:
        generator: `keras.Model` from [z, c] to samples `(n, ...)`: codes z `(n, latent_dim)` and
            one-hot classes c `(n, classes)`.
        discriminator: `keras.Model` from [x, c], such samples and their classes, to logits `(n, 1)`.
        ema, seed: as in `GAN`, whose `compile` this is, too.

    Raises:
        ValueError: the networks do not take two inputs, or do not fit together.
    """

    # --- the algorithm

    def train_step(self, data):
        """One round: `d_steps` steps of the discriminator, then one of the generator.

        `data` is images and their labels, a batch for each of the discriminator's steps in turn.
        """
        parts = [tf.split(part, self.d_steps) for part in keras.utils.unpack_x_y_sample_weight(data)[:2]]
        for x, labels in zip(*parts, strict=True):
            c = tf.one_hot(labels, self.classes)
            d_loss = self.discriminator_step(x, c, self.draw_z(rows(x)))
        g_loss = self.generator_step(x, c, self.draw_z(rows(x)))
        self.end_step()
        return {"d_loss": d_loss, "g_loss": g_loss}

    def discriminator_step(self, x, c, z):
        """Tell real `x` of the classes `c` from samples that were asked for the same classes."""
        x_fake = self.generator([z, c], training=True)
        knowing_c = lambda images, training: self.discriminator([images, c], training=training)  # noqa: E731
        with tf.GradientTape() as tape:
            real, r1 = losses.logits_and_penalty(knowing_c, x, self.r1)
            fake, r2 = losses.logits_and_penalty(knowing_c, x_fake, self.r2)
            d_loss, _ = self.loss(real, fake)
            total = d_loss + r1 + r2
            if self.gradient_penalty:
                share = tf.random.stateless_uniform([rows(x)], self.draw_seed())
                total += self.gradient_penalty * losses.gradient_penalty(knowing_c, x, x_fake, share)
        self.minimise(total, tape, self.d_optimizer, self.discriminator)
        return d_loss

    def generator_step(self, x, c, z):
        """Fool the discriminator, which knows what was asked for: a good 7 does not pass for a 3."""
        with tf.GradientTape() as tape:
            real = self.discriminator([x, c], training=True)
            fake = self.discriminator([self.generator([z, c], training=True), c], training=True)
            _, g_loss = self.loss(real, fake)
        self.minimise(g_loss, tape, self.g_optimizer, self.generator)
        return g_loss

    # --- what it is made of

    def __init__(self, generator, discriminator, ema=None, seed=0, **kwargs):
        super().__init__(generator, discriminator, ema=ema, seed=seed, **kwargs)
        self.classes = generator.inputs[1].shape[1]
        self.latent_inputs = {"z": self.latent_dim, "labels": self.classes}  # for the sliders

    # --- use

    def fit(self, x, labels, steps, **options):
        """Train for `steps` more steps on samples `x` `(n, ...)` and labels, int `(n,)`, 0 to classes - 1.

        The other options, what it returns and what it raises: see `AdversarialModel.fit`.
        """
        return super().fit((x, labels), steps, **options)

    def generate(self, labels, *, seed=None, z=None):
        """New samples of the classes that are asked for.

        Args:
            labels: int `(n,)`, from 0 to classes - 1, one for each sample.
            seed: int; the same seed gives the same codes. None draws from NumPy's global generator.
            z: codes `(n, latent_dim)` to use instead of random ones.

        Returns:
            float32 array `(n, ...)` in the range of the generator's last activation.
        """
        labels = checks.labels(labels, self.classes)
        z = self.check_z(self.random_z(len(labels), seed) if z is None else z)
        if len(z) != len(labels):
            raise ValueError(f"there must be one code z for each label, not {len(z)} codes for {len(labels)} labels.")
        c = np.eye(self.classes, dtype=np.float32)[labels]
        return data.in_batches(lambda *pair: self.averaged_generator(list(pair)), z, c)

    def call(self, z, labels, training=False):
        """Samples for codes `z` and labels, as a tensor."""
        c = tf.one_hot(labels, self.classes)
        return self.averaged_generator([tf.convert_to_tensor(z), c], training=training)

    # --- checks

    @staticmethod
    def check_inputs(generator, discriminator):
        """Raise ValueError unless both networks take a pair, and the pairs fit together."""
        for network, pair in ((generator, "[z, c]"), (discriminator, "[x, c]")):
            if len(network.inputs) != 2:
                raise ValueError(f"the {network.name} must take two inputs, {pair}, not {len(network.inputs)}.")
        (z, c), (x, c_too) = generator.inputs, discriminator.inputs
        if len(z.shape) != 2 or len(c.shape) != 2:
            raise ValueError(
                f"the generator must take z (n, latent_dim) and c (n, classes), not {z.shape} and {c.shape}."
            )
        if generator.output_shape != tuple(x.shape) or c.shape != c_too.shape:
            raise ValueError(
                f"the generator makes samples {generator.output_shape} of classes {c.shape}, "
                f"but the discriminator takes {tuple(x.shape)} and {c_too.shape}."
            )

    def check_data(self, data):
        """Return images and labels, or raise ValueError: they must fit the networks, and one another."""
        x, labels = super().check_data(data[0]), checks.labels(data[1], self.classes)
        if len(x) != len(labels):
            raise ValueError(f"there must be one label for each image, not {len(labels)} labels for {len(x)} images.")
        return x, labels
