"""An epoch cut into calls: one a step, or one for all steps until the loop has something to do."""

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from lie_jax.training.scan import TrainScan, stack_batches
from lie_jax.training.state import TrainState
from lie_jax.training.step import Step
from lie_jax.typing import Array, PRNGKey


@dataclasses.dataclass(frozen=True)
class Segment:
    """Some updates in one call.

    Args:
        run: state -> (state, metrics).
        steps: how many updates; 0 where it only compiles.
        rows: where in the metrics those of the updates stand.
        examples: real ones that it sees.
        compiles: whether it is the first of its kind in this run of the loop.
    """

    run: Callable[[TrainState], tuple[TrainState, dict[str, Array]]]
    steps: int
    rows: slice
    examples: int
    compiles: bool


class Segments:
    """Cuts epochs into segments.

    Args:
        step: from `make_train_step` or `make_train_scan`.
        data: passed on.
        key: of the run, passed on.
    """

    def __init__(self, step: Step | TrainScan, data: Any, key: PRNGKey):
        self._step, self._data, self._key = step, data, key
        self._seen: set[Hashable] = set()

    def epoch(
        self, batches: Iterable[Any], first: int, now: int, due: Callable[[int], int]
    ) -> Iterator[Segment]:
        """What is left of an epoch.

        Args:
            batches: all of the epoch.
            first: number of the step that takes the first of them.
            now: number of the next step; what lies before is done.
            due: step -> the next step before which the loop has something to do, at the latest at
                the end of the epoch; no segment crosses it.
        """
        if isinstance(self._step, TrainScan):
            yield from self._scanned(self._step, list(batches), first, now, due)
        else:
            yield from self._stepped(self._step, batches, now - first)

    def _stepped(self, step: Step, batches: Iterable[Any], start: int) -> Iterator[Segment]:
        for place, batch in enumerate(batches):
            if place < start:
                continue
            yield Segment(
                lambda state, batch=batch: step(state, self._data, batch, self._key),
                steps=1,
                rows=slice(0, 1),
                examples=_examples(batch),
                compiles=self._is_new(batch),
            )

    def _scanned(
        self, scan: TrainScan, batches: list[Any], first: int, now: int, due: Callable[[int], int]
    ) -> Iterator[Segment]:
        examples = np.array([_examples(batch) for batch in batches])
        # Moved once: a segment moves two numbers.
        stacked = jax.device_put(stack_batches(batches))

        def segment(start: int, stop: int, compiles: bool = False) -> Segment:
            rows = slice(start, stop)
            return Segment(
                lambda state: scan(state, self._data, stacked, start, stop, self._key),
                steps=stop - start,
                rows=rows,
                examples=int(examples[rows].sum()),
                compiles=compiles,
            )

        start = now - first
        if self._is_new(stacked):
            yield segment(start, start, compiles=True)
        while start < len(stacked):
            stop = due(first + start) - first
            yield segment(start, stop)
            start = stop

    def _is_new(self, batch: Any) -> bool:
        leaves, structure = jax.tree.flatten(batch)
        kind = (structure, *(np.shape(leaf) for leaf in leaves))
        new = kind not in self._seen
        self._seen.add(kind)
        return new


def _examples(batch: Any) -> int:
    """Real examples: those of the mask, where the batch has one."""
    mask = getattr(batch, "mask", None)
    return len(jax.tree.leaves(batch)[0]) if mask is None else int(np.count_nonzero(mask))
