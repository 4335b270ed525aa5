import sys
from pathlib import Path

import pytest

from tests import lab as labs
from tools import environments


def pytest_terminal_summary(terminalreporter):
    """The table of the three environments, if they were checked."""
    results, with_pins = {name: {} for name in environments.REQUIREMENTS}, {}
    for report in [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]:
        for key, value in report.user_properties:
            if key == "matrix":
                results[value[0]].update(value[1])
        path, _, cell = report.nodeid.partition("::")
        if cell.startswith("Cell"):  # with the pins it is nbval that runs the notebooks; what failed comes last
            with_pins[Path(path).stem] = "ok" if report.passed else "failed: see its cells"
    if any(results.values()):
        elsewhere = {row for rows in results.values() for row in rows}
        results["pins"].update({name: said for name, said in with_pins.items() if name in elsewhere})
        terminalreporter.section("environments")
        terminalreporter.write_line(environments.table(results))


@pytest.fixture(scope="module")
def browser():
    if labs.CHROMIUM is None:
        pytest.skip("there is no chromium on this machine (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: see requirements.txt")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=labs.CHROMIUM, args=labs.QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(browser, folder):
    """JupyterLab on `folder`, a fixture of the module that uses it."""
    with labs.Lab(folder, browser).running() as running:
        yield running


@pytest.fixture
def open_page(lab):
    pages = []

    def open_page(name, **options):
        pages.append(lab.open(name, **options))
        return pages[-1]

    yield open_page
    for page in pages:
        assert page.problems == []
        page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
        page.context.close()


@pytest.fixture
def slowness():
    """Call it when the work is done: how slow the machine is, before the test or now, whichever was slower.

    Other work on the machine may begin in between.
    """
    before_it = labs.slowness()
    return lambda: max(before_it, labs.slowness())


@pytest.fixture(autouse=True)
def in_graph_mode(request, monkeypatch):
    """XLA compiles every small model for seconds: only tests that are marked `xla` let it be chosen."""
    training = sys.modules.get("gan_helpers.models.training")  # where no model is tested, TensorFlow is not loaded
    if training and "xla" not in request.keywords:
        monkeypatch.setattr(training, "prefers_xla", lambda *_: False)
