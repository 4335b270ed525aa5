"""Run the notebooks as a reader would and keep their outputs; say which must be trained again; set their address.

    python tools/notebooks.py run notebooks/05_gan_mnist.ipynb   # or none: all, with solutions
    python tools/notebooks.py weights notebooks/05_gan_mnist.ipynb
    python tools/notebooks.py changed
    python tools/notebooks.py train --changed                    # or names; or none: all that train
    python tools/notebooks.py seeds notebooks/05_gan_mnist.ipynb 0 1 2 3 4
    python tools/notebooks.py architectures
    python tools/notebooks.py address https://github.com/someone/gan-course
    python tools/notebooks.py version 0.2.0

`run` executes from top to bottom, writes the notebook back without widget state, timings and
warnings, puts its picture for the README into docs/, and records what the run depended on.
`weights` is `run`, and puts the networks that the notebook has trained into gan_helpers/pretrained.
`changed` lists the notebooks whose text, modules or pins are not those of their recorded run, and
`train --changed` runs these in full without writing them, two at a time. `seeds` runs copies with
these SEEDs and prints what each leaves in `scores`. `architectures` writes the architectures of all
shipped networks anew, in the form that `pretrained.save` gives them, and no weight changes a bit.
`address` and `version` set the repository's address and the version in pyproject.toml, every badge
and every setup cell, which fetch the helpers of the tag `vVERSION`.
"""

import ast
import base64
import hashlib
import io
import json
import os
import re
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when this is run as a script

from tools import statements

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
CELL_SECONDS = 3600  # a training on a busy machine; a dead kernel is noticed at once
SWITCH = "TRAIN_NOW = True"
LARGEST = 2_990_000  # characters of a notebook
VIEW = "application/vnd.jupyter.widget-view+json"


def lessons():
    """Paths of the notebooks, without the solutions, in reading order."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def all_notebooks():
    """Paths of the notebooks and, after them, of the solutions, in reading order."""
    return lessons() + sorted(NOTEBOOKS.glob("solutions/*.ipynb"))


# What a full run of a notebook leaves for gan_helpers/pretrained: arguments of `pretrained.save`, as an expression of
# its variables that the notebook carries in its own metadata.
SHIPPED = {
    path.stem: metadata["ships"]
    for path in lessons()
    if "ships" in (metadata := json.loads(path.read_text(encoding="utf-8"))["metadata"])
}


def project():
    """The one place where version and address stand: `[project]` of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def repository_address():
    return project()["urls"]["Repository"]


def execute(notebook, manager=None, allow_errors=False, timeout=CELL_SECONDS, **options):
    """Run `notebook` in place, with notebooks/ as its folder, in the kernel of `manager` or this one. Returns seconds.

    A cell may take `timeout` seconds; `options` are more of NotebookClient's. Raises CellExecutionError where a cell
    fails, unless errors are allowed.
    """
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=timeout,
        kernel_name="python3",
        allow_errors=allow_errors,
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(NOTEBOOKS)}},
        **options,
    )
    start = time.monotonic()
    # As readers see it: with figures in the notebook, whatever the tests ask of matplotlib.
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    client.execute(env=environment, cleanup_kc=True)  # the kernel ends with the notebook, whoever manages it
    return time.monotonic() - start


def clean(notebook):
    """Drop what should not be committed: widget state and views, warnings, the kernel's version.

    A picture with controls stays as the page that needs no kernel; programs and networks that several pages share
    stay in the first, and pictures in pages are packed tightly.

    A cell's alternative text, or texts, one for each of its figures, goes to the figures as well.
    """
    kept = {key: value for key, value in notebook.metadata.items() if key in ("ships", "recorded_run")}
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            # What exporters ask for: with it `nbconvert --to script` writes a .py.
            "language_info": {
                "file_extension": ".py",
                "mimetype": "text/x-python",
                "name": "python",
                "pygments_lexer": "ipython3",
            },
            **kept,
        }
    )
    seen = set()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for output in cell.outputs:
                if "text/html" in output.get("data", {}):  # what the widget is where there is no kernel
                    output.data.pop(VIEW, None)
                    page = re.sub(r"(?<=data:image/png;base64,)[\w+/=]+", _packed, output.data["text/html"])
                    output.data["text/html"] = without_copies(page, seen)
            cell.outputs = [output for output in cell.outputs if not _is_front_end_only(output)]
            figures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
            texts = cell.metadata.get("alt", [])
            for figure, text in zip(figures, [texts] * len(figures) if isinstance(texts, str) else texts, strict=False):
                figure.metadata.setdefault("image/png", {})["alt"] = text
    stand_still(notebook)
    return notebook


def stand_still(notebook, limit=LARGEST):
    """Leave the pictures of living pages only, from the last page on, until the notebook is small enough."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    for output in reversed([output for output in outputs if "gan-live" in output.get("data", {}).get("text/html", "")]):
        if len(nbformat.writes(notebook)) < limit:
            break
        output.data["text/html"] = re.search(r"<img [^>]*>", output.data["text/html"])[0]


def without_copies(page, seen):
    """HTML without the long scripts in `seen`, a set to which its own are added: one copy serves a whole page."""

    def once(match):
        copy = len(match[0]) > 1000 and match[0] in seen
        seen.add(match[0])
        return "" if copy else match[0]

    return re.sub(r"<script>.*?</script>", once, page, flags=re.S)


def _packed(match):
    """A PNG file in base64, the same pixels in fewer bytes."""
    picture, file = Image.open(io.BytesIO(base64.b64decode(match[0]))), io.BytesIO()
    picture.save(file, "PNG", compress_level=9)
    return min(match[0], base64.b64encode(file.getvalue()).decode(), key=len)


def _is_front_end_only(output):
    return VIEW in output.get("data", {}) or output.get("name") == "stderr"


def save_picture(notebook, name):
    """The figure of the cell tagged `readme-picture` goes to docs/, for the README's table."""
    for cell in notebook.cells:
        if "readme-picture" in cell.metadata.get("tags", []):
            figure = next(o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {}))
            (ROOT / "docs").mkdir(exist_ok=True)
            (ROOT / "docs" / f"{name}.png").write_bytes(base64.b64decode(figure))


def run(paths, keep_weights=False):
    for path in map(Path, paths) if paths else all_notebooks():
        notebook = nbformat.read(path, as_version=4)
        recorded = fingerprint(notebook)
        if keep_weights:
            code = f"from gan_helpers import pretrained\npretrained.save({path.stem!r}, {SHIPPED[path.stem]})"
            notebook.cells.append(nbformat.v4.new_code_cell(code))
        seconds = execute(notebook)
        if keep_weights:
            notebook.cells.pop()
        if trains(notebook):
            notebook.metadata["recorded_run"] = recorded
        nbformat.write(clean(notebook), path)
        save_picture(notebook, path.stem)
        print(f"{path.name}: {seconds:.0f} s", flush=True)


# --- what a recorded run depended on


# Changes of these cannot change a training: they draw what is there, or load it, and every loading run executes them.
NOT_TRAINING = {"__init__", "arena", "plotting", "pretrained", "widgets"}


def trains(notebook):
    """Whether it has the switch between training and loading, so that its training is not repeated by every test."""
    return any(cell.source.startswith(SWITCH) or f"\n{SWITCH}" in cell.source for cell in notebook.cells)


def fingerprint(notebook):
    """What the training in a notebook depends on, as hashes: its code, what it uses of gan_helpers, and three pins."""
    cells = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    cells = without_magics(cells)
    cells = re.sub(r"git\+[^\"\s]+", "git+", cells)  # where the helpers are fetched from
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    modules = {name: hash_of(ast.Module(body, [])) for name, body in sorted(_helpers(cells).items())}
    versions = {name: re.search(rf"^{name}==(.+)$", pins, re.M)[1] for name in ("tensorflow", "keras", "numpy")}
    return {"cells": hash_of(ast.parse(cells)), **modules, **versions}


def _source(module):
    return (ROOT / "gan_helpers" / f"{module}.py").read_text(encoding="utf-8")


def _helpers(source):
    """What a source needs of gan_helpers, through other modules as well: dict from module, without NOT_TRAINING, to
    statements. A function that is added to a module is no change for those who do not call it.
    """
    found, wanted, waiting = {}, {}, [ast.parse(source).body]
    while waiting:
        for module, names in _uses(waiting.pop()).items():
            if module not in NOT_TRAINING and not names <= wanted.setdefault(module, set()):
                wanted[module] |= names
                source = _source(module)
                whole = "*" in wanted[module]
                found[module] = ast.parse(source).body if whole else statements.needed(source, *wanted[module])
                waiting.append(found[module])
    return found


def _uses(body):
    """Which names of which modules of gan_helpers statements use themselves: dict from module to set; "*" is all."""
    uses, aliases, parts = {}, {}, statements.parts_used(statements.compiled(body))
    loaded = {name for name, _ in parts}
    for node in ast.walk(ast.Module(body, [])):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "gan_helpers":
            for alias in node.names:
                origin, name = node.module.partition(".")[2].replace(".", "/"), alias.asname or alias.name
                if _is_module(inner := f"{origin}/{alias.name}".strip("/")):
                    aliases[name] = inner
                elif _is_module(origin) and (name in loaded or name == "*"):
                    uses.setdefault(origin, set()).add(alias.name)
        elif isinstance(node, ast.Import):
            for module in (alias.name.partition(".")[2].replace(".", "/") for alias in node.names):
                if _is_module(module):
                    uses.setdefault(module, set()).add("*")
    for name, part in parts:
        if name in aliases:
            uses.setdefault(aliases[name], set()).add(part)
    return uses


def _is_module(name):
    return (ROOT / "gan_helpers" / f"{name}.py").is_file()


def without_magics(source):
    return re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.M)


def hash_of(tree):
    """Of the code in a syntax tree, whatever its layout, comments and docstrings: the same for each Python."""
    return hashlib.sha256(json.dumps(_plain(tree)).encode()).hexdigest()[:16]


def _plain(node):
    """A syntax tree as lists. Empty fields are left out, since newer versions of Python have more of them."""
    if isinstance(node, list):
        return [_plain(part) for part in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if (
        isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and ast.get_docstring(node, clean=False) is not None
    ):
        fields["body"] = node.body[1:]
    kept = [[name, _plain(value)] for name, value in sorted(fields.items()) if value is not None and value != []]
    return [type(node).__name__, *kept]


def changes():
    """Which notebooks must be trained again: dict from path to the names of what differs from the recorded run."""
    found = {}
    for path in lessons():
        notebook = nbformat.read(path, as_version=4)
        if trains(notebook):
            old, new = notebook.metadata.get("recorded_run", {}), fingerprint(notebook)
            differ = [name for name in {**old, **new} if old.get(name) != new.get(name)]
            if differ:
                found[path] = differ if old else ["never recorded"]
    return found


def changed():
    for path, names in changes().items():
        print(f"{path.relative_to(ROOT)}: {', '.join(names)}")


def train(*names):
    """Run notebooks in full, without writing them, the longest first. Exits with 1 where a claim does not hold."""
    paths = list(changes()) if "--changed" in names else [Path(name).resolve() for name in names]
    if not names:
        paths = [path for path in lessons() if trains(nbformat.read(path, as_version=4))]
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, (os.cpu_count() or 2) // 2)))

    def one(path):
        try:
            print(f"{path.name}: all claims hold, {execute(nbformat.read(path, as_version=4)):.0f} s", flush=True)
            return True
        except Exception as error:  # whatever stops it, a cell or a dead kernel
            print(f"{path.name}: FAILED: {error}", flush=True)
            return False

    with ThreadPoolExecutor(2) as pool:
        held = list(pool.map(one, sorted(paths, reverse=True)))
    print(f"{sum(held)} of {len(held)} notebooks trained in full.")
    sys.exit(not all(held))


def architectures():
    import numpy as np

    from gan_helpers import pretrained

    for name in pretrained.names():
        arrays = pretrained.arrays_of(name)
        for key in (key for key in arrays if key.endswith("/architecture")):
            arrays[key] = np.array(json.dumps(pretrained.reduced(json.loads(str(arrays[key])))))
        pretrained.write_arrays(name, arrays)


def without_training(source):
    """Code with the visible switch turned from training to loading."""
    return re.sub(rf"^{SWITCH}", "TRAIN_NOW = False", source, flags=re.M)


def load_instead_of_training(notebook):
    """Turn the notebook's visible switch from training to loading; False if it has none."""
    found = trains(notebook)
    for cell in notebook.cells:
        cell.source = without_training(cell.source)
    return found


WRONG_VERSIONS = """
import contextlib as _contextlib, io as _io
_said = ""
for _version in {versions!r}:
    try:
        with _contextlib.redirect_stdout(_io.StringIO()):
            exec(_version, globals())
    except AssertionError as _error:
        _said += str(_error)
    else:
        raise AssertionError("this wrong version of the claim passed: " + _version)
for _message in {messages!r}:
    assert _message in _said, f"no wrong version trips {{_message!r}}"
"""


def after_wrong_versions(cell):
    """Source that first runs the wrong versions a claim carries in its metadata, and then the claim.

    `broken` is a list of pairs, what stands in the claim and what stands there instead. An assertion has to turn each
    down, and each assertion one; then the claim itself puts all variables back. Raises ValueError for a pair that
    changes nothing.
    """
    for old, _ in cell.metadata["broken"]:
        if old not in cell.source:
            raise ValueError(f"the claim has no {old!r} that could be replaced:\n{cell.source}")
    asserted = [node.msg for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Assert)]
    parts = [message.values if isinstance(message, ast.JoinedStr) else [message] for message in asserted]
    messages = [max((p.value for p in some if isinstance(p, ast.Constant)), key=len) for some in parts]
    versions = [cell.source.replace(old, new) for old, new in cell.metadata["broken"]]
    return WRONG_VERSIONS.format(versions=versions, messages=messages) + cell.source


def seeds(path, *numbers):
    """Run the notebook itself with other seeds: no claim of it may depend on a lucky one."""
    for seed in numbers:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.source = re.sub(r"^SEED = \d+", f"SEED = {seed}", cell.source, flags=re.M)
        # A notebook may leave its figures in a variable `scores`.
        notebook.cells.append(nbformat.v4.new_code_cell("print(globals().get('scores', ''))"))
        try:
            seconds = execute(notebook)
            result = notebook.cells[-1].outputs[0].text.strip()
            print(f"SEED = {seed}: all claims hold, {seconds:.0f} s: {result}", flush=True)
        except CellExecutionError as error:
            print(f"SEED = {seed}: FAILED: {error.evalue}", flush=True)


def _rewrite(paths, *changes):
    for path in paths:
        text = path.read_text(encoding="utf-8")
        for pattern, new in changes:
            text = re.sub(pattern, new, text, flags=re.M)
        path.write_text(text, encoding="utf-8")


def address(url):
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", url):
        raise SystemExit(f"expected an address such as https://github.com/someone/gan-course, not {url}")
    old, new = (u.removeprefix("https://github.com/") for u in (repository_address(), url))
    # Badges carry github/OWNER/NAME, setup cells and pyproject.toml github.com/OWNER/NAME.
    change = (rf"(github(?:\.com)?/){re.escape(old)}(?=[/@\"\s\\])", rf"\g<1>{new}")
    _rewrite([ROOT / "pyproject.toml", ROOT / "CITATION.cff", *all_notebooks()], change)


def version(number):
    if not re.fullmatch(r"\d+\.\d+\.\d+", number):
        raise SystemExit(f"expected a version such as 0.2.0, not {number}")
    _rewrite([ROOT / "pyproject.toml"], (r'^version = ".*"', f'version = "{number}"'))
    _rewrite([ROOT / "CITATION.cff"], (r"^version: .*", f"version: {number}"))
    _rewrite([ROOT / "gan_helpers" / "__init__.py"], (r'^__version__ = ".*"', f'__version__ = "{number}"'))
    badge = (r"(colab\.research\.google\.com/github/[\w.-]+/[\w.-]+/blob/)[\w.-]+(?=/)", rf"\g<1>v{number}")
    setup = (r"(git\+https://github\.com/[\w.-]+/[\w.-]+)(@v[\d.]+)?(?=[\"\s\\])", rf"\g<1>@v{number}")
    _rewrite(all_notebooks(), badge, setup)


if __name__ == "__main__":
    commands = {
        "run": lambda *paths: run(paths),
        "weights": lambda *paths: run(paths, keep_weights=True),
        "changed": changed,
        "train": train,
        "seeds": seeds,
        "architectures": architectures,
        "address": address,
        "version": version,
    }
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        raise SystemExit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
