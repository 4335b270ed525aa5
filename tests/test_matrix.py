"""The course in its three environments: the pins, Colab's versions, the lowest. See tools/environments.py."""

import re
import tomllib

import pytest

from tools import environments

NAMES = list(environments.REQUIREMENTS)


@pytest.fixture(scope="session")
def made():
    """Makes an environment if it is absent, once."""

    def make(name):
        if name not in done:
            environments.make(name)
            done.add(name)
        return name

    done = set()
    return make


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("name", "what"),
    # With the pins, nbval runs every notebook in the same way.
    [
        (name, what)
        for name in NAMES
        for what in environments.CHECKS
        if name != "pins" or what in ("helpers", "widgets")
    ],
    ids=lambda part: f"matrix-{part}" if part in NAMES else part,  # one worker for each: see conftest.py
)
def test_runs_everywhere(made, name, what, record_property):
    rows = environments.check(made(name), what)
    record_property("matrix", (name, rows))  # for the table at the end, see conftest.py
    assert rows and set(rows.values()) == {"ok"}, "\n".join(f"{row}: {said}" for row, said in rows.items())


def versions(file):
    lines = (environments.ROOT / file).read_text(encoding="utf-8").splitlines()
    found = dict(line.split("==") for line in lines if line and line[0] not in "#-")
    return {
        re.sub(r"[-_.]+", "-", name).lower().replace("tensorflow-cpu", "tensorflow"): v for name, v in found.items()
    }


def test_the_lowest_environment_has_the_lowest_versions_of_all_that_is_declared():
    project = tomllib.loads((environments.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lowest = versions("lowest-requirements.txt")
    for requirement in project["dependencies"]:
        name, low = requirement.split(">=")
        assert re.fullmatch(rf"{re.escape(low)}(\.0)*", lowest[name]), requirement


def test_a_missing_kernel_or_script_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    monkeypatch.setattr(environments, "CACHE", tmp_path)
    rows = environments.check("colab", "01_probability")
    assert rows["01_probability"].startswith("FAILED") and "gan-course-colab" in rows["01_probability"]
    with pytest.raises(FileNotFoundError):
        environments.check("colab", "helpers")


def test_the_table_names_what_went_wrong():
    rows = {"load x": "ok", "train gan": "ok"}
    text = environments.table({"pins": rows, "colab": {**rows, "train gan": "FAILED KeyError: 'x'"}, "lowest": {}})
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["check", "pins", "colab", "lowest"]
    assert lines[1:3] == [["load", "x", "ok", "ok", "missing"], ["train", "gan", "ok", "FAILED", "missing"]]
    assert text.splitlines()[3] == "colab, train gan: FAILED KeyError: 'x'"


@pytest.mark.parametrize(
    ("code", "words"), [("raise SystemExit('no')", "no"), ("print('a: ok'); 1 / 0", "ZeroDivisionError")]
)
def test_a_script_that_stops_is_a_failure(monkeypatch, tmp_path, code, words):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "environment_checks.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    rows = environments.check("pins", "helpers")
    assert any(said.startswith("FAILED") and words in said for said in rows.values())
