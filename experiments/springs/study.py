"""``study springs``: a grid of runs (model, training systems, seed), and the curve they draw.

Each run has its own folder and is resumed where it stopped; runs that are finished are not run
again. So the command may be stopped and given again at any time, and a grid may grow.
"""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from experiments import grid
from experiments.springs.commands import SPRINGS
from experiments.springs.recipe import PRESETS, ModelName, Recipe
from experiments.style import STYLE

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

PUBLISHED_SIZES = (10, 25, 50, 100, 400, 1_000, 3_000, 10_000, 30_000, 100_000)
PUBLISHED = {
    "lieconv-T2": (3.6e-3, 9.3e-4, 2.7e-4, 1.6e-4, 2.4e-5, 3.3e-5, 5e-6, 2.2e-6, 2.1e-7, 6e-8),
    "lietransformer-T2": (
        7.5e-4, 1.5e-4, 5.8e-5, 2.4e-5, 8.6e-6, 5.7e-6, 1.1e-6, 4.6e-7, 2.9e-7, 1.1e-7,
    ),
}  # fmt: skip
"""Test errors of the published networks, Hutchinson et al. (2021), figure 5."""


@dataclasses.dataclass(frozen=True)
class Study:
    """A grid of runs on springs."""

    models: tuple[ModelName, ...] = (
        "lietransformer-T2", "lietransformer-SE2", "lieconv-T2", "hfc", "fc",
    )  # fmt: skip
    """Networks."""
    sizes: tuple[int, ...] = (10, 25, 100)
    """Numbers of training systems."""
    seeds: tuple[int, ...] = (0,)
    """Seeds; each has its own training systems."""
    preset: Literal["quick", "full"] = "full"
    """Of all runs; what else a run is can be changed below."""
    steps: int | None = None
    """Updates of each run; None takes the preset's."""
    batch_size: int | None = None
    """Systems per update; None takes the preset's."""
    width: int | None = None
    """None takes the preset's."""
    layers: int | None = None
    """None takes the preset's."""
    root: Path = Path("runs/springs-study")
    """Folder of the study."""
    show_only: bool = False
    """Draw what is finished, run nothing."""

    def recipe(self, model: ModelName, size: int, seed: int) -> Recipe:
        """One run."""
        given = {
            name: value
            for name in ("steps", "batch_size", "width", "layers")
            if (value := getattr(self, name)) is not None
        }
        base = PRESETS[self.preset]
        # Several points of a learning curve also where a run is short.
        often = min(base.evaluate_every, max(1, (self.steps or base.steps) // 5))
        return dataclasses.replace(
            base, model=model, train_size=size, seed=seed, evaluate_every=often, **given
        )


def study(arguments: list[str]) -> None:
    """Runs what is not finished, smallest training sets first, then shows table and picture."""
    choice = tyro.cli(
        Study, args=arguments, prog="python -m experiments study springs", description=__doc__
    )
    if not choice.show_only:
        recipes = [
            choice.recipe(model, size, seed)
            for size in choice.sizes
            for seed in choice.seeds
            for model in choice.models
        ]
        grid.finish(SPRINGS, choice.root, {_name(recipe): recipe for recipe in recipes})
    show(choice.root)


def _name(recipe: Recipe) -> str:
    return f"{recipe.model}-n{recipe.train_size}-seed{recipe.seed}-steps{recipe.steps}"


def show(root: Path) -> None:
    """Table and picture of what is finished.

    Raises:
        FileNotFoundError: nothing is.
    """
    found = grid.results(SPRINGS, root)
    models = list(dict.fromkeys(r["model"] for r in found))
    sizes = sorted({r["train_size"] for r in found})
    table = Table(title="Test error of 5-point chunks, mean over seeds", title_justify="left")
    table.add_column("model")
    table.add_column("parameters", justify="right")
    for size in sizes:
        table.add_column(f"n = {size:,}", justify="right")
    for model in models:
        cells = []
        for size in sizes:
            errors = [r["mse"] for r in found if (r["model"], r["train_size"]) == (model, size)]
            cells.append(f"{np.mean(errors):.1e} ({len(errors)})" if errors else "")
        count = next(r["parameters"] for r in found if r["model"] == model)
        table.add_row(model, f"{count:,}", *cells)
    Console().print(table)
    print("in brackets: number of seeds")
    picture(found, root / "data_efficiency.png")
    print(f"picture  {root / 'data_efficiency.png'}")


def picture(found: list[dict[str, Any]], path: Path) -> None:
    """Error against training systems beside the published curves, against parameters, and along
    time, with how energy and angular momentum change, at the most systems that a model saw."""
    models = list(dict.fromkeys(r["model"] for r in found))
    colours = dict(zip(models, plt.get_cmap("tab10").colors, strict=False))  # pyright: ignore
    most = max(r["train_size"] for r in found)
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(2, 3, figsize=(14, 7.5), layout="constrained")
        _against_systems(found, colours, panels[0, 0])
        _against_parameters(found, colours, panels[0, 1])
        for run in (r for r in found if (r["train_size"], r["config"]["seed"]) == (most, 0)):
            _along_time(run, colours[run["model"]], (panels[0, 2], *panels[1]))
        panels[0, 2].set(title=f"n = {most:,}, seed 0", ylabel="mean squared error of (q, p)")
        panels[1, 0].set(ylabel="relative change of the true energy")
        panels[1, 1].set(ylabel="change of angular momentum")
        panels[1, 2].set(ylabel="change of momentum")
        figure.savefig(path)
        plt.close(figure)


def _against_systems(found: list[dict[str, Any]], colours: dict[str, Any], axes: Axes) -> None:
    for (name, errors), line in zip(PUBLISHED.items(), (":", "--"), strict=True):
        axes.loglog(
            PUBLISHED_SIZES, errors, line, color="black", linewidth=1, alpha=0.6,
            label=f"{name}, published",
        )  # fmt: skip
    for model, colour in colours.items():
        own = [r for r in found if r["model"] == model]
        sizes = sorted({r["train_size"] for r in own})
        means = [np.mean([r["mse"] for r in own if r["train_size"] == s]) for s in sizes]
        axes.loglog(sizes, means, "o-", color=colour, label=model)
        axes.plot([r["train_size"] for r in own], [r["mse"] for r in own], ".", color=colour)
    axes.set(xlabel="training systems n", ylabel="mean squared error of (q, p), 5-point chunks")
    axes.legend(frameon=False, fontsize=8)


def _against_parameters(found: list[dict[str, Any]], colours: dict[str, Any], axes: Axes) -> None:
    for model, colour in colours.items():
        own = [r for r in found if r["model"] == model]
        size = max(r["train_size"] for r in own)
        place = (own[0]["parameters"], np.mean([r["mse"] for r in own if r["train_size"] == size]))
        axes.loglog(*place, "o", color=colour)
        axes.annotate(
            f"{model}, n = {size:,}", place, xytext=(0, 6), ha="center",
            textcoords="offset points", fontsize=8, color=colour,
        )  # fmt: skip
    axes.set(xlabel="parameters", ylabel="the same, at the largest n")
    axes.margins(x=0.4, y=0.15)


def _along_time(run: dict[str, Any], colour: Any, panels: tuple[Axes, ...]) -> None:
    with np.load(run["folder"] / "rollouts.npz") as file:
        data = dict(file)
    energy = np.abs(data["energy"] / data["energy"][:, :1] - 1)
    spin, momentum = data["angular_momentum"], data["p"].sum(axis=-2)
    spin = spin.reshape(*spin.shape[:2])
    series = (
        data["error"],
        np.median(energy, axis=0),
        np.median(np.abs(spin - spin[:, :1]), axis=0),
        np.median(np.linalg.norm(momentum - momentum[:, :1], axis=-1), axis=0),
    )
    for axes, values in zip(panels, series, strict=True):
        axes.semilogy(data["ts"][1:], np.maximum(values[1:], 1e-9), color=colour)
        axes.set(xlabel="time")
