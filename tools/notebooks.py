"""Run the notebooks as a reader would and keep their outputs, or set the repository's address.

    python tools/notebooks.py run notebooks/05_gan_mnist.ipynb   # or none: all, with solutions
    python tools/notebooks.py seeds notebooks/05_gan_mnist.ipynb 0 1 2 3 4
    python tools/notebooks.py weights notebooks/05_gan_mnist.ipynb
    python tools/notebooks.py address https://github.com/someone/gan-course

`run` executes from top to bottom, writes the notebook back without widget state, timings and
warnings, and puts its picture for the README into docs/. `seeds` runs copies with these SEEDs
and prints what each leaves in `scores`. `weights` is `run`, and puts the networks that the notebook
has trained into gan_helpers/pretrained. `address` writes the address to pyproject.toml, every
badge and every setup cell.
"""

import base64
import re
import sys
import time
import tomllib
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
CELL_SECONDS = 900

# What a full run of a notebook leaves for gan_helpers/pretrained: arguments of `pretrained.save`.
SHIPPED = {
    "05_gan_mnist": "{'generator': gan.averaged_generator, 'reference': reference.generator}, history",
    "06_dcgan": "{'generator': dcgan.averaged_generator, 'features': features_of(dcgan.discriminator)},"
    " history | {'distances': list(short.values()), 'pictures': np.round(list(seen.values()), 1)}",
    "08_conditional_gan": "{'generator': cgan.averaged_generator, 'reference': reference.generator}, history",
    "09_infogan": "{'generator': infogan.averaged_generator, 'recogniser': infogan.recogniser,"
    " 'generator_two': infogan_two.averaged_generator, 'recogniser_two': infogan_two.recogniser}, history",
    "10_bigan": "{'generator': bigan.averaged_generator, 'encoder': bigan.averaged_encoder}, history"
    " | {'pure_copies': pure_copies, 'pure': [share_pure, error_pure, distance_pure], 'others': list(others.values())}",
    "11_cyclegan": "{**own, 'to_uci': digits.averaged_to_y, 'to_mnist': digits.averaged_to_x}, curves",
    "12_adversarial_autoencoder": "{'plain_encoder': plain.averaged_encoder, 'plain_decoder': plain.averaged_decoder,"
    " 'encoder': aae.averaged_encoder, 'decoder': aae.averaged_decoder, 'label_encoder': label_aae.averaged_encoder,"
    " 'label_decoder': label_aae.averaged_decoder, 'ten_encoder': ten.averaged_encoder,"
    " 'ten_decoder': ten.averaged_decoder}, history | others"
    " | {'by_labels': list(by_labels.values())[:2], 'watched': list(watched.values())}",
    "04_playground": "{**{name: gan.averaged_generator for name, gan in cured.items()},"
    " 'generator': plain[0].generator, 'discriminator': plain[0].discriminator},"
    " {'plain': plain_albums, 'cured': photographs.album}, np.float16",  # points show a finer error than pixels do
}


def lessons():
    """Paths of the notebooks, without the solutions, in reading order."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def all_notebooks():
    """Paths of the notebooks and, after them, of the solutions, in reading order."""
    return lessons() + sorted(NOTEBOOKS.glob("solutions/*.ipynb"))


def repository_address():
    """The one place where the address stands: `[project.urls]` of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]


def execute(notebook, manager=None, allow_errors=False):
    """Run `notebook` in place, with notebooks/ as its folder, in the kernel of `manager` or this one. Returns seconds.

    Raises CellExecutionError where a cell fails, unless errors are allowed.
    """
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        allow_errors=allow_errors,
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    )
    start = time.monotonic()
    client.execute()
    return time.monotonic() - start


def clean(notebook):
    """Drop what should not be committed: widget state and views, warnings, the kernel's version."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_front_end_only(output)]
    return notebook


def _is_front_end_only(output):
    is_widget = "application/vnd.jupyter.widget-view+json" in output.get("data", {})
    return is_widget or output.get("name") == "stderr"


def save_picture(notebook, name):
    """The figure of the cell tagged `readme-picture` goes to docs/, for the README's table."""
    for cell in notebook.cells:
        if "readme-picture" in cell.metadata.get("tags", []):
            figure = next(o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {}))
            (ROOT / "docs").mkdir(exist_ok=True)
            (ROOT / "docs" / f"{name}.png").write_bytes(base64.b64decode(figure))


def run(paths, keep_weights=False):
    for path in map(Path, paths) if paths else all_notebooks():
        notebook = nbformat.read(path, as_version=4)
        if keep_weights:
            code = f"from gan_helpers import pretrained\npretrained.save({path.stem!r}, {SHIPPED[path.stem]})"
            notebook.cells.append(nbformat.v4.new_code_cell(code))
        seconds = execute(notebook)
        if keep_weights:
            notebook.cells.pop()
        nbformat.write(clean(notebook), path)
        save_picture(notebook, path.stem)
        print(f"{path.name}: {seconds:.0f} s", flush=True)


def architectures():
    """Rewrite the architectures of all shipped networks as `pretrained.save` would today; no weight changes a bit."""
    import json

    import numpy as np

    from gan_helpers import pretrained

    for name in pretrained.names():
        arrays = pretrained.arrays_of(name)
        for key in (key for key in arrays if key.endswith("/architecture")):
            arrays[key] = np.array(json.dumps(pretrained.reduced(json.loads(str(arrays[key])))))
        pretrained.write_arrays(name, arrays)


def load_instead_of_training(notebook):
    """Turn the notebook's visible switch from training to loading; False if it has none."""
    switches = [cell for cell in notebook.cells if "\nTRAIN_NOW = True" in f"\n{cell.source}"]
    for cell in switches:
        cell.source = cell.source.replace("TRAIN_NOW = True", "TRAIN_NOW = False")
    return bool(switches)


def seeds(path, *numbers):
    """Run the notebook itself with other seeds: no claim of it may depend on a lucky one."""
    for seed in numbers:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.source = re.sub(r"^SEED = \d+", f"SEED = {seed}", cell.source, flags=re.M)
        # A notebook may leave its figures in a variable `scores`.
        memory = "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024"
        notebook.cells.append(
            nbformat.v4.new_code_cell(f"import resource\nprint(globals().get('scores', ''), {memory}, 'MB at most')")
        )
        try:
            seconds = execute(notebook)
            result = notebook.cells[-1].outputs[0].text.strip()
            print(f"SEED = {seed}: all claims hold, {seconds:.0f} s: {result}", flush=True)
        except CellExecutionError as error:
            print(f"SEED = {seed}: FAILED: {error.evalue}", flush=True)


def address(url):
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", url):
        raise SystemExit(f"expected an address such as https://github.com/someone/gan-course, not {url}")
    old, new = (u.removeprefix("https://github.com/") for u in (repository_address(), url))
    for path in [ROOT / "pyproject.toml", *all_notebooks()]:
        text = path.read_text(encoding="utf-8")
        # Badges carry github/OWNER/NAME, setup cells and pyproject.toml github.com/OWNER/NAME.
        text = re.sub(rf"(github(?:\.com)?/){re.escape(old)}(?=[/\"\s\\])", rf"\g<1>{new}", text)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    commands = {
        "run": lambda *paths: run(paths),
        "seeds": seeds,
        "weights": lambda *paths: run(paths, keep_weights=True),
        "architectures": architectures,
        "address": address,
    }
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        raise SystemExit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
