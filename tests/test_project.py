"""The project's own promises: versions in step, quick imports, style, no stray names."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from tools import notebooks
from tools.notebooks import ROOT, all_notebooks, repository_address

README = (ROOT / "README.md").read_text(encoding="utf-8")


def pins():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return dict(re.fullmatch(r"([\w.-]+)==(\S+)", line).groups() for line in lines if line and line[0] not in "#-")


def test_requirements_are_exact_and_install_no_folder():
    """A line `-e .` would mean the folder where pip is called, and might install another project."""
    for file in ("requirements.txt", "colab-requirements.txt", "lowest-requirements.txt"):
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        wrong = [line for line in lines if line and not re.fullmatch(r"#.*|[\w.-]+==[\w.]+", line)]
        assert not wrong, (file, wrong)
    assert len(pins()) > 50


def test_conda_environment_takes_the_same_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, pip, (_, from_pip) = *environment["dependencies"][:2], next(iter(environment["dependencies"][2].items()))
    assert pip == "pip" and from_pip == ["-r requirements.txt", "-e ."]
    low, high = (3, 11), (3, 13)
    assert low <= tuple(map(int, python.removeprefix("python=").split("."))) <= high


def test_package_is_loose_and_agrees_with_the_pins():
    project = notebooks.project()
    assert project["requires-python"] == ">=3.11"
    for requirement in project["dependencies"]:
        name, low = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups()
        assert name not in ("tensorflow-cpu", "ipython", "ipykernel")
        version = lambda text: [int(part) for part in text.split(".")]  # noqa: E731
        assert version(pins()[name]) >= version(low)


@pytest.mark.parametrize("command", re.findall(r"^python3 -m venv .*", README, re.M))
def test_commands_of_the_readme_install_the_helpers_of_this_folder(command):
    assert "install --quiet -r requirements.txt -e . &&" in command


def copy_of_the_project(folder):
    """Of what carries the address and the version."""
    files = ("pyproject.toml", "CITATION.cff", "CHANGELOG.md", "gan_helpers/__init__.py")
    for file in (
        *files,
        "tools/notebooks.py",
        "tools/statements.py",
        *[path.relative_to(ROOT) for path in all_notebooks()],
    ):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes((ROOT / file).read_bytes())


def assert_one_version(root, number):
    text = lambda file: (root / file).read_text(encoding="utf-8")  # noqa: E731
    assert f'\nversion = "{number}"\n' in text("pyproject.toml")
    assert f'\n__version__ = "{number}"\n' in text("gan_helpers/__init__.py")
    assert f"\nversion: {number}\n" in text("CITATION.cff")
    for path in all_notebooks():
        notebook = text(path.relative_to(ROOT))
        tags = re.findall(r"/blob/([^/]+)/notebooks/|git\+https[^@\"\\\s]*(@[^\"\\\s]*)?", notebook)
        assert tags == [(f"v{number}", ""), ("", f"@v{number}")], path


def test_all_places_agree_on_the_version():
    number = notebooks.project()["version"]
    assert_one_version(ROOT, number)
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)[1] == number


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


@pytest.mark.parametrize("module", ["losses", "metrics", "game", "pretrained", "models.gan", "models.training"])
def test_any_module_may_be_the_first_that_is_imported(module):
    assert python(f"import gan_helpers.{module}; print('imported')") == ["imported"]


def test_arrows_run_one_way():
    """plotting, widgets and the arena know no model class; data and metrics know neither losses nor models."""
    figures = ["arena", "plotting", "widgets"]
    forbidden = {
        "checks": ["data", "game", "losses", "metrics", "models", "pretrained", *figures],
        "data": ["game", "losses", "metrics", "models", "pretrained", *figures],
        "evidence/__init__": ["arena", "game", "losses", "metrics", "models", "pretrained", "widgets"],
        "pretrained/__init__": ["game", "losses", "metrics", "models", *figures],
        "metrics": ["game", "losses", "models", *figures],
        "evaluation": ["game", "losses", "models", "pretrained", *figures],
        "losses": ["game", "metrics", "models", "pretrained", *figures],
        "plotting": ["arena", "game", "losses", "models", "pretrained", "widgets"],
        "live/__init__": ["data", "game", "losses", "metrics", "models", "pretrained", *figures],
        "widgets": ["arena", "game", "losses", "models", "metrics", "pretrained"],
        "game": ["models", "pretrained", *figures],
        "arena": ["models", "pretrained"],
        "models/gan": ["game", "metrics", "pretrained", *figures],
        "models/augment": ["game", "losses", "metrics", "pretrained", *figures],
        "models/training": ["game", "losses", "metrics", "pretrained", *figures],
    }
    for module, others in forbidden.items():
        source = (ROOT / "gan_helpers" / f"{module}.py").read_text(encoding="utf-8")
        imports = "\n".join(re.findall(r"^\s*(?:from|import) .*", source, re.M))
        for other in others:
            assert not re.search(rf"gan_helpers[. ](?:import )?{other}\b", imports), (module, other)


def test_no_pickle():
    for path in (ROOT / "gan_helpers").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert "import pickle" not in source and "allow_pickle=True" not in source


def test_address_is_set_everywhere_by_one_command(tmp_path):
    """On a copy: set another address, and find the old one nowhere."""
    places = [path.relative_to(ROOT) for path in all_notebooks()]
    copy_of_the_project(tmp_path)
    old = repository_address().removeprefix("https://github.com/")
    command = [sys.executable, "tools/notebooks.py", "address", "https://github.com/ada/lessons"]
    subprocess.run(command, cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": ""})
    assert old not in (tmp_path / "pyproject.toml").read_text(encoding="utf-8")
    tag = f"v{notebooks.project()['version']}"
    for place in places:
        text = (tmp_path / place).read_text(encoding="utf-8")
        assert old not in text
        assert f"colab.research.google.com/github/ada/lessons/blob/{tag}/{place.as_posix()}" in text
        assert f"git+https://github.com/ada/lessons@{tag}" in text
