"""The project's own promises: versions in step, quick imports, style, no stray names."""

import os
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from tools.notebooks import ROOT, all_notebooks, repository_address


def pins():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return dict(re.fullmatch(r"([\w.-]+)==(\S+)", line).groups() for line in lines if line and line[0] not in "#-")


def test_requirements_are_exact_and_install_the_helpers():
    text = (ROOT / "requirements.txt").read_text()
    assert re.search(r"^-e \.$", text, re.M)
    assert len(pins()) > 50


def test_conda_environment_takes_the_same_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, (_, from_pip) = *environment["dependencies"][:2], next(iter(environment["dependencies"][2].items()))
    assert pip == "pip" and from_pip == ["-r requirements.txt"]
    low, high = (3, 11), (3, 13)
    assert low <= tuple(map(int, python.removeprefix("python=").split("."))) <= high


def test_package_is_loose_and_agrees_with_the_pins():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"
    for requirement in project["dependencies"]:
        name, low = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups()
        assert name not in ("tensorflow-cpu", "ipython", "ipykernel")
        version = lambda text: [int(part) for part in text.split(".")]  # noqa: E731
        assert version(pins()[name]) >= version(low)


def python(code):
    return subprocess.check_output([sys.executable, "-c", code], text=True, stderr=subprocess.DEVNULL).split()


@pytest.mark.clock
def test_importing_the_package_costs_nothing_beyond_tensorflow():
    code = (
        "import time, tensorflow; start = time.perf_counter(); import gan_helpers; print(time.perf_counter() - start)"
    )
    assert float(python(code)[0]) < 0.2


def test_data_and_plotting_do_not_import_tensorflow():
    code = (
        "import sys; from gan_helpers import data, plotting; print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    assert python(code) == ["False", "False"]


def test_arrows_run_one_way():
    """plotting, widgets and the arena know no model class; data and metrics know neither losses nor models."""
    forbidden = {
        "data": ["arena", "losses", "metrics", "models", "plotting", "pretrained", "widgets"],
        "pretrained/__init__": ["arena", "losses", "metrics", "models", "plotting", "widgets"],
        "metrics": ["arena", "losses", "models", "plotting", "widgets"],
        "losses": ["arena", "metrics", "models", "plotting", "pretrained", "widgets"],
        "plotting": ["arena", "losses", "models", "pretrained", "widgets"],
        "widgets": ["arena", "losses", "models", "metrics", "pretrained"],
        "arena": ["models", "pretrained"],
        "models/gan": ["arena", "metrics", "pretrained", "widgets"],
        "models/training": ["arena", "losses", "metrics", "pretrained", "widgets"],
    }
    for module, others in forbidden.items():
        source = (ROOT / "gan_helpers" / f"{module}.py").read_text()
        imports = "\n".join(re.findall(r"^\s*(?:from|import) .*", source, re.M))
        for other in others:
            assert not re.search(rf"gan_helpers[. ](?:import )?{other}\b", imports), (module, other)


def test_no_pickle():
    for path in (ROOT / "gan_helpers").rglob("*.py"):
        source = path.read_text()
        assert "import pickle" not in source and "allow_pickle=True" not in source


def test_style():
    for command in (["check"], ["format", "--check"]):
        result = subprocess.run([sys.executable, "-m", "ruff", *command, str(ROOT)], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout


def test_address_is_set_everywhere_by_one_command(tmp_path):
    """On a copy: set another address, and find the old one nowhere."""
    places = [path.relative_to(ROOT) for path in all_notebooks()]
    for file in ("pyproject.toml", "tools/notebooks.py", *places):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes((ROOT / file).read_bytes())
    old = repository_address().removeprefix("https://github.com/")
    command = [sys.executable, "tools/notebooks.py", "address", "https://github.com/ada/lessons"]
    subprocess.run(command, cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": ""})
    assert old not in (tmp_path / "pyproject.toml").read_text(encoding="utf-8")
    for place in places:
        text = (tmp_path / place).read_text(encoding="utf-8")
        assert old not in text
        assert f"colab.research.google.com/github/ada/lessons/blob/main/{place.as_posix()}" in text
        assert "git+https://github.com/ada/lessons" in text
