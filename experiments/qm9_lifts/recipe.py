"""R² of molecules, by networks that respect rotations exactly, on average, in part or not at all.

**Claim.** Frames of the molecule make a network exactly invariant to SE(3), where T(3) with
augmentation and random lifts leave the prediction to chance. A discrete group is exact for its
own rotations. Lifts may differ between training and test: with 2 of the 24 rotations of the
octahedral group in training and all of them in tests, the prediction varies by a twenty-fifth of
that of T(3) under any other rotation.

**Data.** As in ``train qm9 --preset quick``: 20,000 molecules to train on, R² in bohr²; the first
200 test molecules.

**Network.** That of ``train qm9 --preset quick``, 3 layers of width 64, 93,000 parameters, but
for one of its 8 epochs: 312 steps of 64 molecules. Errors are 2.5 to 4 times those of ``make
run``, of one seed, and may be ordered by chance: with 2 layers of width 32, 500 steps of 32 and
500 test molecules frames had 37.5, weighted frames 40.8, T(3) augmented 42.5, 2 random lifts
52.2, O 44.0 (AMD EPYC; ``--width 32 --layers 2 --heads 4 --steps 500 --batch-size 32
--learning-rate 3e-3 --test-size 500``).

**Cost.** 9 minutes 45 s on 2 cores, about three of them the tests of O, with 24 lifts of every
atom: that is why it tests on 200 molecules. All 24 lifts have 144 times the pairs of 2, so O
trains on 2. ``--variants`` takes T3, SE3-random-1 and C4-all too, whose 4 coupled lifts of every
atom take 0.7 s a step.

**Command.** ``python -m experiments compare qm9-lifts``

**Result** (2 cores of an Intel Xeon, seed 0; errors in bohr², of which ridge regression on atom
counts makes 175; spread in bohr²: standard deviation of the prediction for a turned molecule):

==================  ==========  ============  =============  ===========
symmetry            error       any rotation  quarter turns  ms per step
==================  ==========  ============  =============  ===========
T3-augmented        51.9 ± 4.7            20             10           51
SE3-random-2        67.6 ± 5.2            20             20          150
SE3-frame           69.4 ± 5.0          2e-4           2e-4          186
SE3-weighted-frame  73.1 ± 5.3          2e-4           2e-4          187
O-all-in-tests      46.0 ± 4.6           0.8           2e-5          152
==================  ==========  ============  =============  ===========
"""

import math
from typing import Any

import jax
import numpy as np

import lie_jax as lj
from experiments.compare.comparison import Column, Comparison, Predict, Result, Task
from experiments.compare.settings import Settings
from experiments.compare.variant import Variant
from experiments.qm9.recipes.quick import QUICK
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
    Variant("SE3-frame", SE3(), lift_method="frame", train_frames=1),
    Variant(
        "SE3-weighted-frame",
        SE3(),
        lift_method="weighted_frame",
        lift_samples=2,
        train_frames=1,
    ),
    Variant("C4", Discrete(SE3(), "C4"), lift_method="frame", train_frames=1),
    Variant("O", Discrete(SE3(), "O"), lift_method="frame", train_frames=1),
)
NAMES = tuple(variant.name for variant in VARIANTS)
TRAIN_SIZE = 20_000
RECIPE = ("T3-augmented", "SE3-random-1", "SE3-frame", "SE3-weighted-frame", "O")
"""Those of the recipe; ``--variants`` takes the others too."""
REPEATED, REPEATS = 24, 4
"""How many molecules are turned, and how often, to see the prediction change."""


def loss(outputs: Array, targets: Array) -> Array:
    """Absolute error."""
    return training.absolute_error(outputs, targets)[:, 0]


def load(settings: Settings) -> Task:
    """The molecules, and the network of the quick preset."""
    molecules = data.load(settings.train_size, settings.test_size)
    return Task(
        config=settings.network(in_channels=qm9.CHANNELS, pooling=QUICK.pooling),
        train=molecules.train,
        loss=loss,
        evaluate=lambda predict: evaluate(predict, molecules, settings.seed),
        timed=jax.tree.map(lambda x: x[:REPEATED], molecules.test),
    )


def evaluate(predict: Predict, molecules: data.Molecules, seed: int) -> dict[str, Any]:
    """Test error, and the spread of repeated predictions, in bohr²."""

    def tell(points: lj.PointSet, *key: PRNGKey) -> np.ndarray:
        y = predict(points, *key)[:, 0].astype(np.float64)
        return y * molecules.std + molecules.offset[: len(y)]

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
        "regression on atom counts, which the networks are added to\n"
        "spread: standard deviation of the prediction for a molecule that is turned by any "
        "rotation, or by quarter turns about the z axis, in bohr²; where lifts are random they are "
        "drawn anew\n"
        "ms per step, to predict: of training, batch included; of one molecule\n"
        "s: seconds of training"
    ),
    variants=VARIANTS,
    full=Settings(
        variants=RECIPE,
        train_size=TRAIN_SIZE,
        test_size=500,
        steps=QUICK.epochs * math.ceil(TRAIN_SIZE / QUICK.batch_size),
        batch_size=QUICK.batch_size,
        buckets=QUICK.buckets,
        width=QUICK.width,
        layers=QUICK.layers,
        heads=QUICK.heads,
        learning_rate=QUICK.learning_rate,
        ema_decay=QUICK.ema_decay,
    ),
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
