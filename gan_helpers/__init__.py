"""Helpers of the GAN course: data, losses, models, metrics, plotting and widgets.

Nothing else is imported here, so that `from gan_helpers import data, plotting` stays quick and does
not load TensorFlow. Where Keras is there, before or after, it is told where the models are, so that
`keras.models.load_model` finds them when a file needs one.
"""

import importlib.abc
import importlib.util
import sys

__version__ = "0.2.0"

MODELS = {
    "GAN": "gan",
    "ConditionalGAN": "conditional",
    "InfoGAN": "infogan",
    "BiGAN": "bigan",
    "CycleGAN": "cyclegan",
    "AdversarialAutoencoder": "aae",
    "LabelAAE": "aae",
    "SemiSupervisedAAE": "aae",
}


class _Later:
    """Stands in for a model class until a file needs it: importing all of them would load what nobody may use."""

    def __init__(self, name):
        self.name = name

    def from_config(self, config):
        module = importlib.import_module(f"gan_helpers.models.{MODELS[self.name]}")  # registers the class itself
        return getattr(module, self.name).from_config(config)


def _tell_keras():
    known = sys.modules["keras"].saving.get_custom_objects()
    for name in MODELS:
        known.setdefault(f"gan_helpers>{name}", _Later(name))


class _WhenKerasComes(importlib.abc.MetaPathFinder):
    """Waits for the first `import keras`, lets it happen, and then calls `_tell_keras`."""

    def find_spec(self, name, path=None, target=None):
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            load = spec.loader.exec_module
            spec.loader.exec_module = lambda module: (load(module), _tell_keras())
        return spec


if "keras" in sys.modules:
    _tell_keras()
else:
    sys.meta_path.insert(0, _WhenKerasComes())
