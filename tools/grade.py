"""Grade students' copies of a lesson by the course's own checks.

    python tools/grade.py 05 submissions/*.ipynb                   # or a folder, with folders in it
    python tools/grade.py 05 submissions --csv marks.csv --seconds 600
    python tools/grade.py my_own_lesson.ipynb submissions          # with checks that nobody has seen

IT RUNS STUDENTS' CODE: do that in a container or a throw-away account that holds nothing of value.

Only the answers are taken from a copy, by the ids of their cells or else by their order, and put into the lesson
itself, which loads instead of training. So nobody can edit a check, and what an answer prints counts for nothing. Each
student has a new kernel, and names of the lesson that an answer overwrites are put back. A cell may run for a limited
time; where an answer or its check does not end, or ends the kernel, the lesson runs again without that answer. Still,
an answer shares the process with its check, and who wants to deceive it can: look at the answers that earn a mark.
"""

import argparse
import csv
import secrets
import sys
from pathlib import Path

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when this is run as a script

from tools import notebooks, statements

# Code that runs around an answer and its check, and calls no name that the answer may have overwritten.
KEEP = "import builtins as _b\nexit = quit = None\n_b._lesson = dict(globals()), dict(vars(_b))"  # exit() acts late
PUT_BACK = """import builtins as _b
_b.__dict__.update(_b._lesson[1])
for _name in {names} or [*_b._lesson[0], *_b._lesson[1]]:
    if _name in _b._lesson[0]:
        _b.globals()[_name] = _b._lesson[0][_name]
    elif _name in _b._lesson[1]:
        _b.globals().pop(_name, None)"""


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and tag in cell.metadata.get("tags", [])]


def exercises(notebook):
    return list(zip(tagged(notebook, "exercise-answer"), tagged(notebook, "exercise-check"), strict=True))


def answers_of(student, lesson):
    """The source of each answer, None where it is missing. Raises ValueError for a copy of another notebook."""
    texts = {cell.source.strip() for cell in lesson.cells if cell.source.startswith("### Exercise")}
    if not texts & {cell.source.strip() for cell in student.cells}:
        raise ValueError("it has no exercise of this lesson")
    asked, given = tagged(lesson, "exercise-answer"), tagged(student, "exercise-answer")
    by_id = {cell.id: cell.source for cell in student.cells if cell.cell_type == "code"}
    if len(given) == len(asked) and not any(cell.id in by_id for cell in asked):
        return [cell.source for cell in given]
    return [by_id.get(cell.id) for cell in asked]


def with_answers(lesson, answers, token):
    """The lesson, ready to run. The cells of an exercise carry its number, from 0, and may stop."""
    notebook = nbformat.from_dict(lesson)
    notebooks.load_instead_of_training(notebook)
    for number, ((answer, check), source) in enumerate(zip(exercises(notebook), answers, strict=True)):
        (own, _), (_, used) = (statements.names(compile(cell.source, "cell", "exec")) for cell in (answer, check))
        before = PUT_BACK.format(names=[]) if number else KEEP
        for cell, code in ((answer, before), (check, PUT_BACK.format(names=sorted(used - own)))):
            added = nbformat.v4.new_code_cell(code)
            notebook.cells.insert(notebook.cells.index(cell), added)
            for one in (added, cell):
                one.metadata.update(exercise=number, tags=[*one.metadata.get("tags", []), "raises-exception"])
        answer.source = answer.source if source is None else source
        check.source = check.source.replace('right.")', f'right.{token}")')  # which no answer can print
    return notebook


def verdict(answer, check, token):
    if any(token in output.get("text", "") for output in check.outputs):
        return "right"
    for error in (output for output in [*answer.outputs, *check.outputs] if output.output_type == "error"):
        said = " ".join(error.evalue.split())[:200]
        return f"not yet: {said[9:]}" if said.startswith("Not yet: ") else f"stopped by {error.ename}: {said}"
    return "no answer"


def grade(path, lesson, seconds=300):
    """What each exercise of a copy is, by its number from 1, or a remark on the file. Raises where the lesson stops."""
    try:
        answers = answers_of(nbformat.read(path, as_version=4), lesson)
    except Exception as error:  # whatever a damaged file leads to
        return {"remark": f"cannot be graded: {type(error).__name__}: {' '.join(str(error).split()):.100}"}
    ended, started, token = {}, [], secrets.token_hex(8)
    for _ in range(len(answers) + 1):
        notebook = with_answers(lesson, answers, token)
        try:
            notebooks.execute(notebook, timeout=seconds, on_cell_start=lambda **at: started.append(at["cell"]))
            break
        except (CellTimeoutError, DeadKernelError) as error:
            if (number := started[-1].metadata.get("exercise")) is None:
                raise
            why = f"the time, {seconds} s" if isinstance(error, CellTimeoutError) else "the end of the kernel"
            ended[number + 1], answers[number] = f"stopped by {why}", None
    return {i: verdict(*pair, token) for i, pair in enumerate(exercises(notebook), 1)} | ended


def main(lesson, files, csv_file, seconds):
    found = [Path(lesson)] if lesson.endswith(".ipynb") else [*notebooks.NOTEBOOKS.glob(f"{lesson}_*.ipynb")]
    if len(found) != 1 or not found[0].is_file():
        raise SystemExit(f"expected a lesson's number, such as 05, or a notebook of your own, not {lesson}")
    lesson, rows = nbformat.read(found[0], as_version=4), []
    for path in (p for f in map(Path, files) for p in (sorted(f.rglob("*.ipynb")) if f.is_dir() else [f])):
        if ".ipynb_checkpoints" not in path.parts:
            marks = grade(path, lesson, seconds)
            print(f"{path}: {' | '.join(f'{exercise} {mark}' for exercise, mark in marks.items())}", flush=True)
            rows.append({"file": path, "right": [*marks.values()].count("right"), **marks})
    if csv_file:
        with open(csv_file, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["file", "right", "remark", *range(1, len(exercises(lesson)) + 1)])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lesson")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--csv", dest="csv_file")
    parser.add_argument("--seconds", type=int, default=300)
    main(**vars(parser.parse_args()))
