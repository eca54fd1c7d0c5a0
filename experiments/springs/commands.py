"""``train springs``, ``resume springs`` and ``report springs``."""

import time

import tyro

from experiments.run_argument import preset_of, run_folder
from experiments.springs.recipe import PRESETS, Recipe
from lie_jax import training


def train(arguments: list[str]) -> None:
    """Trains by a preset, each of whose values can be changed, then evaluates and reports."""
    recipe = tyro.cli(
        Recipe,
        default=PRESETS[preset_of(arguments, PRESETS)],
        args=arguments,
        prog="python -m experiments train springs",
        description="Learn the energy of spring systems from trajectories, then test and report.",
    )
    name = f"{recipe.model}-n{recipe.train_size}-{recipe.preset}-seed{recipe.seed}"
    finish(training.RunFolder.create("runs", "springs", name, recipe), recipe)


def resume(arguments: list[str]) -> None:
    """Goes on with an interrupted run from its last checkpoint."""
    folder = run_folder(arguments, "resume springs", "Go on with a run from its last checkpoint.")
    finish(folder, Recipe(**folder.config()))


def report(arguments: list[str]) -> None:
    """Prints the table and draws the plots of a finished run."""
    from experiments.springs.report import show

    folder = run_folder(
        arguments, "report springs", "Show the table and draw the plots of a finished run."
    )
    folder.config()
    show(folder)


def finish(folder: training.RunFolder, recipe: Recipe) -> None:
    """Trains what is left of a run, tests it once, shows it."""
    from experiments.springs.report import show
    from experiments.springs.run import Run

    start = time.perf_counter()
    if folder.read("test") is None:
        run = Run(recipe, folder)
        print(
            f"{recipe.train_size:,} spring systems for {recipe.model}, {run.parameters:,} "
            f"parameters, {run.epochs * len(run.batches)} steps"
        )
        print(f"stop at any time, go on with: python -m experiments resume springs {folder.path}")
        run.train()
        run.test()
        seconds = round(time.perf_counter() - start, 1)
        folder.write("duration", {"seconds_of_the_last_session": seconds})
    show(folder)
