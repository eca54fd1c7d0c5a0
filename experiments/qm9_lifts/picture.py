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
        size = (13, 1.4 + 0.42 * len(names))
        figure, (error, spread, step, prediction) = plt.subplots(
            1, 4, figsize=size, sharey=True, layout="constrained"
        )
        values = [results[name]["mae"] for name in names]
        deviations = [results[name]["mae_standard_error"] for name in names]
        drawn = error.barh(y, values, 0.7, color=colours, xerr=deviations, error_kw={"lw": 1})
        error.bar_label(drawn, fmt="%.1f", padding=6)
        ridge = results[names[0]]["ridge_mae"]
        error.axvline(ridge, color="black", linewidth=0.8, linestyle=":")
        error.annotate(
            "ridge on\natom counts", (ridge, 1), xycoords=("data", "axes fraction"), va="top",
            xytext=(-4, 0), textcoords="offset points", ha="right", fontsize=9,
        )  # fmt: skip
        error.set(xlabel="test error (bohr²)", title="error")
        error.set_yticks(y, names)

        for motion, face in (("any rotation", True), ("quarter turns", False)):
            values = [results[name]["spread"][motion] for name in names]
            spread.scatter(
                values, y, s=55, c=colours if face else "white", edgecolors=colours, lw=1.5
            )
        spread.set(xscale="log", xlabel="for a turned molecule (bohr²)")
        spread.set_title("spread: ● any rotation,\n○ quarter turns")

        for axes, key, form, title, label in (
            (step, "milliseconds_per_step", "%.0f", "training", "a step (ms)"),
            (prediction, "milliseconds_per_cloud", "%.2g", "prediction", "a molecule (ms)"),
        ):
            values = [results[name][key] for name in names]
            drawn = axes.barh(y, values, 0.7, color=colours)
            axes.bar_label(drawn, fmt=form, padding=3)
            axes.set(xlabel=label, title=title)
            axes.margins(x=0.2)
        for axes in (error, spread, step, prediction):
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
