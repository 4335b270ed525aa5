"""What was measured over many runs, and how the run just made compares with it.

A record is the file of one experiment: a row of measures for each variant and each seed, as
`python tools/experiments.py` left it. The experiment itself is a function in a notebook.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from gan_helpers.plotting import NEUTRAL, OTHERS

FOLDER = Path(__file__).parent
BESIDE = ("seed", "seconds")  # what a row holds beside its measures


def names():
    """What can be read: names, such as "03_swings"."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def read(name):
    """A record, by number of the notebook and name of the experiment.

    Args:
        name: such as "03_swings".

    Returns:
        dict from variant to dict from measure to float array `(seeds,)`, in the order of the seeds. Beside what the
        experiment measures there are "seed" and "seconds", how long the run took on one thread.

    Raises:
        FileNotFoundError: there is no such record.
        ValueError: the file is damaged, or another seed has other measures.
    """
    if name not in names():
        raise FileNotFoundError(f"there is no record {name!r}, only {', '.join(names())}.")
    try:
        rows = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["rows"]
        variants = list(dict.fromkeys(row["variant"] for row in rows))
        by_variant = {variant: [row for row in rows if row["variant"] == variant] for variant in variants}
        keys = [key for key in rows[0] if key != "variant"]
        return {
            variant: {key: np.array([row[key] for row in some], float) for key in keys}
            for variant, some in by_variant.items()
        }
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"the record {name}.json is damaged: reinstall gan_helpers.") from error


def strays(record, live):
    """Where the run just made is unlike the recorded ones: a list of sentences, empty if nowhere.

    A measure strays if it lies outside of the `n` recorded values by more than 10/n times the distance from their
    lowest to their highest. A run of the same algorithm does so once in 190 times (5 seeds) to 560 (40 seeds) if the
    measure is normal, and once in 40 to 90 if it is as skewed as an exponential; where all seeds agree, it must agree.

    Args:
        record: what `read` returns.
        live: dict from variant to row, such as `{"plain": experiment("plain", SEED)}`.

    Raises:
        ValueError: `live` is empty, or has a variant that was not recorded, or other measures.
    """
    if not live:
        raise ValueError("live must hold at least one variant of the record.")
    found = []
    for variant, row in live.items():
        if variant not in record:
            raise ValueError(f"there is no variant {variant!r} in the record, only {', '.join(record)}.")
        measures = {key: seen for key, seen in record[variant].items() if key not in BESIDE}
        if row.keys() != measures.keys():
            raise ValueError(f"the record measures {', '.join(measures)}, not {', '.join(row)}.")
        for key, seen in measures.items():
            low, high = seen.min(), seen.max()
            slack = 10 / len(seen) * (high - low) + 1e-6 * max(abs(low), abs(high))  # records are rounded
            if not low - slack <= row[key] <= high + slack:  # NaN strays as well
                found.append(f"{variant}: {key} is {row[key]:.4g}, recorded {low:.4g} to {high:.4g}")
    return found


def dots(record, measure, live=None, lines=None, ax=None):
    """A dot for each recorded seed, in a row for each variant, with a stroke at the median. Returns the axes.

    Args:
        record: what `read` returns.
        measure: name of one of its measures.
        live: dict from variant to row, drawn as a diamond.
        lines: dict from label to value, such as a floor that real data have.
    """
    ax = ax or plt.figure(figsize=(8, 0.6 + 0.45 * len(record))).gca()
    for y, (variant, seen) in enumerate(record.items()):
        values = seen[measure]
        # Dots that would hide one another are set apart, up and down in turn.
        ax.scatter(values, y + 0.12 * (np.arange(len(values)) % 3 - 1), s=28, color=OTHERS[0], alpha=0.7, linewidths=0)
        ax.plot(2 * [np.median(values)], [y - 0.32, y + 0.32], color="black", linewidth=2)
        if live and variant in live:
            ax.scatter(live[variant][measure], y, s=70, marker="D", facecolor="none", edgecolor="black", zorder=3)
    for label, value in (lines or {}).items():
        ax.axvline(value, color=NEUTRAL, linestyle=":")
        ax.text(value, -0.6, label, ha="center", va="bottom", fontsize=11, color=NEUTRAL)
    ax.set(yticks=range(len(record)), yticklabels=list(record), ylim=(len(record) - 0.5, -0.6), xlabel=measure)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def table(record, *measures):
    """A text: for each variant the number of seeds, and median and (lowest to highest) of measures; all if none."""
    first = next(iter(record.values()))
    measures = measures or tuple(key for key in first if key not in BESIDE)
    rows = [["", "seeds", *measures]]
    for variant, seen in record.items():
        cells = [f"{np.median(v):.3g} ({v.min():.3g} to {v.max():.3g})" for v in map(seen.get, measures)]
        rows.append([variant, str(len(seen["seed"])), *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
