"""What a run gave: a table, a parity plot, a learning curve."""

from typing import Any

import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.style import BLUE, GREY, ORANGE, STYLE
from lie_jax.data import qm9
from lie_jax.training import RunFolder

mpl.use("Agg")
import matplotlib.pyplot as plt

_PREDICTORS = {
    "mean_mae": "mean of the whole train split",
    "ridge_mae": "ridge regression on atom counts",
}


def table(result: dict[str, Any]) -> Table:
    """Test errors beside the two baselines; of several properties, a row for each."""
    network = f"network ({result['parameters']:,} parameters)"
    title = f"{result['test_molecules']:,} test molecules"
    if len(result["errors"]) > 1:
        return _several(result["errors"], title)
    (row,) = result["errors"]
    name = row["target"]
    out = Table(title=f"{name}: {qm9.PROPERTIES[name].meaning}\n{title}", title_justify="left")
    out.add_column("predictor")
    out.add_column(f"mean absolute error ({row['unit']})", justify="right")
    out.add_column("of ridge", justify="right")
    for key, label in (_PREDICTORS | {"mae": network}).items():
        share = f"{row[key] / row['ridge_mae']:.0%}"
        out.add_row(label, f"{row[key]:.4g}", share, style="bold" if key == "mae" else None)
    return out


def _several(rows: list[dict[str, Any]], title: str) -> Table:
    out = Table(title=f"mean absolute error, {title}", title_justify="left")
    out.add_column("property")
    for name in ("mean", "ridge", "network", "of ridge"):
        out.add_column(name, justify="right", style="bold" if name == "network" else None)
    for row in rows:
        errors = (f"{row[key]:.4g}" for key in ("mean_mae", "ridge_mae", "mae"))
        share = f"{row['mae'] / row['ridge_mae']:.0%}"
        out.add_row(f"{row['target']} ({row['unit']})", *errors, share)
    mean, ridge = _PREDICTORS.values()
    out.caption = f"mean: {mean}; ridge: {ridge}"
    return out


def parity_plot(run: RunFolder, result: dict[str, Any]) -> None:
    """Prediction against truth for each target, written to parity.png."""
    with np.load(run.path / "test_predictions.npz") as file:
        truth, prediction = (np.atleast_2d(file[k].T).T for k in ("target", "prediction"))
    errors = result["errors"]
    columns = min(4, len(errors))
    rows = -(-len(errors) // columns)
    size = (4.8, 4.5) if columns == 1 else (3.4 * columns, 3.2 * rows)
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            rows, columns, figsize=size, layout="constrained", squeeze=False
        )
        drawn = None
        for axes, row, x, y in zip(grid.flat, errors, truth.T, prediction.T, strict=False):
            drawn = _parity(axes, row, x, y)
            if columns == 1:
                axes.set_title(
                    f"{result['test_molecules']:,} test molecules, error {row['mae']:.4g} "
                    f"{row['unit']}", fontsize=10,
                )  # fmt: skip
            else:
                axes.set_title(f"error {row['mae']:.3g} {row['unit']}", fontsize=10)
        if drawn is not None and columns == 1:
            figure.colorbar(drawn, ax=grid.flat[0], label="molecules", shrink=0.8)
        figure.savefig(run.path / "parity.png")
        plt.close(figure)


def _parity(axes, row, x, y):
    low, high = np.percentile(np.concatenate([x, y]), [0.05, 99.95])
    pad = 0.03 * (high - low)
    limits = (low - pad, high + pad)
    drawn = axes.hexbin(
        x, y, gridsize=90, extent=(*limits, *limits), bins="log", mincnt=1, cmap="viridis"
    )
    axes.plot(limits, limits, color="black", linewidth=0.8)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    name, unit = row["target"], row["unit"]
    axes.set(xlabel=f"{name} from DFT ({unit})", ylabel=f"{name} predicted ({unit})")
    return drawn


def learning_curve(run: RunFolder, result: dict[str, Any]) -> None:
    """Validation error by epoch beside the baselines, written to learning_curve.png.

    Of several targets, the mean of the errors, each divided by that of predicting the mean. A log
    without validations leaves the baselines and the test error.
    """
    records = [r for r in run.log.read() if "validation_mae" in r]
    result = _one_error(result, records)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
        epochs = [r["epoch"] for r in records]
        errors = [r["validation_mae"] for r in records]
        axes.plot(epochs, errors, "o-", color=BLUE, markersize=4)
        for start in list(zip(epochs, errors, strict=True))[:1]:
            axes.annotate(
                "validation", start, xytext=(6, 4), textcoords="offset points", color=BLUE
            )
        lines = (("mean_mae", "mean", GREY), ("ridge_mae", "ridge on atom counts", ORANGE))
        for key, label, colour in lines:
            axes.axhline(result[key], color=colour, linewidth=1.2)
            axes.annotate(
                label, (1, result[key]), xycoords=("axes fraction", "data"), ha="right",
                xytext=(0, 3), textcoords="offset points", color=colour,
            )  # fmt: skip
        end = (epochs[-1] if epochs else 0, result["mae"])
        axes.plot(*end, "D", color="black", markersize=5, zorder=5)
        axes.annotate(
            f"test {result['mae']:.4g}", end, xytext=(-6, -12),
            textcoords="offset points", ha="right",
        )  # fmt: skip
        axes.set(xlabel="epoch", ylabel=result["label"])
        axes.set_yscale("log")
        figure.savefig(run.path / "learning_curve.png")
        plt.close(figure)


def _one_error(result: dict[str, Any], records: list[dict[str, Any]]) -> dict[str, Any]:
    """Errors to draw; those of several targets are made one, in ``records`` too."""
    (first, *others) = result["errors"]
    if not others:
        return first | {"label": f"mean absolute error of {first['target']} ({first['unit']})"}
    rows = result["errors"]
    for record in records:
        errors = [record[f"validation_{row['target']}"] / row["mean_mae"] for row in rows]
        record["validation_mae"] = float(np.mean(errors))
    keys = ("mae", "mean_mae", "ridge_mae")
    means = {key: float(np.mean([row[key] / row["mean_mae"] for row in rows])) for key in keys}
    return means | {"label": f"mean error of {len(rows)} properties, of the mean's"}


def show(run: RunFolder, result: dict[str, Any]) -> None:
    """Prints the table and writes the pictures of a finished run."""
    parity_plot(run, result)
    learning_curve(run, result)
    console = Console()
    console.print(table(result))
    speeds = [r["examples_per_second"] for r in run.log.read() if "examples_per_second" in r]
    if speeds:
        console.print(f"training speed  {np.median(speeds):,.0f} molecules/s")
    console.print(f"run folder      {run.path}", soft_wrap=True)
    console.print(f"parity plot     {run.path / 'parity.png'}", soft_wrap=True)
    console.print(f"learning curve  {run.path / 'learning_curve.png'}", soft_wrap=True)
