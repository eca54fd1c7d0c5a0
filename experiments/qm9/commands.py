"""``train qm9``, ``resume qm9`` and ``report qm9``."""

from typing import Any

from experiments.experiment import Experiment
from experiments.qm9.recipe import Recipe
from experiments.qm9.recipes import PRESETS
from lie_jax.training import RunFolder


def _run(folder: RunFolder, recipe: Recipe, deadline: float | None = None) -> None:
    from experiments.qm9.run import Run, Task

    task = Task.load(recipe)
    run = Run(task, folder)
    (first, *others) = task.properties
    what = "12 properties" if others else f"{first.name} ({first.meaning}, {first.unit})"
    print(
        f"{len(task.rows['train']):,} molecules to learn {what}, {run.parameters:,} parameters, "
        f"{recipe.epochs} epochs of {len(run.batches)} steps"
    )
    if run.train(deadline=deadline):
        run.test()


def _show(folder: RunFolder, result: dict[str, Any]) -> None:
    from experiments.qm9.report import show

    show(folder, result)


QM9 = Experiment(
    "qm9",
    Recipe,
    PRESETS,
    "Train a network on properties of molecules, then test and report.",
    lambda r: f"{r.target}-{r.group}-{r.preset}-seed{r.seed}",
    _run,
    _show,
)
