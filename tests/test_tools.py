"""What authors use: records of runs, cleaning, the version."""

import ast
import builtins
import os
import shutil
import subprocess
import sys

import nbformat
import pytest

from tests.test_project import assert_one_version, copy_of_the_project
from tools import notebooks


def notebook_of(*sources):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A copy of what fingerprints read, to be changed."""
    shutil.copytree(notebooks.ROOT / "gan_helpers", tmp_path / "gan_helpers", ignore=shutil.ignore_patterns("*.npz"))
    shutil.copy(notebooks.ROOT / "requirements.txt", tmp_path)
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    return tmp_path


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


CODE = "TRAIN_NOW = True\n\n\ndef f(x):\n    return x + 1\n"
GAN = "from gan_helpers import plotting, widgets\nfrom gan_helpers.models.gan import GAN\nGAN, plotting.REAL"


@pytest.mark.parametrize(
    "same",
    [
        CODE.replace("x + 1", "(x  +  1)  # one more"),
        CODE.replace("    return", '    """One more."""\n    return'),
        CODE.replace("def f", "# here\ndef f"),
    ],
    ids=["layout", "docstring", "comment"],
)
def test_comments_docstrings_and_layout_are_no_change(same):
    assert notebooks.fingerprint(notebook_of(CODE)) == notebooks.fingerprint(notebook_of(same))


@pytest.mark.parametrize("old", ["x + 1", "f(x)", "True"])
def test_code_is_a_change(old):
    new = {"x + 1": "x + 2", "f(x)": "f(x, y=0)", "True": "False"}[old]
    assert notebooks.fingerprint(notebook_of(CODE)) != notebooks.fingerprint(notebook_of(CODE.replace(old, new)))


def test_the_hash_does_not_depend_on_what_newer_syntax_trees_add():
    assert notebooks._plain(notebooks.ast.parse("f(x)")) == [
        "Module",
        ["body", [["Expr", ["value", ["Call", ["args", [["Name", ["ctx", ["Load"]], ["id", "'x'"]]]], ["func", F]]]]]],
    ]


F = ["Name", ["ctx", ["Load"]], ["id", "'f'"]]


def test_modules_that_a_training_depends_on_are_followed(place):
    before = notebooks.fingerprint(notebook_of(GAN))
    assert {"models/gan", "models/training", "losses", "checks"} <= set(before)
    assert not {"plotting", "widgets", "arena", "models/aae", "pretrained", "__init__"} & set(before)
    package = place / "gan_helpers"
    for file in ("plotting.py", "widgets.py", "models/aae.py", "pretrained/__init__.py", "__init__.py"):
        (package / file).write_text("changed = 1\n", encoding="utf-8")
    edit(package / "losses.py", "import keras\n", "import keras  # a comment\n")
    assert notebooks.fingerprint(notebook_of(GAN)) == before
    (package / "losses.py").write_text("changed = 1\n", encoding="utf-8")  # imported by models/gan.py only
    after = notebooks.fingerprint(notebook_of(GAN))
    assert [name for name in before if before[name] != after.get(name)] == ["losses"]
    edit(place / "requirements.txt", "numpy==", "numpy==9.")
    assert notebooks.fingerprint(notebook_of(GAN))["numpy"].startswith("9.")


LOSSES = "from gan_helpers import losses\n{}\nlosses.hinge(1, 2)"


def test_only_what_a_notebook_uses_of_a_module_counts(place):
    """Through the names that its functions use themselves; all of it where the module is handed on as a whole."""
    one, all_of_it = (notebook_of(LOSSES.format(line)) for line in ("", "print(vars(losses))"))
    before = [notebooks.fingerprint(notebook) for notebook in (one, all_of_it)]
    path = place / "gan_helpers" / "losses.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n\ndef another():\n    return mean(1)\n", encoding="utf-8")
    assert notebooks.fingerprint(one) == before[0]
    assert notebooks.fingerprint(all_of_it) != before[1]
    edit(path, "mean = tf.reduce_mean", "mean = tf.reduce_sum")
    assert notebooks.fingerprint(one) != before[0]


def test_a_parameter_named_like_a_module_is_not_the_module(place):
    code = "from gan_helpers import losses\n\n\ndef f(losses):\n    return losses\n\n\nlosses.hinge(1, 2)"
    before = notebooks.fingerprint(notebook_of(code))
    edit(place / "gan_helpers" / "losses.py", "def least_squares(real, fake):", "def least_squares(real, false):")
    assert notebooks.fingerprint(notebook_of(code)) == before


def test_where_the_helpers_are_fetched_from_is_no_change():
    setup = 'helpers = "git+https://github.com/OWNER/gan-course@v{}"'
    one, two = (notebooks.fingerprint(notebook_of(setup.format(number))) for number in ("0.2.0", "0.3.0"))
    assert one == two


def test_changed_notebooks_are_trained_and_a_failure_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(notebooks, "ROOT", notebooks.ROOT)
    for name, code in (("1_same", "TRAIN_NOW = True"), ("2_new", "TRAIN_NOW = True\n1 / 0"), ("3_no_switch", "1 / 0")):
        notebook = notebook_of(code)
        notebook.metadata["recorded_run"] = notebooks.fingerprint(notebook_of("TRAIN_NOW = True"))
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    assert {path.stem: names for path, names in notebooks.changes().items()} == {"2_new": ["cells"]}
    written = (tmp_path / "2_new.ipynb").read_bytes()
    with pytest.raises(SystemExit) as end:
        notebooks.train("--changed")
    assert end.value.code == 1
    said = capsys.readouterr().out
    assert "2_new.ipynb: FAILED" in said and "0 of 1 notebooks" in said and "1_same" not in said
    assert (tmp_path / "2_new.ipynb").read_bytes() == written


@pytest.mark.parametrize("name", notebooks.SHIPPED)
def test_what_a_notebook_ships_are_variables_of_its(name):
    notebook = nbformat.read(notebooks.NOTEBOOKS / f"{name}.ipynb", as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    walk = lambda text: list(ast.walk(ast.parse(text)))  # noqa: E731
    made = {node.id for node in walk(code) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    made |= {node.name for node in walk(code) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    made |= {alias.asname or alias.name for node in walk(code) if isinstance(node, ast.Import) for alias in node.names}
    expression = walk(f"f({notebooks.SHIPPED[name]})")
    own = {node.id for node in expression if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    used = {node.id for node in expression if isinstance(node, ast.Name)} - own - {"f", *dir(builtins)}
    assert used and used <= made
    assert notebooks.trains(notebook)


def test_a_run_is_recorded_with_all_that_a_notebook_carries(tmp_path, monkeypatch):
    code = "TRAIN_NOW = True\nimport matplotlib.pyplot as plt\nfor _ in range(2):\n    plt.plot([1])\n    plt.show()"
    notebook = notebook_of(code, "import sys\nprint('warning', file=sys.stderr)")
    notebook.metadata["ships"] = "{}"
    notebook.cells[0].metadata["alt"] = ["a dot", "another dot"]
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    notebooks.run([tmp_path / "mine.ipynb"])
    found = nbformat.read(tmp_path / "mine.ipynb", as_version=4)
    assert found.metadata["recorded_run"] == notebooks.fingerprint(notebook) and found.metadata["ships"] == "{}"
    assert found.metadata.language_info["file_extension"] == ".py"
    figures = [output for output in found.cells[0].outputs if "image/png" in output.get("data", {})]
    assert [figure.metadata["image/png"]["alt"] for figure in figures] == ["a dot", "another dot"]
    assert found.cells[0].metadata["alt"] == ["a dot", "another dot"] and found.cells[1].outputs == []


def test_pages_stay_in_a_notebook_and_views_do_not():
    program = f"<script>{'x = 1;' * 400}</script>"
    output = {notebooks.VIEW: {"model_id": "0"}, "text/html": f"<div>page</div>{program}<script>go()</script>"}
    notebook = notebook_of("explorer", "again", "view")
    for cell, data in zip(notebook.cells, (output, output, {notebooks.VIEW: {}, "text/plain": "a view"}), strict=True):
        cell.outputs = [nbformat.v4.new_output("display_data", dict(data))]
    first, second, third = (cell.outputs for cell in notebooks.clean(notebook).cells)
    assert first[0].data == {"text/html": output["text/html"]} and third == []
    assert second[0].data == {"text/html": "<div>page</div><script>go()</script>"}, "one copy of a program serves all"


def test_the_version_is_set_everywhere_by_one_command(tmp_path):
    copy_of_the_project(tmp_path)
    command = [sys.executable, "tools/notebooks.py", "version", "7.8.9"]
    subprocess.run(command, cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": ""})
    assert_one_version(tmp_path, "7.8.9")
    refused = subprocess.run([*command[:-1], "8"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 1 and "such as 0.2.0" in refused.stderr


# --- claims and their wrong versions

CLAIM = """x = 2
print(f"x is {x}")
assert x > 1, "x is small"
assert x < 3, f"x is {x}, large"
"""


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ([["x = 2", "x = 0"], ["x = 2", "x = 4"]], None),
        ([["x = 2", "x = 0"]], "no wrong version trips ', large'"),
        (
            [["x = 2", "x = 0"], ["x = 2", "x = 2.5"], ["x = 2", "x = 4"]],
            "this wrong version of the claim passed: x = 2.5",
        ),
        ([["x = 2", "x = y"]], "name 'y' is not defined"),
        ([["x = 7", "x = 0"]], "the claim has no 'x = 7'"),
    ],
)
def test_a_wrong_version_that_passes_is_found(broken, words, capsys):
    cell, space = nbformat.v4.new_code_cell(CLAIM, metadata={"broken": broken}), {}
    try:
        exec(notebooks.after_wrong_versions(cell), space)
    except Exception as error:
        assert words and words in str(error)
    else:
        assert words is None and space["x"] == 2 and capsys.readouterr().out == "x is 2\n"
