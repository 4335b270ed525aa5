"""Helpers of the GAN course: data, losses, models, metrics, plotting and widgets.

Nothing is imported here, so that `from gan_helpers import data, plotting` stays quick
and does not load TensorFlow. Only `losses`, `models`, `metrics` and the training view of
`widgets` need it.
"""

__version__ = "0.2.0"
