"""What readers click: real JupyterLab in a real, headless Chromium."""

import re
import time

import nbformat
import pytest
from nbconvert import HTMLExporter

from tests import lab as labs
from tools import notebooks

if labs.CHROMIUM is None:
    pytest.skip("there is no chromium on this machine (Debian: apt-get install chromium)", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: see requirements.txt")

NETWORKS = """
from keras import layers
from gan_helpers.models.gan import GAN

def make_gan(noise, depth, width):
    hidden = lambda: [layers.Dense(width, activation="relu") for _ in range(depth)]
    generator = keras.Sequential([keras.Input((noise,)), *hidden(), layers.Dense(2)])
    return GAN(generator, keras.Sequential([keras.Input((2,)), *hidden(), layers.Dense(1)]))
"""
GENERATOR = """
from gan_helpers import pretrained
generator = pretrained.load("05_gan_mnist")["generator"]
"""
EXPLORER = "explorer = widgets.LatentExplorer(generator)\nexplorer"
ARENA = "place = arena.Arena(make_gan, {'ring': data.ring(sigma=0.05)})\nplace"
TRAINING = """
model = make_gan(2, 2, 64)
model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
model.fit(data.ring().sample(2500), steps=10**6, callbacks=[widgets.TrainingView()])
"""
SLIDER = ".widget-slider:not(.gan-scrub)"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=labs.CHROMIUM, args=labs.QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    labs.write(folder, "explorer", labs.SETUP, GENERATOR, EXPLORER)
    labs.write(folder, "second", labs.SETUP, GENERATOR, EXPLORER)
    # Rounded, since the front end sends .6 as .5999999999999996; + 0 makes a zero of -0.
    asked = "round(explorer.shifts[0].value, 1) + 0"
    check = f"print('asked for', {asked}, 'drawn', bytes(explorer.picture.value) == explorer.draw())"
    labs.write(folder, "drag", labs.SETUP, GENERATOR, EXPLORER, check)
    labs.write(folder, "arena", labs.SETUP, NETWORKS, ARENA, "print(place.rounds)")
    labs.write(folder, "two", labs.SETUP, NETWORKS, ARENA, ARENA.replace("place", "other"))
    labs.write(folder, "training", labs.SETUP, NETWORKS, TRAINING, "print('trained', int(model.step))")
    for path in notebooks.all_notebooks():
        notebook = nbformat.read(path, as_version=4)
        notebooks.load_instead_of_training(notebook)
        nbformat.write(notebook, folder / path.name)
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
        page.wait_for_timeout(150)
    return before


def by_keyboard(slider):
    slider.locator(".noUi-handle").press("ArrowLeft")
    slider.locator(".noUi-handle").press("ArrowRight")
    slider.locator(".noUi-handle").press("ArrowRight")


def by_pointer(slider):
    handle, bar = slider.locator(".noUi-handle").bounding_box(), slider.locator(".noUi-target").bounding_box()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    to = bar["x"] + bar["width"] * (0.25 if x > bar["x"] + bar["width"] / 2 else 0.75)
    slider.page.mouse.move(x, y)
    slider.page.mouse.down()
    slider.page.mouse.move(to, y, steps=4)
    slider.page.mouse.up()


def move_every_slider(page, scope):
    sliders = scope.locator(SLIDER)
    for i in range(sliders.count()):
        slider = sliders.nth(i)
        slider.scroll_into_view_if_needed()
        label = slider.locator(".widget-label").inner_text()
        assert label, "a slider has no label"
        for move in (by_keyboard, by_pointer):
            before = settle(page, scope)
            move(slider)
            wait_for_change(scope, before, f"the slider {label!r}, moved {move.__name__}")
    return sliders.count()


def test_explorer_follows_keyboard_and_pointer(open_page):
    page = open_page("explorer")
    labs.run_all(page)
    output = page.locator(".jp-OutputArea").last
    assert move_every_slider(page, output) == 5
    for name in ("reset sliders", "new noise"):
        before = settle(page, output)
        output.get_by_role("button", name=name).press("Enter")
        wait_for_change(output, before, name)
    before = settle(page, output)
    output.get_by_label("record the path").press("Space")
    by_keyboard(output.locator(SLIDER).first)
    wait_for_change(output, before, "the path")
    assert output.locator("img.widget-image").nth(0).is_visible()


def test_running_again_leaves_one_copy_and_a_restart_works(open_page):
    page = open_page("explorer")
    for _ in range(2):
        labs.run_all(page)
        page.wait_for_timeout(500)
        assert page.locator("img.widget-image:visible").count() == 1
    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    labs.run_all(page)
    output = page.locator(".jp-OutputArea").last
    assert move_every_slider(page, output) == 5
    assert page.locator("img.widget-image:visible").count() == 1


def test_two_notebooks_at_once(open_page):
    first, second = open_page("explorer"), open_page("second")
    for page in (first, second):
        labs.run_all(page)
    outputs = [page.locator(".jp-OutputArea").last for page in (first, second)]
    still = settle(second, outputs[1])
    before = settle(first, outputs[0])
    by_keyboard(outputs[0].locator(SLIDER).first)
    wait_for_change(outputs[0], before, "the first notebook's slider")
    assert pictures(outputs[1]) == still


@pytest.mark.clock
def test_after_five_seconds_of_dragging_the_last_picture_is_the_one_asked_for(open_page):
    page = open_page("drag")
    labs.run_all(page)
    output = page.locator(".jp-OutputArea", has=page.locator("img.widget-image"))
    slider = output.locator(SLIDER).first
    slider.scroll_into_view_if_needed()
    bar = slider.locator(".noUi-target").bounding_box()
    y, end, i = bar["y"] + bar["height"] / 2, time.monotonic() + 5, 0
    page.mouse.move(bar["x"] + bar["width"] / 2, y)
    page.mouse.down()
    while time.monotonic() < end:
        i += 1
        page.mouse.move(bar["x"] + bar["width"] * (0.1 + 0.8 * abs((i % 60) / 30 - 1)), y)
    page.mouse.up()
    page.wait_for_timeout(250)  # a few times what one event takes
    dragged = pictures(output)
    page.wait_for_timeout(1500)
    assert pictures(output) == dragged, "pictures of old events still came in after the drag"
    shown = slider.locator(".widget-readout").inner_text()
    page.locator(".jp-CodeCell").last.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    page.get_by_text(f"asked for {float(shown.replace('−', '-')) + 0:.1f} drawn True").wait_for()


@pytest.mark.clock
def test_arena_plays_ten_frames_a_second_and_pauses(open_page):
    page = open_page("arena")
    labs.run_all(page)
    labs.count_pictures(page)
    play = page.get_by_label("play or pause")
    play.press("Enter")
    page.wait_for_timeout(1500)  # the first step is compiled
    # A busy machine may need more than one window of three seconds to show what the arena can do.
    assert any(labs.frames_per_second(page) >= 10 for _ in range(8))
    play.press("Enter")
    page.wait_for_timeout(500)
    assert labs.frames_per_second(page, 1) == 0


def test_arena_places_points_where_it_is_clicked(open_page):
    page = open_page("arena")
    labs.run_all(page)
    page.wait_for_timeout(500)
    picture = page.locator("img.gan-picture")
    picture.scroll_into_view_if_needed()
    box, before = picture.bounding_box(), pictures(page)
    picture.click(position={"x": 0.25 * box["width"], "y": 0.4 * box["height"]})
    wait_for_change(page, before, "a click")
    assert page.get_by_label("data").locator("option:checked").inner_text().split() == ["points", "you", "place"]
    picture.click(position={"x": 0.95 * box["width"], "y": 0.4 * box["height"]})
    page.get_by_role("alert").get_by_text("lies outside of the arena").wait_for()


def test_every_control_of_the_arena_has_a_name(open_page):
    page = open_page("arena")
    labs.run_all(page)
    page.wait_for_timeout(500)
    names = page.locator(".gan-arena").evaluate(
        """arena => [...arena.querySelectorAll('input, select, button, [role=slider]')]
        .filter(e => e.offsetParent).map(e => e.getAttribute('aria-label') || e.title || e.innerText
        || (e.labels && e.labels[0] && e.labels[0].innerText)
        || (e.closest('.widget-inline-hbox')?.querySelector('label, .widget-label')?.innerText) || '')"""
    )
    assert len(names) > 20 and all(name.strip() for name in names), names


def busy_states(page):
    """What the server says of its kernels, asked ten times in a second."""
    kernels = "() => fetch('/api/kernels', {headers: {Authorization: 'token t'}}).then(answer => answer.json())"
    states = set()
    for _ in range(10):
        states |= {kernel["execution_state"] for kernel in page.evaluate(kernels)}
        page.wait_for_timeout(100)
    return states


def test_two_arenas_and_a_tab_that_is_closed(open_page):
    page = open_page("two")
    labs.run_all(page)
    page.wait_for_timeout(500)
    plays = page.get_by_label("play or pause")
    plays.nth(0).press("Enter")
    page.wait_for_timeout(2000)
    plays.nth(1).press("Enter")
    page.get_by_text("paused, because another arena plays").wait_for()
    page.wait_for_timeout(1500)
    playing = page.locator("img.gan-picture").nth(1).get_attribute("src")
    page.wait_for_timeout(1000)
    assert page.locator("img.gan-picture").nth(1).get_attribute("src") != playing
    page.evaluate("() => { jupyterapp.commands.execute('application:close'); }")
    page.get_by_role("button", name="Discard").click()
    page.wait_for_timeout(1500)
    assert busy_states(page) == {"idle"}, "the arena goes on training after its tab was closed"
    # What ipywidgets itself says when the page of a playing control is gone.
    page.problems = [text for text in page.problems if "Could not send widget sync message" not in text]


def test_arena_whose_output_is_cleared_stops_playing(open_page):
    page = open_page("arena")
    labs.run_all(page)
    page.get_by_label("play or pause").press("Enter")
    page.wait_for_timeout(2000)
    page.evaluate("() => { jupyterapp.commands.execute('notebook:clear-all-cell-outputs'); }")
    page.wait_for_timeout(1500)
    assert busy_states(page) == {"idle"}, "the arena goes on training though nobody can see it"


def test_stop_button_ends_training_and_keeps_the_model(open_page):
    page = open_page("training")
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")
    button = page.get_by_role("button", name="stop training")
    button.wait_for(timeout=60_000)
    page.get_by_text("steps/s").wait_for(timeout=60_000)
    button.press("Enter")
    labs.wait_until_run(page, 30)
    assert re.search(r"trained \d{3,}", page.locator(".jp-OutputArea").last.inner_text())
    assert page.get_by_text("What was learned is kept").count() == 1 and button.count() == 0


LESSONS = [path.stem for path in notebooks.all_notebooks() if path.parent.name == "notebooks"]


@pytest.mark.parametrize("name", LESSONS)
def test_lesson_in_the_browser(open_page, name):
    """Every slider of every lesson, in JupyterLab; what is trained is loaded, so that this is quick."""
    page = open_page(name)
    labs.run_all(page, 180)
    outputs = page.locator(".jp-Cell-outputArea", has=page.locator("img.widget-image:not(.gan-picture)"))
    moved = [move_every_slider(page, outputs.nth(i)) for i in range(outputs.count())]
    assert sum(moved) + page.locator(".gan-arena").count() > 0
    assert page.get_by_role("alert").count() == 0


@pytest.mark.clock
@pytest.mark.parametrize(("name", "code"), [("04_playground", "arena.Arena("), ("05_gan_mnist", "LatentExplorer(")])
def test_first_slider_of_a_lecture_within_ten_seconds(open_page, name, code):
    """From a new kernel, running the cells down to the first slider, to a picture that has followed it."""
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
    assert time.monotonic() - clock < 10


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
        player.get_by_role("button", name="play").press("Enter")
        page.wait_for_timeout(2000)
        assert player.get_by_role("button").inner_text() in ("pause", "play")
        assert shown.inner_text() != first
    page.close()
