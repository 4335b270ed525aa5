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
import dis
import json
import linecache
import multiprocessing
import os
import re
import sys
import time
import types
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when this is run as a script

import nbformat

from gan_helpers import evidence
from gan_helpers.data import written_beside
from tools import notebooks

LIBRARIES = ("tensorflow", "keras", "numpy")


class Experiment:
    """One that a notebook declares: its function, its variants, how many seeds it wants, and its text."""

    def __init__(self, path, cells, function):
        declared = cells[-1].metadata["experiment"]
        self.notebook, self.function = path.stem, function
        self.name = f"{path.stem[:2]}_{function}"
        self.variants, self.seeds = declared["variants"], declared["seeds"]
        names = _globals(compile(self.variants, self.name, "eval"))[1]
        self.statements = what_it_needs(
            "\n".join(notebooks.without_magics(cell.source) for cell in cells), function, *names
        )

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


# --- the text of an experiment


def what_it_needs(source, *wanted):
    """The top-level statements of `source` on which the names `wanted` depend, in their order.

    A statement that changes what a name holds, such as `list.append`, is seen only where it assigns:
    `recipes["mine"] = ...` is, a call is not, and one inside of a loop or a condition is refused.
    """
    statements = ast.parse(source).body
    known = [_globals(compile(ast.Module([statement], []), "cell", "exec")) for statement in statements]
    refused = []
    for (binds, _), statement in zip(known, statements, strict=True):
        if isinstance(statement, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
            binds |= _filled(statement)
        refused.append(_filled(statement) - binds)
    kept, waiting = set(), set(wanted)
    while waiting:
        name = waiting.pop()
        for i, (binds, loads) in enumerate(known):
            if name in refused[i]:
                raise ValueError(f"{name!r} is filled in a loop or a condition: fill it in a statement of its own.")
            if name in binds and i not in kept:
                kept.add(i)
                waiting |= loads
    if "SEED" in set().union(*[known[i][1] for i in kept]):
        raise ValueError(f"{wanted[0]} depends on SEED: an experiment takes its seed as an argument.")
    return [statements[i] for i in sorted(kept)]


def _filled(statement):
    """Names of which a statement assigns members when it is run, however deep inside."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return set()
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            while isinstance(node, (ast.Subscript, ast.Attribute)):
                node = node.value
            names |= {node.id} if isinstance(node, ast.Name) else set()
    return names


def _globals(code):
    """(names that a piece of code binds at top level, names that it looks up there, inside of functions as well)."""
    binds, loads = set(), set()
    for step in dis.get_instructions(code):
        if step.opname in ("STORE_NAME", "STORE_GLOBAL"):
            binds.add(step.argval)
        elif step.opname in ("LOAD_NAME", "LOAD_GLOBAL"):
            loads.add(step.argval)
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            more_binds, more_loads = _globals(inner)
            loads |= more_loads | more_binds
    return binds, loads


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
            for row in pool.imap_unordered(_row, missing):
                rows[row["variant"], row["seed"]] = row
                write(experiment, rows, variants)
                print(experiment.name, row, flush=True)
        print(f"{experiment.name}: {len(missing)} rows in {time.monotonic() - start:.0f} s, {len(rows)} in all")


def _begin(name):
    global function
    function, _ = experiments()[name].run()


def _row(pair):
    return row_of(function, *pair)


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
