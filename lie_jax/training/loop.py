"""The training loop: deterministic, resumable, and loud when a number is not finite."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from lie_jax.training.checkpoint import Checkpoints
from lie_jax.training.metrics import MetricsLog
from lie_jax.training.state import TrainState
from lie_jax.training.step import Step
from lie_jax.typing import PRNGKey


@runtime_checkable
class Epochs(Protocol):
    """Batches by epoch, as `lie_jax.data.Batches` gives them."""

    def __len__(self) -> int: ...

    def epoch(self, number: int) -> Iterable[Any]: ...


Evaluate = Callable[[TrainState], Mapping[str, float]]
Progress = Callable[[int, int, Mapping[str, float]], None]
"""(step, total steps, latest metrics)."""


def fit(
    state: TrainState,
    *,
    step: Step,
    data: Any,
    batches: Epochs,
    epochs: int,
    key: PRNGKey,
    evaluate: Evaluate | None = None,
    evaluate_every: int = 1,
    log: MetricsLog | None = None,
    log_every: int = 50,
    checkpoints: Checkpoints | None = None,
    checkpoint_every: int | None = None,
    progress: Progress | None = None,
    stop_after: int | None = None,
) -> TrainState:
    """Trains from ``state.step`` to the end of the last epoch.

    The number of a step fixes its batch and its random numbers, so a run that is resumed from
    a checkpoint makes the same updates as one that was never interrupted, bit for bit on one
    machine, and, killed at any moment, leaves the same log.

    Args:
        state: where to start; its buffers are donated to the first step.
        step: see `make_train_step`.
        data: passed to every step.
        batches: epochs of batches.
        epochs: how many.
        key: of the run.
        evaluate: validation metrics of a state, called at the end of epochs.
        evaluate_every: in epochs; the last one is always evaluated.
        log: gets the mean loss of every ``log_every`` steps, and what ``evaluate`` gives.
        checkpoints: the state is saved at the end of every epoch, after ``evaluate``.
        checkpoint_every: also every so many steps.
        progress: called after every step with what is known; must return fast.
        stop_after: return after this many steps of this call, to try out an interruption.

    Returns:
        The state after the last step.

    Raises:
        FloatingPointError: loss, gradient or evaluation are not finite. It is seen before the next
            checkpoint is written, so that the last one is good.
    """
    per_epoch = len(batches)
    total = epochs * per_epoch
    now = first = int(state.step)
    if log is not None:
        log.truncate(now)
    window = _Window(now)
    latest: dict[str, float] = {}

    def write(epoch: int | float, metrics: Mapping[str, float]) -> None:
        latest.update(metrics)
        if log is not None:
            log.write(now, epoch=epoch, **metrics)

    def show() -> None:
        if progress is not None:
            progress(now, total, latest)

    for epoch in range(now // per_epoch, epochs):
        for place, batch in enumerate(batches.epoch(epoch)):
            if epoch * per_epoch + place < now:
                continue  # done before the interruption
            state, metrics = step(state, data, batch, key)
            now += 1
            window.add(metrics)
            end_of_epoch = now % per_epoch == 0
            stop = stop_after is not None and now - first == stop_after
            save = stop or end_of_epoch
            save |= checkpoint_every is not None and now % checkpoint_every == 0
            if save or now % log_every == 0:
                write(now / per_epoch, window.close(now))
            show()
            due = epoch + 1 == epochs or (epoch + 1) % evaluate_every == 0
            if evaluate is not None and end_of_epoch and due:
                found = {k: float(v) for k, v in evaluate(state).items()}
                for name, value in found.items():
                    _check_finite(name, value, now)
                write(epoch + 1, found)
                show()
            # Last, so that whenever a run is killed, what its last checkpoint has behind it
            # is in the log, validation included, and the rest is done and written again.
            if checkpoints is not None and save:
                checkpoints.save(state)
            if stop:
                return state
    return state


def _check_finite(name: str, value: float, step: int) -> None:
    if not math.isfinite(value):
        raise FloatingPointError(
            f"fit: {name} must be finite, got {value} at step {step}; the last checkpoint is from "
            "before it. Try a lower learning rate or clip the gradient"
        )


class _Window:
    """Metrics of the steps since the last record, left on the device until it is written."""

    def __init__(self, step: int):
        self.metrics: list[Mapping[str, jax.Array]] = []
        self.start, self.step = time.perf_counter(), step

    def add(self, metrics: Mapping[str, jax.Array]) -> None:
        self.metrics.append(metrics)

    def close(self, step: int) -> dict[str, float]:
        values = {
            name: np.array([float(m[name]) for m in self.metrics]) for name in self.metrics[0]
        }
        for name, series in values.items():
            bad = np.flatnonzero(~np.isfinite(series))
            if len(bad):
                _check_finite(name, float(series[bad[0]]), self.step + int(bad[0]) + 1)
        seconds = time.perf_counter() - self.start
        means = {name: math.fsum(series) / len(series) for name, series in values.items()}
        means["steps_per_second"] = len(self.metrics) / max(seconds, 1e-9)
        self.metrics, self.start, self.step = [], time.perf_counter(), step
        return means
