"""A real JupyterLab and a real headless Chromium for the tests and benchmarks of what readers click."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat

CHROMIUM = shutil.which("chromium")
# Without these Chromium asks its maker's servers for updates all the time.
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update"]
SLIDER = ".widget-slider:not(.gan-scrub)"
SETUP = "import keras\nfrom gan_helpers import arena, data, plotting, widgets\nplotting.use_style()"


def write(folder, name, *cells):
    """A notebook of these code cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(notebook, folder / f"{name}.ipynb")


class Lab:
    """JupyterLab on `folder`: `lab.open("name")` gives a page with that notebook."""

    def __init__(self, folder, browser):
        self.folder, self.browser = Path(folder), browser

    @contextlib.contextmanager
    def running(self):
        state = self.folder / ".state"
        places = {
            name: str(state / name)
            for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR")
        }
        settings = state / "settings"
        tracker = settings / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
        news = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
        for file, values in (
            (tracker, {"windowingMode": "none"}),
            (news, {"fetchNews": "false", "checkForUpdates": False}),
        ):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values), encoding="utf-8")
        command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--port=0", "--IdentityProvider.token=t"]
        command += [f"--ServerApp.root_dir={self.folder}", "--LabApp.expose_app_in_browser=True", "--allow-root"]
        environment = {**os.environ, **places, "JUPYTERLAB_SETTINGS_DIR": str(settings)}
        with (self.folder / "server.log").open("w", encoding="utf-8") as log:
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            self.address = self._address(state / "JUPYTER_RUNTIME_DIR", server)
            yield self
        finally:
            server.terminate()
            server.wait(30)

    def _address(self, runtime, server):
        for _ in range(300):
            for file in runtime.glob("jpserver-*.json"):
                with contextlib.suppress(json.JSONDecodeError):
                    return json.loads(file.read_text(encoding="utf-8"))["url"]
            if server.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"JupyterLab did not start: see {self.folder / 'server.log'}")

    def open(self, name, width=1400, height=1000):
        """A page with the notebook, not yet run. `page.problems` collects errors of its console."""
        page = self.browser.new_context(viewport={"width": width, "height": height}).new_page()
        page.problems = []

        def console(message):
            # The badge's picture lies on Colab's server; a machine without a network does without it.
            if message.type == "error" and "colab.research.google.com" not in message.location["url"]:
                page.problems.append(message.text)

        page.on("console", console)
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.goto(f"{self.address}lab/workspaces/{name}-{time.monotonic_ns()}/tree/{name}.ipynb?token=t")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        page.wait_for_selector("text=| Idle", timeout=60_000)  # the kernel, in the status bar
        return page


def run_all(page, seconds=240):
    """Run all cells and wait until the last has its number. Fails where a cell fails."""
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")
    wait_until_run(page, seconds)


def wait_until_run(page, seconds=240):
    numbered = (
        "[...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt')]"
        ".every(prompt => /\\[\\d+\\]/.test(prompt.textContent))"
    )
    failed = "document.querySelector('.jp-OutputArea [data-mime-type=\"application/vnd.jupyter.error\"]')"
    page.wait_for_function(f"() => {failed} || {numbered}", timeout=1000 * seconds)
    assert not page.evaluate(f"() => {failed}?.textContent")


def count_pictures(page, image="img.gan-picture"):
    page.evaluate(
        """selector => { window.count = 0; const image = document.querySelector(selector);
        new MutationObserver(() => window.count++).observe(image, {attributes: true, attributeFilter: ['src']}); }""",
        image,
    )


def slowness():
    """`import tensorflow` in a new interpreter, here and now, in units of the four seconds of a usual laptop."""
    clock = time.monotonic()
    subprocess.run([sys.executable, "-c", "import tensorflow"], check=True, capture_output=True)
    return (time.monotonic() - clock) / 4


def frames_per_second(page, seconds=3):
    before, clock = page.evaluate("window.count"), time.monotonic()
    page.wait_for_timeout(1000 * seconds)
    return (page.evaluate("window.count") - before) / (time.monotonic() - clock)


def pictures(scope):
    return scope.locator("img.widget-image").evaluate_all("images => images.map(image => image.src)")


def wait_for_change(scope, before, what, seconds=5):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if pictures(scope) != before:
            return
        time.sleep(0.02)
    raise AssertionError(f"the picture did not follow {what}")


def settle(page, scope):
    """Wait until no picture has changed for a moment."""
    before = None
    while before != (before := pictures(scope)):
        page.wait_for_timeout(250)
    return before


def by_keyboard(slider):
    slider.locator(".noUi-handle").press("ArrowLeft")
    slider.locator(".noUi-handle").press("ArrowRight")
    slider.locator(".noUi-handle").press("ArrowRight")


def by_pointer(slider):
    handle, bar = slider.locator(".noUi-handle").bounding_box(), slider.locator(".noUi-target").bounding_box()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    # Almost to an end: of three places, a quarter of the way might be rounded to where the handle is.
    to = bar["x"] + bar["width"] * (0.1 if x > bar["x"] + bar["width"] / 2 else 0.9)
    slider.page.mouse.move(x, y)
    slider.page.mouse.down()
    slider.page.mouse.move(to, y, steps=4)
    slider.page.mouse.up()


def move_every_slider(page, scope, both=True):
    """Move each slider by keyboard and pointer, or only by one of them in turn. Returns the number of sliders."""
    sliders = scope.locator(SLIDER)
    for i in range(sliders.count()):
        slider = sliders.nth(i)
        slider.scroll_into_view_if_needed()
        label = slider.locator(".widget-label").inner_text()
        assert label, "a slider has no label"
        for move in (by_keyboard, by_pointer) if both else [(by_keyboard, by_pointer)[i % 2]]:
            before = settle(page, scope)
            move(slider)
            wait_for_change(scope, before, f"the slider {label!r}, moved {move.__name__}")
    return sliders.count()
