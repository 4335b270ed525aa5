"""The form of the notebooks, and the solutions. That lessons run, and that their claims hold, is nbval's part."""

import ast
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter, PythonExporter

from tools import notebooks

TAG = "v0.2.0"  # of the helpers that the notebooks fetch
SWITCH = "TRAIN_NOW = True  # False: load what a full run of this notebook left behind\n"
PATHS = notebooks.all_notebooks()
LESSONS = notebooks.lessons()


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tagged(path, tag):
    return [cell for cell in code_cells(path) if tag in cell.metadata.get("tags", [])]


def error_of(cell):
    """The error that an executed cell stopped with, or None."""
    return next((output for output in cell.outputs if output.output_type == "error"), None)


def figures(cell):
    return [output for output in cell.outputs if "image/png" in output.get("data", {})]


def names(cell):
    """The variables in the code of a cell."""
    return [node for node in ast.walk(ast.parse(cell.source.rstrip(";"))) if isinstance(node, ast.Name)]


def assertions(cell):
    return [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Assert)]


def name(path):
    return f"{path.parent.name}/{path.name}"


pytestmark = pytest.mark.parametrize("path", PATHS, ids=name)


def test_is_valid_and_small(path):
    nbformat.validate(read(path))
    assert path.stat().st_size < 3_000_000


def test_outputs_come_from_one_clean_run(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]


def test_carries_no_widget_state(path):
    assert "widgets" not in read(path).metadata
    assert "application/vnd.jupyter.widget" not in path.read_text(encoding="utf-8")


def test_names_no_place_of_one_machine(path):
    text = path.read_text(encoding="utf-8")
    here = [str(notebooks.ROOT), sys.prefix, str(Path.home()) + os.sep]
    assert not [place for place in here if place in text]
    assert not re.findall(r"/home/|/Users/|\bC:\\\\", text)


def test_begins_with_title_badge_and_the_common_setup(path):
    title, setup, seeding = read(path).cells[:3]
    place = path.relative_to(notebooks.ROOT).as_posix()
    address = notebooks.repository_address()
    badge = f"https://colab.research.google.com/{address.removeprefix('https://').replace('github.com', 'github')}"
    assert title.cell_type == "markdown" and title.source.startswith("# ")
    assert f"]({badge}/blob/{TAG}/{place})" in title.source
    assert setup.cell_type == seeding.cell_type == "code" and f'"git+{address}@{TAG}"' in setup.source
    assert setup.source.replace(SWITCH, "") == read(PATHS[0]).cells[1].source
    assert seeding.source == read(PATHS[0]).cells[2].source


def test_parameters_stand_in_the_first_cell_and_nowhere_else(path):
    """Papermill puts a cell behind the one tagged `parameters`: what it sets must be used later, and not set again."""
    cells = code_cells(path)
    assert tagged(path, "parameters") == cells[:1] == tagged(path, "setup")
    first, *others = [{name.id for name in names(cell) if isinstance(name.ctx, ast.Store)} for cell in cells]
    assert "SEED" in first and cells[0].source.startswith("SEED = 0  # ")
    assert not {"SEED", "TRAIN_NOW"} & set().union(*others)
    asked = {name.id for cell in cells[1:] for name in names(cell)} & {"SEED", "TRAIN_NOW"}
    assert "SEED" in asked and ("TRAIN_NOW" in asked) == ("TRAIN_NOW" in first) == (SWITCH in cells[0].source)
    assert "SEED" not in {name.id for name in names(cells[0]) if isinstance(name.ctx, ast.Load)}
    if path in LESSONS:
        assert ("TRAIN_NOW" in first) == (path.stem in notebooks.SHIPPED)


def test_becomes_a_script_that_python_understands(path):
    script, resources = PythonExporter().from_filename(path)
    assert read(path).metadata.language_info == {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    }
    assert resources["output_extension"] == ".py"
    compile(script, path.name, "exec")
    assert "get_ipython" not in script
    assert "\ndisplay(" not in script or "import Image, display" in script


def test_figures_have_alternative_texts(path):
    """Each cell with a figure says in its metadata, under the key that nbconvert reads, what is to be seen."""
    cells = [cell for cell in code_cells(path) if figures(cell)]
    assert [len(figures(cell)) for cell in cells] == [1] * len(cells)
    texts = [cell.metadata.get("alt", "") for cell in cells]
    assert all(len(text) >= 20 for text in texts) and len(set(texts)) == len(texts)
    assert [cell.metadata.alt for cell in read(path).cells if "alt" in cell.metadata] == texts
    html, _ = HTMLExporter(template_name="classic").from_filename(path)
    images = re.findall(r"<img [^>]*>", html)
    assert not [tag[-200:] for tag in images if not re.search(r"""\balt=["'][^"']""", tag)]
    assert "No description has been provided" not in html


def test_cells_are_short(path):
    lengths = [len(cell.source.splitlines()) for cell in code_cells(path)]
    assert max(lengths) <= 25
    assert statistics.median(lengths) <= 8


def test_there_is_more_prose_than_code(path):
    words = sum(len(cell.source.split()) for cell in read(path).cells if cell.cell_type == "markdown")
    own = code_cells(path)[2:]  # without the setup, which is the same everywhere
    lines = sum(len([line for line in cell.source.splitlines() if line.strip()]) for cell in own)
    assert words / lines >= 6


def test_figures_end_with_show(path):
    """A cell that draws ends with `plt.show()`, so that no object's name is printed above the figure."""
    for cell in code_cells(path):
        has_figure = figures(cell)
        stray = [o.data.get("text/plain", "") for o in cell.outputs if o.output_type == "execute_result"]
        assert not (has_figure and stray), cell.source


def test_every_cell_has_a_place_in_the_lecture(path):
    kinds = {cell.metadata.get("slideshow", {}).get("slide_type") for cell in read(path).cells}
    assert kinds <= {"slide", "subslide", "fragment", "skip", "notes", "-"}


def test_links_lead_somewhere(path):
    for cell in read(path).cells:
        for target in re.findall(r"\]\((?!http|#)([^)]+)\)", cell.source if cell.cell_type == "markdown" else ""):
            assert (path.parent / target).exists(), target


def test_claims_can_fail(path):
    claims = tagged(path, "claim")
    assert all(assertions(cell) for cell in claims)
    assert len(claims) >= 3 or path not in LESSONS


def test_assertions_have_a_sentence(path):
    for cell in code_cells(path):
        assert all(node.msg is not None for node in assertions(cell)), cell.source


def test_exercises_have_answers_checks_and_the_same_checks_in_the_solutions(path):
    answers, checks = tagged(path, "exercise-answer"), tagged(path, "exercise-check")
    assert 3 <= len(answers) == len(checks) <= 5
    assert all(assertions(cell) for cell in checks)
    said = ["".join(o.get("text", "") for o in cell.outputs) for cell in checks]
    if path in LESSONS:
        assert all("..." in cell.source for cell in answers)
        assert not any("right." in text for text in said)
        solutions = path.parent / "solutions" / f"{path.stem}_solutions.ipynb"
        assert [c.source for c in checks] == [c.source for c in tagged(solutions, "exercise-check")]
    else:
        assert all(text.endswith("right.\n") for text in said)


def answers_of_another_kind(question):
    """Cells that answer an exercise, whose cell with dots this is, by things that are not even of the right kind."""
    tree = ast.parse(question.source)
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    dots = [node for node in tree.body if isinstance(node, ast.Assign) and "..." in ast.unparse(node.value)]
    variables = [name.id for node in dots for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)]
    assert functions or variables
    for kind in ("None", "'two'", "[1, 2]", "{}", "np.zeros((2, 3))", "float('nan')", "1j"):
        lines = [f"{name} = lambda *arguments, **options: {kind}" for name in functions]
        yield "\n".join(lines + [f"{name} = {kind}" for name in variables])


def test_checks_tell_wrong_answers_from_right_ones(path):
    """Run the solutions with wrong answers in front of each right one: the check turns them down in words.

    One of the wrong answers is plausible, the others are of another kind than the right one: text, lists, nothing.
    """
    if path in LESSONS:
        pytest.skip("the same checks stand in the solutions, and are tested there")
    lesson = path.parents[1] / path.name.replace("_solutions", "")
    asked = iter(zip(tagged(lesson, "exercise-answer"), tagged(lesson, "exercise-check"), strict=True))
    notebook, cells, plausible, others = read(path), [], [], []
    for cell in notebook.cells:
        if "exercise-answer" in cell.metadata.get("tags", []):
            question, check = next(asked)
            tries = [*answers_of_another_kind(question), cell.metadata["wrong_answer"]]
            checks = [nbformat.v4.new_code_cell(check.source) for _ in tries]
            cells += [c for t, check in zip(tries, checks, strict=True) for c in (nbformat.v4.new_code_cell(t), check)]
            others += zip(tries[:-1], checks[:-1], strict=True)
            plausible.append(checks[-1])
        cells.append(cell)
    notebook.cells = cells
    notebooks.execute(notebook, allow_errors=True)
    assert len(plausible) == len(tagged(path, "exercise-check"))
    for check in plausible:
        error = error_of(check)
        assert error and error.ename == "AssertionError" and "Not yet" in error.evalue, check.source
    for answer, check in others:
        error, said = error_of(check), "".join(output.get("text", "") for output in check.outputs)
        if error:
            assert error.ename == "AssertionError" and error.evalue.startswith("Not yet: "), (answer, error.evalue)
        else:  # the check asks for an answer
            assert "right." not in said or answer == "smallest_angle = None", answer
    tried = [*plausible, *(check for _, check in others)]
    for cell in (cell for cell in cells if cell.cell_type == "code" and not any(cell is check for check in tried)):
        assert error_of(cell) is None, f"{cell.source}\n{error_of(cell).evalue}"


def test_claims_carry_wrong_versions(path):
    """A sign or a factor changed: whether each is turned down is found out where nbval runs the claim, see conftest.py.

    What 10 and 12 claim is a training's outcome.
    """
    if path.stem in ("10_bigan", "12_adversarial_autoencoder"):
        pytest.skip("its claims need no wrong versions")
    assert all(cell.metadata.get("broken") for cell in tagged(path, "claim"))


def run_as_script(path, cells, *options, **environment):
    """Run code cells of a notebook by a Python of their own. Returns the exit status and what it wrote to stderr."""
    code = "\n".join(cell.source for cell in cells)
    command = [sys.executable, *options, "-c", code]
    done = subprocess.run(command, env=os.environ | environment, cwd=path.parent, capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize(("options", "environment"), [(["-O"], {}), ([], {"PYTHONOPTIMIZE": "1"})], ids=["-O", "env"])
def test_stops_at_the_setup_where_assertions_are_skipped(path, options, environment):
    if path != LESSONS[0]:
        pytest.skip("the setup cell is the same in all notebooks")
    cells = code_cells(path)
    claim = nbformat.v4.new_code_cell("assert 1 == 2, 'false'\nprint('passed')")
    status, said = run_as_script(path, [cells[0], claim], *options, **environment)
    assert status != 0 and said.strip().splitlines()[-1].startswith("RuntimeError: Start Python without -O")


def test_says_so_when_the_helpers_cannot_be_fetched(path):
    if path != LESSONS[0]:
        pytest.skip("the setup cell is the same in all notebooks")
    hidden = "import importlib.util, subprocess, types\nimportlib.util.find_spec = lambda name: None\n"
    hidden += "subprocess.run = lambda command: types.SimpleNamespace(returncode=int('install' in command))"
    status, said = run_as_script(path, [nbformat.v4.new_code_cell(hidden), *code_cells(path)[:2]])
    last = said.strip().splitlines()[-1]
    assert status != 0 and last.startswith("ImportError: The course's helpers could not be fetched: connect")


def test_papermill_sets_seed_and_switch(path):
    if path.stem not in ("01_probability", "04_playground"):
        pytest.skip("the parameters are the same in all notebooks")
    first, seeding = code_cells(path)[:2]
    injected = nbformat.v4.new_code_cell("# Parameters\nSEED = 7\nTRAIN_NOW = False\n")
    tried = "import numpy as np\nfound = np.random.randint(10**6)\nnp.random.seed(7)\n"
    tried += (
        "assert found == np.random.randint(10**6) and (SEED, TRAIN_NOW) == (7, False), 'the parameters had no effect'"
    )
    status, said = run_as_script(path, [first, injected, seeding, nbformat.v4.new_code_cell(tried)])
    assert status == 0, said
