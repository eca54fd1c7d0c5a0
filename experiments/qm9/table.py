"""``table qm9``: the published errors beside ours, with how long ours were trained and on what."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from experiments import grid, markdown
from experiments.qm9.commands import QM9
from experiments.qm9.recipes import ROWS
from experiments.qm9.recipes.row import ORDER
from lie_jax import training
from lie_jax.data import qm9


@dataclasses.dataclass(frozen=True)
class Choice:
    """The table of all finished runs."""

    root: tuple[Path, ...] = (Path("runs/qm9-study"),)
    """Folders of studies, or of single runs."""
    json: bool = False
    """As JSON, instead of Markdown."""


def table(arguments: list[str]) -> None:
    """Prints it."""
    choice = tyro.cli(
        Choice, args=arguments, prog="python -m experiments table qm9", description=__doc__
    )
    content = collect(choice.root)
    if choice.json:
        print(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        print(as_markdown(content))


def collect(roots: Iterable[Path]) -> dict[str, Any]:
    """Published rows, and a row of ours for each recipe and budget: the mean over its seeds.

    Numbers of ours come from the folders of finished runs and from nowhere else.
    """
    published = [
        {"row": name, "source": row.citation, "errors": dict(row.published)}
        for name, row in ROWS.items()
        if row.published
    ]
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in _finished(roots):
        key = {k: v for k, v in run["config"].items() if k not in ("target", "seed")}
        groups.setdefault(json.dumps(key, sort_keys=True), []).append(run)
    return {
        "split": "published: Cormorant; ours: see each row",
        "units": {name: qm9.PROPERTIES[name].unit for name in ORDER},
        "published": published,
        "ours": [_own_row(runs) for runs in groups.values()],
    }


def _finished(roots: Iterable[Path]) -> list[dict[str, Any]]:
    found = []
    for root in roots:
        if (root / "test.json").is_file():
            config = training.RunFolder(root).config()
            result = json.loads((root / "test.json").read_text())
            found.append(result | {"config": config, "folder": root})
        elif any(root.glob("*/test.json")):
            found += grid.results(QM9, root)
    return found


def _own_row(runs: list[dict[str, Any]]) -> dict[str, Any]:
    config = runs[0]["config"]
    errors: dict[str, list[float]] = {}
    for run in runs:
        for row in run["errors"]:
            errors.setdefault(row["target"], []).append(row["mae"])
    hours = [training.RunFolder(run["folder"]).log.seconds() / 3600 for run in runs]
    environments = [training.RunFolder(run["folder"]).read("environment") or {} for run in runs]
    return {
        "row": config["preset"],
        "split": config["split"],
        "train_molecules": config["train_size"] or qm9.CONFIGS[config["split"]].train,
        "test_molecules": sorted({run["test_molecules"] for run in runs}),
        "epochs": config["epochs"],
        "width": config["width"],
        "layers": config["layers"],
        "parameters": sorted({run["parameters"] for run in runs}),
        "seeds": sorted({run["config"]["seed"] for run in runs}),
        "errors": {name: float(np.mean(errors[name])) for name in ORDER if name in errors},
        "runs_per_property": {name: len(errors[name]) for name in ORDER if name in errors},
        "hours_per_run": float(np.mean(hours)),
        "hardware": sorted({e.get("hardware", "not recorded") for e in environments}),
        "commits": sorted({(e.get("commit") or "not recorded")[:12] for e in environments}),
    }


def as_markdown(content: dict[str, Any]) -> str:
    """The table as text."""
    units = content["units"]
    head = ["", *(f"{name} ({units[name]})" for name in ORDER)]

    def cells(errors: dict[str, float]) -> list[str]:
        return [f"{errors[name]:.3g}" if name in errors else "" for name in ORDER]

    rows = [[f"{row['row']}, published", *cells(row["errors"])] for row in content["published"]]
    rows += [[f"**{_label(row)}**", *cells(row["errors"])] for row in content["ours"]]
    notes = [f"* {_label(row)}: {_about(row)}" for row in content["ours"]]
    return "\n".join([markdown.table(head, rows), "", *(notes or ["No run of ours is finished."])])


def _label(row: dict[str, Any]) -> str:
    return f"{row['row']}, w{row['width']}, {row['epochs']} epochs of {row['train_molecules']:,}"


def _about(row: dict[str, Any]) -> str:
    def joined(values: list[Any]) -> str:
        return ", ".join(f"{v:,}" if isinstance(v, int) else v for v in values)

    return (
        f"split {row['split']}, seeds {joined(row['seeds'])}, {joined(row['parameters'])} "
        f"parameters, {joined(row['test_molecules'])} test molecules, {row['hours_per_run']:.2g} "
        f"hours a run on {joined(row['hardware'])}, commit {joined(row['commits'])}"
    )
