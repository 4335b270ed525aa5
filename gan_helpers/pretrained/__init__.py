"""Small trained networks that ship with the course, so that a lecture need not wait.

Each was left by a full run of a notebook (`python tools/notebooks.py weights`). A file is an `.npz`
without pickle: for each network its architecture as Keras' JSON, and the arrays of its weights. The
JSON holds only what differs from the defaults of Keras' layers, so that older and newer versions of
Keras, which know other settings, read it alike.
"""

import inspect
import io
import json
import random
import re
import zipfile
from functools import cache
from itertools import zip_longest
from pathlib import Path

import keras
import numpy as np

from gan_helpers.data import checksum, read_arrays, written_beside

FOLDER = Path(__file__).parent
CHECKSUMS = "SHA256"  # a line "hash  file" for each file, as `sha256sum` writes and checks them
# What only training needs: the outputs of a network do not depend on it.
TRAINING = ("_initializer", "_regularizer", "_constraint", "quantization_config", "trainable", "seed")
# Activations by name that are also layers. A layer with such an activation equals two layers, one after the other.
ACTIVATIONS = {"relu": "ReLU()", "leaky_relu": "LeakyReLU(negative_slope=0.2)", "elu": "ELU()", "softmax": "Softmax()"}


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
        FileNotFoundError: nothing of that name ships, or its checksum is missing.
        ValueError: the file is damaged, has no such network, or yours has another architecture; then
            your networks are unchanged.
    """
    arrays = arrays_of(name)
    roles = [key.removesuffix("/architecture") for key in arrays if key.endswith("/architecture")]
    for role in networks:
        if role not in roles:
            raise ValueError(f"the weights {name!r} hold no {role}, only {', '.join(roles)}.")
    built = _build(name, arrays, networks or roles)
    for role, network in networks.items():
        if difference := _difference(built[role], network, role):
            raise ValueError(f"the weights {name!r} fit another {role}: {difference}.")
    for role, network in networks.items():
        network.set_weights(built[role].get_weights())
    history = {key.split("/")[1]: value for key, value in arrays.items() if key.startswith("history/")}
    return {**(networks or built), **({"history": history} if history else {})}


def save(name, networks, history=None, dtype=np.int8, folder=FOLDER):
    """Write trained networks to a file that `load` reads, and its checksum beside it.

    If that fails, an earlier file of this name and its checksum stay as they were.

    Args:
        name: of the notebook.
        networks: dict from role to Sequential or functional `keras.Model`; empty if only the history is kept.
        history: dict from name to values of the training, such as `fit(...).history`.
        dtype: of the stored weights: float32, float16, or int8, which is enough for pixels. Then a table of
            weights is stored as whole numbers from -127 to 127, with a scale for each index of its last axis.
        folder: where to write.

    Raises:
        ValueError: another dtype, weights that are not finite, or a network that Keras cannot build again.
    """
    kinds = ("float32", "float16", "int8")
    kind = getattr(dtype, "__name__", str(dtype))  # a class has such a name, and a np.dtype is called so as text
    if kind not in kinds:
        raise ValueError(f"dtype must be one of {', '.join(kinds)}, not {dtype!r}.")
    arrays = {}
    for role, network in networks.items():
        arrays[f"{role}/architecture"] = np.array(json.dumps(reduced(_config(network, role))))
        for i, weight in enumerate(network.get_weights()):
            if not np.isfinite(weight).all():
                raise ValueError(f"the weights of the {role} contain NaN or infinity: they are not saved.")
            table = weight.ndim > 1  # the others, biases and norms, are few and count more
            if kind == "int8" and table:
                scale = np.maximum(np.abs(weight).max(axis=tuple(range(weight.ndim - 1))) / 127, 1e-12)
                arrays[f"{role}/{i}/scale"], weight = scale, np.rint(weight / scale)
            arrays[f"{role}/{i}"] = weight.astype("float16" if kind == "int8" and not table else kind)
    arrays.update({f"history/{key}": np.float32(values) for key, values in (history or {}).items()})
    _build(name, arrays, networks)
    write_arrays(name, arrays, folder)


# --- files


def arrays_of(name):
    """The arrays of a file, after its checksum was compared. Raises as `load` does."""
    if name not in names():
        raise FileNotFoundError(f"no weights named {name!r} ship with the course, only {', '.join(names())}.")
    path = FOLDER / f"{name}.npz"
    if path.name not in (sums := _checksums(FOLDER)):
        raise FileNotFoundError(
            f"the checksum of {path.name} is missing from {FOLDER / CHECKSUMS}: reinstall gan_helpers."
        )
    arrays = read_arrays(path, sums[path.name]) if zipfile.is_zipfile(path) else {}
    if not any(key.endswith("/architecture") or key.startswith("history/") for key in arrays):
        raise ValueError(f"{path.name} is damaged, or not a file of weights: reinstall gan_helpers.")
    return arrays


def _checksums(folder):
    """dict from file to hash, of the lines "hash  file"."""
    path = folder / CHECKSUMS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {file: sum for sum, file in (line.split(maxsplit=1) for line in lines if len(line.split()) > 1)}


def write_arrays(name, arrays, folder=FOLDER):
    """Write a file of arrays and its own line of the checksums: both beside the old ones first, then in their place."""
    folder, content = Path(folder), io.BytesIO()
    np.savez_compressed(content, **arrays)
    sums = {**_checksums(folder), f"{name}.npz": checksum(content.getvalue())}
    lines = "".join(f"{sums[file]}  {file}\n" for file in sorted(sums))
    files = {folder / f"{name}.npz": content.getvalue(), folder / CHECKSUMS: lines.encode()}
    with written_beside(*files) as parts:
        for part, content in zip(parts, files.values(), strict=True):
            part.write_bytes(content)


def _build(name, arrays, roles):
    """The networks that the arrays describe, with their weights."""
    built = {}
    for role in roles:
        try:
            network = built[role] = keras.models.model_from_json(str(arrays[f"{role}/architecture"]))
            keys = [f"{role}/{i}" for i in range(len(network.weights))]
            network.set_weights([arrays[k].astype(np.float32) * arrays.get(f"{k}/scale", np.float32(1)) for k in keys])
        except Exception as error:  # Keras raises whatever a foreign text makes it stumble over
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:120]
            raise ValueError(
                f"{name}.npz is damaged, or holds a {role} that Keras {keras.__version__} cannot build ({reason})."
            ) from error
    return built


# --- architectures


def _config(network, role):
    if not (isinstance(network, keras.Model) and network.built and getattr(network, "inputs", None)):
        raise ValueError(f"the {role} must be a Sequential or functional Keras model that begins with keras.Input.")
    return json.loads(network.to_json())


def reduced(config):
    """Keras' JSON of a network without what only training needs and without what equals the defaults of a layer."""
    if isinstance(config, list):
        return [reduced(part) for part in config]
    if not isinstance(config, dict):
        return config
    config = {key: reduced(value) for key, value in config.items() if not key.endswith(TRAINING)}
    if isinstance(config.get("config"), dict) and "layers" in config["config"]:  # a network
        kept = ("name", "layers", "input_layers", "output_layers")
        config["config"] = {key: value for key, value in config["config"].items() if key in kept}
        if config["class_name"] == "Functional":  # its public name, and place
            config.update(module="keras", class_name="Model", registered_name=None)
    elif config.get("module") == "keras.layers":
        arguments = inspect.signature(getattr(keras.layers, config["class_name"]).__init__).parameters.values()
        needed = [a.name for a in arguments if a.default is a.empty] + ["batch_shape"]
        settings = config["config"]
        usual = _defaults(config["class_name"], json.dumps({k: v for k, v in settings.items() if k in needed}))
        config["config"] = {k: v for k, v in settings.items() if k in (*needed, "name") or v != usual.get(k, usual)}
    return {key: value for key, value in config.items() if key not in ("build_config", "compile_config")}


@cache
def _defaults(class_name, settings):
    """Reduced configuration of a layer of which only these settings are given."""
    state = random.getstate()  # Keras draws seeds of initial weights; the reader's own draws shall not depend on it
    layer = {"module": "keras.layers", "class_name": class_name, "config": json.loads(settings)}
    try:
        layer = keras.saving.deserialize_keras_object({**layer, "registered_name": None})
    except Exception:  # a layer that Keras builds from all of its settings only keeps them all
        return {}
    finally:
        random.setstate(state)
    return reduced(json.loads(json.dumps(keras.saving.serialize_keras_object(layer)["config"])))


def _difference(wanted, found, role):
    """What makes two networks compute different things, in words; "" if nothing does."""
    wanted, found = (_described(reduced(_config(network, role))) for network in (wanted, found))
    pairs = zip_longest(wanted, found, fillvalue="missing")
    return next((f"part {i} should be {a}, and is {b}" for i, (a, b) in enumerate(pairs, 1) if a != b), "")


def _described(network):
    """The parts of a reduced network in words, without names: equal words mean equal outputs for equal weights."""
    parts, places = [], {}
    for layer in network["config"]["layers"]:
        settings, name = dict(layer["config"]), layer["class_name"]
        if name == "InputLayer":
            settings["batch_shape"] = settings["batch_shape"][1:]
        # What these layers do in the end is a part of its own.
        activation = settings.pop("activation", None) if re.fullmatch(r"Dense|\w*Conv\dD(Transpose)?", name) else None
        parts.append((_words(name, settings, layer), layer.get("inbound_nodes")))
        if activation is not None:
            parts.append((_words("Activation", {"activation": activation}), None))
        places[settings["name"]] = len(parts)
    described = []
    for i, (words, nodes) in enumerate(parts):
        inputs = [str(i)] if nodes is None and i else _inputs(nodes or [], places)
        described.append(words if inputs in ([], [str(i)]) else f"{words} of part {' and '.join(inputs)}")
    ends = [" and ".join(_inputs(network["config"].get(key, []), places)) for key in ("input_layers", "output_layers")]
    return described + ([] if ends in (["", ""], ["1", str(len(parts))]) else ["from part {} to part {}".format(*ends)])


def _words(name, settings, layer=None):
    if layer and "layers" in layer["config"]:
        return f"a network of {', '.join(_described(layer))}"
    if name == "Activation" and isinstance(settings["activation"], dict):
        inner = settings["activation"]
        name, settings = inner["class_name"], inner["config"] if isinstance(inner["config"], dict) else inner
    elif name == "Activation" and settings["activation"] in ACTIVATIONS:
        return ACTIVATIONS[settings["activation"]]
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in sorted(settings.items()) if key != 'name')})"


def _inputs(nodes, places):
    """Where the inputs of a layer come from: the places of layers, and other arguments as they are."""
    if isinstance(nodes, dict) and "keras_history" in nodes:
        nodes = nodes["keras_history"]
    elif isinstance(nodes, dict):
        return [text for key, value in nodes.items() if key != "class_name" for text in _inputs(value, places)]
    if isinstance(nodes, list) and len(nodes) == 3 and isinstance(nodes[0], str):
        name, node, tensor = nodes
        return [f"{places[name]}" + (f" (call {node + 1}, output {tensor + 1})" if node or tensor else "")]
    if isinstance(nodes, list):
        return [text for node in nodes for text in _inputs(node, places)]
    return [] if nodes is None else [repr(nodes)]
