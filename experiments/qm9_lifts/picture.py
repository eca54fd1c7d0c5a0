"""The picture of the molecules: error, spread and cost of every variant beside each other."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np

from experiments.compare.comparison import Result
from experiments.compare.settings import Settings
from experiments.style import BLUE, GREEN, GREY, ORANGE, STYLE

mpl.use("Agg")
import matplotlib.pyplot as plt


def draw(results: Mapping[str, Result], settings: Settings, path: Path) -> None:
    """Writes the picture to a file."""
    del settings
    names = list(results)
    y = np.arange(len(names))[::-1]
    colours = [_colour(name) for name in names]
    with plt.rc_context(STYLE):
        size = (11, 1.4 + 0.42 * len(names))
        figure, (error, spread, cost) = plt.subplots(
            1, 3, figsize=size, sharey=True, layout="constrained"
        )
        values = [results[name]["mae"] for name in names]
        deviations = [results[name]["mae_standard_error"] for name in names]
        error.barh(y, values, 0.7, color=colours, xerr=deviations, error_kw={"lw": 1})
        ridge = results[names[0]]["ridge_mae"]
        error.axvline(ridge, color="black", linewidth=0.8, linestyle=":")
        error.annotate(
            "ridge on\natom counts", (ridge, 1), xycoords=("data", "axes fraction"), va="top",
            xytext=(-4, 0), textcoords="offset points", ha="right", fontsize=9,
        )  # fmt: skip
        error.set(xlabel="test error (bohr²)", title="error")
        error.set_yticks(y, names)

        values = [results[name]["spread"]["any rotation"] for name in names]
        spread.barh(y, values, 0.7, color=colours)
        spread.set_xscale("log")
        spread.set(xlabel="of predictions of a turned molecule (bohr²)", title="spread")

        values = [results[name]["milliseconds_per_step"] for name in names]
        cost.barh(y, values, 0.7, color=colours)
        cost.set_xscale("log")
        cost.set(xlabel="of a training step (ms)", title="time")
        for axes in (error, spread, cost):
            axes.grid(False, axis="y")
            axes.tick_params(axis="y", length=0)
        figure.savefig(path)
        plt.close(figure)


def _colour(name: str) -> str:
    """By how the rotations are brought in."""
    if name.startswith("T3"):
        return GREY
    if name.startswith("SE3"):
        return BLUE if "frame" in name else ORANGE
    return GREEN
