"""What holds for the notebooks, which nbval runs, and for tests/ alike."""

import os
import re

import pytest

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


def group(item):
    """What one worker runs: a notebook, a notebook's part of a file that has one for each, or a file."""
    by_path = item.nodeid.startswith(("tests/test_notebooks.py", "tests/test_lessons.py"))
    parameter = getattr(item, "callspec", None) and item.callspec.id
    return f"{parameter} {item.path.stem}" if by_path and parameter else item.path.name


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    for item in items:
        cell = getattr(item, "cell", None)  # of a notebook
        if cell is not None and not config.getoption("train"):
            cell.source = re.sub(r"^TRAIN_NOW = True", "TRAIN_NOW = False", cell.source, flags=re.M)
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(re.sub(r"\W", "_", group(item))))
    if getattr(config.option, "loadgroup", False):  # this is one of several workers
        names = [item.get_closest_marker("xdist_group").args[0] for item in items]
        place = {name: next((i for i, part in enumerate(LONG) if part in name), len(LONG)) for name in names}
        order = sorted(range(len(items)), key=lambda i: (place[names[i]], names[i]))
        items[:] = [items[i] for i in order]
