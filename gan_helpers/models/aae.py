"""Adversarial autoencoders: a code that can be sampled. A. Makhzani et al., arXiv:1511.05644."""

import keras
import numpy as np
import tensorflow as tf

from gan_helpers import checks, data, losses
from gan_helpers.models.augment import virtual_adversarial_loss
from gan_helpers.models.training import (
    AdversarialModel,
    averaged_copy,
    check_data,
    check_logits,
    check_network,
    output_range,
    rows,
)


def reconstruction_loss(x, x_again):
    """-E [x log x' + (1 - x) log(1 - x')], in nats, over all pixels of images in [0, 1]: the reconstruction loss."""
    return tf.reduce_mean(keras.losses.binary_crossentropy(x, x_again))


# --- priors: each turns normal noise `(n, d)` and classes k, int `(n,)`, into codes z `(n, d)`


@keras.saving.register_keras_serializable(package="gan_helpers")
def gaussian(noise, k, classes):
    """One round Gaussian for all classes: the noise itself."""
    return noise


@keras.saving.register_keras_serializable(package="gan_helpers")
def petals(noise, k, classes, shift=1.4, along=0.3, across=0.05):
    """A flower: a thin Gaussian for each class, on rays around the origin, in each pair of coordinates.

    Args:
        shift: distance of the middle of a petal from the origin.
        along, across: standard deviations of a petal along its ray and across it.

    Raises:
        ValueError: noise has an odd number of coordinates.
    """
    if noise.shape[1] % 2:
        raise ValueError(
            f"petals need an even number of code dimensions, not {noise.shape[1]}: a flower lies in a plane."
        )
    ray, side = shift + along * noise[:, 0::2], across * noise[:, 1::2]
    angle = (2 * np.pi / classes) * tf.cast(k, noise.dtype)[:, None]
    x, y = ray * tf.cos(angle) - side * tf.sin(angle), ray * tf.sin(angle) + side * tf.cos(angle)
    return tf.reshape(tf.stack([x, y], axis=2), tf.shape(noise))


@keras.saving.register_keras_serializable(package="gan_helpers")
def swiss_roll(noise, k, classes, turns=1.5, radius=2.0, across=0.05):
    """A rolled-up band, cut into equally large parts, one for each class, from the middle outwards.

    Raises:
        ValueError: noise has other than two coordinates.
    """
    if noise.shape[1] != 2:
        raise ValueError(f"a swiss roll lies in a plane: it needs 2 code dimensions, not {noise.shape[1]}.")
    share = 0.5 + 0.5 * tf.math.erf(noise[:, 0] / np.sqrt(2))  # uniform in [0, 1]
    place = tf.sqrt((tf.cast(k, noise.dtype) + share) / classes)  # the root spreads the points evenly along the band
    angle, distance = 2 * np.pi * turns * place, radius * place + across * noise[:, 1]
    return tf.stack([distance * tf.cos(angle), distance * tf.sin(angle)], axis=1)


@keras.saving.register_keras_serializable(package="gan_helpers")
def category_and_style(noise, k, classes):
    """The class, one-hot, followed by normal numbers for all that the class does not tell.

    Raises:
        ValueError: noise has no more coordinates than there are classes.
    """
    if noise.shape[1] <= classes:
        raise ValueError(f"a code of a category of {classes} and a style needs more than {noise.shape[1]} dimensions.")
    return tf.concat([tf.one_hot(k, classes, dtype=noise.dtype), noise[:, classes:]], axis=1)


@keras.saving.register_keras_serializable(package="gan_helpers")
class AdversarialAutoencoder(AdversarialModel):
    """An autoencoder whose codes of all images together are made to look like samples of a prior.

    Args:
        encoder: `keras.Model` from images `(n, ...)` in [0, 1] to codes `(n, d)`.
        decoder: `keras.Model` from codes to images; it ends in a sigmoid.
        discriminator: `keras.Model` from codes to logits `(n, 1)`: a sample of the prior, or of the encoder?
        prior: function (noise, k, classes) from normal noise `(n, d)` and classes k, int `(n,)`, to codes z
            `(n, d)`, such as `petals`, in TensorFlow. To be saved it must be registered with Keras.
        classes: how many classes the prior has, each as often.
        ema: decay of the moving averages of encoder and decoder, such as 0.999; None for none.
        seed: int; fixes the batches and the noise of training.

    Raises:
        ValueError: the networks or the prior do not fit together.
    """

    loss_names = ("reconstruction_loss", "d_loss", "g_loss")
    # --- the algorithm

    def train_step(self, data):
        """One round: `d_steps` steps of the discriminator, then one of encoder and decoder.

        `data` is images x: a batch for each of the discriminator's steps, one after the other.
        """
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        found = self.both_phases(x)
        self.end_step()
        return found

    def both_phases(self, x):
        """The discriminator's steps, then that of encoder and decoder. Returns the losses."""
        for batch in tf.split(x, self.d_steps):
            z = self.draw_prior(self.draw_classes(rows(batch)))
            d_loss = self.discriminator_step(self.discriminator, z, self.encoder(batch, training=True))
        reconstruction, g_loss = self.autoencoder_step(self.discriminator, batch, z)
        return {"reconstruction_loss": reconstruction, "d_loss": d_loss, "g_loss": g_loss}

    def discriminator_step(self, d, z, z_fake):
        """Tell samples `z` of the prior from codes `z_fake` of images a little better. `d` is D, of codes alone."""
        with tf.GradientTape() as tape:
            real, r1 = losses.logits_and_penalty(d, z, self.r1)
            fake, r2 = losses.logits_and_penalty(d, z_fake, self.r2)
            d_loss, _ = self.loss(real, fake)
            total = d_loss + r1 + r2
        self.minimise(total, tape, self.d_optimizer, self.discriminator)
        return d_loss

    def autoencoder_step(self, d, x, z):
        """Copy the images through their codes, and let the codes pass for samples of the prior."""
        with tf.GradientTape() as tape:
            z_fake = self.encoder(x, training=True)
            reconstruction = reconstruction_loss(x, self.decoder(z_fake, training=True))
            _, g_loss = self.loss(d(z, training=True), d(z_fake, training=True))
            total = reconstruction + self.adversarial_weight * g_loss
        self.minimise(total, tape, self.ae_optimizer, self.encoder, self.decoder)
        return reconstruction, g_loss

    def draw_classes(self, n):
        """Classes for samples of the prior, each as likely: int32 `(n,)`."""
        return tf.random.stateless_uniform([n], self.draw_seed(), maxval=self.classes, dtype=tf.int32)

    def draw_prior(self, k):
        """Samples of the prior for a training step, `(n, d)`, of the classes k, int `(n,)`."""
        return self.prior(tf.random.stateless_normal([rows(k), self.latent_dim], self.draw_seed()), k, self.classes)

    # --- what it is made of

    def __init__(self, encoder, decoder, discriminator, prior=petals, classes=6, ema=None, seed=0, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.encoder, self.decoder, self.discriminator = encoder, decoder, discriminator
        self.prior, self.classes, self.ema = prior, classes, ema
        self.networks = [encoder, decoder, discriminator]
        self.check_networks()
        self.latent_dim = encoder.output_shape[1]
        self.check_prior()
        self.averaged_encoder, self.averaged_decoder = averaged_copy(encoder, ema), averaged_copy(decoder, ema)
        self.built = True

    def compile(
        self, ae_optimizer, d_optimizer, loss=losses.relativistic, adversarial_weight=0.5, r1=0.3, r2=0.3, d_steps=3
    ):
        """Choose how the networks learn.

        Args:
            ae_optimizer, d_optimizer: two separate Keras optimizers, one for encoder and decoder together.
            loss: one of `gan_helpers.losses`. Real are the samples of the prior, generated are the codes.
            adversarial_weight: weight of the encoder's adversarial loss beside the reconstruction loss,
                which is the cross-entropy of a pixel, in nats, averaged over all pixels.
            r1, r2: weights (gamma) of the penalties on D's gradient at samples of the prior and at codes.
            d_steps: steps of the discriminator for each step of the autoencoder. D is small, so they are cheap.
        """
        options = {"loss": loss, "adversarial_weight": adversarial_weight, "r1": r1, "r2": r2, "d_steps": d_steps}
        super().compile(ae_optimizer, ae_optimizer=ae_optimizer, d_optimizer=d_optimizer, **options)

    def players(self):
        """Which optimizer moves which networks: dict from its name to a list."""
        return {"ae_optimizer": [self.encoder, self.decoder], "d_optimizer": [self.discriminator]}

    def averages(self):
        """Pairs of networks, (average, present)."""
        return [(self.averaged_encoder, self.encoder), (self.averaged_decoder, self.decoder)]

    # --- use

    def encode(self, images):
        """The codes of images: float32 `(n, d)`. Images as in training, `(n, ...)` in [0, 1]."""
        return data.in_batches(self.averaged_encoder, self.check_images(images))

    def decode(self, codes):
        """Images for codes `(n, d)`: float32 `(n, ...)` in [0, 1].

        Raises ValueError for codes of another shape, NaN, or codes far from where any were seen: farther
        than `reach` from the origin.
        """
        codes = checks.codes(codes, self.latent_dim)
        farthest = np.linalg.norm(codes, axis=1).max(initial=0)
        if farthest > self.reach:
            raise ValueError(
                f"codes must lie within {self.reach:.1f} of the origin, where the prior is, not {farthest:.1f} away: "
                "the decoder has learnt nothing about codes out there."
            )
        return data.in_batches(self.averaged_decoder, codes)

    def reconstruct(self, images):
        """Images, sent through their codes: float32 `(n, ...)` in [0, 1]."""
        return data.in_batches(self.averaged_decoder, self.encode(images))

    def sample_prior(self, n=None, *, classes=None, seed=None):
        """Samples of the prior: float32 `(n, d)`.

        Args:
            n: how many, of classes drawn at random.
            classes: int `(n,)`, from 0 to classes - 1, instead of n.
            seed: int; the same seed gives the same codes. None draws from NumPy's global generator.
        """
        rng = checks.generator_of(seed)
        classes = rng.integers(0, self.classes, checks.count("n", n)) if classes is None else classes
        classes = checks.labels(classes, self.classes)
        noise = rng.standard_normal((len(classes), self.latent_dim)).astype(np.float32)
        return self.prior(tf.constant(noise), tf.constant(classes), self.classes).numpy()

    def generate(self, n=None, *, classes=None, seed=None):
        """New images: the decoder's, for samples of the prior. Arguments as in `sample_prior`."""
        return data.in_batches(self.averaged_decoder, self.sample_prior(n, classes=classes, seed=seed))

    def call(self, codes, training=False):
        """Images for `codes`, as a tensor."""
        return self.averaged_decoder(codes, training=training)

    # --- checks

    def check_networks(self):
        """Raise ValueError unless the three networks fit together."""
        for role, network in zip(("encoder", "decoder", "discriminator"), self.networks, strict=True):
            check_network(network, role)
        encoder, decoder = self.encoder, self.decoder
        if len(encoder.output_shape) != 2 or encoder.output_shape != decoder.input_shape:
            raise ValueError(
                f"the encoder makes codes of shape {encoder.output_shape}, the decoder takes {decoder.input_shape}: "
                "both must be the same, (n, d)."
            )
        if decoder.output_shape != encoder.input_shape or output_range(decoder) != (0, 1):
            raise ValueError(
                f"the decoder must end in a sigmoid and make images of shape {encoder.input_shape}, as the encoder "
                f"takes them, not {decoder.output_shape} in {list(output_range(decoder))}."
            )
        if self.discriminator.inputs[0].shape != encoder.outputs[0].shape:
            raise ValueError(
                f"the discriminator must take codes of shape {encoder.output_shape}, "
                f"not {tuple(self.discriminator.inputs[0].shape)}."
            )
        check_logits(self.discriminator)

    def check_prior(self):
        """Raise ValueError unless the prior gives finite codes of the encoder's shape. Finds `reach`, too."""
        noise = tf.random.stateless_normal([1000, self.latent_dim], (0, 0))
        codes = np.asarray(self.prior(noise, tf.range(1000) % self.classes, self.classes))
        if codes.shape != noise.shape:
            raise ValueError(
                f"the prior must give codes of shape (n, {self.latent_dim}), one for each row of noise, not "
                f"{codes.shape} for {tuple(noise.shape)}."
            )
        if not np.isfinite(codes).all():
            raise ValueError("the prior gives NaN or infinity: every coordinate must be a finite number.")
        self.reach = 1.5 * float(np.linalg.norm(codes, axis=1).max())

    def check_images(self, images):
        """Return images as float32, or raise ValueError: finite, in [0, 1], of the encoder's shape."""
        return check_data(images, self.encoder.input_shape[1:], (0, 1))

    check_data = check_images


UNLABELLED = -1


class LabelledImages:
    """What the two models that learn from labels share: some images have one, and classes are read off codes."""

    def fit(self, x, labels, steps, **options):
        """Train for `steps` more steps on images `x` `(n, ...)` in [0, 1] and labels, int `(n,)`: -1 for "unlabelled".

        The other options, what it returns and what it raises: see `AdversarialModel.fit`.
        """
        return super().fit((x, labels), steps, **options)

    def predict_digit(self, images):
        """The class of each image, int `(n,)`: that whose part of the prior has its middle nearest to the code."""
        middles = self.prior(tf.zeros([self.classes, self.latent_dim]), tf.range(self.classes), self.classes)
        distance = np.linalg.norm(self.encode(images)[:, None] - middles, axis=2)
        return distance.argmin(axis=1)

    def check_data(self, data):
        """Return images, labels and the rows that have one (repeated to as many), or raise ValueError."""
        x, labels = self.check_images(data[0]), np.asarray(data[1])
        if labels.shape != (len(x),) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"there must be one label for each image, an integer, -1 for none: shape ({len(x)},), "
                f"not {labels.dtype} of shape {labels.shape}."
            )
        labelled = np.flatnonzero(labels != UNLABELLED)
        if not len(labelled):
            raise ValueError("no image has a label: then AdversarialAutoencoder is the model to train.")
        checks.labels(labels[labelled], self.classes)
        return x, labels.astype(np.int32), np.resize(labelled, len(x))


@keras.saving.register_keras_serializable(package="gan_helpers")
class LabelAAE(LabelledImages, AdversarialAutoencoder):
    """An adversarial autoencoder whose discriminator is told the classes of some images.

    Args:
        discriminator: `keras.Model` from [code, told] to logits `(n, 1)`. `told` `(n, classes + 1)` is
            one-hot: the class, or in its last place "unlabelled".
        The others: as in `AdversarialAutoencoder`.

    The encoder sees images only, so the class of an image without a label can be read from its code.
    """

    # --- the algorithm

    def train_step(self, data):
        """One round as in `AdversarialAutoencoder`. `data` is images and labels, `classes` for none."""
        parts = [tf.split(part, self.d_steps) for part in keras.utils.unpack_x_y_sample_weight(data)[:2]]
        for x, labels in zip(*parts, strict=True):
            told = tf.one_hot(labels, self.classes + 1)
            d = lambda codes, training, told=told: self.discriminator([codes, told], training=training)  # noqa: E731
            # To deceive a D that was told "a 3", the code of an image must fit into the petal of the threes.
            z = self.draw_prior(tf.where(labels < self.classes, labels, self.draw_classes(rows(x))))
            d_loss = self.discriminator_step(d, z, self.encoder(x, training=True))
        reconstruction, g_loss = self.autoencoder_step(d, x, z)
        self.end_step()
        return {"reconstruction_loss": reconstruction, "d_loss": d_loss, "g_loss": g_loss}

    def draw_batch(self, data, n):
        """Half of each step's rows from all images, whose labels are not told, and half from those with labels."""
        x, labels, labelled = data
        rows = tf.random.stateless_uniform([n], self.draw_seed(), maxval=len(x), dtype=tf.int64)
        tell = tf.range(n) % 2 == 0
        rows = tf.where(tell, tf.gather(labelled, rows), rows)
        return tf.gather(x, rows), tf.where(tell, tf.gather(labels, rows), self.classes)

    # --- checks

    def check_networks(self):
        """Raise ValueError unless the networks fit together, and the discriminator takes a pair."""
        shapes = [tuple(part.shape) for part in getattr(self.discriminator, "inputs", [])]
        if len(shapes) != 2 or shapes[1] != (None, self.classes + 1):
            raise ValueError(
                f"the discriminator must take two inputs, [code, told], with told (n, {self.classes + 1}): "
                f"{self.classes} classes and one place for unlabelled. It takes {shapes}."
            )
        super().check_networks()


@keras.saving.register_keras_serializable(package="gan_helpers")
class SemiSupervisedAAE(LabelledImages, AdversarialAutoencoder):
    """An adversarial autoencoder whose code is a category and a style, and that is told the category of some images.

    Args:
        encoder: `keras.Model` from images to codes `(n, classes + style)`: the first `classes` numbers are
            probabilities, the others have any value.
        prior: as above, by default a category, one-hot, beside normal numbers for the style.
        The others: as in `AdversarialAutoencoder`.
    """

    loss_names = (*AdversarialAutoencoder.loss_names, "label_loss")

    # --- the algorithm

    def train_step(self, data):
        """The phases of `AdversarialAutoencoder`, and one for labels. `data`: images, labelled ones, their labels."""
        x, x_labelled, labels = data
        found = self.both_phases(x)
        label_loss = self.label_step(x, x_labelled, labels)
        self.end_step()
        return {**found, "label_loss": label_loss}

    def label_step(self, x, x_labelled, labels):
        """Read the labels off moved images a little better, and the same category off `x` however it is moved."""
        read = lambda x: tf.math.log(self.encoder(x, training=True)[:, : self.classes] + 1e-7)  # noqa: E731
        with tf.GradientTape() as tape:
            x_labelled = self.transform(x_labelled, self.draw_seed())
            label_loss = -tf.reduce_mean(tf.gather(read(x_labelled), labels, batch_dims=1))
            noise = tf.random.stateless_normal(tf.shape(x), self.draw_seed())
            moved = self.transform(x, self.draw_seed())
            total = label_loss + self.vat_weight * virtual_adversarial_loss(
                read, moved, self.radius, noise, tf.exp(read(x))
            )
        self.minimise(total, tape, self.label_optimizer, self.encoder)
        return label_loss

    def draw_batch(self, data, n):
        """Rows of all images, and as many of those with labels."""
        x, labels, labelled = data
        labelled = super().draw_batch(labelled, n)
        return super().draw_batch(x, n), tf.gather(x, labelled), tf.gather(labels, labelled)

    # --- what it is made of

    def __init__(self, encoder, decoder, discriminator, prior=category_and_style, classes=10, **options):
        super().__init__(encoder, decoder, discriminator, prior=prior, classes=classes, **options)
        probabilities = encoder(tf.zeros([1, *encoder.input_shape[1:]]))[:, :classes]
        if tf.reduce_min(probabilities) < 0 or abs(tf.reduce_sum(probabilities) - 1) > 1e-3:
            raise ValueError(
                f"the first {classes} numbers of a code must be probabilities: let a softmax of the encoder make them."
            )

    def compile(self, ae_optimizer, d_optimizer, label_optimizer, transform, vat_weight=1.0, radius=1.5, **options):
        """Choose how the networks learn.

        Args:
            label_optimizer: a third Keras optimizer, for what the encoder learns from labels.
            transform: function of images and a seed `(2,)` that returns the images slightly moved, each in
                its own way, such as `models.augment.random_affine`.
            vat_weight: weight of what the encoder learns from images without labels: that a moved
                image keeps its category, even after the worst further change (virtual adversarial training).
            radius: length of that change, over all pixels of an image.
            ae_optimizer, d_optimizer, options: as in `AdversarialAutoencoder.compile`.
        """
        self.keep(label_optimizer=label_optimizer, transform=transform, vat_weight=vat_weight, radius=radius)
        super().compile(ae_optimizer, d_optimizer, **options)

    def players(self):
        """Which optimizer moves which networks: dict from its name to a list."""
        return {**super().players(), "label_optimizer": [self.encoder]}
