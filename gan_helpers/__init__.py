"""Helpers of the GAN course: data, losses, models, metrics, plotting and widgets.

Importing this package loads no TensorFlow, so that `from gan_helpers import data, plotting` stays
quick. Where Keras is there, before or after, the models and losses are made known to it, so that
`keras.models.load_model` finds them in a file.
"""

import importlib.abc
import importlib.util
import sys

__version__ = "0.2.0"


def _tell_keras():
    if sys.modules["keras"].backend.backend() == "tensorflow":
        for family in ("bigan", "conditional", "cyclegan", "infogan", "aae"):
            importlib.import_module(f"gan_helpers.models.{family}")


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
