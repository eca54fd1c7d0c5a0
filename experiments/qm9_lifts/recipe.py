"""QM9 lifts."""

from typing import Any

import jax
import numpy as np

import lie_jax as lj
from experiments.compare.comparison import Comparison, Predict, Task
from experiments.compare.settings import Settings
from experiments.compare.variant import Variant
from experiments.qm9_lifts import data
from experiments.qm9_lifts.picture import draw
from lie_jax import training
from lie_jax.data import qm9
from lie_jax.groups import SE3, Discrete, T
from lie_jax.typing import Array

VARIANTS = (
    Variant("T(3)", T(3)),
    Variant("T(3), augmented", T(3), augment=training.random_rotation),
    Variant("SE(3), 1 random lift", SE3()),
    Variant("SE(3), 2 random lifts", SE3(), lift_samples=2),
    Variant("SE(3), frames", SE3(), lift_method="frame"),
    Variant("SE(3), weighted frames", SE3(), lift_method="weighted_frame", lift_samples=2),
    Variant("T(3) x C4, all lifts", Discrete(SE3(), "C4"), lift_method="all"),
)
NAMES = tuple(v.name for v in VARIANTS)
REPEATS = 8
REPEATED = 100


def loss(outputs: Array, targets: Array) -> Array:
    """Absolute error."""
    return training.absolute_error(outputs, targets)[:, 0]


def load(settings: Settings) -> Task:
    """The molecules, and the network of the quick preset in small."""
    molecules = data.load(settings.train_size, settings.test_size)
    config = lj.LieTransformerConfig(
        in_channels=qm9.CHANNELS,
        width=settings.width,
        layers=settings.layers,
        heads=settings.heads,
        attention=lj.AttentionConfig(normalisation="mean"),
    )
    return Task(
        config=config,
        train=molecules.train,
        loss=loss,
        evaluate=lambda predict: evaluate(predict, molecules, settings.seed),
        timed=jax.tree.map(lambda x: x[:REPEATED], molecules.test),
    )


def evaluate(predict: Predict, molecules: data.Molecules, seed: int) -> dict[str, Any]:
    """Test error, and the spread of repeated predictions."""
    told = predict(molecules.test)[:, 0] * molecules.std + molecules.mean
    result: dict[str, Any] = {
        "mae": float(np.abs(told - molecules.wanted).mean()),
        "ridge_mae": molecules.ridge,
    }
    some = jax.tree.map(lambda x: x[:REPEATED], molecules.test)
    result["spread"], result["largest_spread"] = {}, {}
    for name, rotations in data.MOTIONS.items():
        told = []
        for i in range(REPEATS):
            motion_key, lift_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), i))
            moved = data.turn(motion_key, some, rotations)
            told.append(predict(moved, lift_key)[:, 0].astype(np.float64) * molecules.std)
        spread = np.std(told, axis=0)
        result["spread"][name] = float(np.sqrt((spread**2).mean()))
        result["largest_spread"][name] = float(spread.max())
    return result


QM9_LIFTS = Comparison(
    name="qm9-lifts",
    title="QM9",
    notes="",
    variants=VARIANTS,
    full=Settings(
        variants=NAMES, train_size=20_000, test_size=1_000, steps=1_000, batch_size=32, buckets=3,
    ),
    quick=Settings(
        variants=NAMES, train_size=500, test_size=100, steps=40, batch_size=16, buckets=1, quick=True
    ),
    load=load,
    columns=(),
    draw=draw,
)
