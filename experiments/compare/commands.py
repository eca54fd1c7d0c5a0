"""``compare NAME``, and ``resume NAME`` and ``report NAME`` of its runs."""

import tyro
from rich.console import Console

from experiments.compare import table
from experiments.compare.comparison import Comparison
from experiments.compare.run import run
from experiments.compare.settings import Settings
from experiments.run_argument import run_folder
from lie_jax import training


def compare(comparison: Comparison, arguments: list[str]) -> None:
    """Trains and tests every variant, then shows the table and draws the picture."""
    settings = tyro.cli(
        Settings,
        default=comparison.quick if "--quick" in arguments else comparison.full,
        args=arguments,
        prog=f"python -m experiments compare {comparison.name}",
        description=comparison.title,
    )
    comparison.chosen(settings)
    name = f"seed{settings.seed}" + ("-quick" if settings.quick else "")
    folder = training.RunFolder.create("runs", f"compare-{comparison.name}", name, settings)
    _finish(comparison, settings, folder)


def resume(comparison: Comparison, arguments: list[str]) -> None:
    """Goes on with an interrupted comparison; what is finished is not trained again."""
    folder = run_folder(
        arguments,
        f"resume {comparison.name}",
        "Go on with a comparison: variants that are finished are not trained again.",
    )
    _finish(comparison, _settings(comparison, folder), folder)


def report(comparison: Comparison, arguments: list[str]) -> None:
    """Shows a finished comparison again.

    Raises:
        FileNotFoundError: a variant has no result yet.
    """
    folder = run_folder(
        arguments,
        f"report {comparison.name}",
        "Show the table and draw the picture of a finished comparison.",
    )
    _show(comparison, _settings(comparison, folder), folder)


def _settings(comparison: Comparison, folder: training.RunFolder) -> Settings:
    """What the folder's run was asked for.

    Raises:
        ValueError: it is a run of another recipe.
    """
    config = folder.config()
    if folder.path.resolve().parent.name != f"compare-{comparison.name}":
        raise ValueError(f"{folder.path} must be a run of compare {comparison.name}")
    config["variants"] = tuple(config["variants"])  # JSON has lists only
    return Settings(**config)


def _finish(comparison: Comparison, settings: Settings, folder: training.RunFolder) -> None:
    print(
        f"{len(settings.variants)} symmetries, each trained for {settings.steps} steps of "
        f"{settings.batch_size} examples\n"
        f"stop at any time, go on with: python -m experiments resume {comparison.name} "
        f"{folder.path}"
    )
    run(comparison, settings, folder)
    _show(comparison, settings, folder)


def _show(comparison: Comparison, settings: Settings, folder: training.RunFolder) -> None:
    results = folder.read("results") or {}
    missing = [v.name for v in comparison.chosen(settings) if v.name not in results]
    if missing:
        raise FileNotFoundError(
            f"report: {folder.path} has no results for {', '.join(missing)}, it is not finished: "
            f"python -m experiments resume {comparison.name} {folder.path}"
        )
    path = folder.path / "table.md"
    path.write_text(table.markdown(comparison, results))
    picture = folder.path / f"{comparison.name}.png"
    comparison.draw(results, settings, picture)
    console = Console()
    console.print(table.terminal(comparison, results))
    console.print(comparison.notes)
    for what, where in (("run folder", folder.path), ("table", path), ("picture", picture)):
        console.print(f"{what:<12}{where}", soft_wrap=True)
