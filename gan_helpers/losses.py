"""Adversarial losses and gradient penalties: plain functions of logits.

Every pair of losses below takes the discriminator's logits for a real and for a generated batch, float
`(n, 1)`, and returns two scalars: the loss that the discriminator lowers and the loss that the
generator lowers. A logit is log D/(1 - D): D = sigmoid(logit) is the probability "this is real".
Logits, not probabilities, because log(sigmoid(a)) rounds to log(0) where softplus does not:
-log(sigmoid(a)) = softplus(-a) and -log(1 - sigmoid(a)) = softplus(a).

The training steps use one of the two losses at a time; the compiler drops what the other needs.
"""

import keras
import tensorflow as tf

loss = keras.saving.register_keras_serializable(package="gan_helpers")  # a model that plays it can be saved

softplus = tf.math.softplus
mean = tf.reduce_mean


def cross_entropy(real, fake):
    """Binary cross-entropy of the discriminator, label 1 for real and 0 for generated: a scalar.

    -E log D(x) - E log(1 - D(G(z))). I. Goodfellow et al., arXiv:1406.2661.
    """
    return mean(softplus(-real)) + mean(softplus(fake))


@loss
def minimax(real, fake):
    """The zero-sum game: the generator lowers E log(1 - D(G(z))). arXiv:1406.2661."""
    return cross_entropy(real, fake), -mean(softplus(fake))


@loss
def non_saturating(real, fake):
    """The generator lowers -E log D(G(z)): same fixed point, strong gradient when D rejects. arXiv:1406.2661."""
    return cross_entropy(real, fake), mean(softplus(-fake))


@loss
def maximum_likelihood(real, fake):
    """The generator lowers -E exp(logit)/2, maximum likelihood when D is optimal. arXiv:1412.6515.

    The factor 1/2 is that of I. Goodfellow's tutorial, arXiv:1701.00160.
    """
    return cross_entropy(real, fake), -0.5 * mean(tf.exp(fake))


@loss
def least_squares(real, fake):
    """Squared distance of the outputs to 1 (real) and 0 (generated). X. Mao et al., arXiv:1611.04076."""
    return 0.5 * mean((real - 1) ** 2) + 0.5 * mean(fake**2), 0.5 * mean((fake - 1) ** 2)


@loss
def hinge(real, fake):
    """Only outputs on the wrong side of a margin of 1 cost D anything. J. H. Lim, J. C. Ye, arXiv:1705.02894."""
    return mean(tf.nn.relu(1 - real)) + mean(tf.nn.relu(1 + fake)), -mean(fake)


@loss
def wasserstein(real, fake):
    """Difference of the critic's means; needs a critic of bounded gradient. M. Arjovsky et al., arXiv:1701.07875."""
    return mean(fake) - mean(real), -mean(fake)


@loss
def relativistic(real, fake):
    """Pairs each real with one fake and asks which is real. A. Jolicoeur-Martineau, arXiv:1807.00734.

    With R1 and R2 this is the loss of R3GAN (Y. Huang et al., arXiv:2501.05441).
    """
    return mean(softplus(fake - real)), mean(softplus(real - fake))


def _logits_and_squared_gradient(discriminator, x):
    """D(x), and |gradient of D(x) by x|^2 for each sample: `(n,)`. A list of tensors counts as one long x."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = discriminator(x, training=True)
    gradients = tf.nest.flatten(tape.gradient(logits, x))
    return logits, sum(tf.reduce_sum(g**2, axis=tf.range(1, tf.rank(g))) for g in gradients)


def gradient_penalty(discriminator, real, fake, share):
    """E (|gradient of D| - 1)^2 on straight lines between real and generated. I. Gulrajani et al., arXiv:1704.00028.

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

    _, squared = _logits_and_squared_gradient(discriminator, tf.nest.map_structure(between, real, fake))
    # The tiny constant keeps the square root differentiable where the gradient is exactly zero.
    return mean((tf.sqrt(squared + 1e-12) - 1) ** 2)


def logits_and_penalty(discriminator, x, gamma):
    """D's logits for `x`, and gamma E |gradient of D at x|^2 / 2: R1 when `x` is real, R2 when it is generated.

    L. Mescheder, A. Geiger and S. Nowozin, arXiv:1801.04406. Both come from one pass through D, because a
    pass of its own for the gradient, forwards and backwards, made a training step up to a quarter longer.

    Args:
        discriminator: callable from images to logits.
        x: a batch `(n, ...)`, or a list of such, for a D that judges pairs.
        gamma: weight; 0 costs no time.

    Returns:
        Logits `(n, 1)`, and a scalar to be added to D's loss.
    """
    if not gamma:
        return discriminator(x, training=True), 0.0
    logits, squared = _logits_and_squared_gradient(discriminator, x)
    return logits, 0.5 * gamma * mean(squared)
