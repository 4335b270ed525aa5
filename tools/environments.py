"""The course in three environments: the pins, Colab's versions, and the lowest that pyproject.toml declares.

    python tools/environments.py make     # the two others, only if they are not there already
    python tools/environments.py table    # runs every check in all three, and prints a table

The pins are the interpreter that runs this. The others hold the packages of a file of requirements, and lie in the
user's folder for caches, so that every copy of the course finds them; the course itself comes from this copy. A check
is a line of tests/environment_checks.py, the script tests/widget_callbacks.py, or a notebook that loads instead of
training. `JUPYTER_PATH=.environments jupyter lab` offers the kernels of the two others.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools import notebooks

ROOT = notebooks.ROOT
FOLDER = ROOT / ".environments"  # of the kernels' descriptions
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gan-course"
REQUIREMENTS = {"pins": None, "colab": "colab-requirements.txt", "lowest": "lowest-requirements.txt"}
# 01 to 03, and one notebook of each family.
NOTEBOOKS = [
    "01_probability",
    "02_generators",
    "03_gan_theory",
    "05_gan_mnist",
    "08_conditional_gan",
    "09_infogan",
    "10_bigan",
    "11_cyclegan",
    "12_adversarial_autoencoder",
]
CHECKS = ["helpers", "widgets", *NOTEBOOKS]


def _place(name):
    """The folder of an environment: another one for other requirements, or another Python."""
    wanted = (ROOT / REQUIREMENTS[name]).read_bytes() + sys.version.encode()
    return CACHE / f"{name}-{hashlib.sha256(wanted).hexdigest()[:12]}"


def python(name):
    """The interpreter of an environment."""
    if name == "pins":
        return Path(sys.executable)
    return _place(name) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@contextlib.contextmanager
def _locked(path):
    """One process at a time; where the system has no such locks, two could only do the same work twice."""
    with path.open("w", encoding="utf-8") as file:
        with contextlib.suppress(ImportError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make(name):
    """Make an environment and its kernel, unless it is there with these requirements. Raises where pip fails."""
    if name == "pins":
        return
    folder = _place(name)
    CACHE.mkdir(parents=True, exist_ok=True)
    with _locked(CACHE / f"{name}.lock"):
        if not ((folder / "made").is_file() and python(name).is_file()):  # or its Python was taken away
            shutil.rmtree(folder, ignore_errors=True)
            pip = [python(name), "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-compile"]
            for command in (
                [sys.executable, "-m", "venv", folder],
                [*pip, "--requirement", ROOT / REQUIREMENTS[name]],
            ):
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                if done.returncode:
                    raise RuntimeError(f"the environment {name!r} cannot be made:\n{done.stdout[-3000:]}")
            (folder / "made").touch()
    spec = {
        "argv": [str(python(name)), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": f"GAN course, {name}",
        "language": "python",
        "env": {"PYTHONPATH": str(ROOT)},
    }
    place = FOLDER / "kernels" / f"gan-course-{name}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")


def kernel(name):
    """A manager for a kernel of the environment."""
    if name == "pins":
        return AsyncKernelManager(kernel_name="python3")
    specs = KernelSpecManager(kernel_dirs=[str(FOLDER / "kernels")])
    return AsyncKernelManager(kernel_name=f"gan-course-{name}", kernel_spec_manager=specs)


def check(name, what):
    """Run one of CHECKS in an environment. Returns rows: dict from what was checked to "ok" or what went wrong."""
    if what == "helpers":
        return _lines(_script(name, "environment_checks.py"))
    if what == "widgets":
        done = _script(name, "widget_callbacks.py")
        return {what: "ok" if done.returncode == 0 else f"FAILED {done.stderr.strip().splitlines()[-1]}"}
    notebook = nbformat.read(notebooks.NOTEBOOKS / f"{what}.ipynb", as_version=4)
    notebooks.load_instead_of_training(notebook)
    try:
        notebooks.execute(notebook, manager=kernel(name))
    except Exception as error:  # whatever stops it: a cell, a dead kernel, no kernel
        return {what: f"FAILED {str(error).strip().splitlines()[-1]}"}
    return {what: "ok"}


def _script(name, script):
    place = {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "agg"}
    command = [python(name), ROOT / "tests" / script]
    return subprocess.run(command, env={**os.environ, **place}, capture_output=True, text=True)


def _lines(done):
    rows = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": ok" in line or ": FAILED" in line)
    if done.returncode and "FAILED" not in str(rows):  # it stopped before, or between, its checks
        rows["helpers"] = f"FAILED {(done.stderr.strip().splitlines() or ['no output'])[-1]}"
    return rows


def table(results):
    """Text: a line for each check, a column for each environment. `results`: dict from environment to rows."""
    names = list(dict.fromkeys(row for rows in results.values() for row in rows))
    width = max(map(len, [*names, "check"]))
    lines = [f"{'check':{width}}  " + "  ".join(f"{name:7}" for name in results)]
    for row in names:
        said = [rows.get(row, "missing").split()[0] for rows in results.values()]
        lines.append(f"{row:{width}}  " + "  ".join(f"{word:7}" for word in said))
    wrong = [f"{name}, {row}: {said}" for name, rows in results.items() for row, said in rows.items() if said != "ok"]
    return "\n".join([*lines, *wrong])


def run_all():
    """Make what is missing, run every check, two environments at a time. Returns what `table` takes."""

    def run(name):
        try:
            make(name)
        except RuntimeError as error:
            return {"make": f"FAILED {error}"}
        return {row: said for what in CHECKS for row, said in check(name, what).items()}

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(REQUIREMENTS, pool.map(run, REQUIREMENTS), strict=True))


if __name__ == "__main__":
    if sys.argv[1:] == ["make"]:
        with ThreadPoolExecutor() as pool:
            list(pool.map(make, REQUIREMENTS))
    elif sys.argv[1:] == ["table"]:
        results = run_all()
        print(table(results))
        sys.exit(any(said != "ok" for rows in results.values() for said in rows.values()))
    else:
        raise SystemExit(__doc__)
