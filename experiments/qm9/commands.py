"""``train qm9``, ``resume qm9`` and ``report qm9``."""

import time

import tyro

from experiments.qm9.recipe import PRESETS, Recipe
from experiments.run_argument import preset_of, run_folder
from lie_jax import training


def train(arguments: list[str]) -> None:
    """Trains by a preset, each of whose values can be changed, then evaluates and reports."""
    recipe = tyro.cli(
        Recipe,
        default=PRESETS[preset_of(arguments, PRESETS)],
        args=arguments,
        prog="python -m experiments train qm9",
        description="Train a LieTransformer on a property of molecules, then test and report.",
    )
    name = f"{recipe.target}-{recipe.group}-{recipe.preset}-seed{recipe.seed}"
    _finish(training.RunFolder.create("runs", "qm9", name, recipe), recipe)


def resume(arguments: list[str]) -> None:
    """Goes on with an interrupted run from its last checkpoint."""
    folder = run_folder(arguments, "resume qm9", "Go on with a run from its last checkpoint.")
    _finish(folder, Recipe(**folder.config()))


def report(arguments: list[str]) -> None:
    """Prints the table and draws the plots of a finished run."""
    from experiments.qm9.report import show

    folder = run_folder(
        arguments, "report qm9", "Show the table and draw the plots of a finished run."
    )
    folder.config()
    show(folder)


def _finish(folder: training.RunFolder, recipe: Recipe) -> None:
    from experiments.qm9.report import show
    from experiments.qm9.run import Run, Task

    start = time.perf_counter()
    if folder.read("test") is None:
        task = Task.load(recipe)
        run = Run(task, folder)
        print(
            f"{len(task.rows['train']):,} molecules to learn {recipe.target} "
            f"({task.property.meaning}, {task.property.unit}), {run.parameters:,} parameters, "
            f"{recipe.epochs} epochs of {len(run.batches)} steps"
        )
        print(f"stop at any time, go on with: python -m experiments resume qm9 {folder.path}")
        run.train()
        run.test()
        seconds = round(time.perf_counter() - start, 1)
        folder.write("duration", {"seconds_of_the_last_session": seconds})
    show(folder)
