"""Sliders without a kernel: the page computes what Keras computes, and its controls do what the kernel's do."""

import base64
import io
import re
import zlib

import ipywidgets
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image

from gan_helpers import data, live, plotting, pretrained, widgets

FRAME = 1000 / 60  # milliseconds
PICTURE = ".gan-picture-box canvas"


@pytest.fixture
def page(browser):
    """An empty page without a network; at its end nothing was asked for and nothing went wrong."""
    context = browser.new_context(offline=True, viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.append(request.url) if request.url[:5] != "data:" else None)
    page.set_content("<p>empty</p>")
    page.add_script_tag(content=live.engine())
    yield page
    context.close()
    assert not problems


def rounded(network, seed=0):
    """The same network with weights drawn anew, that survive the rounding in which they travel."""
    rng = np.random.default_rng(seed)
    weights = []
    for weight in network.get_weights():
        if weight.ndim == 1:
            weights.append(rng.uniform(0.3, 1, weight.shape).astype(np.float16))
        else:
            values = rng.integers(-127, 128, weight.shape)
            values[(0,) * (weight.ndim - 1)] = 127
            weights.append(values / 127 / np.sqrt(weight[..., 0].size))
    network.set_weights(weights)
    return network


def in_the_page(page, function, **inputs):
    """What the page makes of these arrays."""
    network = live.network(function, **{name: (value.shape, value.dtype.name) for name, value in inputs.items()})
    values = {name: value.ravel().tolist() for name, value in inputs.items()}
    found = page.evaluate(
        """async ([network, x]) => { const name = String(Math.random());
        ganLive.network(name, ...network);
        const {shape, data} = (await ganLive.networks[name])(x);
        return [shape, [...data]]; }""",
        [network, values],
    )
    return np.float32(found[1]).reshape(found[0])


IMAGE, CODE = (8, 8, 4), (12,)
LAYERS = {
    "dense": (CODE, lambda: layers.Dense(5)),
    "dense on rows": ((3, 4), lambda: layers.Dense(5)),
    "batch norm": (IMAGE, lambda: layers.BatchNormalization()),
    "layer norm": (IMAGE, lambda: layers.LayerNormalization()),
    "layer norm of three axes": (IMAGE, lambda: layers.LayerNormalization(axis=[1, 2, 3])),
    "group norm": (IMAGE, lambda: layers.GroupNormalization(2)),
    "instance norm": (IMAGE, lambda: layers.GroupNormalization(-1)),
    "reshape": (CODE, lambda: layers.Reshape((2, 2, 3))),
    "flatten": (IMAGE, lambda: layers.Flatten()),
    "permute": (IMAGE, lambda: layers.Permute((3, 1, 2))),
    "upsampling": (IMAGE, lambda: layers.UpSampling2D(2)),
    "zero padding": (IMAGE, lambda: layers.ZeroPadding2D(2)),
    "cropping": (IMAGE, lambda: layers.Cropping2D(1)),
    "mean": (IMAGE, lambda: layers.GlobalAveragePooling2D()),
    "products of rows": ((3, 3), lambda: layers.Lambda(lambda x: tf.matmul(x, x @ x))),
    "dropout": (CODE, lambda: layers.Dropout(0.5)),
    **{
        f"{kind.__name__} {size} by {step}, {padding}": (
            IMAGE,
            lambda kind=kind, size=size, step=step, padding=padding: kind(6, size, step, padding),
        )
        for kind in (layers.Conv2D, layers.Conv2DTranspose)
        for size, step in ((1, 1), (3, 1), (4, 2), (5, 3))
        for padding in ("same", "valid")
    },
    **{
        name: (CODE, lambda name=name: layers.Activation(name))
        for name in ("relu", "leaky_relu", "elu", "selu", "relu6", "sigmoid", "tanh", "softplus", "softmax", "silu")
    },
}


@pytest.mark.filterwarnings("ignore")
def test_layers_compute_what_they_compute_in_keras(page):
    for name, (shape, make) in LAYERS.items():
        network = rounded(keras.Sequential([keras.Input(shape), make()]))
        x = np.random.default_rng(1).standard_normal((2, *shape)).astype("float32")
        found, wanted = in_the_page(page, lambda x, network=network: network(x), x=x), network(x).numpy()
        assert found.shape == wanted.shape and np.abs(found - wanted).max() < 1e-5, name


def test_graphs_of_several_inputs_and_branches(page):
    z, label = keras.Input((4,)), keras.Input((), dtype="int32")
    joined = layers.Concatenate()([z, layers.Embedding(3, 8)(label)])
    twice = layers.Add()([layers.Dense(12, activation="tanh")(joined), joined])
    network = rounded(keras.Model([z, label], layers.Multiply()([twice, layers.Dense(1)(twice)])))
    codes, labels = np.float32(np.eye(4)[:3]), np.int64([2, 0, 1])
    found = in_the_page(page, lambda z, labels: network([z, labels]), z=codes, labels=labels)
    assert np.abs(found - network([codes, labels]).numpy()).max() < 1e-5


SHIPPED = [name for name in pretrained.names() if name not in ("04_playground", "digit_classifier")]  # float weights


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_networks_compute_what_they_compute_in_keras(page, name, record_property):
    largest = 0.0
    for role, network in pretrained.load(name).items():
        if role == "history":
            continue
        rng, shapes = np.random.default_rng(0), [(2, *part.shape[1:]) for part in network.inputs]
        draw = lambda shape: (rng.random(shape) if len(shape) == 4 else rng.standard_normal(shape)).astype("float32")  # noqa: B023, E731
        inputs = {f"x{i}": draw(shape) for i, shape in enumerate(shapes)}
        run = lambda network=network, **x: network(list(x.values()) if len(x) > 1 else x["x0"])  # noqa: E731
        largest = max(largest, np.abs(in_the_page(page, run, **inputs) - np.asarray(run(**inputs))).max())
    record_property("largest difference", float(largest))
    assert largest < 1e-5


@pytest.mark.parametrize("role", ["generator", "reference"])
def test_shipped_weights_travel_as_they_are(role):
    network, arrays = pretrained.load("05_gan_mnist")[role], pretrained.arrays_of("05_gan_mnist")
    kernels = [value for key, value in arrays.items() if re.fullmatch(rf"{role}/\d+", key) and value.dtype == np.int8]
    nodes, text = live.network(lambda z: network(z), z=((1, network.input_shape[1]), "float32"))
    memory = zlib.decompress(base64.b64decode(text))
    sent = [np.frombuffer(memory[slice(*node["data"])], "i1") for node in nodes if node.get("type") == "int8"]
    assert len(sent) == len(kernels) == 3 - (role == "reference")
    assert all(np.array_equal(a, b.ravel()) for a, b in zip(sent, kernels, strict=True))


def test_a_network_and_what_ships_of_it_are_one(tmp_path, monkeypatch):
    """So that a notebook holds one copy, of the network that it trained and of the one that it had shipped then."""
    network = keras.Sequential([keras.Input((6,)), layers.Dense(8), layers.BatchNormalization(), layers.Dense(3)])
    rng = np.random.default_rng(0)
    network.set_weights([rng.uniform(0.1, 1, weight.shape) for weight in network.get_weights()])
    pretrained.save("mine", {"generator": network}, folder=tmp_path)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    one, two = (
        live.network(lambda z, network=network: network(z), z=((1, 6), "float32"))
        for network in (network, pretrained.load("mine")["generator"])
    )
    assert one == two


# --- what cannot travel


DEPTHWISE = keras.Sequential([keras.Input((4, 4, 2)), layers.DepthwiseConv2D(3, name="separate")])


def pooled(x):
    return layers.MaxPooling2D()(x)


@pytest.mark.parametrize(
    ("function", "shape", "words"),
    [
        (pooled, (1, 4, 4, 1), "the page cannot compute MaxPool"),
        (lambda x: tf.math.erf(x), (1, 4), "the page cannot compute Erf"),
        (lambda x: DEPTHWISE(x), (1, 4, 4, 2), "the page cannot compute DepthwiseConv2dNative of the layer separate"),
        (lambda x: np.asarray(x) + 1, (1, 4), "does not run as a graph of TensorFlow"),
        (lambda x: [x, x + 1], (1, 4), "returns 2 tables"),
        (lambda x: tf.boolean_mask(x, x > 0), (1, 4), "depends on its input"),
        (lambda x: x @ np.full((4, 100), np.nan, "float32"), (1, 4), "NaN or infinity"),
    ],
)
def test_what_cannot_travel_is_named(function, shape, words):
    with pytest.raises(live.Unsupported, match=re.escape(words)):
        live.network(function, x=(shape, "float32"))


def html_of(panel):
    return panel._repr_mimebundle_()["text/html"]


def test_a_picture_that_needs_the_kernel_says_why():
    explorer = widgets.LatentExplorer(lambda z: np.zeros((len(z), 4, 4, 1)), inputs={"z": 4}, directions=0)
    found = html_of(explorer)
    assert "The controls of this picture need a kernel, since its function does not run as a graph" in found
    assert "<img" in found and "<script" not in found
    many = widgets.live_picture(lambda a, b: plotting.png(np.zeros((1, 4, 4))), a=(0, 99, 0), b=(0, 99, 0))
    assert "since they have too many places for all pictures to be drawn beforehand" in html_of(many)


def test_a_figure_of_few_controls_is_drawn_beforehand(page):
    figure, ax = plotting.plt.subplots()
    (line,) = ax.plot([0, 1], [0, 1])
    moving = plotting.MovingFigure(figure, [line])

    def draw(slope, choice):
        line.set_ydata([choice / 9, slope])
        return moving.png()

    choice = ipywidgets.Dropdown(options=[("one", 1), ("three", 3)])
    panel = widgets.live_picture(draw, slope=(0.0, 1.0, 0.3), choice=choice)
    before = bytes(panel.picture.value)
    page.set_content(html_of(panel))
    assert panel.draw() == before
    scope = page.locator(".gan-live")
    for key, value, option in (("Home", 0.0, 0), ("End", 1.0, 0), ("Home", 0.0, 1)):
        scope.get_by_role("slider", name="slope").press(key)
        scope.get_by_role("combobox", name="choice").select_option(str(option))
        page.wait_for_timeout(150)
        found, wanted = shown(scope).astype(int), pixels(draw(value, (1, 3)[option]))
        assert np.abs(found - wanted).max() <= 1


# --- the controls


def conditional():
    shipped = pretrained.load("09_infogan")["generator"]

    def ask(z, codes, category):
        return shipped(tf.concat([z, tf.one_hot(category, 10), codes], axis=1))

    return widgets.LatentExplorer(tf.function(ask), inputs={"z": 62, "codes": 2, "category": 10}, directions=2, row=3)


def shown(scope):
    """The pixels of a canvas, uint8 `(height, width, 3)`."""
    source = scope.locator(PICTURE).evaluate("canvas => canvas.toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).convert("RGB"), int)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def assert_same_picture(scope, explorer):
    scope.page.wait_for_timeout(60)
    wanted = pixels(bytes(explorer.picture.value))[:: explorer.scale, :: explorer.scale]
    found = shown(scope)
    assert found.shape == wanted.shape and np.abs(found.astype(int) - wanted).max() <= 1


def drag(slider, share):
    box, page = slider.bounding_box(), slider.page
    value, low, high = (float(slider.evaluate(f"s => s.{name}")) for name in ("value", "min", "max"))
    y, at = box["y"] + box["height"] / 2, lambda share: box["x"] + 8 + share * (box["width"] - 16)
    page.mouse.move(at((value - low) / (high - low)), y)
    page.mouse.down()
    page.mouse.move(at(share), y, steps=3)
    page.mouse.up()


def test_every_control_gives_the_kernels_picture_by_keyboard_and_pointer(page):
    explorer = conditional()
    page.set_content(html_of(explorer))
    scope = page.locator(".gan-live")
    assert_same_picture(scope, explorer)
    menu = scope.get_by_label("category")
    menu.press("ArrowDown")
    explorer.selectors["category"].value = 1
    assert_same_picture(scope, explorer)
    for control in explorer.sliders:
        slider = scope.get_by_label(control.description, exact=True)
        slider.press("ArrowRight")
        slider.press("ArrowRight")
        control.value = control.value + 2 * control.step
        assert float(slider.evaluate("s => s.value")) == pytest.approx(control.value)
        assert_same_picture(scope, explorer)
        drag(slider, 0.7)
        control.value, before = float(slider.evaluate("s => s.value")), control.value
        assert abs(control.value - before) > 5 * control.step
        assert slider.get_attribute("aria-valuetext") == f"{control.value:.2f}"
        assert_same_picture(scope, explorer)
    scope.get_by_role("button", name="reset sliders").press("Enter")
    explorer.reset()
    assert_same_picture(scope, explorer)
    before = shown(scope)
    scope.get_by_role("button", name="new noise").click()
    page.wait_for_timeout(60)
    assert (shown(scope) != before).mean() > 0.02
    scope.get_by_label("record the path").press("Space")
    for n in range(4):
        wide = f"document.querySelector('[aria-label^=\"the path\"]').width === {(n + 1) * 29 - 1}"
        page.wait_for_function(wide)
        scope.get_by_label("code 1").press("ArrowLeft")
    assert scope.get_by_role("alert").all_inner_texts() in ([], [""])


def test_sliders_stay_where_the_prior_has_codes(page):
    explorer = conditional()
    page.set_content(html_of(explorer))
    for control in explorer.sliders:
        slider = page.get_by_label(control.description, exact=True)
        for key, end in (("Home", control.min), ("End", control.max)):
            slider.press(key)
            assert float(slider.evaluate("s => s.value")) == end


def test_the_walk_starts_from_given_codes_and_keeps_them(page):
    shipped = pretrained.load("10_bigan")
    x, _ = data.mnist(split="test")
    explorer = widgets.LatentExplorer(shipped["generator"], start=shipped["encoder"](x[:8]))
    page.set_content(html_of(explorer))
    scope = page.locator(".gan-live")
    assert_same_picture(scope, explorer)
    for _ in range(2):
        explorer.walk.value = 0.5
        drag(scope.get_by_label("walk to another"), 0.5)
        explorer.walk.value = float(scope.get_by_label("walk to another").evaluate("s => s.value"))
        assert_same_picture(scope, explorer)
    scope.get_by_role("button", name="new noise").click()
    explorer.reset()
    assert_same_picture(scope, explorer)


def plane():
    shipped = pretrained.load("12_adversarial_autoencoder")
    x, y = data.mnist(range(6), "test")
    codes = data.in_batches(shipped["label_encoder"], x[:500])
    return widgets.plane_picture(shipped["label_decoder"], codes, y[:500])


def test_the_plane_shows_the_kernels_picture(page):
    panel = plane()
    page.set_content(html_of(panel))
    scope = page.locator(".gan-live")
    for control, share in zip(panel.controls, (0.3, 0.8), strict=True):
        slider = scope.get_by_role("slider", name=control.description)
        slider.press("ArrowRight")
        drag(slider, share)
        control.value = float(slider.evaluate("s => s.value"))
        page.wait_for_timeout(60)
        found, wanted = shown(scope).astype(int), pixels(bytes(panel.picture.value))
        assert found.shape == wanted.shape
        # Smooth edges of the point and of the pixels are drawn by another program.
        assert np.abs(found - wanted).mean() < 1.5 and (np.abs(found - wanted).max(axis=2) > 40).mean() < 0.01


TOOLS = """<canvas width='56' height='56' aria-label='a sheet to draw on' style='touch-action:none'></canvas>
<label>a drawing <select><option value='{0}'>one</option><option value='{1}'>two</option></select></label>
<input type='file' aria-label='of yours'><input type='range' min='1' max='6' value='2' aria-label='width of the pen'>
<label><input type='checkbox'> erase</label><button>clear</button>"""


def test_a_drawing_is_coloured_while_it_is_drawn(page):
    rng = np.random.default_rng(0)
    colour = tf.constant(rng.random((1, 1, 1, 3)), tf.float32)
    drawings = [np.rint(255 * rng.random((1, 28, 28, 1))) / 255 for _ in range(2)]
    tools = TOOLS.format(*(base64.b64encode(plotting.png(drawing, scale=1)).decode() for drawing in drawings))
    network = live.network(lambda drawing: 1 - (1 - drawing) * colour, drawing=((1, 28, 28, 1), "float32"))
    spec = {"kind": "pad", "controls": [], "tools": tools, "side": 28, "size": 56}
    page.set_content(live.page(spec, network, plotting.png(drawings[0]), "the drawing, coloured"))
    scope = page.locator(".gan-live")

    def assert_coloured(drawing):
        page.wait_for_timeout(150)
        wanted = 255 * (1 - (1 - drawing[0]) * colour.numpy()[0])
        assert np.abs(shown(scope) - wanted).max() <= 3

    assert_coloured(drawings[0])
    scope.get_by_label("a drawing").select_option("two")
    assert_coloured(drawings[1])
    scope.get_by_role("button", name="clear").press("Enter")
    assert_coloured(np.ones((1, 28, 28, 1)))
    box = scope.get_by_label("a sheet to draw on").bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] + 30, steps=4)
    page.mouse.up()
    page.wait_for_timeout(150)
    assert 0.02 < (shown(scope).min(axis=2) < 128).mean() < 0.3


def test_several_on_one_page_share_a_network_and_do_not_collide(page):
    explorer, other = (widgets.LatentExplorer(pretrained.load("05_gan_mnist")["generator"]) for _ in range(2))
    page.set_content(f"{html_of(explorer)}{html_of(plane())}{html_of(other)}")
    scopes = page.locator(".gan-live")
    page.evaluate("() => ganLive.filled()")
    page.wait_for_timeout(300)  # the still parts of the plane are a picture, which is decoded first
    still = shown(scopes.nth(1)), shown(scopes.nth(2))
    scopes.nth(0).get_by_label("direction 1").press("End")
    explorer.shifts[0].value = 6.0
    assert_same_picture(scopes.nth(0), explorer)
    assert all(np.array_equal(a, shown(scopes.nth(i))) for i, a in enumerate(still, 1))
    networks = re.findall(r'ganLive\.network\("(\w+)"', html_of(explorer) + html_of(other))
    assert len(networks) == 2 and len(set(networks)) == 1


def test_every_control_has_a_name_and_the_picture_is_described(page):
    page.set_content(html_of(conditional()))
    page.evaluate("() => ganLive.filled()")
    names = page.locator(".gan-live").evaluate(
        "host => [...host.querySelectorAll('input, select, button')]"
        ".map(e => e.getAttribute('aria-label') || e.innerText || e.labels[0]?.innerText || '')"
    )
    assert len(names) == 9 and all(name.strip() for name in names)
    assert "images that the generator makes" in page.locator(PICTURE).get_attribute("aria-label")


@pytest.mark.parametrize("width", [390, 1024])
def test_nothing_is_wider_than_a_narrow_page(browser, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.set_content(f"<meta name=viewport content='width=device-width'>{html_of(conditional())}{html_of(plane())}")
    page.evaluate("() => ganLive.filled()")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@pytest.mark.clock
@pytest.mark.parametrize("make", [conditional, plane, lambda: dcgan(4)], ids=["infogan", "plane", "dcgan"])
def test_sixty_frames_a_second(page, slowness, make):
    """In proportion to the machine: see `lab.slowness`."""
    page.set_content(html_of(make()))
    page.locator(PICTURE).wait_for()
    taken = page.locator(".gan-live").evaluate(
        """host => { const times = [], {page, controls} = host.ganLive;
        for (let i = 0; i < 60; i++) {
            controls.at(-1).write(i / 60);
            const start = performance.now(); page.now(); times.push(performance.now() - start); }
        return times.slice(20).sort((a, b) => a - b); }"""
    )
    assert taken[len(taken) // 2] < FRAME * max(1, slowness())


def dcgan(row):
    return widgets.LatentExplorer(pretrained.load("06_dcgan")["generator"], row=row)
