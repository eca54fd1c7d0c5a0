"""R² of molecules of QM9: the data of ``train qm9 --preset quick``, and motions of molecules."""

import dataclasses

import numpy as np

import lie_jax as lj
from experiments.compare.comparison import Examples
from experiments.qm9.baselines import ridge, ridge_error
from lie_jax.data import Batch, qm9
from lie_jax.groups import SO3, Discrete
from lie_jax.typing import PRNGKey

TARGET = qm9.PROPERTIES["r2"]
SPLIT = "cormorant"


@dataclasses.dataclass(frozen=True)
class Molecules:
    """Molecules to learn from and to test on.

    Args:
        train: targets (n, 1), what ridge regression on atom counts leaves of R², standardised.
        test: clouds.
        wanted: (n,), the test molecules' R² in bohr².
        offset: (n,), in bohr², what is added to the network's outputs times ``std``.
        std: of what ridge regression leaves, in bohr².
        ridge: test error of ridge regression on atom counts, in bohr².
    """

    train: Examples
    test: lj.PointSet
    wanted: np.ndarray
    offset: np.ndarray
    std: float
    ridge: float


def load(train_size: int, test_size: int) -> Molecules:
    """The first molecules of the two splits."""
    molecules = qm9.load()
    rows = qm9.split_rows(SPLIT, len(molecules))
    for name, size in (("train", train_size), ("test", test_size)):
        if size > len(rows[name]):
            raise ValueError(
                f"qm9_lifts.load: {name}_size must be at most {len(rows[name])}, got {size}"
            )
    train, test = rows["train"][:train_size], rows["test"][:test_size]
    values = molecules.values[TARGET.field] * TARGET.scale
    counts = qm9.atom_counts(molecules)
    references, constant = ridge(counts[train], values[train])
    expected = counts @ references + constant
    rest = values - expected
    std = float(rest[train].std())
    return Molecules(
        train=_examples(molecules.take(train), rest[train] / std),
        test=_examples(molecules.take(test), values[test]).points,
        wanted=values[test],
        offset=expected[test],
        std=std,
        ridge=ridge_error(counts[train], values[train], counts[test], values[test]),
    )


def _examples(molecules: qm9.Molecules, targets: np.ndarray) -> Examples:
    count = len(molecules)
    every = Batch(np.arange(count), np.ones(count, bool), molecules.charges.shape[1])
    return Examples(*qm9.gather(qm9.to_device(molecules, targets), every))


def turn(key: PRNGKey, points: lj.PointSet, rotations: SO3 | Discrete) -> lj.PointSet:
    """Each molecule turned by a random one of the rotations."""
    g = rotations.haar(key, points.mask.shape[:1], points.coords.dtype)
    return dataclasses.replace(points, coords=rotations.act(g[:, None], points.coords))


MOTIONS: dict[str, SO3 | Discrete] = {
    "any rotation": SO3(),
    "quarter turns": Discrete(SO3(), "C4"),
}
"""What the spread of predictions is measured under; quarter turns are those about the z axis."""
