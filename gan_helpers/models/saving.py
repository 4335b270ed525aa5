"""How a model of the course becomes a file and comes back: whole or not at all, and bit by bit."""

import hashlib
import inspect
from itertools import takewhile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from gan_helpers.data import written_beside


def argument_names(model, method):
    """Names of the arguments of a method, and of those that its **options hand on to the parents."""
    families = takewhile(lambda parent: SavedModel not in parent.__bases__, model.__mro__)
    found = [vars(parent)[method] for parent in families if method in vars(parent)]
    parameters = [p for function in found for p in list(inspect.signature(function).parameters.values())[1:]]
    return list(dict.fromkeys(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD))


def serialised(name, value):
    """`value`, an argument called `name`, as it is written to a file; ValueError for a function nobody could find."""
    if isinstance(value, (tf.Variable, tf.Tensor, np.ndarray)):
        value = np.asarray(value).tolist()
    if callable(value) and not hasattr(value, "get_config"):
        known = keras.saving.get_registered_name(value) if hasattr(value, "__name__") else None
        if known is None or keras.saving.get_registered_object(known) is not value:
            raise ValueError(
                f"{name} cannot be saved, because no file can hold {getattr(value, '__name__', value)!r}: write it "
                "with def, and @keras.saving.register_keras_serializable() above it. Nothing was written."
            )
    return keras.saving.serialize_keras_object(value)


def deserialised(name, value):
    """What `serialised` wrote; ValueError, in one sentence, for what is not defined in this program."""
    try:
        return keras.saving.deserialize_keras_object(value)
    except TypeError as error:
        kind = value.get("config") if value.get("class_name") == "function" else value.get("class_name")
        raise ValueError(
            f"the file needs {kind!r} as {name}, which is not defined in this program: run the cell that defines it, "
            f"or import {value.get('module')}, before loading."
        ) from error


class SavedModel(keras.Model):
    """A `keras.Model` of several networks that keeps every argument in an attribute of the same name, so that these,
    all weights, optimizers and random states go to a file. `AdversarialModel` trains what this saves."""

    def get_config(self):
        names = argument_names(type(self), "__init__")
        return {**{name: serialised(name, getattr(self, name)) for name in names}, "seed": self.seed, "name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**{name: deserialised(name, value) for name, value in config.items()})

    def get_compile_config(self):
        return {name: serialised(name, getattr(self, name)) for name in argument_names(type(self), "compile")}

    def compile_from_config(self, config):
        self.compile(**{name: deserialised(name, value) for name, value in config.items()})

    def save(self, filepath, overwrite=True, **kwargs):
        """Save networks, optimizers, step and random states to a `.keras` file; `keras.models.load_model` reads it.

        The file is written beside its place and moved there when it is complete, so that a failure
        leaves what was there before.

        Raises:
            ValueError: another ending, or a function that no file can hold, such as a lambda.
            OSError: the place cannot be written.
        """
        self._write(super().save, filepath, ".keras", overwrite, **kwargs)

    def save_weights(self, filepath, overwrite=True, **kwargs):
        """Save the same without the architecture, to a `.weights.h5` file, with the same care."""
        self._write(super().save_weights, filepath, ".weights.h5", overwrite, **kwargs)

    def _write(self, write, filepath, ending, overwrite, **kwargs):
        path = Path(filepath).resolve()
        if not path.name.endswith(ending):
            raise ValueError(f"the name of the file must end in {ending}, not be {path.name!r}.")
        if path.exists() and not overwrite:
            raise FileExistsError(f"{filepath} is there already, and overwrite is False: nothing was written.")
        try:
            with written_beside(path) as (partial,):
                write(partial, **kwargs)
        except (OSError, RuntimeError) as error:  # h5py says RuntimeError where a disk is full
            raise OSError(f"{filepath} cannot be written ({error}); nothing is lost, choose another folder.") from error

    def _own_state(self):
        """Variables that no network holds: the step and the like, and the states of random layers such as Dropout."""
        kept = {id(weight) for network in (*self.networks, *sum(self.averages(), ())) for weight in network.weights}
        return [variable for variable in self.variables if id(variable) not in kept]

    def save_own_variables(self, store):
        for i, variable in enumerate(self._own_state()):
            store[str(i)] = variable.numpy()
        store["fingerprint"] = self._fingerprint()

    def load_own_variables(self, store):
        for i, variable in enumerate(self._own_state()):
            variable.assign(store[str(i)])
        self._fingerprint_of_file = np.array(store["fingerprint"])

    def _fingerprint(self):
        """Hashes of all values, uint8 `(2, 32)`: of the model's own, and of its optimizers'."""
        parts = self.variables, self._state()[len(self.variables) :]
        hashes = (hashlib.sha256(b"".join(variable.numpy().tobytes() for variable in part)) for part in parts)
        return np.stack([np.frombuffer(found.digest(), np.uint8) for found in hashes])

    def check_against_file(self):
        """Raise OSError unless all that was loaded is, bit by bit, what was saved."""
        parts = 2 if self.compiled else 1  # a model that is not compiled has no optimizers to be loaded
        if not np.array_equal(self._fingerprint()[:parts], self._fingerprint_of_file[:parts]):
            raise OSError("the values differ from those that were saved")

    def load_weights(self, filepath, **kwargs):
        """Load what `save_weights` or `save` wrote. If that fails the model stays as it was.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, or holds the weights of another architecture.
        """
        if not Path(filepath).is_file():
            raise FileNotFoundError(f"there is no file {filepath}.")
        before = self._copy_state()
        try:
            super().load_weights(filepath, **kwargs)
            self.check_against_file()
        except BaseException as error:
            self._put_back(before)
            if not isinstance(error, Exception):
                raise  # an interrupt
            other = " or holds the weights of another architecture" * isinstance(error, (ValueError, KeyError))
            raise ValueError(f"{filepath} is damaged{other}; the model is unchanged.") from error

    def _state(self):
        players = [getattr(self, player) for player in self.players()] if self.compiled else []
        return [*self.variables, *(variable for player in players for variable in player.variables)]

    def _copy_state(self):
        return [tf.identity(v.value) for v in self._state()]

    def _put_back(self, values):
        for variable, value in zip(self._state(), values, strict=True):
            variable.assign(value)
