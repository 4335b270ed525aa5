"""Slides and pages, in a real browser without a network."""

import re

import nbformat
import pytest

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
    assert path.stat().st_size > 1.9e6 and len(lecture.slides_of(path)) < 1.4e6, "one network serves both"
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
