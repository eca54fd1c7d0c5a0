"""The training loop: deterministic, resumable, and loud when a number is not finite."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from lie_jax.training.checkpoint import Checkpoints
from lie_jax.training.metrics import MetricsLog
from lie_jax.training.scan import TrainScan
from lie_jax.training.segments import Segments
from lie_jax.training.state import TrainState
from lie_jax.training.step import Step
from lie_jax.training.window import Window, check_finite
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
    step: Step | TrainScan,
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
    deadline: float | None = None,
) -> TrainState:
    """Trains from ``state.step`` to the end of the last epoch.

    The number of a step fixes its batch and its random numbers, so a run that is resumed from
    a checkpoint makes the same updates as one that was never interrupted, bit for bit on one
    machine, and, killed at any moment, leaves the same log.

    Args:
        state: where to start; its buffers are donated to the first step.
        step: from `make_train_step`, or from `make_train_scan`: then all steps up to the next at
            which something is due (record, checkpoint, evaluation, ``stop_after``, end of the
            epoch) are made in one call, and the host works in between only.
        data: passed to every step.
        batches: epochs of batches.
        epochs: how many.
        key: of the run.
        evaluate: validation metrics of a state, called at the end of epochs.
        evaluate_every: in epochs; the last one is always evaluated.
        log: gets the mean loss of every ``log_every`` steps, ``steps_per_second`` and
            ``examples_per_second`` (real ones), and what ``evaluate`` gives. The speed is that of
            training: without validations, checkpoints and compilation. A record of steps
            for which something was compiled has ``compile_seconds`` beside: the time of the first
            call for each kind of batch (step by step, with the one update that it makes). Where
            no step was made besides, the speed is that of these calls.
        checkpoints: the state is saved at the end of every epoch, after ``evaluate``.
        checkpoint_every: also every so many steps.
        progress: called after every call of ``step`` with what is known; must return fast.
        stop_after: return after this many steps of this call, to try out an interruption.
        deadline: return, with a checkpoint, after the first call of ``step`` that ends later than
            this time of `time.monotonic`.

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
    segments = Segments(step, data, key)
    window = Window(now)
    latest: dict[str, float] = {}

    def write(epoch: int | float, metrics: Mapping[str, float]) -> None:
        latest.update(metrics)
        if log is not None:
            log.write(now, epoch=epoch, **metrics)

    def show() -> None:
        if progress is not None:
            progress(now, total, latest)

    def due(step: int) -> int:
        ends = [_next(step, every) for every in (per_epoch, log_every, checkpoint_every) if every]
        if stop_after is not None and first + stop_after > step:
            ends.append(first + stop_after)
        return min(ends)

    for epoch in range(now // per_epoch, epochs):
        for segment in segments.epoch(batches.epoch(epoch), epoch * per_epoch, now, due):
            state = window.run(segment, state)
            if not segment.steps:
                continue
            now += segment.steps
            end_of_epoch = now % per_epoch == 0
            stop = stop_after is not None and now - first == stop_after
            stop |= deadline is not None and time.monotonic() > deadline
            save = stop or end_of_epoch
            save |= checkpoint_every is not None and now % checkpoint_every == 0
            if save or now % log_every == 0:
                write(now / per_epoch, window.close(now))
            show()
            wanted = epoch + 1 == epochs or (epoch + 1) % evaluate_every == 0
            if evaluate is not None and end_of_epoch and wanted:
                found = {k: float(v) for k, v in evaluate(state).items()}
                for name, value in found.items():
                    check_finite(name, value, now)
                write(epoch + 1, found)
                show()
            # Last, so that whenever a run is killed, what its last checkpoint has behind it
            # is in the log, validation included, and the rest is done and written again.
            if checkpoints is not None and save:
                checkpoints.save(state)
            if stop:
                return state
    return state


def _next(step: int, every: int) -> int:
    """The next multiple of ``every``."""
    return (step // every + 1) * every
