"""``study qm9``: rows of the published table, by property and seed, in pieces of bounded time.

Each run has its own folder and goes on from its last checkpoint; runs that are finished are not
run again. So the command may be stopped, killed and given again at any time, with other rows too.
"""

import dataclasses
import time
from pathlib import Path
from typing import Literal, get_args

import tyro

from experiments import grid
from experiments.qm9.commands import QM9
from experiments.qm9.recipe import Recipe, TargetName
from experiments.qm9.recipes import PRESETS
from experiments.qm9.table import table

ROOT = Path("runs/qm9-study")

RowName = Literal[
    "lietransformer-T3", "lietransformer-T3-aug", "lietransformer-SE3", "lietransformer-SE3-aug",
    "lieconv-T3", "lieconv-T3-aug", "lieconv-SE3", "lieconv-SE3-aug", "distances", "quick",
]  # fmt: skip
SMALL = {
    "train_size": 20_000, "validation_size": 4_000, "epochs": 6, "batch_size": 64, "layers": 3,
    "learning_rate": 2e-3, "warmup": 100, "clip": 1.0, "ema_decay": 0.995, "buckets": 4,
    "evaluate_every": 1,
}  # fmt: skip
"""What ``--scale small`` changes: minutes on a core, for comparisons at a fixed budget."""
SMALL_WIDTH = {"lietransformer": 64, "lieconv": 256}


@dataclasses.dataclass(frozen=True)
class Study:
    """Runs of rows of the table."""

    rows: tuple[RowName, ...] = get_args(RowName)[:-2]
    """Rows; the first eight are the published table's."""
    targets: tuple[TargetName, ...] = get_args(TargetName)[:-1]
    """Properties."""
    seeds: tuple[int, ...] = (0,)
    """Of initial weights and order."""
    split: Literal["cormorant", "dimenet"] = "cormorant"
    """100,000 molecules to train on, as the published table; or 110,000, as today's models."""
    scale: Literal["full", "small"] = "full"
    """Sizes and epochs as published, or small ones, minutes on a core."""
    epochs: int | None = None
    """None takes the row's."""
    train_size: int | None = None
    """None takes the row's."""
    validation_size: int | None = None
    """None takes the row's."""
    width: int | None = None
    """None takes the row's."""
    layers: int | None = None
    """None takes the row's."""
    precision: Literal["float32", "bfloat16"] | None = None
    """None takes the row's."""
    max_minutes: float | None = None
    """Stop after so long, with a checkpoint; the same command goes on from it."""
    root: Path = ROOT
    """Folder of the study."""
    show_only: bool = False
    """Show the table of what is finished, run nothing."""

    def __post_init__(self):
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise ValueError(f"Study: max_minutes must be positive, got {self.max_minutes}")

    def recipe(self, row: str, target: TargetName, seed: int) -> Recipe:
        """One run."""
        base = PRESETS[row]
        small = SMALL | {"width": SMALL_WIDTH[base.model]} if self.scale == "small" else {}
        given = {
            name: value
            for name in ("epochs", "train_size", "validation_size", "width", "layers", "precision")
            if (value := getattr(self, name)) is not None
        }
        fixed = {"target": target, "seed": seed, "split": self.split}
        return dataclasses.replace(base, **(small | given | fixed))

    @property
    def runs(self) -> dict[str, Recipe]:
        """All runs by the names of their folders, property by property."""
        recipes = [
            self.recipe(row, target, seed)
            for seed in self.seeds
            for target in self.targets
            for row in self.rows
        ]
        return {_name(recipe): recipe for recipe in recipes}


def study(arguments: list[str]) -> None:
    """Runs what is not finished, then shows the table."""
    choice = tyro.cli(
        Study, args=arguments, prog="python -m experiments study qm9", description=__doc__
    )
    if not choice.show_only:
        minutes = choice.max_minutes
        deadline = None if minutes is None else time.monotonic() + 60 * minutes
        with grid.kept_programs(choice.root / "programs"):
            grid.finish(QM9, choice.root, choice.runs, deadline=deadline)
    table(["--root", str(choice.root)])


def _name(recipe: Recipe) -> str:
    return (
        f"{recipe.preset}-{recipe.target}-{recipe.split}-n{recipe.train_size or 'all'}"
        f"-w{recipe.width}-l{recipe.layers}-e{recipe.epochs}-{recipe.precision}-seed{recipe.seed}"
    )
