"""CycleGAN: translation between two domains without pairs. J.-Y. Zhu et al., arXiv:1703.10593."""

import keras
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

mean = tf.reduce_mean


@keras.saving.register_keras_serializable(package="gan_helpers")
class CycleGAN(AdversarialModel):
    """Two generators that translate between the domains X and Y, and a discriminator for each domain.

    Args:
        to_y: G, a `keras.Model` from images of X to images of Y, both `(n, h, w, channels)`.
        to_x: F, the way back.
        discriminator_x, discriminator_y: discriminators, `keras.Model` from images to logits: `(n, 1)`, or a map of
            logits `(n, h', w', 1)`, one for each patch of the image.
        ema: decay of the moving averages of the generators' weights, such as 0.999; None for none.
        pool: how many generated images each discriminator is shown again later, chosen at random, so
            that it does not forget what G did before; 0 for none. The paper keeps 50.
        seed: int; fixes the batches, the pool and whatever else is random in training.

    Raises:
        ValueError: the networks do not fit together.
    """

    loss_names = ("d_loss", "g_loss", "cycle_loss", "identity_loss")

    # --- the algorithm

    def train_step(self, data):
        """One step of both generators, then one of both discriminators. `data` is (x, y), no pairs."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        g_loss, cycle, identity, x_fake, y_fake = self.generators_step(x, y)
        if self.pool:
            x_fake, y_fake = self.from_pool(self.pool_x, x_fake), self.from_pool(self.pool_y, y_fake)
            self.pooled.assign_add(tf.cast(rows(x), "int64"))
        d_loss = self.discriminators_step(x, y, x_fake, y_fake)
        self.end_step()
        return {"d_loss": d_loss, "g_loss": g_loss, "cycle_loss": cycle, "identity_loss": identity}

    def generators_step(self, x, y):
        """Fool both discriminators, and come back to where you started."""
        with tf.GradientTape() as tape:
            y_fake, x_fake = self.to_y(x, training=True), self.to_x(y, training=True)
            _, g_loss, _ = self.both_losses(x, y, x_fake, y_fake)
            x_again, y_again = self.to_x(y_fake, training=True), self.to_y(x_fake, training=True)
            cycle = mean(tf.abs(x_again - x)) + mean(tf.abs(y_again - y))
            identity = 0.0
            if self.identity_weight:
                identity = mean(tf.abs(self.to_y(y, training=True) - y)) + mean(tf.abs(self.to_x(x, training=True) - x))
            total = g_loss + self.cycle_weight * cycle + self.identity_weight * identity
        self.minimise(total, tape, self.g_optimizer, self.to_y, self.to_x)
        return g_loss, cycle, identity, x_fake, y_fake

    def discriminators_step(self, x, y, x_fake, y_fake):
        """Tell real images of each domain from translated ones a little better."""
        with tf.GradientTape() as tape:
            d_loss, _, penalty = self.both_losses(x, y, x_fake, y_fake, self.r1)
            total = d_loss + penalty
        self.minimise(total, tape, self.d_optimizer, self.discriminator_x, self.discriminator_y)
        return d_loss

    def both_losses(self, x, y, x_fake, y_fake, r1=0.0):
        """Losses of the discriminators, of the generators, and the discriminators' penalty: sums over both domains."""
        parts = []
        for discriminator, real, fake in ((self.discriminator_x, x, x_fake), (self.discriminator_y, y, y_fake)):
            logits, penalty = losses.logits_and_penalty(discriminator, real, r1)
            parts.append((*self.loss(logits, discriminator(fake, training=True)), penalty))
        return [sum(part) for part in zip(*parts, strict=True)]

    def from_pool(self, pool, fresh):
        """Put `fresh` images into the pool; give back half of them, and for the rest what they replaced."""
        n, filled = rows(fresh), tf.cast(self.pooled.value, tf.int32)  # how many of its places hold an image
        order = tf.argsort(tf.random.stateless_uniform([self.pool], self.draw_seed()))[:n]  # no place twice
        places = tf.where(filled < self.pool, (filled + tf.range(n)) % self.pool, order)
        old = tf.gather(pool, places)
        show_old = (tf.random.stateless_uniform([n, 1, 1, 1], self.draw_seed()) < 0.5) & (filled >= self.pool)
        # An image that is shown now goes into the pool only when an older one is shown in its place.
        keep = show_old | (filled < self.pool)
        pool.assign(tf.tensor_scatter_nd_update(pool.value, places[:, None], tf.where(keep, fresh, old)))
        return tf.where(show_old, old, fresh)

    def draw_batch(self, data, n):
        """Images of both domains, each drawn by itself: they are no pairs, nor equally many."""
        return tuple(super(CycleGAN, self).draw_batch(part, n) for part in data)

    # --- what it is made of

    def __init__(self, to_y, to_x, discriminator_x, discriminator_y, ema=None, pool=50, seed=0, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.to_y, self.to_x, self.discriminator_x, self.discriminator_y = to_y, to_x, discriminator_x, discriminator_y
        self.ema, self.pool = ema, checks.count("pool", pool) if pool else 0
        self.networks = [to_y, to_x, discriminator_x, discriminator_y]
        self.check_networks()
        self.averaged_to_y, self.averaged_to_x = averaged_copy(to_y, ema), averaged_copy(to_x, ema)
        if pool:
            new = {"initializer": "zeros", "trainable": False}
            self.pool_x = self.add_weight(name="pool_x", shape=(pool, *discriminator_x.input_shape[1:]), **new)
            self.pool_y = self.add_weight(name="pool_y", shape=(pool, *discriminator_y.input_shape[1:]), **new)
            self.pooled = self.add_weight(name="pooled", shape=(), dtype="int64", **new)  # images put in so far
        self.built = True

    def compile(
        self, d_optimizer, g_optimizer, loss=losses.least_squares, cycle_weight=10.0, identity_weight=0.0, r1=0.0
    ):
        """Choose how the networks learn.

        Args:
            d_optimizer, g_optimizer: two separate Keras optimizers, one for both discriminators and
                one for both generators.
            loss: one of `gan_helpers.losses`; the paper uses `least_squares`.
            cycle_weight: lambda, weight of the mean absolute error after X -> Y -> X and Y -> X -> Y.
            identity_weight: weight of the mean absolute change of what is in the target domain already.
                The paper uses half of lambda where colours should be kept.
            r1: weight (gamma) of the penalty on the discriminators' gradients at real images.
        """
        if identity_weight and self.to_y.input_shape != self.to_x.input_shape:
            raise ValueError("identity_weight needs two domains of the same shape: set it to 0.")
        options = {"loss": loss, "cycle_weight": cycle_weight, "identity_weight": identity_weight, "r1": r1}
        super().compile(g_optimizer, d_optimizer=d_optimizer, g_optimizer=g_optimizer, **options)

    def players(self):
        """Which optimizer moves which networks: dict from its name to a list."""
        return {"d_optimizer": [self.discriminator_x, self.discriminator_y], "g_optimizer": [self.to_y, self.to_x]}

    def averages(self):
        """Pairs of networks, (average, present)."""
        return [(self.averaged_to_y, self.to_y), (self.averaged_to_x, self.to_x)]

    # --- use

    def fit(self, x, y, steps, batch_size=16, **options):
        """Train for `steps` more steps on images of both domains; they may be of different numbers.

        The other options, what it returns and what it raises: see `AdversarialModel.fit`.

        Args:
            x, y: float arrays `(n, h, w, channels)` and `(m, h, w, channels)` in the range of the
                generators' last activation (a sigmoid: [0, 1]; tanh: [-1, 1]).
        """
        if self.pool and checks.count("batch_size", batch_size) > self.pool:
            raise ValueError(f"batch_size {batch_size} is larger than the pool of {self.pool} images.")
        return super().fit((x, y), steps, batch_size=batch_size, **options)

    def translate(self, images, to="Y"):
        """Images of one domain, translated to the domain `to`, "X" or "Y": float32 `(n, h, w, channels)`."""
        if to not in ("X", "Y"):
            raise ValueError(f'to must be "X" or "Y", not {to!r}.')
        network = self.averaged_to_y if to == "Y" else self.averaged_to_x
        return data.in_batches(network, check_data(images, network.input_shape[1:], self.range), size=200)

    def call(self, images, training=False):
        """Images of X, translated to Y, as a tensor."""
        return self.averaged_to_y(images, training=training)

    # --- checks

    def check_networks(self):
        """Raise ValueError unless the four networks fit together."""
        for role, network in zip(("to_y", "to_x", "discriminator_x", "discriminator_y"), self.networks, strict=True):
            check_network(network, f"network {role}")
        self.range = output_range(self.to_y)
        for name, network, back, discriminator in (
            ("to_y", self.to_y, self.to_x, self.discriminator_y),
            ("to_x", self.to_x, self.to_y, self.discriminator_x),
        ):
            came, made, wanted = network.input_shape[1:], network.output_shape[1:], back.input_shape[1:]
            if made != wanted:
                raise ValueError(
                    f"{name} turns images of shape {came} into {made}, but {wanted} is wanted: a network that halves "
                    "the sides k times and doubles them again needs sides that can be divided by 2^k."
                )
            if discriminator.input_shape[1:] != made:
                takes = discriminator.input_shape[1:]
                raise ValueError(f"{name} makes images of shape {made}, but their discriminator takes {takes}.")
            check_logits(discriminator, outputs=None)
        if output_range(self.to_x) != self.range:
            raise ValueError("both generators must end in the same activation, or the domains would differ in range.")

    def check_data(self, data):
        """Return both sets as float32, or raise ValueError; the sentence names the domain."""
        checked = []
        for name, images, network in (("X", data[0], self.to_y), ("Y", data[1], self.to_x)):
            try:
                checked.append(check_data(images, network.input_shape[1:], self.range))
            except ValueError as error:
                raise ValueError(f"domain {name}: {error}") from None
            if len(images) < 2:
                raise ValueError(f"domain {name} has one image only: a domain is told by what its images share.")
        return tuple(checked)
