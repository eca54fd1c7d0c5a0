"""``study shapes``: the published table, trained on D, D^T2 and D^SE2 and tested on each.

Each run has its own folder and is resumed where it stopped; runs that are finished are not run
again. So the command may be stopped and given again at any time, and a table may grow.
"""

import dataclasses
from pathlib import Path
from typing import Any, Literal, get_args

import matplotlib as mpl
import numpy as np
import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from experiments import grid, markdown
from experiments.shapes import pictures
from experiments.shapes.commands import SHAPES, title
from experiments.shapes.recipe import PRESETS, DataName, Recipe
from experiments.shapes.report import attention
from experiments.style import STYLE
from lie_jax import training
from lie_jax.data.constellations import FeatureName

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

RowName = Literal[
    "SetTransformer",
    "SetTransformer+T2",
    "SetTransformer+SE2",
    "SetTransformer-distances",
    "T2",
    "SE2",
    "SE2-frames",
    "SE2-random1",
    "SE2-random2",
    "SE2-random4",
    "SE2-random16",
    "SE2-random64",
    "SE2-grid16",
    "C4",
    "trivial",
]
_SET = {
    "model": "set-transformer", "features": "constant",
    "width": 128, "layers": 4, "heads": 4, "learning_rate": 1e-3,
}  # fmt: skip
"""As published, it sees coordinates alone; of the published size, whatever that of the others."""
_SE2 = {"model": "lietransformer-SE2"}
ROWS: dict[str, dict[str, Any]] = {
    "SetTransformer": _SET,
    "SetTransformer+T2": _SET | {"augment": "T2"},
    "SetTransformer+SE2": _SET | {"augment": "SE2"},
    "SetTransformer-distances": _SET | {"features": "distances"},
    "T2": {"model": "lietransformer-T2"},
    "SE2": _SE2,
    "SE2-frames": _SE2
    | {"lift_method": "weighted_frame", "lift_samples": 2, "pair_embedding": "circle"},
    **{
        f"SE2-random{k}": _SE2
        | {"lift_method": "random", "lift_samples": k, "pair_embedding": "log"}
        for k in (1, 2, 4, 16, 64)
    },
    "SE2-grid16": _SE2 | {"lift_method": "grid", "lift_samples": 16, "pair_embedding": "circle"},
    "C4": {"model": "lietransformer-C4"},
    "trivial": {"model": "lietransformer-trivial"},
}
"""What differs from the preset; rows that name their features stand in the tables of these, those
with constant ones in all. T2, SE2, C4 and trivial are groups of LieTransformers; SE2 sees
pairs as distances, of which one lift is exact, and SE2-random is the published way."""

COLUMNS = [("D", "D"), ("D", "D_T2"), ("D", "D_SE2"), ("D_T2", "D_T2"), ("D_T2", "D_SE2"),
           ("D_SE2", "D_SE2")]  # fmt: skip
PUBLISHED = {
    "SetTransformer": (0.58, 0.44, 0.44, 0.61, 0.51, 0.55),
    "T2": (0.75, 0.75, 0.63, 0.75, 0.63, 0.70),
    "SE2": (0.71, 0.71, 0.69, 0.71, 0.69, 0.72),
}
"""Hutchinson et al. (2021), table 1."""


@dataclasses.dataclass(frozen=True)
class Study:
    """A grid of runs on constellations."""

    rows: tuple[RowName, ...] = (
        "SetTransformer", "SetTransformer+T2", "SetTransformer+SE2", "T2", "SE2",
    )  # fmt: skip
    """Networks."""
    data: tuple[DataName, ...] = ("D", "D_T2", "D_SE2")
    """Training clouds. Rows with augmentation are trained on D alone."""
    features: tuple[FeatureName, ...] = ("distances", "constant")
    """Of points: one table for each."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds; each has its own training clouds."""
    preset: Literal["quick", "full"] = "quick"
    """Of all runs; what else a run is can be changed below."""
    epochs: int | None = None
    """Passes over the training clouds; None takes the preset's."""
    width: int | None = None
    """None takes the preset's."""
    layers: int | None = None
    """None takes the preset's."""
    train_size: int | None = None
    """None takes the preset's."""
    root: Path = Path("runs/shapes-study")
    """Folder of the study."""
    show_only: bool = False
    """Show what is finished, run nothing."""

    def recipes(self) -> dict[str, Recipe]:
        """All runs, by name: seed after seed, so that a study that stops has whole tables."""
        given = {
            name: value
            for name in ("epochs", "width", "layers", "train_size")
            if (value := getattr(self, name)) is not None
        }
        found = [
            dataclasses.replace(
                PRESETS[self.preset],
                data=data,
                seed=seed,
                **({"features": features} | given | ROWS[row]),
            )
            for seed in self.seeds
            for features in self.features
            for row in self.rows
            for data in self.data
            if data == "D" or "+" not in row
        ]
        return {title(recipe): recipe for recipe in found}


def study(arguments: list[str]) -> None:
    """Runs what is not finished, then shows tables and pictures."""
    choice = tyro.cli(
        Study, args=arguments, prog="python -m experiments study shapes", description=__doc__
    )
    if not choice.show_only:
        # Runs that differ in seed or data only share their programs.
        with grid.kept_programs(choice.root / "programs"):
            grid.finish(SHAPES, choice.root, choice.recipes())
    show(choice.root)


def row_of(config: dict[str, Any]) -> str | None:
    """The row that a run belongs to; None where its recipe is none of `ROWS`."""
    defaults = {field.name: field.default for field in dataclasses.fields(Recipe)}
    names = ("model", "augment", "lift_method", "lift_samples", "pair_embedding")
    for row, changes in ROWS.items():
        wanted = {name: changes.get(name, defaults[name]) for name in names}
        wanted |= {name: changes[name] for name in ("features",) if name in changes}
        if all(config[name] == value for name, value in wanted.items()):
            return row
    return None


@dataclasses.dataclass(frozen=True)
class Cell:
    """Accuracies of the seeds of one row and column."""

    values: tuple[float, ...]

    def __str__(self) -> str:
        if not self.values:
            return ""
        spread = f"±{100 * np.std(self.values):.1f}" if len(self.values) > 1 else ""
        return f"{100 * np.mean(self.values):.1f}{spread}"


def cells(found: list[dict[str, Any]], features: str) -> dict[str, list[Cell]]:
    """By row, in the order of `ROWS`, the columns of the table."""
    table = {}
    for row in ROWS:
        seen = ROWS[row].get("features", features)
        own = [r for r in found if r["features"] == seen and row_of(r["config"]) == row]
        if own and seen in (features, "constant"):
            table[row] = [
                Cell(tuple(r["accuracy"][test] for r in own if r["data"] == train))
                for train, test in COLUMNS
            ]
    return table


def _check_alike(found: list[dict[str, Any]]) -> None:
    """Raises ValueError where a cell would be a mean over runs that are not alike."""
    settings: dict[tuple[str | None, str], tuple[dict[str, Any], Path]] = {}
    for run in found:
        own = {k: v for k, v in run["config"].items() if k not in ("data", "seed")}
        row = row_of(run["config"])
        first, folder = settings.setdefault((row, run["features"]), (own, run["folder"]))
        if row is not None and own != first:
            differ = [name for name in own if own[name] != first[name]]
            raise ValueError(
                f"study shapes: runs of {row} must differ in data and seed only, "
                f"{folder} and {run['folder']} differ in {', '.join(differ)}: give another --root"
            )


def show(root: Path) -> None:
    """Tables and picture of what is finished; table.md and table.png.

    Raises:
        FileNotFoundError: nothing is.
        ValueError: runs of one row differ in more than data and seed.
    """
    found = grid.results(SHAPES, root)
    _check_alike(found)
    given = {r["features"] for r in found}
    tables = {
        name: table
        for name in get_args(FeatureName)
        if name in given and (table := cells(found, name))
    }
    commonest = 100 * float(np.mean([r["accuracy_of_commonest"] for r in found]))
    heads = [f"{train} -> {test}" for train, test in COLUMNS]
    console, lines = Console(), []
    for name, table in tables.items():
        title = f"Accuracy in %, features: {name}; the commonest count: {commonest:.1f}"
        out = Table(
            title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False,
            padding=(0, 1, 0, 0), pad_edge=False,
        )  # fmt: skip
        out.add_column("trained on\n-> tested on", no_wrap=True)
        for train, test in COLUMNS:
            out.add_column(f"{train}\n-> {test}", justify="right", no_wrap=True)
        for row, columns in table.items():
            out.add_row(row, *map(str, columns))
        console.print(out)
        rows = [[row, *map(str, columns)] for row, columns in table.items()]
        lines += [title, "", markdown.table(["", *heads], rows), ""]
    (root / "table.md").write_text("\n".join(lines))
    picture(tables, root / "table.png")
    pictures.examples(root / "examples.png")
    print("mean ± standard deviation over seeds")
    files = {"table": "table.md", "picture": "table.png", "examples": "examples.png"}
    if attention(_attending(found), root / "attention.png"):
        files["attention"] = "attention.png"
    for label, name in files.items():
        print(f"{label:10} {root / name}")


def _attending(found: list[dict[str, Any]]) -> dict[str, training.RunFolder]:
    """A run of each row whose attention is shown: of D, the first seed and features that it has."""
    runs = {}
    for row in ROWS:
        own = [r for r in found if row_of(r["config"]) == row and r["data"] == "D"]
        if own:
            first = min(own, key=lambda r: (r["config"]["seed"], r["features"] != "distances"))
            runs[row] = training.RunFolder(first["folder"])
    return runs


def picture(tables: dict[str, dict[str, list[Cell]]], path: Path) -> None:
    """The columns side by side, a mark for each row; the published figures, of distances as
    features, as hollow marks."""
    rows = [row for row in ROWS if any(row in table for table in tables.values())]
    palette = plt.get_cmap("tab10").colors  # pyright: ignore
    colours = {row: palette[i % len(palette)] for i, row in enumerate(rows)}
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            1, len(tables), figsize=(6.5 * len(tables), 4.4), layout="constrained", squeeze=False
        )
        for axes, (name, table) in zip(panels[0], tables.items(), strict=True):
            _panel(axes, table, colours, PUBLISHED if name == "distances" else {})
            axes.set(title=f"features: {name}", ylabel="test accuracy, %")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
        figure.savefig(path)
        plt.close(figure)


def _panel(
    axes: Axes,
    table: dict[str, list[Cell]],
    colours: dict[str, Any],
    published: dict[str, tuple[float, ...]],
) -> None:
    width = 0.8 / max(len(colours), 1)
    for i, (row, colour) in enumerate(colours.items()):
        x = np.arange(len(COLUMNS)) + (i + 0.5) * width - 0.4
        columns = table.get(row, [])
        shown = [(a, cell) for a, cell in zip(x, columns, strict=False) if cell.values]
        axes.errorbar(
            [a for a, _ in shown],
            [100 * np.mean(cell.values) for _, cell in shown],
            [100 * np.std(cell.values) for _, cell in shown],
            fmt="o", markersize=5, color=colour, label=row,
        )  # fmt: skip
        if row in published:
            axes.plot(
                x, 100 * np.array(published[row]), "D", markersize=5, color=colour,
                fillstyle="none", label=f"{row}, published",
            )  # fmt: skip
    axes.axhline(50, color="black", linewidth=0.8, linestyle=":")
    ticks = [f"{train}\n-> {test}" for train, test in COLUMNS]
    axes.set_xticks(np.arange(len(COLUMNS)), ticks, fontsize=8)
    axes.grid(axis="x", visible=False)
