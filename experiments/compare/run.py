"""Trains and tests the variants of a comparison that a run folder does not hold yet."""

import statistics
import time
from typing import Any

from experiments.compare.comparison import Comparison, Task
from experiments.compare.settings import Settings
from experiments.compare.train import Network
from experiments.compare.variant import Variant
from lie_jax import training


def run(comparison: Comparison, settings: Settings, folder: training.RunFolder) -> None:
    """Fills results.json, which holds {variant: result}, one variant after the other."""
    results: dict[str, Any] = folder.read("results") or {}
    left = [v for v in comparison.chosen(settings) if v.name not in results]
    if not left:
        return
    task = comparison.load(settings)
    for variant in left:
        results[variant.name] = _result(variant, task, settings, folder)
        folder.write("results", results)


def _result(
    variant: Variant, task: Task, settings: Settings, folder: training.RunFolder
) -> dict[str, Any]:
    """What ``task.evaluate`` gives, and what training and prediction took."""
    start = time.perf_counter()
    network = Network(variant, task, settings)
    log = training.MetricsLog(folder.log.path, variant=variant.name)
    with training.rich_progress(f"{variant.name:>24}", {"loss": "loss {:.3f}"}) as progress:
        network.train(log, progress)
    trained = time.perf_counter() - start
    # The first of the rates holds the compilation; the median does without it.
    rate = statistics.median(r["steps_per_second"] for r in log.read())
    return {
        "parameters": network.parameters,
        "train_seconds": round(trained, 1),
        "milliseconds_per_step": 1e3 / rate,
        "milliseconds_per_cloud": network.milliseconds_per_cloud(task.timed),
        **task.evaluate(network.predict),
        "seconds": round(time.perf_counter() - start, 1),
    }
