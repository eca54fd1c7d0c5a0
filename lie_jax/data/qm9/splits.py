"""The splits of the literature, as rows of the table of characterised molecules."""

import dataclasses
from typing import Literal

import numpy as np

from lie_jax.data.qm9.source import CHARACTERISED

ConfigName = Literal["original", "cormorant", "dimenet"]
SplitName = Literal["train", "validation", "test"]


@dataclasses.dataclass(frozen=True)
class SplitConfig:
    """How the molecules are divided.

    Args:
        seed: of NumPy's ``RandomState``, whose permutation of the molecules is cut into train,
            validation and test; None keeps their order.
        train, validation: sizes; the rest is test.
        source: paper whose split it is.
    """

    seed: int | None
    train: int
    validation: int
    source: str


CONFIGS: dict[str, SplitConfig] = {
    "original": SplitConfig(
        None, CHARACTERISED, 0, "no split: all molecules in the order of their index"
    ),
    "cormorant": SplitConfig(0, 100_000, 17_748, "Anderson et al., Cormorant (2019)"),
    "dimenet": SplitConfig(42, 110_000, 10_000, "Klicpera et al., DimeNet (2020)"),
}


def split_rows(config: str, count: int = CHARACTERISED) -> dict[str, np.ndarray]:
    """Rows of each split, in its order.

    Args:
        config: ``"original"``, ``"cormorant"`` or ``"dimenet"``.
        count: number of characterised molecules; another one only in tests.

    Returns:
        ``"train"``, ``"validation"`` and ``"test"``; those that are empty are left out.

    Raises:
        ValueError: unknown config.
    """
    if config not in CONFIGS:
        raise ValueError(f"qm9: config must be one of {tuple(CONFIGS)}, got {config!r}")
    choice = CONFIGS[config]
    rows = np.arange(count)
    if choice.seed is not None:
        # The permutation of the list of indices is the list at the permuted positions.
        rows = np.random.RandomState(choice.seed).permutation(count)
    parts = np.split(rows, [choice.train, choice.train + choice.validation])
    names = ("train", "validation", "test")
    return {name: part for name, part in zip(names, parts, strict=True) if len(part)}
