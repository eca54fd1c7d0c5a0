"""``train springs``, ``resume springs`` and ``report springs``."""

from typing import Any

from experiments.experiment import Experiment
from experiments.springs.recipe import PRESETS, Recipe
from lie_jax.training import RunFolder


def _run(folder: RunFolder, recipe: Recipe) -> None:
    from experiments.springs.run import Run

    run = Run(recipe, folder)
    print(
        f"{recipe.train_size:,} spring systems for {recipe.model}, {run.parameters:,} "
        f"parameters, {run.epochs * len(run.batches)} steps"
    )
    run.train()
    run.test()


def _show(folder: RunFolder, result: dict[str, Any]) -> None:
    from experiments.springs.report import show

    show(folder, result)


SPRINGS = Experiment(
    "springs",
    Recipe,
    PRESETS,
    "Learn the energy of spring systems from trajectories, then test and report.",
    lambda r: f"{r.model}-n{r.train_size}-{r.preset}-seed{r.seed}",
    _run,
    _show,
)
