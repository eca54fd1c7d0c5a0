"""The picture of the jets: one of each kind, at rest and boosted; accuracy against rapidity."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np

from experiments.compare.comparison import Result
from experiments.compare.settings import Settings
from experiments.jets import data
from experiments.jets.lorentz import boost
from experiments.style import BLUE, GREEN, GREY, ORANGE, STYLE

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {
    "T4": GREY,
    "T4-augmented": GREEN,
    "Lorentz-random": ORANGE,
    "Lorentz-frame": BLUE,
}
KINDS = ("one prong", "two prongs")


def draw(results: Mapping[str, Result], settings: Settings, path: Path) -> None:
    """Writes the picture to a file."""
    del settings
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(11, 4.8), layout="constrained")
        parts: Any = figure.subfigures(1, 2, width_ratios=(1, 1.25))
        left, right = parts
        _examples(left)
        _accuracies(right.subplots(), results)
        figure.savefig(path)
        plt.close(figure)


def _examples(figure) -> None:
    """Momenta of the pions of two jets in the plane of x and z."""
    jets = data.jets(jax.random.key(2), 2)
    momenta = data.UNIT * np.asarray(jets.points.coords)
    along_x = np.asarray(boost(jnp.float32(2), jnp.asarray([1.0, 0, 0])))
    axes = figure.subplots(2, 2)
    for row, kind in enumerate(KINDS):
        real = momenta[row][np.asarray(jets.points.mask[row])]
        for ax, p in zip(axes[row], (real, real @ along_x.T), strict=True):
            for _, x, _, z in p:
                ax.annotate(
                    "", (x, z), (0, 0), arrowprops={"arrowstyle": "->", "color": BLUE, "lw": 1.2}
                )
            low, high = min(-1, p[:, 1].min()), max(1, p[:, 1].max())
            across = 1.1 * np.abs(p[:, 3]).max()
            ax.set(xlim=(1.1 * low, 1.1 * high), ylim=(-across, across))
            if row == 1:
                ax.set_xlabel("$p_x$ (GeV)")
        axes[row, 0].set_ylabel(f"{kind}\n$p_z$ (GeV)")
    axes[0, 0].set_title("as trained on", fontsize=10)
    axes[0, 1].set_title("boosted along x, rapidity 2", fontsize=10)


def _accuracies(axes, results: Mapping[str, Result]) -> None:
    """Accuracy against the rapidity of the test jets."""
    ends = []
    for name, result in results.items():
        x, y = result["rapidity"], 100 * np.asarray(result["accuracy"])
        axes.plot(x, y, "o-", color=COLOURS[name], markersize=4)
        ends.append((y[-1], x[-1], name))
    above = -np.inf
    for y, x, name in sorted(ends):
        above = max(above + 3.2, y)  # lines of text must not overlap
        axes.text(x + 0.06, above, name, color=COLOURS[name], va="center")
    axes.plot([0, 2.5], [50, 50], color="black", linewidth=0.8, linestyle=":")
    axes.text(0, 47.5, "guessing")
    axes.set(xlim=(-0.1, 3.9), ylim=(45, 100), xticks=np.arange(0, 2.6, 0.5))
    axes.set(xlabel="rapidity of the boost of the test jets", ylabel="accuracy (%)")
