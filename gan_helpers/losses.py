"""Adversarial losses and gradient penalties: plain functions of logits.

Every game below takes the discriminator's logits for a real and for a generated batch, float
`(n, 1)`, and returns two scalars: the loss that the discriminator lowers and the loss that the
generator lowers. A logit is log D/(1 - D): D = sigmoid(logit) is the probability "this is real".
Logits, not probabilities, because log(sigmoid(a)) rounds to log(0) where softplus does not:
-log(sigmoid(a)) = softplus(-a) and -log(1 - sigmoid(a)) = softplus(a).

The training steps use one of the two losses at a time; the compiler drops what the other needs.
"""

import tensorflow as tf

softplus = tf.math.softplus
mean = tf.reduce_mean


def cross_entropy(real, fake):
    """Binary cross-entropy of the discriminator, label 1 for real and 0 for generated: a scalar.

    -E log D(x) - E log(1 - D(G(z))). I. Goodfellow et al., arXiv:1406.2661.
    """
    return mean(softplus(-real)) + mean(softplus(fake))


def minimax(real, fake):
    """The zero-sum game: the generator lowers E log(1 - D(G(z))). arXiv:1406.2661."""
    return cross_entropy(real, fake), -mean(softplus(fake))


def non_saturating(real, fake):
    """The generator lowers -E log D(G(z)): same fixed point, strong slope when D rejects. arXiv:1406.2661."""
    return cross_entropy(real, fake), mean(softplus(-fake))


def maximum_likelihood(real, fake):
    """The generator lowers -E exp(logit)/2, maximum likelihood when D is optimal. arXiv:1412.6515.

    The factor 1/2 is that of I. Goodfellow's tutorial, arXiv:1701.00160.
    """
    return cross_entropy(real, fake), -0.5 * mean(tf.exp(fake))


def least_squares(real, fake):
    """Squared distance of the outputs to 1 (real) and 0 (generated). X. Mao et al., arXiv:1611.04076."""
    return 0.5 * mean((real - 1) ** 2) + 0.5 * mean(fake**2), 0.5 * mean((fake - 1) ** 2)


def hinge(real, fake):
    """Only outputs on the wrong side of a margin of 1 cost D anything. J. H. Lim, J. C. Ye, arXiv:1705.02894."""
    return mean(tf.nn.relu(1 - real)) + mean(tf.nn.relu(1 + fake)), -mean(fake)


def wasserstein(real, fake):
    """Difference of the critic's means; needs a critic of bounded slope. M. Arjovsky et al., arXiv:1701.07875."""
    return mean(fake) - mean(real), -mean(fake)


def relativistic(real, fake):
    """Pairs each real with one fake and asks which is real. A. Jolicoeur-Martineau, arXiv:1807.00734.

    With R1 and R2 this is the game of R3GAN (Y. Huang et al., arXiv:2501.05441).
    """
    return mean(softplus(fake - real)), mean(softplus(real - fake))


def _logits_and_squared_slope(discriminator, x):
    """D(x), and |gradient of D(x) by x|^2 for each sample: `(n,)`. A list of tensors counts as one long x."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = discriminator(x, training=True)
    slopes = tf.nest.flatten(tape.gradient(logits, x))
    return logits, sum(tf.reduce_sum(slope**2, axis=tf.range(1, tf.rank(slope))) for slope in slopes)


def gradient_penalty(discriminator, real, fake, share):
    """E (|slope of D| - 1)^2 on straight lines between real and generated. I. Gulrajani et al., arXiv:1704.00028.

    Args:
        discriminator: callable from images to logits.
        real, fake: batches of the same shape `(n, ...)`, or lists of such, for a D that judges pairs.
        share: `(n,)` in [0, 1], the place on each line; the paper draws it uniformly.

    Returns:
        A scalar; the paper adds 10 times this to the critic's loss.
    """

    def between(real, fake):
        part = tf.reshape(share, [-1] + [1] * (len(real.shape) - 1))
        return part * real + (1 - part) * fake

    _, squared = _logits_and_squared_slope(discriminator, tf.nest.map_structure(between, real, fake))
    # The tiny constant keeps the square root differentiable where the slope is exactly zero.
    return mean((tf.sqrt(squared + 1e-12) - 1) ** 2)


def logits_and_penalty(discriminator, x, gamma):
    """D's logits for `x`, and gamma E |slope of D at x|^2 / 2: R1 when `x` is real, R2 when it is generated.

    L. Mescheder, A. Geiger and S. Nowozin, arXiv:1801.04406. Both come from one pass through D, because a
    pass of its own for the slope, forwards and backwards, made a training step up to a quarter longer.

    Args:
        discriminator: callable from images to logits.
        x: a batch `(n, ...)`, or a list of such, for a D that judges pairs.
        gamma: weight; 0 costs no time.

    Returns:
        Logits `(n, 1)`, and a scalar to be added to D's loss.
    """
    if not gamma:
        return discriminator(x, training=True), 0.0
    logits, squared = _logits_and_squared_slope(discriminator, x)
    return logits, 0.5 * gamma * mean(squared)


def unsteadiness(read, x, radius, noise, p=None):
    """KL, in nats, by which the categories read in `x` change under the worst change of it of length `radius`.

    The worst direction is that in which the KL grows fastest a small step away from x. T. Miyato et
    al., arXiv:1704.03976, for classifiers; W. Hu et al., arXiv:1702.08720, for categories without labels.

    Args:
        read: callable from images to logits of the categories `(n, k)`.
        x: images `(n, h, w, channels)`.
        radius: length of the change, over all pixels of an image.
        noise: normal numbers of the shape of `x`, the direction of the small step.
        p: probabilities `(n, k)` from which the change is counted; None for those read in `x` itself.

    Returns:
        A scalar.
    """
    p = tf.stop_gradient(tf.nn.softmax(read(x)) if p is None else p)
    entropy = -mean(tf.reduce_sum(tf.math.xlogy(p, p), axis=1))
    kl = lambda x: mean(tf.nn.softmax_cross_entropy_with_logits(p, read(x))) - entropy  # noqa: E731
    length_one = lambda v: v / (tf.norm(tf.reshape(v, [len(v), -1]), axis=1)[:, None, None, None] + 1e-12)  # noqa: E731
    near = x + 0.1 * length_one(noise)
    with tf.GradientTape() as tape:
        tape.watch(near)
        growth = kl(near)
    worst = length_one(tf.stop_gradient(tape.gradient(growth, near)))
    return kl(x + radius * worst)
