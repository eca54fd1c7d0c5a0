"""What is measured: models, batch sizes, and how batches are padded."""

import dataclasses
from typing import Literal

LARGEST = 29
"""Atoms of the largest molecule in QM9."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One model and batch size; both implementations build the same network from it.

    Args:
        group: symmetry of the network.
        width, layers, heads, location_hidden: its sizes.
        lifts: lifts per atom.
        batch: molecules per step.
        batches: size-grouped batches that one of our rounds goes through.
        reference_steps: steps of one of the reference's rounds (each padded to 29 atoms).
        buckets: padded sizes of the size-grouped batches.
    """

    group: Literal["T3", "SE3"]
    width: int
    batch: int
    layers: int = 6
    heads: int = 8
    location_hidden: int = 16
    lifts: int = 1
    batches: int = 40
    reference_steps: int = 16
    buckets: int = 6


CASES = {
    "t3-128": Case("T3", width=128, layers=4, batch=64),
    "t3-512": Case("T3", width=512, batch=32, batches=32, reference_steps=10),
    "se3-512": Case("SE3", width=512, batch=8, lifts=2, batches=48, reference_steps=12),
    "tiny": Case("T3", width=8, layers=1, heads=2, batch=4, batches=2, reference_steps=2),
}
"""By name; ``tiny`` only shows that everything runs."""
