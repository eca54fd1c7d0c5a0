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


def table(result: dict[str, Any]) -> Table:
    """Test error beside the two baselines."""
    unit, ridge = result["unit"], result["ridge_mae"]
    what = qm9.PROPERTIES[result["target"]].meaning
    out = Table(
        title=f"{result['target']}: {what}\n{result['test_molecules']:,} test molecules",
        title_justify="left",
    )
    out.add_column("predictor")
    out.add_column(f"mean absolute error ({unit})", justify="right")
    out.add_column("of ridge", justify="right")
    for name, error, style in (
        ("mean of the whole train split", result["mean_mae"], None),
        ("ridge regression on atom counts", ridge, None),
        (f"LieTransformer ({result['parameters']:,} parameters)", result["mae"], "bold"),
    ):
        out.add_row(name, f"{error:.4g}", f"{error / ridge:.0%}", style=style)
    return out


def parity_plot(run: RunFolder, result: dict[str, Any]) -> None:
    """Prediction against truth, written to parity.png."""
    with np.load(run.path / "test_predictions.npz") as file:
        x, y = file["target"], file["prediction"]
    unit, name = result["unit"], result["target"]
    low, high = np.percentile(np.concatenate([x, y]), [0.05, 99.95])
    pad = 0.03 * (high - low)
    limits = (low - pad, high + pad)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(4.8, 4.5), layout="constrained")
        drawn = axes.hexbin(
            x, y, gridsize=90, extent=(*limits, *limits), bins="log", mincnt=1, cmap="viridis"
        )
        axes.plot(limits, limits, color="black", linewidth=0.8)
        axes.set(xlim=limits, ylim=limits, aspect="equal")
        axes.set(xlabel=f"{name} from DFT ({unit})", ylabel=f"{name} predicted ({unit})")
        axes.set_title(
            f"{result['test_molecules']:,} test molecules, error {result['mae']:.4g} {unit}",
            fontsize=10,
        )
        figure.colorbar(drawn, ax=axes, label="molecules", shrink=0.8)
        figure.savefig(run.path / "parity.png")
        plt.close(figure)


def learning_curve(run: RunFolder, result: dict[str, Any]) -> None:
    """Validation error by epoch beside the baselines, written to learning_curve.png.

    A log without validations leaves the baselines and the test error.
    """
    records = [r for r in run.log.read() if "validation_mae" in r]
    unit = result["unit"]
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
        axes.set(xlabel="epoch", ylabel=f"mean absolute error of {result['target']} ({unit})")
        axes.set_yscale("log")
        figure.savefig(run.path / "learning_curve.png")
        plt.close(figure)


def show(run: RunFolder, result: dict[str, Any]) -> None:
    """Prints the table and writes the pictures of a finished run."""
    parity_plot(run, result)
    learning_curve(run, result)
    console = Console()
    console.print(table(result))
    console.print(f"run folder      {run.path}", soft_wrap=True)
    console.print(f"parity plot     {run.path / 'parity.png'}", soft_wrap=True)
    console.print(f"learning curve  {run.path / 'learning_curve.png'}", soft_wrap=True)
