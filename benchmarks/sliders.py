"""How soon does the picture follow a key? Our explorer beside `ipywidgets.interact`, in real JupyterLab and Chromium.

    python benchmarks/sliders.py [presses]

Needs Chromium (`chromium` on the path). Presses are interleaved in one run, so that a busy machine
is busy for all. Printed: milliseconds from the key press to the painted picture, and the kernel's
part of it; then frames per second of the arena at ten rounds a frame; then the kernel's memory
over ten minutes of play, if asked for with `python benchmarks/sliders.py 50 play`.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from playwright.sync_api import sync_playwright

from tests import lab as labs

PRESSES = max(20, int(sys.argv[1])) if len(sys.argv) > 1 else 50
NETS = """
import time
import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import interact
from keras import layers
from gan_helpers import pretrained

dense = pretrained.load("05_gan_mnist")["generator"]
conv = keras.Sequential([
    keras.Input((64,)), layers.Dense(7 * 7 * 64), layers.Reshape((7, 7, 64)),
    layers.Conv2DTranspose(64, 4, 2, "same", activation="relu"), layers.BatchNormalization(),
    layers.Conv2DTranspose(1, 4, 2, "same", activation="sigmoid"),
])
milliseconds = {"dense": [], "conv": []}
def timed(name, network):
    explorer = widgets.LatentExplorer(network, directions=4)
    redraw = explorer.redraw
    def measured():
        start = time.perf_counter()
        redraw()
        milliseconds[name].append(1000 * (time.perf_counter() - start))
    explorer.redraw = measured
    return explorer
"""
PLAIN = """
v = np.eye(64, dtype="float32")
def draw(first=0.0):
    plt.imshow({network}(first * v[:1])[0, ..., 0], cmap="gray")
    plt.axis("off")
    plt.show()
interact(draw, first=(-6.0, 6.0, 0.1));
"""
CELLS = {
    "dense, explorer": "timed('dense', dense)",
    "dense, interact": PLAIN.format(network="dense"),
    "conv, explorer": "timed('conv', conv)",
    "conv, interact": PLAIN.format(network="conv"),
}
ARENA = """
from keras import layers
from gan_helpers.models.gan import GAN

def make_gan(noise, depth, width):
    hidden = lambda: [layers.Dense(width, activation="relu") for _ in range(depth)]
    generator = keras.Sequential([keras.Input((noise,)), *hidden(), layers.Dense(2)])
    return GAN(generator, keras.Sequential([keras.Input((2,)), *hidden(), layers.Dense(1)]))

arena.Arena(make_gan, {"ring": data.ring(sigma=0.05)})
"""
WATCH = """(area) => {
    area.shown = [];
    const picture = () => [...area.querySelectorAll('img')].find(image => image.offsetParent && image.src);
    area.addEventListener('keydown', () => {
        area.pressed = performance.now(); area.last = picture()?.src; area.due = true;
    }, true);
    new MutationObserver(() => {
        const image = picture();
        if (!area.due || !image || image.src === area.last) return;
        area.due = false;
        image.decode().then(() => requestAnimationFrame(() => area.shown.push(performance.now() - area.pressed)));
    }).observe(area, {subtree: true, childList: true, attributes: true, attributeFilter: ['src']});
}"""


def spread(values):
    return f"median {median(values):6.1f}   95th percentile {quantiles(values, n=20)[-1]:6.1f}"


def sliders(lab):
    page = lab.open("sliders")
    labs.run_all(page)
    page.wait_for_timeout(1000)
    areas = page.locator(".jp-Cell-outputArea", has=page.locator(".widget-slider"))
    assert areas.count() == len(CELLS)
    for i in range(len(CELLS)):
        areas.nth(i).evaluate(WATCH)
    for press in range(PRESSES):
        for i in range(len(CELLS)):
            area = areas.nth(i)
            area.locator(".noUi-handle").first.press("ArrowRight" if press % 20 < 10 else "ArrowLeft")
            page.wait_for_timeout(600)
    shown = {name: areas.nth(i).evaluate("area => area.shown") for i, name in enumerate(CELLS)}
    for name, values in shown.items():
        print(f"{name:<16} key to picture, ms: {spread(values[5:])}   ({len(values)} of {PRESSES} presses)")
    for network in ("dense", "conv"):
        ratio = median(shown[f"{network}, interact"][5:]) / median(shown[f"{network}, explorer"][5:])
        print(f"{network}: our picture is there {ratio:.2f} times sooner")
    page.locator(".jp-CodeCell").last.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    page.wait_for_timeout(1000)
    kernel = json.loads(page.locator(".jp-OutputArea").last.inner_text())
    for name, values in kernel.items():
        print(f"{name}: the kernel's part, ms: {spread(values[5:])}")
    page.context.close()


def arena(lab, minutes):
    page = lab.open("arena")
    labs.run_all(page)
    page.wait_for_timeout(1000)
    labs.count_pictures(page)
    page.get_by_label("play or pause").press("Enter")
    page.wait_for_timeout(3000)
    rates, memory, end = [], [], time.monotonic() + max(15, 60 * minutes)
    while time.monotonic() < end:
        rates.append(labs.frames_per_second(page, 5))
        memory.append(int(Path(lab.folder / "memory").read_text()) // 1024)
    print(f"arena: frames a second: median {median(rates):.1f}, lowest {min(rates):.1f} in {len(rates)} windows of 5 s")
    print(
        f"arena: memory of the kernel in MB, from the first to the last window: {memory[:: max(1, len(memory) // 10)]}"
    )
    page.context.close()


MEMORY = """
import os, psutil, threading, time
def note():
    while True:
        with open("memory.new", "w") as file: print(psutil.Process().memory_info().rss // 1024, file=file)
        os.replace("memory.new", "memory")
        time.sleep(1)
threading.Thread(target=note, daemon=True).start()
"""

with sync_playwright() as p, tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    labs.write(folder, "sliders", labs.SETUP, NETS, *CELLS.values(), "import json; print(json.dumps(milliseconds))")
    labs.write(folder, "arena", labs.SETUP, MEMORY, ARENA)
    browser = p.chromium.launch(executable_path=labs.CHROMIUM, args=labs.QUIET)
    with labs.Lab(folder, browser).running() as lab:
        sliders(lab)
        arena(lab, 10 if "play" in sys.argv else 0)
