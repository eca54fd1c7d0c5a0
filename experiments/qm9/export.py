"""``export qm9``: a finished run as one file that ``lie-jax predict`` and others read."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from experiments.qm9.models import is_pooled_inside, poolings
from experiments.qm9.recipe import Recipe
from experiments.qm9.run import Run, Task
from lie_jax import predict, training
from lie_jax.data import qm9

LIMITS = (
    "For neutral molecules of H, C, N, O, F like those of QM9: up to nine atoms besides hydrogen, "
    "at their B3LYP/6-31G(2df,p) minimum. Geometries away from a minimum were never seen, so "
    "forces and reaction paths are not supported by the data."
)
DATA = (
    "QM9 (Ramakrishnan et al., 2014), B3LYP/6-31G(2df,p); {split} split, {count:,} molecules to "
    "train on"
)


@dataclasses.dataclass(frozen=True)
class Export:
    """A finished run as a checkpoint of lie_jax.predict."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="Folder of the run.")]
    to: Path
    """File to write."""
    coverage: float = 0.9
    """Of the intervals, which are calibrated on the validation molecules."""


def export(arguments: list[str]) -> None:
    """Writes the file: weights, units, domain, intervals, card."""
    choice = tyro.cli(
        Export, args=arguments, prog="python -m experiments export qm9", description=__doc__
    )
    folder = training.RunFolder(choice.run)
    recipe = Recipe(**folder.config())
    result = folder.read("test")
    if result is None:
        raise FileNotFoundError(
            f"export: {choice.run} has no test.json, it is not finished: "
            f"python -m experiments resume qm9 {choice.run}"
        )
    run = Run(Task.load(recipe), folder)
    run.restore()
    path = predict.save(
        choice.to, card(run, result, choice.coverage), run.weights(run.state), run.state.model_state
    )
    print(f"{path}  ({path.stat().st_size / 2**20:.1f} MiB)")


def card(run: Run, result: dict, coverage: float) -> predict.Card:
    """What is known of a finished run, with intervals from its validation molecules.

    They took part in no update; they did in choosing the recipe.
    """
    task, recipe = run.task, run.task.recipe
    rows = task.rows["validation"]
    y, _ = run.predict_split("validation")
    uncertainty = predict.calibrate(
        y - task.targets[rows], task.molecules.num_atoms[rows], coverage
    )
    mean, std = task.scaling
    pooled = [None if is_pooled_inside(recipe) else name for name in poolings(recipe)]
    symbols = {number: symbol for symbol, number in qm9.SYMBOLS.items()}
    targets = tuple(
        predict.Target(
            name=p.name,
            unit=p.unit,
            meaning=p.meaning,
            mean=float(mean[i]),
            std=float(std[i]),
            references={
                symbols[number]: float(task.references[row, i])
                for row, number in enumerate(qm9.CHARGES)
            },
            pooled=pooled[i],  # pyright: ignore (one of the two names)
            test_mae=result["errors"][i]["mae"],
            scale_note="from the free atoms' energies" if "atomisation" in p.meaning else "",
        )
        for i, p in enumerate(task.properties)
    )
    environment = run.folder.read("environment") or {}
    train = task.rows["train"]
    return predict.Card(
        model=predict.describe_model(run.model),
        targets=targets,
        domain=predict.Domain.of(task.molecules.take(train)),
        uncertainty=uncertainty,
        augmentations=recipe.test_samples,
        seed=recipe.seed,
        data=DATA.format(split=recipe.split, count=len(train)),
        recipe=f"python -m experiments train qm9 --preset {recipe.preset} --target {recipe.target} "
        f"--epochs {recipe.epochs} --seed {recipe.seed}",
        licence="MIT",
        limits=LIMITS,
        commit=(environment.get("commit") or "not recorded")
        + (" with uncommitted changes" if environment.get("uncommitted_changes") else ""),
        trained={
            "steps": result["step"],
            "epochs": recipe.epochs,
            "parameters": result["parameters"],
            "hours": round(run.folder.log.seconds() / 3600, 2),
            "hardware": environment.get("hardware", "not recorded"),
            "test_molecules": result["test_molecules"],
        },
    )
