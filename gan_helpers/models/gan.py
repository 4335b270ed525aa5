"""The generative adversarial network. I. Goodfellow et al., arXiv:1406.2661, algorithm 1."""

import keras
import numpy as np
import tensorflow as tf

from gan_helpers import losses
from gan_helpers.models.training import (
    AdversarialModel,
    averaged_copy,
    check_codes,
    check_count,
    check_data,
    check_logits,
    check_network,
    check_separate,
    last_activation,
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
    games = losses
    network_names = ("generator", "discriminator")
    object_names = ("d_optimizer", "g_optimizer")
    number_names = ("r1", "r2", "gradient_penalty", "d_steps")

    def __init__(self, generator, discriminator, ema=None, seed=0, **kwargs):
        super().__init__(seed=seed, **kwargs)
        check_network(generator, "generator")
        check_network(discriminator, "discriminator")
        self.check_inputs(generator, discriminator)
        check_logits(discriminator)
        self.generator, self.discriminator, self.ema = generator, discriminator, ema
        self.networks = [generator, discriminator]
        self.opponents = [generator]  # the networks that play against D; a subclass may have more
        self.latent_dim = generator.inputs[0].shape[1]
        self.averaged_generator = averaged_copy(generator, ema)
        self.built = True  # the networks came built, so there is nothing left that saving could miss

    def compile(
        self, d_optimizer, g_optimizer, loss=losses.non_saturating, r1=0.0, r2=0.0, gradient_penalty=0.0, d_steps=1
    ):
        """Choose how the two networks learn.

        Args:
            d_optimizer, g_optimizer: two separate Keras optimizers.
            loss: a game of `gan_helpers.losses`: a function of the logits of a real and of a
                generated batch that returns the two losses.
            r1, r2: weights (gamma) of the penalties on D's slope at real and at generated samples.
            gradient_penalty: weight (lambda) of WGAN-GP's penalty; the paper uses 10.
            d_steps: k, steps of the discriminator for each step of the generator.
        """
        check_separate(d_optimizer, g_optimizer)
        check_count("d_steps", d_steps)
        super().compile(optimizer=g_optimizer)  # callbacks that ask for "the" optimizer get G's
        self.d_optimizer, self.g_optimizer, self.d_steps = d_optimizer, g_optimizer, d_steps
        self.adversarial_loss, self.r1, self.r2, self.gradient_penalty = loss, r1, r2, gradient_penalty
        d_optimizer.build(self.discriminator.trainable_variables)
        g_optimizer.build([weight for network in self.opponents for weight in network.trainable_variables])
        self.batches_per_step = d_steps
        self.set_optimizers([d_optimizer, g_optimizer])

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
        return check_data(x, self.generator.output_shape[1:], last_activation(self.generator))

    # --- the algorithm

    def train_step(self, x):
        """One round of algorithm 1: `d_steps` steps of the discriminator, then one of the generator.

        `x` holds a batch for each of the discriminator's steps, one after the other.
        """
        for batch in tf.split(x, self.d_steps):
            d_loss = self.discriminator_step(batch, self.draw_z(len(batch)))
        g_loss = self.generator_step(batch, self.draw_z(len(batch)))
        self.update_average()
        return {"d_loss": d_loss, "g_loss": g_loss}

    def discriminator_step(self, x, z):
        """Tell real `x` from the samples of codes `z` a little better. Returns D's loss, without penalties."""
        x_fake = self.generator(z, training=True)
        with tf.GradientTape() as tape:
            real, fake, penalty = self.judge(x, x_fake)
            d_loss, _ = self.adversarial_loss(real, fake)
            total = d_loss + penalty
        self.minimise(total, tape, self.d_optimizer, self.discriminator)
        return d_loss

    def generator_step(self, x, z):
        """Fool the discriminator a little better. Only relativistic games look at the real `x` here."""
        with tf.GradientTape() as tape:
            real = self.discriminator(x, training=True)
            fake = self.discriminator(self.generator(z, training=True), training=True)
            _, g_loss = self.adversarial_loss(real, fake)
        # The slopes run through D, but only G's weights move.
        self.minimise(g_loss, tape, self.g_optimizer, self.generator)
        return g_loss

    def judge(self, x, x_fake, discriminator=None):
        """D's logits for real and for generated samples, and the penalty that keeps its slopes gentle."""
        discriminator = discriminator or self.discriminator
        real, r1 = losses.logits_and_penalty(discriminator, x, self.r1)
        fake, r2 = losses.logits_and_penalty(discriminator, x_fake, self.r2)
        penalty = r1 + r2
        if self.gradient_penalty:
            share = tf.random.stateless_uniform([len(tf.nest.flatten(x)[0])], self.draw_seed())
            penalty += self.gradient_penalty * losses.gradient_penalty(discriminator, x, x_fake, share)
        return real, fake, penalty

    def averages(self):
        """Pairs of networks, (average, present)."""
        return [(self.averaged_generator, self.generator)]

    def draw_z(self, n):
        """Fresh codes z ~ N(0, 1), `(n, latent_dim)`, for a training step."""
        return tf.random.stateless_normal([n, self.latent_dim], self.draw_seed())

    # --- use

    def generate(self, n=None, seed=None, z=None):
        """New samples, from the averaged generator if there is one.

        Args:
            n: how many.
            seed: int; the same seed gives the same codes. None draws from NumPy's global generator.
            z: codes `(n, latent_dim)` to use instead of random ones.

        Returns:
            float32 array `(n, ...)` in the range of the generator's last activation.
        """
        if z is None:
            check_count("n", n)
            z = self.random_z(int(n), seed)
        return self.averaged_generator.predict(self.check_z(z), batch_size=500, verbose=0)

    def random_z(self, n, seed):
        """Codes z ~ N(0, 1), `(n, latent_dim)`, for `generate`; a seed of None draws from NumPy's global generator."""
        random = np.random if seed is None else np.random.default_rng(seed)
        return random.standard_normal((n, self.latent_dim))

    def check_z(self, z):
        """Return codes as float32, or raise ValueError: finite numbers `(n, latent_dim)`."""
        return check_codes(z, self.latent_dim, name="z")

    def call(self, z, training=False):
        """Samples for codes `z`, as a tensor."""
        return self.averaged_generator(z, training=training)
