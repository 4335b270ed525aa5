"""The notebooks as slides and as a site, for those who read or teach without a kernel.

    python tools/lecture.py slides notebooks/05_gan_mnist.ipynb   # or `all`; into lecture/slides/
    python tools/lecture.py site                                  # pages, index, search and slides: lecture/

Each file holds all that it needs, formulas, pictures and sliders too, and makes no request. Slides
begin where the notebook's slide types say so; what does not fit on a page goes on on the next. A cell of type
"notes" goes into the speaker's view (press S), and so does the notebook's part of docs/teaching.md.
"""

import base64
import html
import json
import os
import re
import struct
import sys
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from mistune.plugins.table import render_table_cell
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.notebooks import ROOT, lessons, project, repository_address, without_copies

WEB = Path(__file__).parent / "web"
FOLDER = ROOT / "lecture"
FIGURE = 1.35  # times the size that a figure has in the notebook: slides are read from afar
WIDEST = 1208  # pixels between the edges of a slide: what the slide had to squeeze would grow when it is shrunk


class Renderer(IPythonRenderer):
    """Markdown whose formulas are MathML, which browsers show without a script, and whose pictures are not fetched."""

    def __init__(self, link):
        super().__init__(escape=False, exclude_anchor_links=True)
        self.link_to = link

    def inline_math(self, body):
        return formula(body, "inline")

    def block_math(self, body):
        return formula(body, "block")

    def image(self, text, url, title=None):
        return re.sub("<.*?>", "", text) if url.startswith("http") else super().image(text, url, title)

    def link(self, text, url, title=None):
        url = url if re.match("https?:|#", url) else self.link_to(url)
        return super().link(text, url, title) if url else text

    def heading(self, text, level, **attrs):
        anchor = re.sub(r"[^a-z0-9]+", "-", re.sub("<.*?>", "", text).lower()).strip("-")
        return f'<h{level} id="{anchor}">{text}</h{level}>\n'

    def table_cell(self, text, align=None, head=False):
        return render_table_cell(self, text, align, head and bool(text))  # an empty corner is the header of nothing


def formula(body, display):
    # The converter knows no \| behind \bigl, and aligns formulas by another name.
    return convert(body.strip().replace(r"\|", r"\Vert ").replace("{aligned}", "{align*}"), display=display)


def text_of(source, link):
    return MarkdownWithMath(renderer=Renderer(link)).render(source)


def code_of(source):
    longest = max(map(len, source.splitlines() or [""]))
    coloured = highlight(source, PythonLexer(), HtmlFormatter(nowrap=True))
    return f'<pre class="code" style="--chars:{longest}"><code>{coloured}</code></pre>\n'


def output_of(output, scale):
    """One output of a cell, in the form that needs no kernel."""
    if output.output_type == "stream":
        lines = output.text.rstrip()
        longest = max(map(len, lines.splitlines() or [""]))
        return f'<pre class="output" style="--chars:{longest}">{html.escape(lines)}</pre>\n'
    content = output.get("data", {})
    if "text/html" in content:
        return f'<div class="living">{content["text/html"]}</div>\n'
    if "image/png" in content:
        alt = html.escape(output.metadata.get("image/png", {}).get("alt", ""))
        width, _ = struct.unpack(">II", base64.b64decode(content["image/png"][:40])[16:24])
        style = f"width:{min(round(scale * width), WIDEST)}px"
        source = f"data:image/png;base64,{content['image/png'].strip()}"
        return f'<div class="figure"><img style="{style}" alt="{alt}" src="{source}"></div>\n'
    return f'<pre class="output" style="--chars:60">{html.escape(content["text/plain"])}</pre>\n'


def blocks_of(cell, link, scale=1.0):
    """HTML of a cell, as a row of blocks."""
    if cell.cell_type == "markdown":
        return text_of(cell.source, link)
    outputs = []
    for output in cell.outputs:  # lines that were printed one by one belong together
        if outputs and output.output_type == outputs[-1].output_type == "stream":
            output = nbformat.from_dict({**output, "text": outputs.pop().text + output.text})
        outputs.append(output)
    return code_of(cell.source) + "".join(output_of(output, scale) for output in outputs)


def title_of(notebook):
    return re.search(r"^# (.*)$", notebook.cells[0].source, re.M)[1]


def web(name):
    return (WEB / name).read_text(encoding="utf-8")


def page_of(title, body, styles, scripts=()):
    """A page that makes no request, with these styles in front and these scripts at its end."""
    look = "\n".join(map(web, styles))
    programs = "".join(f"<script>{web(name)}</script>\n" for name in scripts)
    return without_copies(
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f'<style>{look}</style>\n</head>\n<body>\n{body}\n<button id="theme" type="button">dark or light</button>\n'
        f"{programs}</body>\n</html>\n",
        set(),
    )


# --- slides


def slides_of(path):
    """A notebook as one page of slides."""
    notebook = nbformat.read(path, as_version=4)
    stacks = []
    for cell in notebook.cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type", "-")
        if kind == "skip":
            continue
        if kind == "notes":
            stacks[-1][-1][1].append(text_of(cell.source, lambda url: ""))
            continue
        if kind == "slide" or not stacks:
            stacks.append([])
        if kind in ("slide", "subslide") or not stacks[-1]:
            stacks[-1].append(([], []))
        blocks = blocks_of(cell, lambda url: "", FIGURE)
        stacks[-1][-1][0].append(f'<div class="fragment">{blocks}</div>' if kind == "fragment" else blocks)
    stacks[0][0][1].insert(0, guide_of(path.stem))
    sections = "\n".join("<section>" + "\n".join(_slide(*slide) for slide in stack) + "</section>" for stack in stacks)
    body = f'<div class="reveal"><div class="slides">\n{sections}\n</div></div>'
    return page_of(
        title_of(notebook), body, ["reveal.css", "course.css"], ["theme.js", "reveal.js", "notes.js", "deck.js"]
    )


def _slide(blocks, notes):
    said = f'<aside class="notes">{"".join(notes)}</aside>' if any(notes) else ""
    return f"<section>{''.join(blocks)}{said}</section>"


def guide_of(name):
    """The part of the teaching guide about a notebook: from its number in a heading to the next heading."""
    guide = ROOT / "docs" / "teaching.md"
    text = guide.read_text(encoding="utf-8") if guide.is_file() else ""
    part = re.search(rf"^## {name[:2]} .*?\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return text_of(part[1], lambda url: "") if part else ""


def slides(*names):
    """Write the slides of these notebooks, or of `all`."""
    paths = lessons() if names == ("all",) else [Path(name) for name in names]
    folder = FOLDER / "slides"
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        file = folder / f"{path.stem}.html"
        file.write_text(slides_of(path), encoding="utf-8")
        print(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1e6:.1f} MB", flush=True)


# --- the site


def page_link(url):
    """Links between notebooks lead to their pages, all others to the repository."""
    name = re.fullmatch(r"(\d\d_\w+)\.ipynb(#.*)?", url)
    return f"{name[1]}.html{name[2] or ''}" if name else source_of(f"notebooks/{url}")


def source_of(place):
    return f"{repository_address()}/blob/v{project()['version']}/{os.path.normpath(place)}"


def colab_of(path):
    place = source_of(path.relative_to(ROOT)).removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{place}"


def notebook_page(path, paths):
    notebook, place = nbformat.read(path, as_version=4), paths.index(path)
    body = "".join(blocks_of(cell, page_link) for cell in notebook.cells)
    links = [("index.html", "all notebooks"), (f"slides/{path.stem}.html", "slides"), (colab_of(path), "open in Colab")]
    if place:
        links.insert(1, (f"{paths[place - 1].stem}.html", f"back: {paths[place - 1].stem[:2]}"))
    if place + 1 < len(paths):
        links.insert(-2, (f"{paths[place + 1].stem}.html", f"on: {paths[place + 1].stem[:2]}"))
    around = "".join(f'<a href="{url}">{text}</a>' for url, text in links)
    body = f'<nav aria-label="notebooks">{around}</nav>\n<main>{body}</main>'
    return page_of(title_of(notebook), body, ["course.css"], ["theme.js"])


def index_page(paths):
    """Cards with pictures and run times, those of the README, and a search through all sections."""
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    cards, sections = [], []
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        minutes = re.search(rf"notebooks/{path.stem}\.ipynb\).*\| ([^|]+) \|$", table, re.M)[1]
        picture = base64.b64encode((ROOT / "docs" / f"{path.stem}.png").read_bytes()).decode()
        cards.append(
            f'<article><img alt="" src="data:image/png;base64,{picture}">'
            f'<h2><a href="{path.stem}.html">{html.escape(title_of(notebook))}</a></h2><p>{minutes} on two cores · '
            f'<a href="slides/{path.stem}.html">slides</a> · <a href="{colab_of(path)}">Colab</a></p></article>'
        )
        sections += sections_of(notebook, path.stem)
    found = json.dumps(sections, separators=(",", ":")).replace("<", "\\u003c")
    body = (
        "<main><h1>Generative adversarial networks, by hand</h1>"
        '<p><label for="search">Search all notebooks</label><input id="search" type="search" autocomplete="off"></p>'
        f'<ol id="found" aria-live="polite"></ol><div class="cards">{"".join(cards)}</div></main>'
        f'<script type="application/json" id="sections">{found}</script>'
    )
    return page_of("Generative adversarial networks, by hand", body, ["course.css"], ["theme.js", "search.js"])


def sections_of(notebook, name):
    """Heading, anchor and words of each section, for the search."""
    words = "".join(text_of(cell.source, page_link) for cell in notebook.cells if cell.cell_type == "markdown")
    words = re.sub("<math.*?</math>", " ", words, flags=re.S)
    parts = re.split(r'<h[1-4] id="(.*?)">(.*?)</h[1-4]>', words)[1:]
    plain = lambda text: html.unescape(" ".join(re.sub("<.*?>", " ", text).split()))  # noqa: E731
    return [
        [f"{name}.html#{anchor}", f"{name[:2]} · {plain(heading)}", plain(text)]
        for anchor, heading, text in zip(*(parts[i::3] for i in range(3)), strict=True)
    ]


def site():
    """Write index, pages and slides."""
    paths = lessons()
    FOLDER.mkdir(exist_ok=True)
    for path in paths:
        (FOLDER / f"{path.stem}.html").write_text(notebook_page(path, paths), encoding="utf-8")
    (FOLDER / "index.html").write_text(index_page(paths), encoding="utf-8")
    slides("all")


if __name__ == "__main__":
    commands = {"slides": slides, "site": site}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        raise SystemExit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
