"""Metrics and speed of the steps since the last record of a log."""

import math
import time

import jax
import numpy as np

from lie_jax.training.segments import Segment
from lie_jax.training.state import TrainState


class Window:
    """Metrics since the last record, left on the device until it is written.

    Its clock runs during updates only: neither while something else, such as a validation, is
    done between two of them, nor while a segment is run that compiles, which has its own clock.

    Args:
        step: number of updates made so far.
    """

    def __init__(self, step: int):
        self._step = step
        self._open()

    def _open(self) -> None:
        self._metrics = []
        self._since: float | None = None
        self._seconds = self._compile_seconds = 0.0
        self._steps = self._timed_steps = self._examples = self._timed_examples = 0

    def run(self, segment: Segment, state: TrainState) -> TrainState:
        """The state after a segment."""
        if segment.compiles:
            # JAX hands work over and goes on: without waiting, one clock would count what
            # belongs to the other.
            self._pause(state)
            start = time.perf_counter()
            state, metrics = segment.run(state)
            jax.block_until_ready(state)
            self._compile_seconds += time.perf_counter() - start
        else:
            if self._since is None:
                self._since = time.perf_counter()
            state, metrics = segment.run(state)
            self._timed_steps += segment.steps
            self._timed_examples += segment.examples
        self._steps += segment.steps
        self._examples += segment.examples
        if segment.steps:
            self._metrics.append((metrics, segment.rows))
        return state

    def _pause(self, state: TrainState) -> None:
        if self._since is not None:
            jax.block_until_ready(state)
            self._seconds += time.perf_counter() - self._since
            self._since = None

    def close(self, step: int) -> dict[str, float]:
        """Means over the steps up to ``step``, and the speed; a new window begins.

        Raises:
            FloatingPointError: a metric is not finite.
        """
        found = [
            {name: np.atleast_1d(series)[rows] for name, series in metrics.items()}
            for metrics, rows in jax.device_get(self._metrics)
        ]
        values = {
            name: np.concatenate([part[name] for part in found]).astype(np.float64)
            for name in found[0]
        }
        for name, series in values.items():
            bad = np.flatnonzero(~np.isfinite(series))
            if len(bad):
                check_finite(name, float(series[bad[0]]), self._step + int(bad[0]) + 1)
        if self._since is not None:
            self._seconds += time.perf_counter() - self._since
        record = {name: math.fsum(series) / len(series) for name, series in values.items()}
        record |= self._speed()
        self._step = step
        self._open()
        return record

    def _speed(self) -> dict[str, float]:
        if self._timed_steps:
            seconds, steps, examples = self._seconds, self._timed_steps, self._timed_examples
        else:  # every step compiled: the record says so
            seconds, steps, examples = self._compile_seconds, self._steps, self._examples
        seconds = max(seconds, 1e-9)
        speed = {"steps_per_second": steps / seconds, "examples_per_second": examples / seconds}
        compiled = {"compile_seconds": self._compile_seconds} if self._compile_seconds else {}
        return speed | compiled


def check_finite(name: str, value: float, step: int) -> None:
    """Raises FloatingPointError if a value is not finite."""
    if not math.isfinite(value):
        raise FloatingPointError(
            f"fit: {name} must be finite, got {value} at step {step}; the last checkpoint is from "
            "before it. Try a lower learning rate or clip the gradient"
        )
