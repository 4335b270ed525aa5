"""What holds for the notebooks, which nbval runs, and for tests/ alike."""

import os
import re

import pytest

from tools import notebooks

# Before anything imports TensorFlow, and for the kernels that the tests start.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")
# Workers that run side by side share the cores; more threads than cores would wait for each other.
workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
if workers > 1:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, os.cpu_count() // workers)))

# What takes minutes comes first, so that one worker does not end long after the other.
LONG = ("matrix-", "12_", "11_", "06_", "09_", "10_", "04_", "test_training", "test_browser", "08_", "05_", "test_")


def pytest_addoption(parser):
    parser.addoption("--train", action="store_true", help="notebooks train in full; without it they load what ships")


def group(nodeid):
    """What one worker runs in one go: a file, or one notebook's or environment's part of it."""
    file, _, test = nodeid.partition("::")
    part = re.search(r"\[.*?(\d\d_\w+|matrix-\w+)", test)
    return f"{file} {part[1]}" if part and file.endswith(("_lessons.py", "_notebooks.py", "_matrix.py")) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    if config.getvalue("dist") == "loadfile":
        from xdist.scheduler import LoadScopeScheduling

        class Scheduling(LoadScopeScheduling):
            def _split_scope(self, nodeid):
                return group(nodeid)

        return Scheduling(config, log)


def pytest_collection_modifyitems(config, items):
    for item in items:
        cell = getattr(item, "cell", None)  # of a notebook
        if cell is not None and not config.getoption("train"):
            cell.source = notebooks.without_training(cell.source)
        if cell is not None and "broken" in cell.metadata:
            cell.source = notebooks.after_wrong_versions(cell)
    if hasattr(config, "workerinput"):  # this is one of several workers
        groups = [group(item.nodeid) for item in items]
        place = {name: next((i for i, part in enumerate(LONG) if part in name), len(LONG)) for name in groups}
        order = sorted(range(len(items)), key=lambda i: (place[groups[i]], groups[i], i))
        items[:] = [items[i] for i in order]
