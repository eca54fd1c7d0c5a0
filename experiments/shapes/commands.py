"""``train shapes``, ``resume shapes`` and ``report shapes``."""

from typing import Any

from experiments.experiment import Experiment
from experiments.shapes.recipe import PRESETS, Recipe
from lie_jax.training import RunFolder


def title(recipe: Recipe) -> str:
    """Tells runs of one model apart that differ in what studies change."""
    parts = [recipe.model, recipe.data]
    parts += [] if recipe.augment == "none" else [f"aug{recipe.augment}"]
    parts += [str(x) for x in (recipe.lift_method, recipe.lift_samples, recipe.pair_embedding) if x]
    return "-".join([*parts, recipe.features, f"epochs{recipe.epochs}", f"seed{recipe.seed}"])


def _run(folder: RunFolder, recipe: Recipe) -> None:
    from experiments.shapes.run import Run

    run = Run(recipe, folder)
    print(
        f"{recipe.train_size:,} constellations of {recipe.data} for {recipe.model}, "
        f"{run.parameters:,} parameters, {recipe.epochs * len(run.batches)} steps"
    )
    run.train()
    run.test()


def _show(folder: RunFolder, result: dict[str, Any]) -> None:
    from experiments.shapes.report import show

    show(folder, result)


SHAPES = Experiment(
    "shapes",
    Recipe,
    PRESETS,
    "Count the patterns in constellations: train, then test on still and moved clouds.",
    title,
    _run,
    _show,
)
