"""R² of molecules, by networks that respect rotations exactly, on average, in part or not at all.

**Claim.** Frames of the molecule make a network exactly invariant to SE(3), with errors like those
of translations and augmentation, where random lifts cost accuracy and leave the prediction to
chance. A discrete group is exact for its own rotations. Lifts may differ between training and
test: with 2 of the 24 rotations of the octahedral group in training and all of them in tests, the
prediction varies by a twentieth of that of T(3) under any other rotation.

**Data.** As in ``train qm9 --preset quick``: 20,000 molecules to train on, R² in bohr²; the first
500 test molecules.

**Network.** 2 layers of width 32, 18,000 parameters, 500 steps of 32 molecules, which is less than
an epoch: errors are far from those of ``make run``, and how they order the exact methods and T(3)
is chance. With 400 steps T3 had 46.8, T3-augmented 44.9, SE3-frame 47.9, SE3-weighted-frame 62.9
(400 test molecules).

**Cost.** 6 minutes 38 s on 2 cores, a third of it C4, with 4 coupled lifts of every atom, and a
quarter the tests of O, with 24. Training on all 24 would take 36 times as long as C4, an hour; so O
trains on 2.

**Command.** ``python -m experiments compare qm9-lifts``

**Result** (2 cores of an AMD EPYC, seed 0; errors in bohr², of which ridge regression on atom
counts makes 170; spread in bohr²: standard deviation of the prediction for a turned molecule):

==================  ==========  ============  =============  ===========
symmetry            error       any rotation  quarter turns  ms per step
==================  ==========  ============  =============  ===========
T3                  40.1 ± 2.3            20             10           11
T3-augmented        42.5 ± 2.6            20             10           11
SE3-random-1        65.6 ± 3.0            30             40           11
SE3-random-2        52.2 ± 2.9            20             20           41
SE3-frame           37.5 ± 2.5          4e-4           4e-4           51
SE3-weighted-frame  40.8 ± 2.3          5e-4           3e-4           55
C4-all              36.7 ± 2.2            20           3e-5          207
O-all-in-tests      44.0 ± 2.8             1           2e-5           47
==================  ==========  ============  =============  ===========
"""

from typing import Any

import jax
import numpy as np

import lie_jax as lj
from experiments.compare.comparison import Column, Comparison, Predict, Result, Task
from experiments.compare.settings import Settings
from experiments.compare.variant import Variant
from experiments.qm9_lifts import data
from experiments.qm9_lifts.picture import draw
from lie_jax import training
from lie_jax.data import qm9
from lie_jax.groups import SE3, Discrete, T
from lie_jax.typing import Array, PRNGKey

VARIANTS = (
    Variant("T3", T(3)),
    Variant("T3-augmented", T(3), augment=training.random_rotation),
    Variant("SE3-random-1", SE3(), lift_samples=1),
    Variant("SE3-random-2", SE3(), lift_samples=2),
    Variant("SE3-frame", SE3(), lift_method="frame"),
    Variant("SE3-weighted-frame", SE3(), lift_method="weighted_frame", lift_samples=2),
    Variant("C4-all", Discrete(SE3(), "C4"), lift_method="all"),
    Variant(
        "O-all-in-tests",
        Discrete(SE3(), "O"),
        lift_samples=2,
        test_lift_method="all",
    ),
)
NAMES = tuple(variant.name for variant in VARIANTS)
REPEATED, REPEATS = 24, 4
"""How many molecules are turned, and how often, to see the prediction change."""


def loss(outputs: Array, targets: Array) -> Array:
    """Absolute error."""
    return training.absolute_error(outputs, targets)[:, 0]


def load(settings: Settings) -> Task:
    """The molecules, and the network of the quick preset in small."""
    molecules = data.load(settings.train_size, settings.test_size)
    return Task(
        config=settings.network(in_channels=qm9.CHANNELS),
        train=molecules.train,
        loss=loss,
        evaluate=lambda predict: evaluate(predict, molecules, settings.seed),
        timed=jax.tree.map(lambda x: x[:REPEATED], molecules.test),
    )


def evaluate(predict: Predict, molecules: data.Molecules, seed: int) -> dict[str, Any]:
    """Test error, and the spread of repeated predictions, in bohr²."""

    def tell(points: lj.PointSet, *key: PRNGKey) -> np.ndarray:
        return predict(points, *key)[:, 0].astype(np.float64) * molecules.std + molecules.mean

    errors = np.abs(tell(molecules.test) - molecules.wanted)
    some = jax.tree.map(lambda x: x[:REPEATED], molecules.test)
    spread = {}
    for name, rotations in data.MOTIONS.items():
        told = []
        for key in jax.random.split(jax.random.key(seed), REPEATS):
            motion_key, lift_key = jax.random.split(key)
            told.append(tell(data.turn(motion_key, some, rotations), lift_key))
        spread[name] = float(np.sqrt(np.var(told, axis=0).mean()))
    return {
        "mae": float(errors.mean()),
        "mae_standard_error": float(errors.std() / np.sqrt(len(errors))),
        "ridge_mae": molecules.ridge,
        "spread": spread,
    }


def _error(result: Result) -> str:
    return f"{result['mae']:.1f} ± {result['mae_standard_error']:.1f}"


def _spread(motion: str):
    return lambda result: f"{result['spread'][motion]:.1g}"


COLUMNS = (
    Column("error\n(bohr²)", _error),
    Column("of\nridge", lambda result: f"{result['mae'] / result['ridge_mae']:.0%}"),
    Column("spread\nrotated", _spread("any rotation")),
    Column("quarter\nturns", _spread("quarter turns")),
    Column("ms per\nstep", lambda result: f"{result['milliseconds_per_step']:.0f}"),
    Column("ms to\npredict", lambda result: f"{result['milliseconds_per_cloud']:.2g}"),
    Column("s", lambda result: f"{result['train_seconds']:.0f}"),
)

QM9_LIFTS = Comparison(
    name="qm9-lifts",
    title="R² of molecules, by networks that respect rotations in different ways",
    notes=(
        "error: mean absolute test error and its standard error; of ridge: relative to ridge "
        "regression on atom counts\n"
        "spread: standard deviation of the prediction for a molecule that is turned by any "
        "rotation, or by quarter turns about the z axis, in bohr²; where lifts are random they are "
        "drawn anew\n"
        "ms per step, to predict: of training, batch included; of one molecule\n"
        "s: seconds of training"
    ),
    variants=VARIANTS,
    full=Settings(variants=NAMES, train_size=20_000, test_size=500, steps=500, batch_size=32),
    quick=Settings(
        variants=NAMES[:6],
        train_size=500,
        test_size=100,
        steps=40,
        batch_size=16,
        buckets=1,
        quick=True,
    ),
    load=load,
    columns=COLUMNS,
    draw=draw,
)
