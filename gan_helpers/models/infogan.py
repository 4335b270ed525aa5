"""InfoGAN: a GAN that finds its own codes. X. Chen et al., arXiv:1606.03657."""

import keras
import numpy as np
import tensorflow as tf

from gan_helpers import checks, data
from gan_helpers.models.augment import virtual_adversarial_loss
from gan_helpers.models.gan import GAN
from gan_helpers.models.saving import deserialised, serialised
from gan_helpers.models.training import check_network, on_gpu, rows


@keras.saving.register_keras_serializable(package="gan_helpers")
class InfoGAN(GAN):
    """A generator whose codes c can be read off its samples, by a third network Q that learns to.

    Args:
        generator: `keras.Model` from (z, c) `(n, latent_dim + categories + codes)` to samples
            `(n, ...)`. c is a category, one-hot, followed by continuous codes in [-1, 1].
        discriminator: `keras.Model` from samples to logits `(n, 1)`.
        recogniser: `keras.Model` Q(c | x) from samples to `(n, categories + codes)`: a logit for each
            category and the mean of each code; or to `(n, categories + 2 codes)`: the logarithms
            of the codes' standard deviations follow, which are 1 otherwise. It may share layers with
            the discriminator.
        categories: how many values the category may take, each as often; 0 for no category.
        codes: how many continuous codes there are, each uniform in [-1, 1].
        ema, seed: as in `GAN`.

    Raises:
        ValueError: the networks do not fit together, or there is nothing to recognise.
    """

    loss_names = ("d_loss", "g_loss", "q_loss")

    # --- the algorithm

    def train_step(self, data):
        """One round: `d_steps` steps of the discriminator, then one of the generator and one of the recogniser.

        `data` is real samples x: a batch for each of the discriminator's steps, and one more for `agreement`.
        """
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        batches = tf.split(x, self.batches_per_step)
        for batch in batches[: self.d_steps]:
            d_loss = self.discriminator_step(batch, self.draw_z(rows(batch)))
        z = self.draw_z(rows(batch))
        g_loss, x_fake = self.generator_step(batch, z)
        q_loss = self.recogniser_step(x, x_fake, z[:, self.latent_dim :])
        self.end_step()
        return {"d_loss": d_loss, "g_loss": g_loss, "q_loss": q_loss}

    def generator_step(self, x, z):
        """Fool the discriminator with samples whose codes can be read. Returns G's loss and the samples."""
        with tf.GradientTape() as tape:
            x_fake = self.generator(z, training=True)
            real = self.discriminator(x, training=True)
            fake = self.discriminator(x_fake, training=True)
            _, g_loss = self.loss(real, fake)
            total = g_loss + self.negative_log_likelihood(x_fake, z[:, self.latent_dim :])
        self.minimise(total, tape, self.g_optimizer, self.generator)
        return g_loss, x_fake

    def recogniser_step(self, x, x_fake, c):
        """Read the codes of the samples a little better, the category even if the image has been moved."""
        x_moved = self.transform(x_fake, self.draw_seed()) if self.transform else x_fake
        with tf.GradientTape() as tape:
            q_loss = self.negative_log_likelihood(x_fake, c, x_moved)
            total = q_loss + self.clustering_loss(x)
        self.minimise(total, tape, self.q_optimizer, self.recogniser)
        return q_loss

    def clustering_loss(self, x):
        """What Q learns from real images, without samples and without labels; 0 unless asked for, as in the paper."""
        loss = 0.0
        if self.agreement_weight or self.vat_weight:
            one, other = (self.transform(x, self.draw_seed()) for _ in range(2))
        if self.agreement_weight:
            loss -= self.agreement_weight * self.agreement(one, other)
        if self.vat_weight:
            loss += self.vat_weight * self.virtual_adversarial(one)
        return loss

    def negative_log_likelihood(self, x, c, x_moved=None):
        """-E log Q(c | x), weighted. H(c), which is fixed, minus this is the lower bound L_I of the information.

        For each continuous code log(2 pi)/2 is left out: it moves no weight, and only lifts the curve of the loss.
        """
        total = 0.0
        if self.categories:
            logits, _, _ = self.read(x if x_moved is None else x_moved)
            per_image = tf.nn.softmax_cross_entropy_with_logits(c[:, : self.categories], logits)
            total += self.category_weight * tf.reduce_mean(per_image)
        if self.codes:
            noise = self.instance_noise * tf.random.stateless_normal(tf.shape(x), self.draw_seed())
            _, mean, log_deviation = self.read(x + noise)
            squares = ((c[:, self.categories :] - mean) / tf.exp(log_deviation)) ** 2
            per_code = 0.5 * squares + log_deviation
            total += tf.reduce_mean(tf.reduce_sum(self.code_weight * per_code, axis=1))
        return total

    def agreement(self, one, other):
        """The information, in nats, that Q's category of one view of an image has about that of the other view.

        It is large if both views get the same category, if Q is sure of it, and if all categories are
        equally frequent, as they are among the samples. (X. Ji et al., arXiv:1807.06653.) It is twice
        the entropy of the categories' shares, minus that of the pairs; the former counts `balance` times.
        """
        p, q = (tf.nn.softmax(self.read(view)[0]) for view in (one, other))
        pairs = tf.matmul(p, q, transpose_a=True) / tf.cast(tf.shape(one)[0], p.dtype)  # probability of each pair
        pairs = (pairs + tf.transpose(pairs)) / 2 + 1e-8
        share = tf.reduce_sum(pairs, axis=0)
        return tf.reduce_sum(pairs * (tf.math.log(pairs) - self.balance * tf.math.log(share * share[:, None])))

    def virtual_adversarial(self, x):
        """KL, in nats, by which Q's category of an image changes under the worst change of length `radius`."""
        noise = tf.random.stateless_normal(tf.shape(x), self.draw_seed())
        return virtual_adversarial_loss(lambda x: self.read(x)[0], x, self.radius, noise)

    def read(self, x):
        """What Q says of `x`: logits of the categories, means and logarithms of the deviations of the codes."""
        out = self.recogniser(x, training=True)
        logits, mean = out[:, : self.categories], out[:, self.categories : self.categories + self.codes]
        log_deviation = out[:, self.categories + self.codes :]
        return logits, mean, log_deviation if log_deviation.shape[1] else tf.zeros_like(mean)

    def draw_z(self, n):
        """Fresh (z, c), `(n, latent_dim + categories + codes)`, for a training step."""
        parts = [tf.random.stateless_normal([n, self.latent_dim], self.draw_seed())]
        if self.categories:
            category = tf.random.stateless_uniform([n], self.draw_seed(), maxval=self.categories, dtype=tf.int32)
            parts.append(tf.one_hot(category, self.categories))
        if self.codes:
            parts.append(tf.random.stateless_uniform([n, self.codes], self.draw_seed(), -1.0, 1.0))
        return tf.concat(parts, axis=1)

    # --- what it is made of

    def __init__(self, generator, discriminator, recogniser, categories=0, codes=2, ema=None, seed=0, **kwargs):
        super().__init__(generator, discriminator, ema=ema, seed=seed, **kwargs)
        check_recogniser(recogniser, generator, categories, codes)
        self.recogniser, self.categories, self.codes = recogniser, categories, codes
        self.networks = [generator, discriminator, recogniser]
        self.latent_dim -= categories + codes
        sizes = {"z": self.latent_dim, "codes": codes, "category": categories}
        self.latent_inputs = {name: size for name, size in sizes.items() if size}  # for the sliders

    def compile(
        self,
        d_optimizer,
        g_optimizer,
        q_optimizer,
        category_weight=1.0,
        code_weight=0.1,
        instance_noise=0.0,
        transform=None,
        agreement_weight=0.0,
        balance=1.0,
        vat_weight=0.0,
        radius=1.5,
        **options,
    ):
        """Choose how the three networks learn.

        Args:
            d_optimizer, g_optimizer, q_optimizer: three separate Keras optimizers.
            category_weight, code_weight: lambda, the weights of the two parts of L_I, in g_loss per nat.
                A list of code_weights, one for each code, orders the codes: equal codes may come out as
                any mixture of one another. A `tf.Variable` can be changed between two calls of `fit`.
            instance_noise: standard deviation of the noise on each pixel through which Q reads the continuous
                codes. What can be read through it is what changes an image a lot.
            transform: function of images and a seed `(2,)` that returns the images slightly moved, each
                in its own way, such as `random_affine`. Q learns to read the category of samples so moved.
            agreement_weight, vat_weight: weights of what Q learns from real images, so moved, see
                `agreement` and `virtual_adversarial`; 0 for nothing, as in the paper. They cost one more batch
                of data for each step.
            balance: how much more than in the information itself `agreement` counts the entropy of the
                categories' shares among real images. 1 leaves it as it is; above, no category stays empty for
                long. (W. Hu et al., arXiv:1702.08720, who give that entropy four times the weight.)
            radius: length of the change of an image, over all its pixels, under which Q is to stay steady.
            options: loss, r1, r2, gradient_penalty and d_steps, as in `GAN.compile`.
        """
        if (agreement_weight or vat_weight) and not (transform and self.categories):
            raise ValueError(
                "agreement_weight and vat_weight need a transform of the images and a category to agree on."
            )
        weights = {"category_weight": category_weight, "code_weight": code_weight}
        real = {"agreement_weight": agreement_weight, "balance": balance, "vat_weight": vat_weight, "radius": radius}
        self.keep(q_optimizer=q_optimizer, instance_noise=instance_noise, transform=transform, **weights, **real)
        super().compile(d_optimizer, g_optimizer, **options)

    def players(self):
        """Which optimizer moves which networks: dict from its name to a list."""
        return {**super().players(), "q_optimizer": [self.recogniser]}

    @property
    def batches_per_step(self):
        """How many batches one `train_step` takes: one for each step of D, one for Q's look at real images."""
        return self.d_steps + bool(self.agreement_weight or self.vat_weight)

    def uses_xla(self, steps, jit_compile=None):
        """As for other models, but never on a GPU with `agreement`, whose gradient aborts XLA and the kernel."""
        return not (self.agreement_weight and on_gpu()) and super().uses_xla(steps, jit_compile)

    # --- use

    def generate(self, n=None, *, category=None, codes=None, z=None, seed=None):
        """New samples; whatever is not given is drawn at random.

        Args:
            n: how many; may be left out if one of the next three says it.
            category: int `(n,)` from 0 to categories - 1, or one for all.
            codes: float `(n, codes)` in [-1, 1], or `(codes,)` for all.
            z: `(n, latent_dim)`.
            seed: int; the same seed gives the same codes. None draws from NumPy's global generator.

        Returns:
            float32 array `(n, ...)` in the range of the generator's last activation.
        """
        given = [np.shape(part)[0] for part, axes in ((category, 1), (codes, 2), (z, 2)) if np.ndim(part) == axes]
        n = checks.count("n", given[0] if n is None and given else n)
        if any(length != n for length in given):
            raise ValueError(f"n must be how many categories, codes and z are given, not {n} for {given}.")
        rng = checks.generator_of(seed)
        # Always all three draws, in this order: fixing one of them leaves the others as they were.
        random_z = rng.standard_normal((n, self.latent_dim))
        random_category = rng.integers(0, max(self.categories, 1), n)
        random_codes = rng.uniform(-1, 1, (n, self.codes))
        z = self.check_z(random_z if z is None else z)
        category = self.check_category(random_category if category is None else category, n)
        codes = self.check_codes(random_codes if codes is None else codes, n)
        one_hot = np.eye(self.categories, dtype=np.float32)[category] if self.categories else codes[:, :0]
        inputs = np.concatenate([z, one_hot, codes], axis=1)
        return data.in_batches(self.averaged_generator, inputs)

    def infer(self, images):
        """What Q reads in images `(n, ...)`: probabilities `(n, categories)`, means of the codes `(n, codes)`."""
        out = data.in_batches(self.recogniser, self.check_data(images))
        probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(out[:, : self.categories]))
        return probabilities, out[:, self.categories : self.categories + self.codes]

    def call(self, z=None, category=None, codes=None, training=False):
        """Samples for z, categories and codes, as a tensor. Or for the generator's input itself, as `z`."""
        parts = [tf.convert_to_tensor(z, tf.float32)]
        if category is not None:
            parts.append(tf.one_hot(category, self.categories))
        if codes is not None:
            parts.append(tf.convert_to_tensor(codes, tf.float32))
        return self.averaged_generator(tf.concat(parts, axis=1), training=training)

    # --- checks

    def check_category(self, category, n):
        """Return categories as int64 `(n,)`, or raise ValueError."""
        category = np.asarray(category)
        if category.ndim > 1 or not np.issubdtype(category.dtype, np.integer):
            raise ValueError(f"category must be a whole number, or {n} of them, not {category.dtype} {category.shape}.")
        if category.min() < 0 or category.max() >= max(self.categories, 1):
            raise ValueError(
                f"category must lie between 0 and {self.categories - 1}, not {category.min()} to {category.max()}."
                if self.categories
                else "this model has no category, only codes."
            )
        return np.broadcast_to(category, (n,)).astype(np.int64)

    def check_codes(self, codes, n):
        """Return codes as float32 `(n, codes)`, or raise ValueError: they must lie in [-1, 1]."""
        codes = np.asarray(codes, np.float32)
        if codes.ndim not in (1, 2) or codes.shape[-1] != self.codes:
            raise ValueError(f"codes must have shape ({n}, {self.codes}) or ({self.codes},), not {codes.shape}.")
        if not (np.abs(codes) <= 1).all():  # NaN fails this, too
            raise ValueError(f"codes must lie in [-1, 1], not in [{codes.min():g}, {codes.max():g}].")
        return np.broadcast_to(codes, (n, self.codes))

    # --- files

    def get_config(self):
        config, heads = super().get_config(), (self.discriminator, self.recogniser)
        d_layers, q_layers = ({id(layer) for layer in head._flatten_layers()} for head in heads)
        if d_layers & q_layers:  # one network of both in the file keeps shared layers shared
            inputs = list({id(head.inputs[0]): head.inputs[0] for head in heads}.values())
            both = keras.Model(inputs, [head.outputs[0] for head in heads], name="discriminator_and_recogniser")
            config |= {"recogniser": serialised("recogniser", both), "discriminator": None}
        return config

    @classmethod
    def from_config(cls, config):
        config = {name: deserialised(name, value) for name, value in config.items()}
        if config["discriminator"] is None:
            both = config["recogniser"]
            for name, start, end in zip(("discriminator", "recogniser"), (0, -1), both.outputs, strict=True):
                config[name] = keras.Model(both.inputs[start], end, name=name)
        return cls(**config)


# --- checks


def check_recogniser(recogniser, generator, categories, codes):
    """Raise ValueError unless Q fits the generator's samples and the codes."""
    check_network(recogniser, "recogniser")
    fixed, latent_dim = categories + codes, generator.inputs[0].shape[1] - categories - codes
    if fixed < 1 or latent_dim < 1:
        raise ValueError(
            f"the generator's {latent_dim + fixed} inputs must hold at least one number of z and one code c, "
            f"not {categories} categories and {codes} codes."
        )
    if recogniser.input_shape[1:] != generator.output_shape[1:]:
        raise ValueError(
            f"the generator makes samples of shape {generator.output_shape[1:]}, "
            f"but the recogniser takes {recogniser.input_shape[1:]}."
        )
    if recogniser.output_shape[1:] not in ((fixed,), (fixed + codes,)):
        raise ValueError(
            f"the recogniser must give {fixed} numbers per sample, or {fixed + codes} with learnt deviations, "
            f"not shape {recogniser.output_shape[1:]}."
        )
