"""``study springs``: a grid of runs (model, training systems, seed), and the curve they draw.

Each run has its own folder and is resumed where it stopped; runs that are finished are not run
again. So the command may be stopped and given again at any time, and a grid may grow.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from experiments.springs.commands import SPRINGS
from experiments.springs.recipe import PRESETS, ModelName, Recipe
from experiments.style import STYLE
from lie_jax import training

mpl.use("Agg")
import matplotlib.pyplot as plt

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
    grid: list[tuple[int, int, ModelName]] = [
        (size, seed, model)
        for size in choice.sizes
        for seed in choice.seeds
        for model in choice.models
    ]
    for size, seed, model in grid:
        if choice.show_only:
            break
        recipe = choice.recipe(model, size, seed)
        folder = _folder(choice.root, recipe)
        if folder.read("test") is None:
            try:
                SPRINGS.finish(folder, recipe)
            except FloatingPointError as error:
                # The others go on; the table shows the run as missing, the next call tries again.
                print(f"study springs: {folder.path}: {error}")
    show(choice.root)


def _folder(root: Path, recipe: Recipe) -> training.RunFolder:
    """The folder of a run; the same for the same recipe, so that it is found again."""
    name = f"{recipe.model}-n{recipe.train_size}-seed{recipe.seed}-steps{recipe.steps}"
    folder = training.RunFolder(root / name)
    if folder.read("config") is None:
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.write("config", dataclasses.asdict(recipe))
        folder.write("environment", training.environment())
    elif folder.config() != json.loads(json.dumps(dataclasses.asdict(recipe))):
        raise ValueError(
            f"study springs: {folder.path} holds a run of other settings; give another --root"
        )
    return folder


def results(root: Path) -> list[dict[str, Any]]:
    """Test results of all finished runs of a study, with seeds and steps."""
    found = []
    for path in sorted(root.glob("*/test.json")):
        config = training.RunFolder(path.parent).config()
        found.append(json.loads(path.read_text()) | {k: config[k] for k in ("seed", "steps")})
    return found


def show(root: Path) -> None:
    """Table and picture of what is finished.

    Raises:
        FileNotFoundError: nothing is.
    """
    found = results(root)
    if not found:
        raise FileNotFoundError(f"study springs: {root} holds no finished run")
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
    """Error against training systems beside the published curves, and against parameters."""
    colours = plt.get_cmap("tab10").colors  # pyright: ignore
    models = list(dict.fromkeys(r["model"] for r in found))
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
        for (name, errors), line in zip(PUBLISHED.items(), (":", "--"), strict=True):
            left.loglog(
                PUBLISHED_SIZES, errors, line, color="black", linewidth=1, alpha=0.6,
                label=f"{name}, published",
            )  # fmt: skip
        for model, colour in zip(models, colours, strict=False):
            own = [r for r in found if r["model"] == model]
            sizes = sorted({r["train_size"] for r in own})
            means = [np.mean([r["mse"] for r in own if r["train_size"] == s]) for s in sizes]
            left.loglog(sizes, means, "o-", color=colour, label=model)
            left.plot([r["train_size"] for r in own], [r["mse"] for r in own], ".", color=colour)
            largest = [r["mse"] for r in own if r["train_size"] == sizes[-1]]
            right.loglog(own[0]["parameters"], np.mean(largest), "o", color=colour)
            right.annotate(
                f"{model}, n = {sizes[-1]:,}", (own[0]["parameters"], float(np.mean(largest))),
                xytext=(5, 4), textcoords="offset points", fontsize=8, color=colour,
            )  # fmt: skip
        left.set(xlabel="training systems", ylabel="mean squared error of (q, p), 5-point chunks")
        left.legend(frameon=False, fontsize=8)
        right.set(xlabel="parameters", ylabel="the same, at the largest n")
        right.margins(x=0.3)
        figure.savefig(path)
        plt.close(figure)
