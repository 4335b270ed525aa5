"""Pictures that follow their controls in any web page, without a kernel: the network travels with the page.

`network` writes down what a function of TensorFlow computes, node by node, and `live.js`, one file without
dependencies, computes the same in the page. Tables of weights travel as whole numbers from -127 to 127
with a scale for each index of their last axis, as those do that ship with the course. `page` is the HTML
of a picture with controls. All that it needs stands in it, so it works with no network, in a committed
notebook, on nbviewer, in exported pages and in slides.
"""

import base64
import hashlib
import html
import io
import itertools
import json
import time
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

# What live.js computes. The same numbers in another shape, number by number, of two tables, and all others.
RESHAPES = {"Reshape", "Squeeze", "ExpandDims", "Identity", "StopGradient", "PreventGradient", "Snapshot"}
UNARY = {"Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Exp", "Log", "Sqrt", "Rsqrt"}
UNARY |= {"Abs", "Neg", "Square", "Sin", "Cos", "Floor"}
BINARY = {"AddV2", "BiasAdd", "Sub", "Mul", "RealDiv", "Maximum", "Minimum", "Pow", "SquaredDifference"}
BINARY |= {"Less", "LessEqual", "Greater", "GreaterEqual"}
# These only move numbers, or leave some out: a table says from where each is taken.
MOVES = {"Transpose", "StridedSlice", "Slice", "Tile", "BroadcastTo", "ReverseV2", "Pad", "PadV2", "MirrorPad"}
MOVES |= {"ResizeNearestNeighbor", "DepthToSpace", "SpaceToDepth", "Split", "SplitV", "Unpack"}
EXACT = 2**24  # whole numbers up to here are exact in float32


class Unsupported(ValueError):
    """A function that cannot travel into a page; the text says why."""


def network(function, **inputs):
    """What a function computes, as nodes for live.js.

    Args:
        function: of TensorFlow's operations, with these keywords; it returns one table.
        inputs: for each keyword `(shape, dtype)`, without unknown sides, such as `((1, 64), "float32")`.

    Returns:
        What `ganLive.network` takes, ready for JSON: the nodes, and the bytes of their tables, deflated, as text.

    Raises:
        Unsupported: it computes outside of TensorFlow, or something that live.js does not know.
    """
    # TensorFlow documents this function without a public name for it.
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2 as freeze

    specs = {name: tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in inputs.items()}
    try:
        concrete = tf.function(lambda **given: function(**given), autograph=False).get_concrete_function(**specs)
    except Exception as error:  # whatever a function raises that wants numbers where there are none yet
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Unsupported(f"its function does not run as a graph of TensorFlow ({reason[:120]})") from error
    frozen = freeze(concrete)
    if len(frozen.outputs) != 1:
        raise Unsupported(f"its function returns {len(frozen.outputs)} tables, not one")
    rounded = _rounded(frozen)
    writer = _Writer(rounded, rounded.graph.get_tensor_by_name(frozen.outputs[0].name))
    return [writer.nodes, base64.b64encode(zlib.compress(writer.bytes, 9)).decode()]


def _rounded(frozen):
    """The same graph with lists of weights, biases and norms, as float16: what ships and what it was then are equal."""
    graph = frozen.graph.as_graph_def()
    for node in graph.node:
        if node.op == "Const" and node.attr["dtype"].type == tf.float32.as_datatype_enum:
            values = tf.make_ndarray(node.attr["value"].tensor)
            if values.ndim == 1 and values.size > 1 and (abs(values) < 65504).all():  # the largest of float16
                rounded = values.astype(np.float16).astype(np.float32)
                node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(rounded))
    return tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])


class _Writer:
    def __init__(self, frozen, output):
        self.frozen, self.nodes, self.bytes, self.places, self.changing = frozen, [], bytearray(), {}, {}
        self.write(output)

    def changes(self, tensor):
        """Whether it depends on an input."""
        if tensor.ref() not in self.changing:
            found = tensor.op.type == "Placeholder" or any(self.changes(part) for part in tensor.op.inputs)
            self.changing[tensor.ref()] = found and tf.get_static_value(tensor) is None
        return self.changing[tensor.ref()]

    def value(self, tensor):
        """The numbers of a tensor that depends on no input."""
        known = tf.get_static_value(tensor)
        return np.asarray(self.frozen.prune([], [tensor])()[0] if known is None else known)

    def write(self, tensor, kernel=False):
        """Write a tensor, after all that it needs; a kernel may be rounded. Returns its place."""
        if tensor.ref() not in self.places:
            node = self.node(tensor, kernel)
            if isinstance(node, int):  # the place of another, which is the same
                self.places[tensor.ref()] = node
            else:
                self.places[tensor.ref()] = len(self.nodes)
                self.nodes.append(node)
        return self.places[tensor.ref()]

    def node(self, tensor, kernel):
        op, kind, shape = tensor.op, tensor.op.type, tensor.shape.as_list()
        if None in shape:
            raise Unsupported(f"the shape {tensor.shape} of {kind} depends on its input")
        if not self.changes(tensor):
            return self.constant(self.value(tensor), kernel)
        if kind == "Placeholder":
            return {"op": "Input", "name": op.name, "shape": shape}
        parts, made = list(op.inputs), {"op": kind, "shape": shape}
        if kind in RESHAPES or (kind == "Cast" and not _becomes_whole(op)):
            place = self.write(parts[0])
            same = parts[0].shape.as_list() == shape
            return place if same else {"op": "Reshape", "shape": shape, "from": [place]}
        if kind == "IdentityN":
            return self.write(parts[tensor.value_index])
        if kind == "Cast":
            return {**made, "op": "Trunc", "from": [self.write(parts[0])]}
        if kind in UNARY | BINARY | {"SelectV2", "Softmax"}:
            if kind == "LeakyRelu":
                made["alpha"] = op.get_attr("alpha")
            return {**made, "from": list(map(self.write, parts))}
        if kind in MOVES and not any(map(self.changes, parts[1:])):
            return self.moved(tensor, parts[-1] if kind in ("Split",) else parts[0])
        if kind in ("Mean", "Sum", "Max"):
            rank = parts[0].shape.rank
            axes = sorted({int(axis) % rank for axis in np.atleast_1d(self.value(parts[1]))})
            return {**made, "axes": axes, "from": [self.write(parts[0])]}
        if kind in ("ConcatV2", "Pack"):
            axis = int(self.value(parts.pop())) if kind == "ConcatV2" else op.get_attr("axis")
            return {**made, "op": "ConcatV2", "axis": axis % len(shape), "from": list(map(self.write, parts))}
        if kind == "GatherV2" and int(self.value(parts[2])) == 0 and op.get_attr("batch_dims") == 0:
            return {**made, "op": "Rows", "from": list(map(self.write, parts[:2]))}
        if kind == "OneHot" and [float(self.value(part)) for part in parts[2:]] == [1, 0] and op.get_attr("axis") == -1:
            return {**made, "depth": int(self.value(parts[1])), "from": [self.write(parts[0])]}
        if kind == "BatchMatMulV2" and _is_plain_product(op):
            return {**made, "from": list(map(self.write, parts))}
        if kind == "MatMul" and not (op.get_attr("transpose_a") or op.get_attr("transpose_b")):
            return {**made, "from": [self.write(part, kernel=True) for part in parts]}
        if kind in ("Conv2D", "Conv2DBackpropInput") and _is_plain(op):
            made |= {"strides": op.get_attr("strides")[1:3], "padding": op.get_attr("padding").decode()}
            return {**made, "from": [self.write(part, kernel=True) for part in parts[-2:]]}
        layer = (["", *op.name.split("/")])[-2]
        raise Unsupported(f"the page cannot compute {kind}" + (f" of the layer {layer}" if layer else ""))

    def moved(self, tensor, source):
        """Each number of the result comes from one place of the source, or is zero: ask the operation itself."""
        if source.shape.num_elements() >= EXACT:
            raise Unsupported(f"{tensor.op.type} moves too many numbers")
        numbers = tf.reshape(tf.cast(tf.range(1, source.shape.num_elements() + 1), source.dtype), source.shape)
        where = self.frozen.prune([source], [tensor])(numbers)[0].numpy().astype(np.int32) - 1
        places = [self.write(source)]
        places.append(len(self.nodes))
        self.nodes.append(self.constant(where))
        return {"op": "Take", "shape": tensor.shape.as_list(), "from": places}

    def constant(self, values, kernel=False):
        """A table of numbers: as bytes where that loses nothing, or is the form in which kernels ship."""
        node = {"op": "Const", "shape": list(np.shape(values))}
        if values.dtype.kind in "iub":
            return {**node, "type": "int32", "data": self.place(values.astype("<i4"))}
        values = values.astype("<f4")
        if not np.isfinite(values).all():
            raise Unsupported("its weights contain NaN or infinity")
        levels = np.rint(255 * values)
        if (
            values.size
            and levels.min() >= 0
            and levels.max() <= 255
            and np.array_equal(np.float32(levels / 255), values)
        ):
            return {**node, "type": "uint8", "data": self.place(levels.astype("u1"))}  # pictures, zeros and ones
        if values.ndim < 2 or not kernel:  # biases and norms are few and count more
            return {**node, "type": "float32", "data": self.place(values)}
        scale = np.maximum(np.abs(values).max(axis=tuple(range(values.ndim - 1))) / 127, 1e-12).astype("<f4")
        whole = np.rint(values / scale).astype("i1")
        return {**node, "type": "int8", "data": self.place(whole), "scale": self.place(scale)}

    def place(self, values):
        """Put an array behind the bytes. Returns where it begins and ends."""
        start = len(self.bytes)
        self.bytes += values.tobytes()
        return [start, len(self.bytes)]


def _becomes_whole(op):
    return op.get_attr("DstT").is_integer and op.inputs[0].dtype.is_floating


def _is_plain(op):
    """No holes in the kernel, no groups, channels last, and one of the two usual paddings."""
    usual = op.get_attr("data_format") == b"NHWC" and op.get_attr("padding") in (b"SAME", b"VALID")
    kernel, x = (op.inputs[1], op.inputs[0]) if op.type == "Conv2D" else (op.inputs[1], op.outputs[0])
    return usual and set(op.get_attr("dilations")) == {1} and kernel.shape[2] == x.shape[-1]


def _is_plain_product(op):
    """Nothing transposed, and as many tables on both sides."""
    a, b = op.inputs
    return not (op.get_attr("adj_x") or op.get_attr("adj_y")) and a.shape[:-2] == b.shape[:-2]


PLACES = 41  # of a single slider; of two 11 each, and of more a few
FRAMES, BYTES, SECONDS = 256, 200_000, 2  # at most, for one picture with its controls


def recorded(draw, controls):
    """Pictures drawn beforehand for all places of a few controls, for `page`.

    Sliders of real numbers get as many places as these limits allow; menus and whole numbers keep all of theirs.

    Args:
        draw: callable that takes one keyword for each control and returns the bytes of a PNG file.
        controls: dict from keyword to control of ipywidgets.

    Returns:
        What `page` needs.

    Raises:
        Unsupported: that would be too many pictures, or too large ones.
    """
    smooth = [name for name, c in controls.items() if not hasattr(c, "options") and isinstance(c.value, float)]
    fixed = {name: _all_places(c) for name, c in controls.items() if name not in smooth}
    several = int(np.prod([len(values) for values in fixed.values()]))
    start = time.monotonic()
    draw(**{name: c.value for name, c in controls.items()})
    pace = time.monotonic() - start
    count = PLACES if len(smooth) == 1 else 11
    while several * count ** len(smooth) > FRAMES or several * count ** len(smooth) * pace > SECONDS:
        count = count // 2 + 1
        if not smooth or count < 5:
            raise Unsupported("they have too many places for all pictures to be drawn beforehand")
    places = {name: fixed.get(name) or np.linspace(c.min, c.max, count).tolist() for name, c in controls.items()}
    pictures = [draw(**dict(zip(places, values, strict=True))) for values in itertools.product(*places.values())]
    table = np.arange(len(pictures)).reshape([len(values) for values in places.values()])
    first, *frames = _differences(pictures)
    while sum(len(frames[i][0]) for i in table.ravel()) > BYTES:  # leave out every second place
        if not smooth or (count := count // 2 + 1) < 5:
            raise Unsupported("the pictures of all their places are too large to be drawn beforehand")
        table = table[tuple(slice(None, None, 2 if name in smooth else 1) for name in places)]
    shown = []
    for (name, control_), side in zip(controls.items(), table.shape, strict=True):
        said = control(control_)
        if name in smooth:
            step = (said["max"] - said["min"]) / (side - 1)
            said |= {"step": step, "value": said["min"] + step * round((said["value"] - said["min"]) / step)}
        shown.append({**said, "places": side})
    draw(**{name: control.value for name, control in controls.items()})  # figures are as they were
    return {"kind": "frames", "controls": shown, "frames": [first, *(frames[i] for i in table.ravel())]}, None


def _all_places(control):
    options = getattr(control, "options", None)
    if options is None:
        return list(range(control.min, control.max + 1, control.step))
    return [option[1] if isinstance(option, tuple) else option for option in options]


def _differences(pictures):
    """The first picture, then for each the part that is another: address, left, top. What is equal is transparent."""
    decoded = [np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in pictures]
    first, frames = decoded[0], [[picture(pictures[0]), 0, 0]]
    for image in decoded:
        if image.shape != first.shape:
            raise Unsupported("its pictures are of several sizes")
        other = (image != first).any(axis=2)
        rows, columns = (np.flatnonzero(other.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            frames.append(["", 0, 0])
            continue
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        rgba = np.dstack([image[part], np.full(other[part].shape, 255, np.uint8)])
        rgba[~other[part]] = 0
        colours, which = np.unique(rgba.view(np.uint32), return_inverse=True)
        file, small = io.BytesIO(), Image.fromarray(rgba)
        if len(colours) <= 256:  # as most figures have: the file is half as large
            small = Image.fromarray(which.reshape(rgba.shape[:2]).astype(np.uint8))
            small.putpalette(colours.tobytes(), "RGBA")
        small.save(file, "PNG", compress_level=9)
        frames.append([picture(file.getvalue()), int(columns[0]), int(rows[0])])
    return frames


def text_of(values):
    """The bytes of an array, as text."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def picture(png):
    """A PNG file as the address of a picture that stands in the page itself."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def control(control):
    """What a page must know of a control of ipywidgets, so that both show the same."""
    options = getattr(control, "options", None)
    if options is None:
        step, whole = control.step, isinstance(control.value, int)
        digits = 0 if whole else 2
        numbers = {"min": control.min, "max": control.max, "step": step, "value": control.value, "digits": digits}
        return {"kind": "slider", "label": control.description, **numbers}
    names = [option[0] if isinstance(option, tuple) else str(option) for option in options]
    kind = "slider" if type(control).__name__ == "SelectionSlider" else "menu"
    numbers = {"min": 0, "max": len(names) - 1, "step": 1, "value": control.index}
    return {"kind": kind, "label": control.description, "options": names, **numbers}


@cache
def engine():
    return (Path(__file__).parent / "live.js").read_text(encoding="utf-8")


def page(spec, network, first, alt):
    """The HTML of a picture with its controls.

    The network and the program are scripts of their own, so that whoever joins several outputs into one
    page can leave out those that have stood before. Where no script runs, as on GitHub, the first
    picture is seen.

    Args:
        spec: what live.js must know, ready for JSON: "kind", "controls" (see `control`), and the kind's own.
        network: what `network` returns, or None for pictures that need none.
        first: the bytes of a PNG file, the picture at first.
        alt: what the picture shows, in words.
    """
    scripts = [engine(), "ganLive.start()"]
    if network:
        written = _json(network)[1:-1]
        name = hashlib.sha256(written.encode()).hexdigest()[:16]
        spec = {**spec, "network": name}
        scripts.insert(1, f'ganLive.network("{name}", {written})')
    return (
        f'<div class="gan-live" data-live="{html.escape(_json({**spec, "alt": alt}))}">{still(first, alt)}</div>'
        + "".join(f"<script>{script}</script>" for script in scripts)
    )


def still(png, alt, style="max-width:100%"):
    """The HTML of a picture that does not move."""
    return f"<img style='{style}' alt='{html.escape(alt)}' src='{picture(png)}'>"


def _json(value):
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
