"""``drift springs``: how a trained model's own energy drifts over long rollouts, by solver.

All solvers cover the same time with the same number of evaluations of the force, in float64, so
that what is seen is the solver and not rounding.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from experiments.springs.recipe import Recipe
from experiments.style import STYLE
from lie_jax import training

mpl.use("Agg")
import matplotlib.pyplot as plt

EVALUATIONS = {"rk38": 4, "leapfrog": 1, "yoshida4": 3}
"""Of the force, per step."""
_KEPT = 200


@dataclasses.dataclass(frozen=True)
class Drift:
    """Long rollouts of a trained model."""

    run: tyro.conf.Positional[Path]
    """Folder of a finished run whose energy is separable."""
    steps: int = 10_000
    """Steps of rk38; leapfrog takes four times as many, of a quarter the length."""
    systems: int = 4
    """Test systems."""


def drift(arguments: list[str]) -> None:
    """Prints a table and draws the energy along time; drift.json and drift.png in the folder."""
    choice = tyro.cli(
        Drift, args=arguments, prog="python -m experiments drift springs", description=__doc__
    )
    for name in ("steps", "systems"):
        if getattr(choice, name) < 1:
            raise ValueError(f"drift: {name} must be at least 1, got {getattr(choice, name)}")
    folder = training.RunFolder(choice.run)
    recipe = Recipe(**folder.config())
    if folder.read("test") is None:
        raise FileNotFoundError(f"drift: {folder.path} has no test.json, it is not finished")
    if not recipe.is_separable:
        raise ValueError(f"drift: the energy of {recipe.model} is not separable")
    changes = measure(folder, recipe, choice.steps, choice.systems)
    largest = {name: float(np.median(c.max(axis=0))) for name, (_, c) in changes.items()}
    folder.write("drift", {"steps": choice.steps, "systems": choice.systems, "largest": largest})
    table = Table(title=f"{recipe.model}: relative change of its energy, {choice.steps:,} steps")
    for column in ("solver", "largest (median of systems)", "share of rk38's"):
        table.add_column(column, justify="right")
    for name, value in largest.items():
        table.add_row(name, f"{value:.1e}", f"{value / largest['rk38']:.3f}")
    console = Console()
    console.print(table)
    picture(changes, folder)
    console.print(f"picture  {folder.path / 'drift.png'}", soft_wrap=True)


def measure(
    folder: training.RunFolder, recipe: Recipe, steps: int, systems: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By solver: times, and |E(t) / E(0) - 1|, (times, systems)."""
    # Here, as diffrax and the networks are slow to import for those who ask for help.
    from experiments.springs.run import DT, SOLVERS, Chunks, Run, load
    from lie_jax import dynamics

    run = Run(recipe, folder)
    run.restore().close()
    assert run.model.energy is not None
    energy = jax.jit(run.model.energy)
    found = load(recipe, "test", recipe.test_size, length=recipe.rollout_length + 1)
    start = Chunks.of(found.take(slice(systems)))
    changes = {}
    with jax.enable_x64(True):
        weights, start = jax.tree.map(lambda x: x.astype(jnp.float64), (run.state.averaged, start))
        params = run.model.params(weights, start.particles, run.key)
        state = (start.q[:, 0], start.p[:, 0])
        for name, per_step in EVALUATIONS.items():
            count = steps * EVALUATIONS["rk38"] // per_step
            ts = np.linspace(0, steps * DT, count + 1)
            q, p = dynamics.rollout_in_chunks(
                run.model.system, state, jnp.asarray(ts), params, solver=SOLVERS[name],
                chunk=min(1000, count), keep_every=(every := max(1, count // _KEPT)),
            )  # fmt: skip
            energies = np.stack(
                [
                    np.asarray(energy(jnp.asarray(a), jnp.asarray(b), params))
                    for a, b in zip(np.moveaxis(q, 1, 0), np.moveaxis(p, 1, 0), strict=True)
                ]
            )
            changes[name] = ts[::every], np.abs(energies / energies[0] - 1)
    return changes


def picture(changes: dict[str, tuple[np.ndarray, np.ndarray]], folder: training.RunFolder) -> None:
    """Median over systems along time."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
        for name, (times, change) in changes.items():
            axes.semilogy(times[1:], np.median(change, axis=1)[1:], label=name)
        axes.set(xlabel="time", ylabel="relative change of the learned energy")
        axes.legend(frameon=False)
        figure.savefig(folder.path / "drift.png")
        plt.close(figure)
