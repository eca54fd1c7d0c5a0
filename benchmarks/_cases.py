"""What is measured: models, batch sizes, and how batches are padded."""

import dataclasses
from typing import ClassVar, Literal

LARGEST = 29
"""Atoms of the largest molecule in QM9."""

LARGEST_SHAPES = 34
"""Points of a cloud in which every shape is there twice."""


@dataclasses.dataclass(frozen=True)
class Molecules:
    """One model of molecules and batch size; both implementations build the same network from it.

    Args:
        group: symmetry of the network.
        width, layers, heads, location_hidden: its sizes.
        lifts: lifts per atom.
        batch: molecules per step.
        batches: size-grouped batches that one of our rounds goes through.
        reference_steps: steps of one of the reference's rounds (each padded to 29 atoms).
        buckets: padded sizes of the size-grouped batches.
        rounded: what our dense layers multiply is rounded to bfloat16.
    """

    examples: ClassVar = "molecules"
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
    rounded: bool = False


@dataclasses.dataclass(frozen=True)
class Convolutions:
    """One LieConv of molecules with masked batch norm, invariant to translations.

    Every atom sees all atoms of its molecule, as in the published T(3) runs.

    Args:
        width, layers: its sizes.
        batch: molecules per step.
        batches: size-grouped batches that one of our rounds goes through.
        reference_steps: steps of one of the reference's rounds (each padded to 29 atoms).
        buckets: padded sizes of the size-grouped batches.
    """

    examples: ClassVar = "molecules"
    width: int
    layers: int = 6
    batch: int = 32
    batches: int = 24
    reference_steps: int = 6
    buckets: int = 6


@dataclasses.dataclass(frozen=True)
class Springs:
    """One model of the potential of spring systems, trained on rollouts of RK4 (3/8 rule).

    Args:
        group: symmetry of the network.
        width, layers, heads, location_hidden: its sizes.
        lifts: lifts per particle.
        batch: systems per step.
        intervals: steps of RK4 in a rollout.
        batches: steps of one round of either implementation.
    """

    examples: ClassVar = "springs"
    group: Literal["T2", "SE2"]
    width: int
    layers: int
    heads: int = 8
    location_hidden: int = 16
    lifts: int = 1
    batch: int = 100
    intervals: int = 4
    batches: int = 3


@dataclasses.dataclass(frozen=True)
class Shapes:
    """One model that counts the shapes of a cloud, with SE(2) and lifts drawn at random.

    Args:
        width, layers, heads, location_hidden: its sizes.
        lifts: lifts per point.
        batch: clouds per step.
        batches: size-grouped batches that one of our rounds goes through.
        reference_steps: steps of one of the reference's rounds (each padded to 34 points).
        buckets: padded sizes of the size-grouped batches.
    """

    examples: ClassVar = "shapes"
    width: int
    layers: int = 4
    heads: int = 8
    location_hidden: int = 16
    lifts: int = 4
    batch: int = 32
    batches: int = 24
    reference_steps: int = 3
    buckets: int = 6


Case = Molecules | Convolutions | Springs | Shapes

CASES: dict[str, Case] = {
    "t3-128": Molecules("T3", width=128, layers=4, batch=64),
    "t3-512": Molecules("T3", width=512, batch=32, batches=32, reference_steps=10),
    "se3-2": Molecules("SE3", width=512, batch=8, lifts=2, batches=48, reference_steps=12),
    "se3-2-bf16": Molecules(
        "SE3", width=512, batch=8, lifts=2, batches=48, reference_steps=12, rounded=True
    ),
    "lieconv-t3": Convolutions(width=1536),
    "springs-t2": Springs("T2", width=160, layers=5),
    "springs-se2": Springs("SE2", width=80, layers=3, lifts=2),
    "shapes-se2-4": Shapes(width=128),
    "tiny": Molecules("T3", width=8, layers=1, heads=2, batch=4, batches=2, reference_steps=2),
    "tiny-lieconv": Convolutions(
        width=8, layers=1, batch=4, batches=2, reference_steps=2, buckets=1
    ),
    "tiny-springs": Springs("SE2", width=8, layers=1, heads=2, batch=3, batches=2, intervals=1),
    "tiny-shapes": Shapes(
        width=8, layers=1, heads=2, lifts=2, batch=3, batches=2, reference_steps=2, buckets=1
    ),
}
"""By name; the ``tiny`` ones only show that everything runs."""
