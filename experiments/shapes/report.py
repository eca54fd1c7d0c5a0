"""What a run gave: a table, the learning curve, examples, and attention as a cloud is turned."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.table import Table

import lie_jax as lj
from experiments.shapes import pictures
from experiments.shapes.recipe import MOTIONS, Recipe
from experiments.style import BLUE, GREY, STYLE
from lie_jax.training import RunFolder

mpl.use("Agg")
import matplotlib.pyplot as plt

_ANGLES = tuple(np.radians([0.0, 40.0, 130.0, 220.0]))
_SHOWN_POINTS = 14
MOVED = {"D": "as they are", "D_T2": "translated", "D_SE2": "turned and translated"}


def table(result: dict[str, Any]) -> Table:
    """Test accuracies, by pattern and data."""
    patterns = list(result["accuracy_of_pattern"]["D"])
    out = Table(
        title=f"{result['model']}, {result['parameters']:,} parameters, trained on "
        f"{result['data']} with features {result['features']}\n"
        f"{result['test_clouds']:,} test clouds; the commonest count is right in "
        f"{100 * result['accuracy_of_commonest']:.1f} %",
        title_justify="left",
    )
    out.add_column("accuracy, %")
    for name in (*patterns, "mean"):
        out.add_column(name, justify="right")
    for data in MOTIONS:
        shares = [*result["accuracy_of_pattern"][data].values(), result["accuracy"][data]]
        out.add_row(f"{data}: {MOVED[data]}", *(f"{100 * share:.1f}" for share in shares))
    return out


def learning_curve(run: RunFolder, result: dict[str, Any]) -> None:
    """Loss and validation accuracy by step, written to learning_curve.png."""
    records = run.log.read()
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
        for axes, key, label, colour in (
            (panels[0], "loss", "training loss", GREY),
            (panels[1], "validation_accuracy", "validation accuracy", BLUE),
        ):
            points = [(r["step"], r[key]) for r in records if key in r]
            axes.plot(*zip(*points, strict=True), color=colour)
            axes.set(xlabel="step", ylabel=label)
        panels[1].axhline(result["accuracy_of_commonest"], color=GREY, linestyle=":")
        panels[1].annotate(
            "commonest count", (0, result["accuracy_of_commonest"]), xytext=(2, 4),
            textcoords="offset points", color=GREY, fontsize=8,
        )  # fmt: skip
        figure.savefig(run.path / "learning_curve.png")
        plt.close(figure)


def attention(runs: Mapping[str, RunFolder], path: Path) -> bool:
    """Whom a point of a test cloud attends to in the last layer, as the cloud is turned.

    Args:
        runs: finished ones, by what stands beside their row.
        path: where to.

    Returns:
        Whether there is a picture: not where no network is a LieTransformer.
    """
    # Here, as the networks are slow to import for those who ask for help.
    from experiments.shapes.attention import turned, turned_maps
    from experiments.shapes.run import Run, load

    maps, places, cloud = {}, None, None
    for name, folder in runs.items():
        run = Run(Recipe(**folder.config()), folder)
        run.restore().close()
        network = run.network()
        if isinstance(network, lj.LieTransformer):
            clouds = load(run.recipe, "test", "D", run.recipe.test_size)
            row = int(np.abs(clouds.sizes - _SHOWN_POINTS).argmin())
            cloud = run.points(clouds, row)
            places = np.asarray(turned(cloud, _ANGLES).coords) / run.recipe.zoom
            maps[name] = turned_maps(network, cloud, _ANGLES, run.key)
    if cloud is None or places is None:
        return False
    pictures.attention_maps(path, maps, places, np.asarray(cloud.mask), _ANGLES)
    return True


def show(run: RunFolder, result: dict[str, Any]) -> None:
    """Prints the table and writes the pictures of a finished run."""
    learning_curve(run, result)
    pictures.examples(run.path / "examples.png")
    files = {
        "run folder": "",
        "learning curve": "learning_curve.png",
        "examples": "examples.png",
    }
    if attention({result["model"]: run}, run.path / "attention.png"):
        files["attention"] = "attention.png"
    console = Console()
    console.print(table(result))
    for label, name in files.items():
        console.print(f"{label:15} {run.path / name}", soft_wrap=True)
