"""The lessons, as readers click them: real JupyterLab in a real, headless Chromium."""

import ast
import re
import time

import nbformat
import pytest
from nbconvert import HTMLExporter

from tests import lab as labs
from tests.lab import SLIDER, by_keyboard, move_every_slider, pictures, wait_for_change
from tools import notebooks

LESSONS = [path.stem for path in notebooks.lessons()]
LIVE = re.compile(r"\b(Arena|DrawingPad|LatentExplorer|live_picture|plane_picture)\(")
WIDGETS = re.compile(rf"{LIVE.pattern}|\bplayer\(")  # a player needs no kernel


def names_of(node, context):
    return [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, context)]


def uses_and_makes(source):
    """Names: taken from earlier cells, bound whatever happens, bound or changed perhaps, and imported."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    inner = {argument.arg for node in nodes if isinstance(node, ast.arguments) for argument in node.args}
    inner.update(*(names_of(node.target, ast.Store) for node in nodes if isinstance(node, ast.comprehension)))
    uses, made = set(), set()
    for statement in tree.body:
        stored, loaded = set(names_of(statement, ast.Store)), set(names_of(statement, ast.Load))
        if isinstance(statement, ast.AugAssign):
            loaded |= stored
        uses |= loaded - made - (set() if isinstance(statement, (ast.Assign, ast.AugAssign)) else stored)
        made |= stored
    defined = (ast.FunctionDef, ast.ClassDef)
    imported = {a.asname or a.name for n in nodes if isinstance(n, (ast.Import, ast.ImportFrom)) for a in n.names}
    bound = imported | {node.name for node in tree.body if isinstance(node, defined)}
    bound.update(*(names_of(node, ast.Store) for node in tree.body if isinstance(node, ast.Assign)))
    calls = [node.value for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    calls += [n for n in nodes if isinstance(n, ast.Call) and getattr(n.func, "attr", "") in ("fit", "load")]
    parts = [n for n in nodes if isinstance(n, (ast.Attribute, ast.Subscript)) and isinstance(n.ctx, ast.Store)]
    changed = {name for node in (*calls, *parts) for name in names_of(node, ast.Load)}
    return uses - inner, bound, bound | changed | set(names_of(tree, ast.Store)), imported


def keep_what_widgets_need(notebook):
    """Drop the code cells on which no widget depends: nbval runs them all, and here they would only take time."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    modules = set().union(*(uses_and_makes(cell.source)[3] for cell in cells))  # using one changes nothing in it
    needed, kept = set(), []
    for cell in reversed(cells):
        uses, bound, changed, imported = uses_and_makes(cell.source)
        is_setup = "setup" in cell.metadata.get("tags", [])
        if is_setup or WIDGETS.search(cell.source) or needed & (imported | changed - modules):
            kept.append(cell)
            needed = needed - bound | uses
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type != "code" or any(cell is k for k in kept)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lessons")
    for path in notebooks.lessons():
        notebook = nbformat.read(path, as_version=4)
        notebooks.load_instead_of_training(notebook)
        nbformat.write(notebook, folder / path.name)
        keep_what_widgets_need(notebook)
        nbformat.write(notebook, folder / f"widgets_of_{path.name}")
    return folder


def in_jupyterlab():
    """Lessons with live pictures: the arena, one explorer, and each whose pictures do not live in its page."""
    for path in notebooks.lessons():
        text = path.read_text("utf-8")
        if LIVE.search(text) and (path.stem[:2] in ("04", "05") or 'class=\\"gan-live' not in text):
            yield path.stem


@pytest.mark.parametrize("name", in_jupyterlab())
def test_lesson_in_the_browser(open_page, name):
    """Every slider of a lesson, in JupyterLab, after the cells that it needs; what is trained is loaded.

    Both kinds of pictures have the same controls, and in the page they are moved below, for each lesson.
    """
    page = open_page(f"widgets_of_{name}")
    labs.run_all(page, 180)
    outputs = page.locator(".jp-Cell-outputArea", has=page.locator("img.widget-image:not(.gan-picture)"))
    moved = [move_every_slider(page, outputs.nth(i), both=False) for i in range(outputs.count())]
    assert sum(moved) + page.locator(".gan-arena").count() > 0
    assert page.get_by_role("alert").count() == 0


@pytest.mark.clock
@pytest.mark.parametrize(("name", "code"), [("04_playground", "arena.Arena("), ("05_gan_mnist", "LatentExplorer(")])
def test_first_slider_of_a_lecture_within_ten_seconds(open_page, slowness, name, code):
    """From a new kernel, running the cells down to the first slider, to a picture that has followed it.

    Ten seconds where TensorFlow needs four for its import, and in proportion on other machines, since most
    of the wait is this import.
    """
    page = open_page(name)
    cell = page.locator(".jp-CodeCell", has_text=code).first
    cell.scroll_into_view_if_needed()
    cell.locator(".cm-content").click()
    clock = time.monotonic()
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-above'); }")
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-cell'); }")
    cell.locator(SLIDER).first.wait_for(timeout=30_000)
    before = pictures(cell)
    if name.startswith("04"):
        cell.get_by_role("button", name="step both").press("Enter")
    else:
        by_keyboard(cell.locator(SLIDER).first)
    wait_for_change(cell, before, "the first control", 20)
    seconds = time.monotonic() - clock
    assert seconds < 10 * slowness()


@pytest.mark.parametrize("name", LESSONS)
def test_exported_page_needs_no_kernel(browser, tmp_path, name):
    exporter = HTMLExporter(mathjax_url="", require_js_url="", jquery_url="")
    body, _ = exporter.from_filename(str(notebooks.NOTEBOOKS / f"{name}.ipynb"))
    (tmp_path / "page.html").write_text(body, encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator("img[src^='data:image/png']").count() >= 3
    for player in page.locator("[data-player]").all():
        bar, shown = player.get_by_role("slider"), player.locator("figure:visible figcaption")
        assert shown.count() == 1
        bar.press("Home")
        first = shown.inner_text()
        bar.press("ArrowRight")
        assert shown.count() == 1 and shown.inner_text() != first
        assert_plays_and_pauses(page, player, shown)
    move_what_lives(page)
    page.close()


CONTROLS = "() => Promise.resolve(window.ganLive?.filled())"
IN_TURN = """async host => {
    const canvas = host.querySelector('.gan-picture-box canvas'), still = [];
    const frame = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    for (const control of host.querySelectorAll('input[type=range], select')) {
        const before = canvas.toDataURL(), value = control.value;
        const ends = control.tagName === 'SELECT' ? [0, control.options.length - 1] : [control.min, control.max];
        control.value = ends.find(end => Number(end) !== Number(value));
        control.dispatchEvent(new Event('input'));
        await frame();
        if (canvas.toDataURL() === before) still.push(control.getAttribute('aria-label'));
        control.value = value;
        control.dispatchEvent(new Event('input'));
        await frame();
    }
    return still;
}"""


def move_what_lives(page):
    """Each control of each picture that lives in the page changes it."""
    page.evaluate(CONTROLS)
    page.wait_for_timeout(300)  # pictures that lie in the page are decoded first
    for host in page.locator(".gan-live").all():
        shown = host.locator(".gan-picture-box canvas")
        if host.locator("input[type=file]").count():  # a drawing pad: the pen's width alone changes nothing
            before = shown.evaluate("canvas => canvas.toDataURL()")
            host.locator("select").select_option(index=1)
            page.wait_for_timeout(500)
            assert shown.evaluate("canvas => canvas.toDataURL()") != before
        elif shown.count():
            assert host.evaluate(IN_TURN) == []


def assert_plays_and_pauses(page, player, shown):
    """The button starts the frames at the first one, and stops them where they are."""
    button = player.get_by_role("button")
    player.get_by_role("slider").press("Home")
    first = shown.inner_text()
    assert button.inner_text() == "play"
    button.press("Enter")
    assert button.inner_text() == "pause"
    end = time.monotonic() + 5
    while shown.inner_text() == first and time.monotonic() < end:
        page.wait_for_timeout(20)
    button.press("Enter")
    assert button.inner_text() == "play"
    stopped = shown.inner_text()
    assert stopped != first, "no frame follows the first"
    page.wait_for_timeout(1500)
    assert shown.inner_text() == stopped, "the frames go on though they were stopped"
