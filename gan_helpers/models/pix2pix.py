"""pix2pix: translation learned from pairs. P. Isola, J.-Y. Zhu, T. Zhou and A. A. Efros, arXiv:1611.07004."""

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
)


@keras.saving.register_keras_serializable(package="gan_helpers")
class Pix2Pix(AdversarialModel):
    """A generator that translates x into y, and a discriminator that judges pairs, learned from true pairs (x, y).

    Args:
        generator: G, a `keras.Model` from images x `(n, h, w, a)` to images y `(n, h', w', b)`.
        discriminator: D, a `keras.Model` from [x, y] to logits: `(n, 1)`, or a map of logits `(n, h'', w'', 1)`,
            one for each patch of the pair.
        ema: decay of the moving average of the generator's weights, such as 0.999; None for none.
        seed: int; fixes the batches and whatever else is random in training.

    Raises:
        ValueError: the networks do not fit together.
    """

    loss_names = ("d_loss", "g_loss", "l1_loss")

    # --- the algorithm

    def train_step(self, data):
        """One step of the generator, one of the discriminator. `data` is (x, y), row i of both is a pair."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        g_loss, l1, y_fake = self.generator_step(x, y)
        d_loss = self.discriminator_step(x, y, y_fake)
        self.end_step()
        return {"d_loss": d_loss, "g_loss": g_loss, "l1_loss": l1}

    def generator_step(self, x, y):
        """Come close to the true partner, and make a pair that passes for a true one."""
        with tf.GradientTape() as tape:
            y_fake = self.generator(x, training=True)
            l1 = tf.reduce_mean(tf.abs(y - y_fake))
            real = self.discriminator([x, y], training=True)
            fake = self.discriminator([x, y_fake], training=True)
            _, g_loss = self.loss(real, fake)
            total = self.game_weight * g_loss + self.l1_weight * l1
        self.minimise(total, tape, self.g_optimizer, self.generator)
        return g_loss, l1, y_fake

    def discriminator_step(self, x, y, y_fake):
        """Tell true pairs (x, y) from pairs (x, G(x)) a little better."""
        with tf.GradientTape() as tape:
            real, penalty = losses.logits_and_penalty(self.discriminator, [x, y], self.r1)
            d_loss, _ = self.loss(real, self.discriminator([x, y_fake], training=True))
            total = d_loss + penalty
        self.minimise(total, tape, self.d_optimizer, self.discriminator)
        return d_loss

    # --- what it is made of

    def __init__(self, generator, discriminator, ema=None, seed=0, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.generator, self.discriminator, self.ema = generator, discriminator, ema
        self.networks = [generator, discriminator]
        self.check_networks()
        self.averaged_generator = averaged_copy(generator, ema)
        self.built = True

    def compile(self, d_optimizer, g_optimizer, loss=losses.non_saturating, l1_weight=100.0, game_weight=1.0, r1=0.0):
        """Choose how the networks learn.

        Args:
            d_optimizer, g_optimizer: two separate Keras optimizers.
            loss: one of `gan_helpers.losses`; the paper uses `non_saturating`.
            l1_weight: lambda, weight of the mean absolute error |y - G(x)|; the paper's 100 belongs to images
                in [-1, 1], where errors are twice as large as in [0, 1].
            game_weight: weight of the adversarial loss in the generator's; with 0 the discriminator learns,
                but nobody listens.
            r1: weight (gamma) of the penalty on the discriminator's gradient at true pairs.
        """
        weights = {"l1_weight": l1_weight, "game_weight": game_weight}
        if sum(checks.number(name, weight, low=0) for name, weight in weights.items()) == 0:
            raise ValueError("l1_weight and game_weight are both 0: the generator would have nothing to learn.")
        options = {"loss": loss, **weights, "r1": r1}
        super().compile(g_optimizer, d_optimizer=d_optimizer, g_optimizer=g_optimizer, **options)

    def players(self):
        """Which optimizer moves which networks: dict from its name to a list."""
        return {"d_optimizer": [self.discriminator], "g_optimizer": [self.generator]}

    def averages(self):
        """Pairs of networks, (average, present)."""
        return [(self.averaged_generator, self.generator)]

    # --- use

    def fit(self, x, y, steps, batch_size=16, **options):
        """Train for `steps` more steps on pairs: row i of `x` belongs to row i of `y`.

        The other options, what it returns and what it raises: see `AdversarialModel.fit`.

        Args:
            x: float array `(n, h, w, a)`, finite.
            y: float array `(n, h', w', b)` in the range of the generator's last activation (a sigmoid: [0, 1];
                tanh: [-1, 1]).
        """
        return super().fit((x, y), steps, batch_size=batch_size, **options)

    def translate(self, x):
        """What belongs to images x `(n, h, w, a)`, as the averaged generator sees it: float32 `(n, h', w', b)`."""
        shape = self.generator.input_shape[1:]
        return data.in_batches(self.averaged_generator, check_data(x, shape, ANY), size=200)

    def call(self, x, training=False):
        """Images x, translated, as a tensor."""
        return self.averaged_generator(x, training=training)

    # --- checks

    def check_networks(self):
        """Raise ValueError unless the two networks fit together."""
        check_network(self.generator, "generator")
        check_network(self.discriminator, "discriminator")
        if len(self.generator.inputs) != 1:
            raise ValueError(f"the generator must take one input, images x, not {len(self.generator.inputs)}.")
        self.range = output_range(self.generator)
        takes = [tuple(part.shape[1:]) for part in self.discriminator.inputs]
        wanted = [self.generator.input_shape[1:], self.generator.output_shape[1:]]
        if takes != wanted:
            raise ValueError(
                f"the discriminator must judge pairs [x, y] of shapes {wanted[0]} and {wanted[1]}, as the generator "
                f"takes and makes them, not {' and '.join(map(str, takes))}."
            )
        check_logits(self.discriminator, outputs=None)

    def check_data(self, data):
        """Return both sets as float32, or raise ValueError; the sentence names the set."""
        checked = []
        for name, images, shape, limits in (
            ("x", data[0], self.generator.input_shape[1:], ANY),
            ("y", data[1], self.generator.output_shape[1:], self.range),
        ):
            try:
                checked.append(check_data(images, shape, limits))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        if len(checked[0]) != len(checked[1]):
            raise ValueError(f"x and y must be pairs, not {len(checked[0])} and {len(checked[1])} images.")
        return tuple(checked)


ANY = (-float("inf"), float("inf"))  # x may lie anywhere: nobody makes it
