"""Small trained networks that ship with the course, so that a lecture need not wait.

Each was left by a full run of a notebook (`python tools/notebooks.py weights`). A file is an `.npz`
without pickle: for each network its architecture as Keras' JSON, and the arrays of its weights.
"""

import json
from pathlib import Path

import keras
import numpy as np

from gan_helpers.data import checksum, read_arrays

FOLDER = Path(__file__).parent
CHECKSUMS = "SHA256"  # a line "hash  file" for each file, as `sha256sum` writes and checks them


def names():
    """What can be loaded: names, such as "05_gan_mnist"."""
    return sorted(path.stem for path in FOLDER.glob("*.npz"))


def load(name, **networks):
    """Trained networks, by name of the notebook that left them.

    Args:
        name: such as "05_gan_mnist".
        networks: networks of yours to be filled with the weights, by their role in the file, such
            as `generator=my_generator`. Without any, all networks of the file are built.

    Returns:
        dict from role to `keras.Model`, and "history" if the losses of the training were kept: a dict
        from name to values.

    Raises:
        FileNotFoundError: nothing of that name ships.
        ValueError: the file is damaged, has no such network, or yours has another architecture; then
            your networks are unchanged.
    """
    if name not in names():
        raise FileNotFoundError(f"no weights named {name!r} ship with the course, only {', '.join(names())}.")
    sums = dict(reversed(line.split()) for line in (FOLDER / CHECKSUMS).read_text().splitlines())
    arrays = read_arrays(FOLDER / f"{name}.npz", sums[f"{name}.npz"])
    roles = [key.removesuffix("/architecture") for key in arrays if key.endswith("/architecture")]
    for role in networks:
        if role not in roles:
            raise ValueError(f"the weights {name!r} hold no {role}, only {', '.join(roles)}.")
    built = {role: keras.models.model_from_json(str(arrays[f"{role}/architecture"])) for role in networks or roles}
    for role, network in networks.items():
        wanted, found = _architecture(built[role]), _architecture(network)
        if wanted != found:
            raise ValueError(f"the weights {name!r} fit a {role} with the layers {wanted}, but this one has {found}.")
    networks = networks or built
    for role, network in networks.items():
        network.set_weights([_weight(arrays, f"{role}/{i}") for i in range(len(network.weights))])
    history = {key.split("/")[1]: value for key, value in arrays.items() if key.startswith("history/")}
    return {**networks, **({"history": history} if history else {})}


def _weight(arrays, key):
    return arrays[key].astype(np.float32) * arrays.get(f"{key}/scale", np.float32(1))


def save(name, networks, history=None, dtype=np.int8, folder=FOLDER):
    """Write trained networks to a file that `load` reads, and its checksum beside it.

    Args:
        name: of the notebook.
        networks: dict from role to Sequential or functional `keras.Model`.
        history: dict from name to values of the training, such as `fit(...).history`.
        dtype: of the stored weights: float32, float16, or int8, which is enough for pixels. Then a table of
            weights is stored as whole numbers from -127 to 127, with a scale for each index of its last axis.
        folder: where to write.
    """
    arrays = {}
    for role, network in networks.items():
        arrays[f"{role}/architecture"] = np.array(json.dumps(_portable(json.loads(network.to_json()))))
        for i, weight in enumerate(network.get_weights()):
            key, stored = f"{role}/{i}", dtype
            if dtype == np.int8 and weight.ndim > 1:
                scale = np.maximum(np.abs(weight).max(axis=tuple(range(weight.ndim - 1))) / 127, 1e-12)
                arrays[f"{key}/scale"], weight = scale, np.rint(weight / scale)
            elif dtype == np.int8:
                stored = np.float16  # biases and norms are few, and count more
            arrays[key] = weight.astype(stored)
    arrays.update({f"history/{key}": np.float32(values) for key, values in (history or {}).items()})
    folder = Path(folder)
    np.savez_compressed(folder / f"{name}.npz", **arrays)
    lines = [f"{checksum(path.read_bytes())}  {path.name}\n" for path in sorted(folder.glob("*.npz"))]
    (folder / CHECKSUMS).write_text("".join(lines))


def _portable(config):
    """A network's configuration without what only training needs: those parts differ between versions of Keras."""
    if isinstance(config, list):
        return [_portable(part) for part in config]
    if not isinstance(config, dict):
        return config
    training = ("_initializer", "_regularizer", "_constraint", "quantization_config", "build_config", "compile_config")
    return {key: _portable(value) for key, value in config.items() if not key.endswith(training)}


def _architecture(network):
    """What must agree for weights to mean the same: layers, activations, strides and shapes."""
    layers = []
    for layer in network.layers:
        activation = getattr(getattr(layer, "activation", None), "__name__", "")
        strides = f"strides {layer.strides}" if hasattr(layer, "strides") else ""
        shapes = "".join(str(tuple(weight.shape)) for weight in layer.weights)
        layers.append(" ".join(part for part in (type(layer).__name__, activation, strides, shapes) if part))
    return layers
