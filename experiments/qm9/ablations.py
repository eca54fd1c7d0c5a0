"""``ablate qm9``: what each option is worth at one small budget, on validation molecules.

Every run sees 20,000 molecules six times with 3 layers of width 64, minutes on a core. Runs that
are finished are not run again; test molecules are not looked at to choose.
"""

import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

import tyro

from experiments import grid, markdown
from experiments.qm9.commands import QM9
from experiments.qm9.recipe import Recipe
from experiments.qm9.recipes import PRESETS
from experiments.qm9.study import SMALL, SMALL_WIDTH
from lie_jax import training
from lie_jax.data import qm9

_T3 = {"preset": "lietransformer-T3-aug"}
_SE3 = {"preset": "lietransformer-SE3", "lift_samples": 2}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "distances": ("homo", {}),
    "without average of the weights": ("homo", {"ema_decay": 0.0}),
    "softmax": ("homo", {"normalisation": "softmax"}),
    "sum of MLP and content": ("homo", {"location": "mlp", "combination": "sum"}),
    "two smooth distances instead of 24 bumps": ("homo", {"pair_embedding": "distance"}),
    "Muon": ("homo", {"optimizer": "muon"}),
    "schedule-free Adam": ("homo", {"optimizer": "schedule_free", "ema_decay": 0.0}),
    "bfloat16": ("homo", {"precision": "bfloat16"}),
    "12 properties in one": ("all", {}),
    "T3, attention as published": ("homo", _T3),
    "T3, 8 rotations in tests": ("homo", _T3 | {"test_samples": 8}),
    "T3, Noisy Nodes of 0.05 Å": ("homo", _T3 | {"noise": 0.05}),
    "T3, logarithm and bumps": (
        "homo",
        _T3 | {"pair_embedding": "log+radial", "location": "raw", "combination": "product"},
    ),
    "SE3, 2 random lifts, logarithm": ("homo", _SE3),
    "SE3, 2 random lifts, 8 draws in tests": ("homo", _SE3 | {"test_samples": 8}),
    "SE3, 2 random lifts, harmonics": ("homo", _SE3 | {"pair_embedding": "harmonics"}),
    "distances, U0": ("U0", {}),
    "without atom references, U0": ("U0", {"atom_references": False}),
    "mean over atoms, U0": ("U0", {"pooling": "mean"}),
}
"""Property, and what differs from the first."""


@dataclasses.dataclass(frozen=True)
class Ablations:
    """Options of the networks at one small budget."""

    only: tuple[str, ...] = ()
    """Names of variants; none runs all."""
    seed: int = 0
    """Of all runs."""
    root: Path = Path("runs/qm9-ablations")
    """Folder of the runs."""
    show_only: bool = False
    """Show the table of what is finished, run nothing."""

    def __post_init__(self):
        unknown = set(self.only) - set(VARIANTS)
        if unknown:
            raise ValueError(
                f"Ablations: only must name some of {tuple(VARIANTS)}, got {sorted(unknown)}"
            )

    def recipe(self, name: str) -> Recipe:
        """One run."""
        target, changes = VARIANTS[name]
        base = PRESETS[changes.get("preset", "distances")]
        fixed = SMALL | {"width": SMALL_WIDTH["lietransformer"], "beta1": 0.9, "beta2": 0.999}
        return dataclasses.replace(
            base, **(fixed | {"target": target, "seed": self.seed} | changes)
        )


def ablate(arguments: list[str]) -> None:
    """Runs what is not finished, then prints the table."""
    choice = tyro.cli(
        Ablations, args=arguments, prog="python -m experiments ablate qm9", description=__doc__
    )
    names = choice.only or tuple(VARIANTS)
    runs = {f"{_slug(name)}-seed{choice.seed}": choice.recipe(name) for name in names}
    if not choice.show_only:
        grid.finish(QM9, choice.root, runs)
    print(table(choice.root))


def table(root: Path) -> str:
    """Validation errors of what is finished, as Markdown; where predictions were averaged over
    rotations, that of the average and how far it spreads on the test molecules."""
    rows = []
    for name in VARIANTS:
        for path in sorted(root.glob(f"{_slug(name)}-seed*/test.json")):
            folder = training.RunFolder(path.parent)
            records = folder.log.read()
            last = [r for r in records if "validation_mae" in r][-1]
            speeds = [r["examples_per_second"] for r in records if "examples_per_second" in r]
            result, config = json.loads(path.read_text()), folder.config()
            several = len(result["errors"]) > 1
            target = "homo" if several else result["errors"][0]["target"]
            error = last[f"validation_{target}" if several else "validation_mae"]
            tested = {r["target"]: r["mae"] for r in result["errors"]}[target]
            spread = f"{result['spread'][0]:.3g}" if config["test_samples"] > 1 else ""
            unit = qm9.PROPERTIES[target].unit
            rows.append(
                [
                    name,
                    f"{target} ({unit})",
                    f"{error:.4g}",
                    f"{tested:.4g}",
                    spread,
                    f"{result['parameters']:,}",
                    f"{statistics.median(speeds):,.0f}",
                    str(config["seed"]),
                ]
            )
    head = ["", "", "validation", "test", "spread", "parameters", "molecules/s", "seed"]
    return markdown.table(head, rows, names=2)


def _slug(name: str) -> str:
    kept = "".join(c if c.isalnum() else "-" for c in name.lower())
    return "-".join(part for part in kept.split("-") if part)
