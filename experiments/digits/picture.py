"""The picture of the digits: what each network takes turned digits for, and accuracies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from experiments.compare.comparison import Result
from experiments.compare.settings import Settings
from experiments.digits import data
from experiments.style import BLUE, GREEN, GREY, ORANGE, RED, STYLE

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Patch

COLOURS = {"none": GREY, "C8": GREEN, "SO2": BLUE, "RxSO2": ORANGE}
SETS = {
    "upright": "upright",
    "rotated": "rotated",
    "scaled": "scaled",
    "both": "rotated and scaled",
}


def draw(results: Mapping[str, Result], settings: Settings, path: Path) -> None:
    """Writes the picture to a file."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(11, 8), layout="constrained")
        parts: Any = figure.subfigures(2, 1, height_ratios=(1.35, 1))
        above, below = parts
        _examples(above, results, settings)
        _bars(below.subplots(), results)
        figure.savefig(path)
        plt.close(figure)


def _examples(figure, results: Mapping[str, Result], settings: Settings) -> None:
    """Turned digits, and under each what every network takes it for."""
    _, test = data.load(settings.seed, settings.train_size, settings.test_size)
    points = data.shown(test)
    rows, columns = len(data.SHOWN), len(data.TURNS)
    axes = figure.subplots(rows, columns, subplot_kw={"aspect": "equal"})
    for i, ax in enumerate(axes.flat):
        row, column = divmod(i, columns)
        real = np.asarray(points.mask[i])
        x, y = np.asarray(points.coords[i])[real].T
        ink = np.asarray(points.values[i, :, 0])[real]
        ax.scatter(x, y, s=46, c=1 - 0.9 * ink, cmap="gray", vmin=0, vmax=1, marker="o", lw=0)
        ax.set(xlim=(-5.2, 5.2), ylim=(-5.2, 5.2), xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        if row == 0:
            ax.set_title(f"{np.degrees(data.TURNS[column]):.0f}°", fontsize=10)
        for place, (name, result) in enumerate(results.items()):
            told = result["shown"][i]
            wrong = told != data.SHOWN[row]
            box = {"boxstyle": "round,pad=0.15", "fc": "#fbdcdc", "ec": RED, "lw": 0.8}
            ax.text(
                (place + 0.5) / len(results), -0.1, str(told), transform=ax.transAxes,
                ha="center", va="center", color=COLOURS[name], fontsize=12, weight="bold",
                bbox=box if wrong else None,
            )  # fmt: skip
    figure.legend(
        handles=[Patch(color=COLOURS[name], label=name) for name in results],
        title="Turned digits, and what each network takes them for (wrong: boxed)",
        title_fontsize=11,
        loc="outside upper center",
        ncols=len(results),
        frameon=False,
    )


def _bars(axes, results: Mapping[str, Result]) -> None:
    """Accuracy on each test set."""
    width = 0.8 / len(results)
    for place, (name, result) in enumerate(results.items()):
        x = np.arange(len(SETS)) + (place - (len(results) - 1) / 2) * width
        height = [100 * result["accuracy"][key] for key in SETS]
        axes.bar(x, height, 0.92 * width, color=COLOURS[name])
        for a, b in zip(x, height, strict=True):
            axes.text(a, b + 1, f"{b:.0f}", ha="center", color=COLOURS[name], fontsize=9)
        axes.text(x[0], 3, name, rotation=90, ha="center", va="bottom", color="white", fontsize=9)
    axes.axhline(10, color="black", linewidth=0.8, linestyle=":")
    axes.text(len(SETS) - 0.58, 11, "guessing", fontsize=9)
    axes.set_xticks(range(len(SETS)), SETS.values())
    axes.set(xlim=(-0.6, len(SETS) - 0.25), ylim=(0, 105))
    axes.set(xlabel="test digits (trained on upright ones)", ylabel="accuracy (%)")
    axes.grid(False, axis="x")
