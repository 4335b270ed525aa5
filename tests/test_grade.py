"""Grading: a tiny lesson, and students who make mistakes, or mischief. And the teaching guide."""

import csv
import re
import subprocess
import sys

import nbformat
import pytest

from tools import grade, notebooks

CHECK = """import sys
if {name} is ... or ({name} is helper and {name}() is None):
    print("Exercise {n}: put your answer in place of the dots.")
else:
    assert abs(answer({name}) - limit) < 1, "Not yet: it is {n}."
    print("Exercise {n}: right.")"""


def cell(source, *tags):
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})


@pytest.fixture(scope="module")
def lesson():
    cells = [cell("TRAIN_NOW = True\nfrom gan_helpers.checks import answer\nlimit, helper, other = 5, None, 7")]
    cells.append(cell("assert not TRAIN_NOW, 'it trains'", "claim"))
    for n in (1, 2, 3):
        cells.append(nbformat.v4.new_markdown_cell(f"### Exercise {n}\nWhich number is 5, number {n}?"))
        cells.append(cell(f"value_{n} = ...", "exercise-answer"))
        cells.append(cell(CHECK.format(name=f"value_{n}", n=n), "exercise-check"))
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture
def hand_in(lesson, tmp_path):
    """Writes a copy of the lesson with these answers; one that is None is left as it was."""

    def hand_in(*answers, name="anna.ipynb"):
        copy = nbformat.from_dict(lesson)
        copy = nbformat.reads(nbformat.writes(copy), as_version=4)
        for mine, source in zip(grade.tagged(copy, "exercise-answer"), answers, strict=True):
            mine.source = mine.source if source is None else source
        for check in grade.tagged(copy, "exercise-check"):
            check.source += "\nprint('Exercise 1: right.')"  # edited, which changes nothing
        nbformat.write(copy, tmp_path / name)
        return tmp_path / name

    return hand_in


def test_right_not_yet_and_no_answer(lesson, hand_in):
    marks = grade.grade(hand_in("value_1 = 5", "value_2 = 9", None), lesson)
    assert marks == {1: "right", 2: "not yet: it is 2.", 3: "no answer"}


def test_what_an_answer_prints_or_overwrites_counts_for_nothing(lesson, hand_in):
    lies = (
        "print('Exercise 1: right.')\nvalue_1 = ...\nimport builtins as b\nb.abs = abs = lambda x: 0\nlimit = other = 9"
    )
    more = (
        "answer = print = lambda *x: 5\nimport builtins\nbuiltins.print = print\nglobals = vars = 1\nvalue_2 = 'five'"
    )
    marks = grade.grade(hand_in(lies, more, "value_3 = limit + other - 7"), lesson)
    assert marks[1] == "no answer" and marks[2].startswith("not yet: the answer should be a number, not 'five'")
    assert marks[3] == "right"


def test_an_error_stops_its_own_exercise_only(lesson, hand_in):
    marks = grade.grade(hand_in("exit()", "raise SystemExit", "%reset -f\nvalue_3 = 5"), lesson)
    assert marks == {
        1: "stopped by TypeError: 'NoneType' object is not callable",
        2: "stopped by SystemExit: ",
        3: "right",
    }


def test_an_answer_that_never_ends_or_ends_the_kernel_is_left_out(lesson, hand_in):
    forever = (
        "while True:\n    try:\n        import time\n        time.sleep(1)\n    except BaseException:\n        pass"
    )
    marks = grade.grade(hand_in(forever, "import os\nos._exit(0)", "value_3 = 5"), lesson, seconds=3)
    assert marks == {1: "stopped by the time, 3 s", 2: "stopped by the end of the kernel", 3: "right"}


def test_cells_with_other_ids_are_matched_by_their_order(lesson, hand_in):
    copy = nbformat.read(hand_in("value_1 = 5", None, "value_3 = 6"), as_version=4)
    assert grade.answers_of(copy, lesson) == ["value_1 = 5", "value_2 = ...", "value_3 = 6"]
    del copy.cells[3]  # an answer, and with ids the others stay where they belong
    assert grade.answers_of(copy, lesson) == [None, "value_2 = ...", "value_3 = 6"]
    for one in copy.cells:
        one.id = f"new-{one.id}"
    assert grade.answers_of(copy, lesson) == [None, None, None]
    copy.cells.insert(3, cell("value_1 = 7", "exercise-answer"))
    assert grade.answers_of(copy, lesson)[0] == "value_1 = 7"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"cells": 3}', "\0", '{"cells": [{"cell_type": "code"}], "nbformat": 4}']
)
def test_a_damaged_file_gets_a_sentence(lesson, tmp_path, content):
    (tmp_path / "bad.ipynb").write_text(content, encoding="utf-8")
    assert grade.grade(tmp_path / "bad.ipynb", lesson)["remark"].startswith("cannot be graded: ")


def test_another_lesson_gets_a_sentence_and_a_lesson_that_stops_raises(lesson, hand_in):
    other = notebooks.lessons()[0]
    assert "no exercise of this lesson" in grade.grade(other, lesson)["remark"]
    broken = nbformat.reads(nbformat.writes(lesson), as_version=4)
    broken.cells[1].source = "assert False, 'the claim'"
    with pytest.raises(notebooks.CellExecutionError, match="the claim"):
        grade.grade(hand_in(None, None, None), broken)


def test_the_command_prints_a_line_for_each_copy_and_writes_a_table(lesson, hand_in, tmp_path):
    nbformat.write(lesson, tmp_path / "lesson.ipynb")
    folder = tmp_path / "submissions" / "group"
    folder.mkdir(parents=True)
    hand_in("value_1 = 5", None, "value_3 = '='", name=folder / "anna.ipynb")
    (folder / "ben.ipynb").write_text("{", encoding="utf-8")
    command = [
        sys.executable,
        notebooks.ROOT / "tools" / "grade.py",
        "lesson.ipynb",
        "submissions",
        "--csv",
        "marks.csv",
    ]
    said = subprocess.check_output(command, cwd=tmp_path, text=True).splitlines()
    assert [line.partition(": ")[0] for line in said] == [f"submissions/group/{n}.ipynb" for n in ("anna", "ben")]
    assert "1 right | 2 no answer | 3 not yet: the answer should be a number" in said[0]
    with open(tmp_path / "marks.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["right"] for row in rows] == ["1", "0"] and rows[1]["remark"] and rows[0]["2"] == "no answer"


@pytest.mark.parametrize("path", notebooks.lessons(), ids=lambda path: path.stem)
def test_every_lesson_can_be_graded(path):
    """Each check says that an answer is right at one place, and no check needs a name that an earlier answer sets."""
    lesson = nbformat.read(path, as_version=4)
    solutions = nbformat.read(path.parent / "solutions" / f"{path.stem}_solutions.ipynb", as_version=4)
    sources = [cell.source for cell in grade.tagged(solutions, "exercise-answer")]
    ready = grade.with_answers(lesson, sources, "token")
    checks = grade.tagged(ready, "exercise-check")
    assert [check.source.count('right.token")') for check in checks] == [1] * len(sources)
    assert [cell.source for cell in grade.tagged(ready, "exercise-answer")] == sources
    assert len(ready.cells) == len(lesson.cells) + 2 * len(sources)


@pytest.mark.parametrize("path", notebooks.lessons(), ids=lambda path: path.stem)
def test_the_teaching_guide_names_headings_that_are_there(path):
    guide = (notebooks.ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    programme = re.search(rf"^## {path.stem[:2]} .*\n\n(\*\*10:\*\* .*)", guide, re.M)[1]
    cells = nbformat.read(path, as_version=4).cells
    headings = [h for c in cells if c.cell_type == "markdown" for h in re.findall(r"^##+ (.*)", c.source, re.M)]
    named = re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", programme)
    assert len(named) >= 4 and "**30:**" in programme and "**90:**" in programme
    assert [name for name in named if not any(heading.startswith(name) for heading in headings)] == []
