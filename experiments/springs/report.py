"""What a run gave: a table, the rollout beside the truth, errors and drift along time."""

from typing import Any

import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.style import BLUE, GREY, ORANGE, STYLE
from lie_jax.training import RunFolder

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.animation import FuncAnimation, PillowWriter

COLOURS = plt.get_cmap("tab10").colors  # pyright: ignore
_SHOWN = 3
"""Systems in the picture."""


def table(result: dict[str, Any]) -> Table:
    """Test errors."""
    out = Table(
        title=f"{result['model']}, {result['parameters']:,} parameters, "
        f"{result['train_size']:,} training systems\n{result['test_systems']:,} test systems",
        title_justify="left",
    )
    out.add_column("mean squared error of (q, p)")
    out.add_column("", justify="right")
    out.add_row("5-point chunks, if nothing moved", f"{result['mse_if_nothing_moved']:.2e}")
    out.add_row("5-point chunks", f"{result['mse']:.2e}", style="bold")
    for key, value in result.items():
        if key.startswith("mse_at_step_"):
            out.add_row(f"step {key.removeprefix('mse_at_step_')} of a rollout", f"{value:.2e}")
    out.add_row("true energy, largest relative change", f"{result['energy_drift']:.1e}")
    return out


def picture(run: RunFolder) -> None:
    """Trajectories beside the truth, error and energy along time; rollout.png."""
    with np.load(run.path / "rollouts.npz") as file:
        data = dict(file)
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, _SHOWN + 2, figsize=(15, 3.4), layout="constrained")
        for i, axes in enumerate(panels[:_SHOWN]):
            for k in range(data["q"].shape[2]):
                axes.plot(*data["true_q"][i, :, k].T, color=COLOURS[k], alpha=0.35, linewidth=4)
                axes.plot(*data["q"][i, :, k].T, color=COLOURS[k], linewidth=1.2)
                axes.plot(*data["q"][i, 0, k], "o", color=COLOURS[k], markersize=4)
            axes.set(aspect="equal", title=f"test system {i + 1}", xlabel="x")
        panels[0].set_ylabel("y    (broad: true, thin: learned)")
        steps = np.arange(len(data["error"]))
        axes = panels[_SHOWN]
        axes.semilogy(steps[1:], data["error"][1:], color=BLUE)
        axes.set(xlabel="step", title="mean squared error of (q, p)")
        axes = panels[_SHOWN + 1]
        for name, colour in (("energy", BLUE), ("true_energy", GREY)):
            drift = np.abs(data[name] / data[name][:, :1] - 1)
            axes.semilogy(steps[1:], np.median(drift, axis=0)[1:], color=colour)
            axes.annotate(
                "learned" if name == "energy" else "true, float32",
                (steps[-1], np.median(drift, axis=0)[-1]), xytext=(-4, 5), ha="right",
                textcoords="offset points", color=colour,
            )  # fmt: skip
        axes.set(xlabel="step", title="change of the true energy", ylim=(1e-8, None))
        figure.savefig(run.path / "rollout.png")
        plt.close(figure)


def learning_curve(run: RunFolder, result: dict[str, Any]) -> None:
    """Loss and validation error by step, written to learning_curve.png."""
    records = run.log.read()
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
        for key, label, colour, marker in (
            ("loss", "training", GREY, "-"),
            ("validation_mse", "validation", BLUE, "o-"),
        ):
            points = [(r["step"], r[key]) for r in records if key in r]
            if points:
                axes.semilogy(*zip(*points, strict=True), marker, color=colour, label=label)
        axes.axhline(result["mse"], color=ORANGE, linewidth=1.2, label=f"test {result['mse']:.2e}")
        axes.set(xlabel="step", ylabel="mean squared error of (q, p)")
        axes.legend(frameon=False)
        figure.savefig(run.path / "learning_curve.png")
        plt.close(figure)


def animation(run: RunFolder) -> None:
    """The first test system, learned beside true; rollout.gif."""
    with np.load(run.path / "rollouts.npz") as file:
        q, true = file["q"][0], file["true_q"][0]
    everything = np.concatenate([q, true]).reshape(-1, 2)
    low, high = everything.min(axis=0) - 0.2, everything.max(axis=0) + 0.2
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(3.6, 3.6), layout="constrained")
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
        ghosts = axes.scatter(*true[0].T, s=120, color=COLOURS[: len(true[0])], alpha=0.35)
        dots = axes.scatter(*q[0].T, s=18, color=COLOURS[: len(true[0])])

        def draw(frame: int):
            ghosts.set_offsets(true[frame])
            dots.set_offsets(q[frame])
            axes.set_title(f"step {frame}: broad true, small learned", fontsize=9)
            return ghosts, dots

        film = FuncAnimation(figure, draw, frames=range(0, len(q), 2))
        film.save(run.path / "rollout.gif", writer=PillowWriter(fps=15), dpi=90)
        plt.close(figure)


def show(run: RunFolder, result: dict[str, Any]) -> None:
    """Prints the table and writes the pictures of a finished run."""
    picture(run)
    learning_curve(run, result)
    animation(run)
    console = Console()
    console.print(table(result))
    files = {
        "run folder": "",
        "rollout": "rollout.png",
        "animation": "rollout.gif",
        "learning curve": "learning_curve.png",
    }
    for label, name in files.items():
        console.print(f"{label:15} {run.path / name}", soft_wrap=True)
