"""The generative adversarial network. I. Goodfellow et al., arXiv:1406.2661, algorithm 1."""

import keras
import numpy as np
import tensorflow as tf

from gan_helpers import checks, data, losses
from gan_helpers.models.training import (
    AdversarialModel,
    averaged_copy,
    check_data,
    check_logits,
    check_network,
    output_range,
    rows,
)


@keras.saving.register_keras_serializable(package="gan_helpers")
class GAN(AdversarialModel):
    """A generator and a discriminator that learn from each other.

    Args:
        generator: `keras.Model` from codes z `(n, latent_dim)` to samples `(n, ...)`.
        discriminator: `keras.Model` from such samples to logits `(n, 1)`.
        ema: decay of the moving average of the generator's weights, such as 0.999; None for none.
            Samples then come from the average, which wanders less than the weights of any one
            step (Y. Yazıcı et al., arXiv:1806.04498).
        seed: int; fixes the batches and the noise of training.

    Raises:
        ValueError: the generator's output does not fit the discriminator, or the discriminator
            does not end in one logit.
    """

    loss_names = ("d_loss", "g_loss")

    # --- the algorithm

    def train_step(self, data):
        """One round of algorithm 1: `d_steps` steps of the discriminator, then one of the generator.

        `data` is real samples x: a batch for each of the discriminator's steps, one after the other.
        """
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        for batch in tf.split(x, self.d_steps):
            d_loss = self.discriminator_step(batch, self.draw_z(rows(batch)))
        g_loss = self.generator_step(batch, self.draw_z(rows(batch)))
        self.end_step()
        return {"d_loss": d_loss, "g_loss": g_loss}

    def discriminator_step(self, x, z):
        """Tell real `x` from the samples of codes `z` a little better. Returns D's loss, without penalties."""
        x_fake = self.generator(z, training=True)
        with tf.GradientTape() as tape:
            real, r1 = losses.logits_and_penalty(self.discriminator, x, self.r1)
            fake, r2 = losses.logits_and_penalty(self.discriminator, x_fake, self.r2)
            d_loss, _ = self.loss(real, fake)
            total = d_loss + r1 + r2
            if self.gradient_penalty:
                share = tf.random.stateless_uniform([rows(x)], self.draw_seed())
                total += self.gradient_penalty * losses.gradient_penalty(self.discriminator, x, x_fake, share)
        self.minimise(total, tape, self.d_optimizer, self.discriminator)
        return d_loss

    def generator_step(self, x, z):
        """Fool the discriminator a little better. Only relativistic losses look at the real `x` here."""
        with tf.GradientTape() as tape:
            real = self.discriminator(x, training=True)
            fake = self.discriminator(self.generator(z, training=True), training=True)
            _, g_loss = self.loss(real, fake)
        # The gradients run through D, but only G's weights move.
        self.minimise(g_loss, tape, self.g_optimizer, self.generator)
        return g_loss

    def draw_z(self, n):
        """Fresh codes z ~ N(0, 1), `(n, latent_dim)`, for a training step."""
        return tf.random.stateless_normal([n, self.latent_dim], self.draw_seed())

    # --- what it is made of

    def __init__(self, generator, discriminator, ema=None, seed=0, **kwargs):
        super().__init__(seed=seed, **kwargs)
        check_network(generator, "generator")
        check_network(discriminator, "discriminator")
        self.check_inputs(generator, discriminator)
        check_logits(discriminator)
        self.generator, self.discriminator, self.ema = generator, discriminator, ema
        self.networks = [generator, discriminator]
        self.latent_dim = generator.inputs[0].shape[1]
        self.range = output_range(generator)  # of its samples, and so of the data
        self.averaged_generator = averaged_copy(generator, ema)
        self.built = True  # the networks came built, so there is nothing left that saving could miss

    def compile(
        self, d_optimizer, g_optimizer, loss=losses.non_saturating, r1=0.0, r2=0.0, gradient_penalty=0.0, d_steps=1
    ):
        """Choose how the two networks learn.

        Args:
            d_optimizer, g_optimizer: two separate Keras optimizers.
            loss: one of `gan_helpers.losses`, or a function like them: of the logits of a real and of a
                generated batch, that returns the two losses.
            r1, r2: weights (gamma) of the penalties on D's gradient at real and at generated samples.
            gradient_penalty: weight (lambda) of WGAN-GP's penalty; the paper uses 10.
            d_steps: k, steps of the discriminator for each step of the generator.

        Raises:
            ValueError: what is no Keras optimizer, or serves two players; a loss that is no such function;
                a weight that is negative; a network without trainable weights.
        """
        options = {"loss": loss, "r1": r1, "r2": r2, "gradient_penalty": gradient_penalty, "d_steps": d_steps}
        super().compile(g_optimizer, d_optimizer=d_optimizer, g_optimizer=g_optimizer, **options)

    def players(self):
        """Which optimizer moves which networks: dict from its name to a list."""
        return {"d_optimizer": [self.discriminator], "g_optimizer": [self.generator]}

    def averages(self):
        """Pairs of networks, (average, present)."""
        return [(self.averaged_generator, self.generator)]

    # --- use

    def generate(self, n=None, *, seed=None, z=None):
        """New samples, from the averaged generator if there is one.

        Args:
            n: how many.
            seed: int; the same seed gives the same codes. None draws from NumPy's global generator.
            z: codes `(n, latent_dim)` to use instead of random ones.

        Returns:
            float32 array `(n, ...)` in the range of the generator's last activation.
        """
        z = self.random_z(n, seed) if z is None else z
        return data.in_batches(self.averaged_generator, self.check_z(z))

    def random_z(self, n, seed):
        """Codes z ~ N(0, 1), `(n, latent_dim)`, for `generate`; a seed of None draws from NumPy's global generator."""
        random = np.random if seed is None else np.random.default_rng(seed)
        return random.standard_normal((checks.count("n", n), self.latent_dim))

    def check_z(self, z):
        """Return codes as float32, or raise ValueError: finite numbers `(n, latent_dim)`."""
        return checks.codes(z, self.latent_dim, name="z")

    def call(self, z, training=False):
        """Samples for codes `z`, as a tensor."""
        return self.averaged_generator(z, training=training)

    # --- checks

    @staticmethod
    def check_inputs(generator, discriminator):
        """Raise ValueError unless the two networks fit together."""
        if len(generator.input_shape) != 2:
            raise ValueError(f"the generator must take codes of shape (n, latent_dim), not {generator.input_shape}.")
        if generator.output_shape[1:] != discriminator.input_shape[1:]:
            raise ValueError(
                f"the generator makes samples of shape {generator.output_shape[1:]}, "
                f"but the discriminator takes {discriminator.input_shape[1:]}."
            )

    def check_data(self, x):
        """Return `x` as float32, or raise ValueError: its shape and range must be those of G's samples."""
        return check_data(x, self.generator.output_shape[1:], self.range)
