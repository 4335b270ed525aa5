"""What an image may become without becoming another: random affine moves, and virtual adversarial training (VAT)."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="gan_helpers")
def random_affine(x, seed, stretch=0.15, slant=0.6, tilt=0.2, shift=2.0):
    """Images, each stretched, sheared, turned and shifted by a little, in its own random way.

    Every affine map is a change along the rows followed by one along the columns. In each, a new
    pixel comes from between two old ones and mixes them (linear interpolation).

    Args:
        x: tensor `(n, side, side, 1)`; what comes in from outside is 0.
        seed: int tensor `(2,)`; the same seed gives the same changes.
        stretch: the largest change of scale, along each axis.
        slant, tilt: the largest slopes by which upright lines lean, and level ones rise.
        shift: the largest shift along each axis, in pixels.

    Returns:
        tensor of the shape of `x`.

    Raises:
        ValueError: images that are not square, or have several channels.
    """
    if len(x.shape) != 4 or x.shape[1] != x.shape[2] or x.shape[3] != 1:
        raise ValueError(f"random_affine moves images of shape (n, side, side, 1), not {tuple(x.shape)}.")
    n, side = tf.shape(x)[0], x.shape[1]
    amounts = tf.random.stateless_uniform([2, 3, n, 1, 1], seed, -1.0, 1.0)
    middle = (side - 1) / 2
    place = tf.range(side, dtype=tf.float32) - middle
    image = x[..., 0]
    for slope, a in zip((slant, tilt), tf.unstack(amounts), strict=True):
        source = middle + (1 + stretch * a[0]) * place + slope * a[1] * place[:, None] + shift * a[2]
        source = tf.clip_by_value(source, -1.0, side)  # `(n, line, pixel)`; what lies further out is 0, too
        left = tf.floor(source)
        framed = tf.pad(image, [[0, 0], [0, 0], [1, 2]])  # pixel i stands at i + 1
        one, next_one = (tf.gather(framed, tf.cast(left, tf.int32) + k, batch_dims=2) for k in (1, 2))
        image = one + (source - left) * (next_one - one)
        image = tf.transpose(image, [0, 2, 1])  # columns become lines for the second round
    return image[..., None]


def virtual_adversarial_loss(logits_of, x, radius, noise, p=None):
    """KL, in nats, by which the categories read in `x` change under the worst change of it of length `radius`.

    The worst direction is that in which the KL grows fastest a small step away from x. T. Miyato et
    al., arXiv:1704.03976, for classifiers; W. Hu et al., arXiv:1702.08720, for categories without labels.

    Args:
        logits_of: callable from images to logits of the categories `(n, k)`.
        x: images `(n, h, w, channels)`.
        radius: length of the change, over all pixels of an image.
        noise: normal numbers of the shape of `x`, the direction of the small step.
        p: probabilities `(n, k)` from which the change is counted; None for those read in `x` itself.

    Returns:
        A scalar.
    """
    p = tf.stop_gradient(tf.nn.softmax(logits_of(x)) if p is None else p)
    entropy = -tf.reduce_mean(tf.reduce_sum(tf.math.xlogy(p, p), axis=1))
    kl = lambda x: tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(p, logits_of(x))) - entropy  # noqa: E731
    near = x + 0.1 * _unit(noise)
    with tf.GradientTape() as tape:
        tape.watch(near)
        growth = kl(near)
    worst = _unit(tf.stop_gradient(tape.gradient(growth, near)))
    return kl(x + radius * worst)


def _unit(v):
    """Each image of `v`, scaled to length 1."""
    return v / (tf.norm(tf.reshape(v, [tf.shape(v)[0], -1]), axis=1)[:, None, None, None] + 1e-12)
