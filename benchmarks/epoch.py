"""Training on QM9 in one compiled loop beside one call a step: the same updates, which is faster?

python -m benchmarks.epoch --width 128 --layers 4
"""

import argparse
import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np

from experiments.qm9.models import build_optimizer
from experiments.qm9.recipes import PRESETS
from experiments.qm9.run import Run, Task
from lie_jax import training


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.epoch", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--steps", type=int, default=30, help="updates of a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each, in turns")
    options = parser.parse_args(arguments)
    recipe = dataclasses.replace(PRESETS["quick"], width=options.width, layers=options.layers)
    run = Run(Task.load(recipe), training.RunFolder("."))
    optimizer = build_optimizer(recipe, recipe.epochs * len(run.batches))
    step = training.make_train_step(run.loss, optimizer, ema_decay=recipe.ema_decay)
    data, batches = run.task.arrays("train"), run.batches.epoch(0)[: options.steps]
    stacked = jax.device_put(training.stack_batches(batches))

    def by_loop(state):
        state, metrics = run.step(state, data, stacked, 0, len(batches), run.key)
        return state, metrics["loss"]

    def by_calls(state):
        losses = []
        for batch in batches:
            state, metrics = step(state, data, batch, run.key)
            losses.append(metrics["loss"])
        return state, losses

    ways = {"one loop": by_loop, "one call a step": by_calls}
    losses = {name: _timed(way, run.state)[1] for name, way in ways.items()}  # compiles
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            seconds[name].append(_timed(way, run.state)[0])
    molecules = sum(int(batch.mask.sum()) for batch in batches)
    speeds = {name: molecules / statistics.median(taken) for name, taken in seconds.items()}
    for name, speed in speeds.items():
        print(f"{name:16} {speed:8,.0f} molecules/s")
    print(f"ratio {speeds['one loop'] / speeds['one call a step']:.2f}")
    print(f"largest difference of a loss {np.abs(np.subtract(*losses.values())).max():.1e}")
    return 0


def _timed(way: Callable, state: training.TrainState) -> tuple[float, np.ndarray]:
    """Seconds, and the loss of every update."""
    state = jax.tree.map(lambda x: x.copy(), state)  # its buffers are donated
    started = time.perf_counter()
    state, losses = way(state)
    jax.block_until_ready(state)
    return time.perf_counter() - started, np.asarray(losses)


if __name__ == "__main__":
    sys.exit(main())
