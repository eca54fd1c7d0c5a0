"""Batches of clouds of different sizes, in a few static shapes.

A jitted function is compiled once for each shape it sees, and attention over n points padded to
N costs N² pairs. So clouds are grouped by size into a few buckets, each padded to its largest
member only, and every batch has one of these few shapes.
"""

import dataclasses
from collections.abc import Sequence
from functools import cached_property

import jax
import numpy as np

from lie_jax.typing import Array, Bool, Int, unchecked


@jax.tree_util.register_dataclass
@unchecked
@dataclasses.dataclass(frozen=True)
class Batch:
    """Which examples a batch holds.

    Args:
        indices: (b,) int32, rows of the data; like the mask in NumPy until a jitted function
            takes the batch.
        mask: (b,) bool, False where an example only fills the batch up.
        size: number of points to pad to; static, so that jit sees one shape per size.
    """

    indices: Int[Array | np.ndarray, "b"]
    mask: Bool[Array | np.ndarray, "b"]
    size: int = dataclasses.field(metadata={"static": True})


def bucket_edges(sizes: Sequence[int] | np.ndarray, buckets: int) -> tuple[int, ...]:
    """Padded sizes that make the pair work, the sum of (padded size)², smallest.

    Exact, by dynamic programming over the distinct sizes.

    Args:
        sizes: number of points of each cloud.
        buckets: how many sizes there may be; fewer come back where there are fewer sizes.

    Returns:
        Increasing; the last is the largest size.

    Raises:
        ValueError: no sizes, a size below 1, or no buckets.
    """
    sizes = np.asarray(sizes)
    if sizes.size == 0 or sizes.min() < 1:
        raise ValueError(f"bucket_edges: sizes must be positive and not empty, got {sizes}")
    if buckets < 1:
        raise ValueError(f"bucket_edges: buckets must be at least 1, got {buckets}")
    distinct, counts = np.unique(sizes, return_counts=True)
    total = np.concatenate([[0], np.cumsum(counts)])
    # best[j]: least work for the j smallest sizes with the buckets used so far.
    best = np.full(len(distinct) + 1, np.inf)
    best[0] = 0
    choices = []
    for _ in range(min(buckets, len(distinct))):
        works = [
            best[:j] + (total[j] - total[:j]) * distinct[j - 1] ** 2.0
            for j in range(1, len(distinct) + 1)
        ]
        choices.append([int(np.argmin(work)) for work in works])
        best = np.array([0, *(work.min() for work in works)])
    edges, end = [], len(distinct)
    for choice in reversed(choices):
        if end == 0:
            break
        edges.append(int(distinct[end - 1]))
        end = choice[end - 1]
    return tuple(reversed(edges))


@dataclasses.dataclass(frozen=True)
class Batches:
    """Epochs of batches grouped by size, the same for the same seed and epoch.

    Every example occurs once per epoch. What is left over in a bucket goes to the next larger
    one; the last batch of an epoch is filled up with examples whose ``mask`` is False. The
    number of batches is therefore the same in every epoch.

    Args:
        sizes: number of points of each example.
        batch_size: examples per batch.
        edges: padded sizes, increasing, see `bucket_edges`.
        seed: of the order; None keeps the examples in order (evaluation).
        rows: the row of the data that each example stands in; 0, 1, ... if None.

    Raises:
        ValueError: an example is larger than the last edge, or a size does not fit.
    """

    sizes: np.ndarray
    batch_size: int
    edges: tuple[int, ...]
    seed: int | None = None
    rows: np.ndarray | None = None

    def __post_init__(self):
        sizes = np.asarray(self.sizes)
        object.__setattr__(self, "sizes", sizes)
        if sizes.ndim != 1 or sizes.size == 0:
            raise ValueError(f"Batches: sizes must have shape (n,), n > 0, got {sizes.shape}")
        if self.batch_size < 1:
            raise ValueError(f"Batches: batch_size must be at least 1, got {self.batch_size}")
        if list(self.edges) != sorted(set(self.edges)) or not self.edges:
            raise ValueError(f"Batches: edges must be increasing, got {self.edges}")
        if sizes.max() > self.edges[-1]:
            raise ValueError(
                f"Batches: the last of edges must be at least the largest size {sizes.max()}, "
                f"got {self.edges}"
            )
        if self.rows is not None and np.shape(self.rows) != sizes.shape:
            raise ValueError(
                f"Batches: rows must have the shape of sizes, {sizes.shape}, got "
                f"{np.shape(self.rows)}"
            )

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-len(self.sizes) // self.batch_size)

    def epoch(self, number: int = 0) -> list[Batch]:
        """The batches of one epoch, in order."""
        rng = None if self.seed is None else np.random.default_rng((self.seed, number))
        order = np.arange(len(self.sizes)) if rng is None else rng.permutation(len(self.sizes))
        batches, left = [], np.zeros(0, order.dtype)
        for bucket, edge in enumerate(self.edges):
            # Leftovers first: each is at most one bucket away from its own.
            members = np.concatenate([left, order[self._bucket[order] == bucket]])
            full = len(members) // self.batch_size * self.batch_size
            batches += [
                self._batch(part, edge) for part in members[:full].reshape(-1, self.batch_size)
            ]
            left = members[full:]
        if len(left):
            batches.append(self._batch(left, self.edges[-1]))
        return batches if rng is None else [batches[i] for i in rng.permutation(len(batches))]

    @cached_property
    def _bucket(self) -> np.ndarray:
        return np.searchsorted(self.edges, self.sizes)

    def _batch(self, members: np.ndarray, edge: int) -> Batch:
        mask = np.arange(self.batch_size) < len(members)
        members = np.pad(members, (0, self.batch_size - len(members)), mode="edge")
        rows = members if self.rows is None else np.asarray(self.rows)[members]
        return Batch(rows.astype(np.int32), mask, edge)
