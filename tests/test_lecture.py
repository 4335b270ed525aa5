"""Slides and pages, in a real browser without a network."""

import re

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe

from tools import lecture, notebooks

LESSONS = notebooks.lessons()
# What reaches beyond a page of 1280 by 720, on all slides of a deck, and lines of code that are cut off.
OVERFLOWS = """() => [...document.querySelectorAll('.reveal .slides > section > section')].flatMap(slide => {
    const {h, v} = Reveal.getIndices(slide);
    Reveal.slide(h, v);
    const scale = Reveal.getScale(), page = slide.getBoundingClientRect();
    return [...slide.querySelectorAll(':scope *:not(aside, aside *, [hidden], [hidden] *)')].filter(element => {
        const box = element.getBoundingClientRect();
        const cut = element.tagName === 'PRE' && element.scrollWidth > element.clientWidth + 1;
        return box.width && (box.right - page.left > 1281 * scale || box.bottom - page.top > 721 * scale || cut);
    }).map(element => `${h}.${v}: ${element.tagName} ${element.textContent.slice(0, 40)}`);
})"""


def barriers(page, place=None):
    """What axe finds wrong for readers by keyboard, by ear or of weak sight, in light colours and in dark ones."""
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        report = Axe().run(page, context=place).response
        assert report["passes"], "axe has looked at nothing"
        found += [(scheme, fault["id"], fault["nodes"][0]["html"][:200]) for fault in report["violations"]]
    return found


@pytest.fixture
def open_file(browser):
    """Opens a file where there is no network; at the end no request was made and the console is empty."""
    problems, contexts = [], []

    def open_file(path, **options):
        contexts.append(browser.new_context(offline=True, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda r: problems.append(r.url) if not re.match("file:|data:|blob:", r.url) else None)
        page.goto(path.resolve().as_uri())
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert not problems


@pytest.fixture
def open_slides(open_file, tmp_path):
    def open_slides(path, **options):
        file = tmp_path / f"{path.stem}.html"
        file.write_text(lecture.slides_of(path), encoding="utf-8")
        page = open_file(file, viewport={"width": 1280, "height": 720}, **options)
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        return page

    return open_slides


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_no_slide_overflows(open_slides, path, record_property):
    page = open_slides(path)
    slides = page.evaluate("Reveal.getTotalSlides()")
    record_property("slides", slides)
    assert slides >= 20 and page.evaluate(OVERFLOWS) == []
    assert page.locator("math").count() > 10 and "$" not in page.locator(".slides p").all_inner_texts()
    assert page.evaluate("[...document.images].filter(image => !image.alt).length") == 0


def notebook(tmp_path, *cells):
    """A notebook of cells `(kind, source, slide type)` and, for code, the HTML of its output."""
    made = nbformat.v4.new_notebook()
    for kind, source, place, *output in cells:
        cell = nbformat.v4.new_code_cell(source) if kind == "code" else nbformat.v4.new_markdown_cell(source)
        cell.metadata["slideshow"] = {"slide_type": place}
        if output:
            cell.outputs = [nbformat.v4.new_output("display_data", {"text/html": output[0], "text/plain": "live"})]
        made.cells.append(cell)
    path = tmp_path / "05_own.ipynb"
    nbformat.write(made, path)
    return path


LONG = "\n\n".join(["A paragraph of some words that are read out. " * 6] * 9)
WIDE = "$$" + " + ".join(f"\\frac{{x_{{{i}}}}}{{y_{{{i}}}}}" for i in range(60)) + "$$"


def test_long_slides_go_on_and_wide_ones_shrink(open_slides, tmp_path):
    code = "\n".join(f"print('line {i} of a long cell', {'x' * 80!r})" for i in range(60))
    cells = [("text", "# Title", "slide"), ("text", f"## Long\n\n{LONG}\n\nFormula:\n\n{WIDE}", "subslide")]
    page = open_slides(notebook(tmp_path, *cells, ("code", code, "-"), ("text", "Never shown.", "skip")))
    assert page.evaluate(OVERFLOWS) == []
    assert page.evaluate("Reveal.getTotalSlides()") >= 4 and page.get_by_text("Never shown").count() == 0
    assert page.locator("p:has-text('Formula:') + p math, p:has-text('Formula:') + math").count() == 1


def test_sliders_and_notes_work_in_slides(open_slides, tmp_path):
    from tests.test_live import conditional, html_of, shown

    living = html_of(conditional())
    cells = [("text", "# Title", "slide"), ("text", "Ask who has seen it.", "notes")]
    cells += [("code", "explorer", "slide", living), ("code", "explorer", "slide", living)]
    path = notebook(tmp_path, *cells)
    assert path.stat().st_size > 1.8e6 and len(lecture.slides_of(path)) < 1.4e6, "one network serves both"
    page = open_slides(path)
    assert "Ask who has seen it" in page.locator("aside.notes").first.inner_text()
    page.keyboard.press("ArrowRight")
    scope = page.locator("section.present .gan-live")
    before, slider = shown(scope), scope.get_by_label("direction 1")
    slider.press("ArrowRight")
    page.wait_for_timeout(60)
    assert (shown(scope) != before).any() and page.evaluate("Reveal.getIndices().h") == 1
    slider.press("Escape")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Reveal.getIndices().h") == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_slides_are_light_or_dark(open_slides, scheme):
    page = open_slides(LESSONS[0], color_scheme=scheme)
    light = "getComputedStyle(document.body).backgroundColor === 'rgb(255, 255, 255)'"
    assert page.evaluate(light) == (scheme == "light")
    page.get_by_role("button", name="dark or light").click()
    assert page.evaluate(light) == (scheme != "light")


def test_no_slide_shuts_anybody_out(open_slides):
    page = open_slides(LESSONS[7])  # with players, menus and sliders
    for h in range(page.evaluate("Reveal.getHorizontalSlides().length")):
        page.evaluate(f"Reveal.slide({h})")
        assert barriers(page, ".reveal .slides section.present") == []


def test_barriers_are_found(open_file, tmp_path):
    file = tmp_path / "bad.html"
    style = "color: #aaa; background: #fff"
    file.write_text(f"<html lang='en'><title>t</title><main><h1>A</h1><p style='{style}'>pale</p><input></main></html>")
    assert {name for _, name, _ in barriers(open_file(file))} == {"color-contrast", "label"}


def test_the_guide_speaks_of_every_notebook_to_the_lecturer(open_slides):
    for path in LESSONS:
        assert all(
            words in lecture.guide_of(path.stem) for words in ("10:", "30:", "90:", "Wrong:", "Ask:", "Live:")
        ), path
    assert "Wrong:" in open_slides(LESSONS[4]).locator("aside.notes").first.inner_text()


# --- the site


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_pages_ask_for_nothing_and_fit_on_a_phone(open_file, tmp_path, path):
    text = lecture.notebook_page(path, LESSONS)
    assert len(re.sub(r"data:image/png;base64,[\w+/=]+", "", text)) < 3e6
    file = tmp_path / f"{path.stem}.html"
    file.write_text(text, encoding="utf-8")
    page = open_file(file, viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("main h1").inner_text() and page.locator("img:not([alt])").count() == 0
    assert barriers(page) == []


def test_links_of_pages_lead_somewhere(tmp_path):
    names = {path.stem for path in LESSONS}
    for path in LESSONS:
        links = re.findall(r'<a href="([^"]+)"', lecture.notebook_page(path, LESSONS))
        local = [link for link in links if not link.startswith(("http", "#"))]
        assert {re.sub(r"^slides/|\.html.*$", "", link) for link in local} <= {"index", *names}, path
        places = [re.search(r"/blob/v[\d.]+/(.+)$", link) for link in links if lecture.repository_address() in link]
        assert not [m[1] for m in places if m and not (notebooks.ROOT / m[1]).exists()]


def test_the_index_finds_sections(open_file, tmp_path):
    file = tmp_path / "index.html"
    file.write_text(lecture.index_page(LESSONS), encoding="utf-8")
    page = open_file(file, viewport={"width": 1024, "height": 800})
    assert page.locator(".cards article").count() == len(LESSONS)
    page.get_by_label("Search all notebooks").fill("dirac-gan cure")
    first = page.locator("#found a").first
    assert "Dirac" in first.inner_text() and first.get_attribute("href").startswith("03_gan_theory.html#")
    assert barriers(page) == []
    page.get_by_label("Search all notebooks").fill("zebrafish")
    assert "No section" in page.locator("#found").inner_text()
