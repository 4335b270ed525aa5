"""Run experiments, variants times seeds, and keep what they measure.

    python tools/experiments.py list
    python tools/experiments.py record 03_swings       # what is missing; without a name: of all experiments
    python tools/experiments.py record 03_swings 40    # with 40 seeds

An experiment is a function in a notebook that takes a variant and a seed and returns a dict of numbers. Its cell says
so in its metadata: `"experiment": {"variants": "recipes", "seeds": 20}`, where `recipes` is an expression whose
members are the variants. Of the notebook only those statements are run on which function and variants depend. They
are the experiment's text: when it changes, or a version of what it runs on, the record begins anew. Otherwise only
the rows that are missing are made, in a process for each core, each with one thread. A row is kept as soon as it is
there, so that an interrupt loses none.
"""

import ast
import json
import linecache
import multiprocessing
import os
import re
import sys
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when this is run as a script

import nbformat

from gan_helpers import evidence
from gan_helpers.data import written_beside
from tools import notebooks, statements

LIBRARIES = ("tensorflow", "keras", "numpy")


class Experiment:
    """One that a notebook declares: its function, its variants, how many seeds it wants, and its text."""

    def __init__(self, path, cells, function):
        declared = cells[-1].metadata["experiment"]
        self.notebook, self.function = path.stem, function
        self.name = f"{path.stem[:2]}_{function}"
        self.variants, self.seeds = declared["variants"], declared["seeds"]
        names = statements.names(compile(self.variants, self.name, "eval"))[1]
        source = "\n".join(notebooks.without_magics(cell.source) for cell in cells)
        self.statements = statements.needed(source, function, *names)
        if "SEED" in statements.names(statements.compiled(self.statements))[1]:
            raise ValueError(f"{function} depends on SEED: an experiment takes its seed as an argument.")

    @property
    def hash(self):
        return notebooks.hash_of(self.statements)

    def run(self):
        """Run the text. Returns (the function, list of the variants)."""
        space, source, place = {"__name__": self.name}, ast.unparse(self.statements), f"<{self.name}>"
        # Where TensorFlow finds the source of the functions that it turns into graphs, as it does that of cells.
        linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
        exec(compile(source, place, "exec"), space)
        return space[self.function], list(eval(self.variants, space))


def experiments():
    """dict from name, such as "03_swings", to `Experiment`, in reading order."""
    found = {}
    for path in notebooks.lessons():
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        for i, cell in enumerate(cells):
            if "experiment" in cell.metadata:
                experiment = Experiment(path, cells[: i + 1], re.findall(r"^def (\w+)", cell.source, re.M)[-1])
                found[experiment.name] = experiment
    return found


# --- the record


def path_of(experiment):
    return evidence.FOLDER / f"{experiment.name}.json"


def kept_rows(experiment):
    """The rows of the record that are of this text and these versions: dict from (variant, seed) to row."""
    path = path_of(experiment)
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if record and {key: record[key] for key in header(experiment)} != header(experiment):
        print(f"{experiment.name}: its text or a version has changed, so the record begins anew.")
        return {}
    return {(row["variant"], row["seed"]): row for row in record.get("rows", [])}


def header(experiment):
    return {"text": experiment.hash, "versions": {name: version(name) for name in LIBRARIES}}


def write(experiment, rows, variants):
    """One line for each row, in the order of variants and seeds."""
    rows = sorted(rows.values(), key=lambda row: (variants.index(row["variant"]), row["seed"]))
    lines = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in rows)
    head = json.dumps(header(experiment), indent=1).removesuffix("\n}")
    with written_beside(path_of(experiment)) as parts:
        parts[0].write_text(f'{head},\n "rows": [\n{lines}\n ]\n}}\n', encoding="utf-8")


def record(name=None, seeds=None):
    os.environ["TF_NUM_INTRAOP_THREADS"] = "1"  # read by the processes that are started below
    found = experiments()
    if name and name not in found:
        raise SystemExit(f"there is no experiment {name!r}, only {', '.join(found)}.")
    for experiment in [found[name]] if name else found.values():
        _, variants = experiment.run()
        rows = kept_rows(experiment)
        wanted = [(variant, seed) for seed in range(int(seeds or experiment.seeds)) for variant in variants]
        missing = [pair for pair in wanted if pair not in rows]
        start = time.monotonic()
        processes = min(os.cpu_count(), len(missing)) or 1
        # "spawn": a process that is forked inherits a TensorFlow that it cannot use. And TensorFlow keeps every graph
        # that it has made: after some hundred rows a process would hold gigabytes.
        with multiprocessing.get_context("spawn").Pool(processes, _begin, [experiment.name], 40) as pool:
            failed = []
            for row in pool.imap_unordered(_row, missing):
                if isinstance(row, str):  # what went wrong; the others go on
                    failed.append(f"{experiment.name}, {row}")
                    continue
                rows[row["variant"], row["seed"]] = row
                write(experiment, rows, variants)
                print(experiment.name, row, flush=True)
        made = len(missing) - len(failed)
        print(f"{experiment.name}: {made} rows in {time.monotonic() - start:.0f} s, {len(rows)} in all")
        if failed:
            raise SystemExit("\n".join(failed))


def _begin(name):
    global function
    function, _ = experiments()[name].run()


def _row(pair):
    try:
        return row_of(function, *pair)
    except Exception as error:  # whatever stops it, a diverged training or a mistake in its text
        return f"{pair[0]}, seed {pair[1]}: {type(error).__name__}: {error}"


def row_of(function, variant, seed):
    """One row of a record. Raises ValueError where the experiment returns something else than finite numbers."""
    start = time.perf_counter()
    measured = function(variant, seed)
    numbers = {key: float(f"{float(value):.6g}") for key, value in measured.items()}
    if not all(number - number == 0 for number in numbers.values()):
        raise ValueError(f"{variant}, seed {seed}: an experiment must return finite numbers, not {measured}.")
    seconds = round(time.perf_counter() - start, 1)
    return {"variant": variant, "seed": seed, **numbers, "seconds": seconds}


def missing(experiment):
    """What stands between the notebook and its record, a sentence; "" if it is complete and of this text."""
    if not path_of(experiment).is_file():
        return "it was never recorded"
    found = json.loads(path_of(experiment).read_text(encoding="utf-8"))
    if found["text"] != experiment.hash:
        return "its text has changed since it was recorded"
    seeds = {}
    for row in found["rows"]:
        seeds.setdefault(row["variant"], set()).add(row["seed"])
    _, variants = experiment.run()
    short = [v for v in variants if not set(range(experiment.seeds)) <= seeds.get(v, set())]
    return f"seeds are missing for {', '.join(short)}" if short else ""


def show():
    for name, experiment in experiments().items():
        print(f"{name}: {missing(experiment) or 'recorded'}")


if __name__ == "__main__":
    commands = {"list": show, "record": record}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        raise SystemExit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
