"""The form of the notebooks, and the solutions. That lessons run, and that their claims hold, is nbval's part."""

import ast
import os
import re
import statistics
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager

from tests.lab import CHROMIUM
from tools import notebooks

COLAB_KERNEL = "gan-course-colab"
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
    cells = read(path).cells
    title, setup = cells[0], cells[1]
    place = path.relative_to(notebooks.ROOT).as_posix()
    address = notebooks.repository_address()
    badge = f"https://colab.research.google.com/{address.removeprefix('https://').replace('github.com', 'github')}"
    assert title.cell_type == "markdown" and title.source.startswith("# ")
    assert f"]({badge}/blob/main/{place})" in title.source
    assert setup.cell_type == "code" and f"git+{address}\n" in setup.source
    assert setup.source == read(PATHS[0]).cells[1].source
    assert "SEED = 0" in setup.source


def test_cells_are_short(path):
    lengths = [len(cell.source.splitlines()) for cell in code_cells(path)]
    assert max(lengths) <= 25
    assert statistics.median(lengths) <= 8


def test_there_is_more_prose_than_code(path):
    words = sum(len(cell.source.split()) for cell in read(path).cells if cell.cell_type == "markdown")
    lines = sum(len([line for line in cell.source.splitlines() if line.strip()]) for cell in code_cells(path))
    assert words / lines >= 6


def test_figures_end_with_show(path):
    """A cell that draws ends with `plt.show()`, so that no object's name is printed above the figure."""
    for cell in code_cells(path):
        has_figure = any("image/png" in output.get("data", {}) for output in cell.outputs)
        stray = [o.data.get("text/plain", "") for o in cell.outputs if o.output_type == "execute_result"]
        assert not (has_figure and stray), cell.source


def test_every_cell_has_a_place_in_the_lecture(path):
    kinds = {cell.metadata.get("slideshow", {}).get("slide_type") for cell in read(path).cells}
    assert kinds <= {"slide", "subslide", "fragment", "skip", "notes", "-"}


def test_links_lead_somewhere_or_to_a_planned_notebook(path):
    planned = {f"{n:02d}" for n in range(1, 14)}
    for cell in read(path).cells:
        for target in re.findall(r"\]\((?!http|#)([^)]+)\)", cell.source if cell.cell_type == "markdown" else ""):
            there = (path.parent / target).exists()
            assert there or target.split("/")[-1][:2] in planned, target


def test_claims_can_fail(path):
    """A claim is a cell with an assertion that has a sentence for the reader."""
    for cell in tagged(path, "claim"):
        tree = ast.parse(cell.source)
        asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
        assert all(node.msg is not None for node in asserts), cell.source
    if path in LESSONS:
        assert len(tagged(path, "claim")) >= 3
        assert all("assert" in cell.source for cell in tagged(path, "claim")[-1:])


def test_exercises_have_answers_checks_and_the_same_checks_in_the_solutions(path):
    answers, checks = tagged(path, "exercise-answer"), tagged(path, "exercise-check")
    assert 3 <= len(answers) == len(checks) <= 5
    assert all("assert" in cell.source for cell in checks)
    said = ["".join(o.get("text", "") for o in cell.outputs) for cell in checks]
    if path in LESSONS:
        assert all("..." in cell.source for cell in answers)
        assert not any("right." in text for text in said)
        solutions = path.parent / "solutions" / f"{path.stem}_solutions.ipynb"
        assert [c.source for c in checks] == [c.source for c in tagged(solutions, "exercise-check")]
    else:
        assert all(text.endswith("right.\n") for text in said)


def test_checks_tell_wrong_answers_from_right_ones(path):
    """Run the solutions with a plausible wrong answer in front of each right one: the check turns it down in words."""
    if path in LESSONS:
        pytest.skip("the same checks stand in the solutions, and are tested there")
    notebook, checks, cells, wrong = read(path), iter(tagged(path, "exercise-check")), [], []
    for cell in notebook.cells:
        if "wrong_answer" in cell.metadata:
            wrong.append(nbformat.v4.new_code_cell(next(checks).source))
            cells += [nbformat.v4.new_code_cell(cell.metadata["wrong_answer"]), wrong[-1]]
        cells.append(cell)
    notebook.cells = cells
    notebooks.execute(notebook, allow_errors=True)
    assert len(wrong) == len(tagged(path, "exercise-check"))
    for cell in (cell for cell in cells if cell.cell_type == "code"):
        error = error_of(cell)
        if any(cell is check for check in wrong):
            assert error and error.ename == "AssertionError" and "Not yet" in error.evalue, cell.source
        else:
            assert error is None, f"{cell.source}\n{error.evalue}"


def test_theory_broken_on_purpose_stops_the_notebook(path):
    """Each claim of the theory carries wrong versions (a sign, a factor): each of its assertions turns one down."""
    if path.stem not in ("02_generators", "03_gan_theory"):
        pytest.skip("only the theorems carry wrong versions of themselves")
    notebook = read(path)
    cells, wrong_versions = [], []
    for cell in notebook.cells:
        if "claim" in cell.metadata.get("tags", []):
            assert all(old in cell.source for old, _ in cell.metadata["broken"]), cell.source
            sources = [cell.source.replace(old, new) for old, new in cell.metadata["broken"]]
            wrong_versions.append((cell, [nbformat.v4.new_code_cell(source) for source in sources]))
            cells += wrong_versions[-1][1]  # in front of the right one, which puts all variables back
        cells.append(cell)
    notebook.cells = cells
    notebooks.execute(notebook, allow_errors=True)
    for claim, versions in wrong_versions:
        assert error_of(claim) is None, claim.source
        errors = [error_of(version) for version in versions]
        assert all(error and error.ename == "AssertionError" for error in errors), claim.source
        said = " ".join(error.evalue for error in errors)
        for node in ast.walk(ast.parse(claim.source)):
            if isinstance(node, ast.Assert):
                message = node.msg.values[0] if isinstance(node.msg, ast.JoinedStr) else node.msg
                assert message.value in said, f"no wrong version trips {message.value!r}"


def test_loads_instead_of_training(path):
    """The other position of the switch: all claims hold for the weights that ship, too."""
    notebook = read(path)
    if not notebooks.load_instead_of_training(notebook):
        assert path.stem not in notebooks.SHIPPED
        pytest.skip("nothing is trained that ships")
    if path in LESSONS and CHROMIUM:
        pytest.skip("runs in JupyterLab itself: see test_lesson_in_the_browser")
    assert notebooks.execute(notebook) < 90


@pytest.mark.skipif(
    COLAB_KERNEL not in KernelSpecManager().find_kernel_specs(), reason=f"no kernel named {COLAB_KERNEL}: see README.md"
)
def test_runs_with_the_packages_of_colab(path):
    notebooks.execute(read(path), kernel=COLAB_KERNEL)
