"""The bidirectional GAN: a generator and its inverse.

J. Donahue et al., arXiv:1605.09782 (BiGAN), and V. Dumoulin et al., arXiv:1606.00704 (ALI).
"""

import keras
import tensorflow as tf

from gan_helpers import data, losses
from gan_helpers.models.gan import GAN
from gan_helpers.models.training import averaged_copy, check_network, rows


@keras.saving.register_keras_serializable(package="gan_helpers")
class BiGAN(GAN):
    """A generator, an encoder, and a discriminator that judges pairs of an image and its code.

    Args:
        generator: `keras.Model` G from codes z `(n, latent_dim)` to images `(n, ...)`.
        encoder: `keras.Model` E from images to codes `(n, latent_dim)`.
        discriminator: `keras.Model` from [x, z], images and codes, to logits `(n, 1)`: a real image with
            the code that E gives it, or a code with the image that G makes of it?
        ema: decay of the moving averages of the weights of G and E, such as 0.999; None for none.
        seed: int; fixes the batches and the noise of training.

    Raises:
        ValueError: the networks do not fit together.
    """

    # --- the algorithm. `train_step` is that of the GAN: D's steps, then one of G and E together.

    def discriminator_step(self, x, z):
        """Tell the pairs (x, E(x)) from the pairs (G(z), z) a little better."""
        real_pair, fake_pair = [x, self.noisy_code(x)], [self.generator(z, training=True), z]
        with tf.GradientTape() as tape:
            real, r1 = losses.logits_and_penalty(self.discriminator, real_pair, self.r1)
            fake, r2 = losses.logits_and_penalty(self.discriminator, fake_pair, self.r2)
            d_loss, _ = self.loss(real, fake)
            total = d_loss + r1 + r2
            if self.gradient_penalty:
                share = tf.random.stateless_uniform([rows(x)], self.draw_seed())
                total += self.gradient_penalty * losses.gradient_penalty(
                    self.discriminator, real_pair, fake_pair, share
                )
        self.minimise(total, tape, self.d_optimizer, self.discriminator)
        return d_loss

    def generator_step(self, x, z):
        """Let each kind of pair be taken for the other: both G and E move. Returns their adversarial loss."""
        with tf.GradientTape() as tape:
            z_real, x_fake = self.noisy_code(x), self.generator(z, training=True)
            real = self.discriminator([x, z_real], training=True)
            fake = self.discriminator([x_fake, z], training=True)
            loss, _ = self.loss(fake, real)  # what D would lower if the two had changed places
            total = loss
            if self.cycle_weight:
                total += self.cycle_weight * tf.reduce_mean((self.generator(z_real, training=True) - x) ** 2)
        self.minimise(total, tape, self.g_optimizer, self.generator, self.encoder)
        return loss

    def noisy_code(self, x):
        """E(x), and the noise of training on it."""
        code = self.encoder(x, training=True)
        if self.code_noise:
            spread = self.code_noise * tf.math.reduce_std(code, axis=0)
            code += spread * tf.random.stateless_normal(tf.shape(code), self.draw_seed())
        return code

    # --- what it is made of

    def __init__(self, generator, encoder, discriminator, ema=None, seed=0, **kwargs):
        super().__init__(generator, discriminator, ema=ema, seed=seed, **kwargs)
        check_network(encoder, "encoder")
        if encoder.input_shape != generator.output_shape or encoder.output_shape != generator.input_shape:
            raise ValueError(
                f"the encoder must lead from {generator.output_shape} back to {generator.input_shape}, "
                f"not from {encoder.input_shape} to {encoder.output_shape}."
            )
        self.encoder = encoder
        self.networks.append(encoder)
        self.averaged_encoder = averaged_copy(encoder, ema)

    def compile(self, d_optimizer, g_optimizer, cycle_weight=0.0, code_noise=0.0, **options):
        """Choose how the three networks learn.

        Args:
            d_optimizer, g_optimizer: two separate Keras optimizers, the second for G and E together.
            cycle_weight: weight of the mean squared error of G(E(x)), per pixel, beside the adversarial loss;
                0 as in the papers. (C. Li et al., arXiv:1709.01215.)
            code_noise: normal noise is added to E(x) in training, with this deviation in units of the
                deviation of the codes in the batch, so that E cannot drown it by larger codes. Decoded
                all the same, it makes codes that lie close together mean similar images; 0 for a BiGAN.
            options: loss, r1, r2, gradient_penalty and d_steps, as in `GAN.compile`.
        """
        self.keep(cycle_weight=cycle_weight, code_noise=code_noise)
        super().compile(d_optimizer, g_optimizer, **options)

    def players(self):
        """Which optimizer moves which networks: dict from its name to a list."""
        return {"d_optimizer": [self.discriminator], "g_optimizer": [self.generator, self.encoder]}

    def averages(self):
        """Pairs of networks, (average, present)."""
        return [*super().averages(), (self.averaged_encoder, self.encoder)]

    # --- use

    def encode(self, images):
        """The codes of images: float32 `(n, latent_dim)`. Images as in training, `(n, ...)` in G's range."""
        return data.in_batches(self.averaged_encoder, self.check_data(images))

    def reconstruct(self, images):
        """G(E(x)): images, sent through their codes."""
        return self.generate(z=self.encode(images))

    # --- checks

    @staticmethod
    def check_inputs(generator, discriminator):
        """Raise ValueError unless the discriminator takes pairs of what the generator makes and takes."""
        wanted = [generator.output_shape, generator.input_shape]
        found = [tuple(part.shape) for part in discriminator.inputs]
        if len(generator.input_shape) != 2 or found != wanted:
            raise ValueError(f"the discriminator must take [x, z] of the shapes {wanted}, not {found}.")
