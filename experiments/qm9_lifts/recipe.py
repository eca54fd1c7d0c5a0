"""R² of molecules, by networks that respect rotations exactly, on average, in part or not at all.

**Claim.** Frames of the molecule make a network exactly invariant to SE(3), where T(3) with
augmentation and random lifts leave the prediction to chance; a discrete group is exact for its own
rotations. Training need not pay for exactness: each step draws one frame, tests average over all.

**Data.** As in ``train qm9 --preset quick``: 20,000 molecules to train on, R² in bohr²; the first
500 test molecules.

**Network.** That of ``train qm9 --preset quick``, trained as long and at its rate: 3 layers of
width 64, 93,000 parameters, 4 epochs. SE3-random-1 draws a lift for every atom, O one of the 24
rotations of the octahedral group for a molecule, which is what augmentation by them would be; its
tests average over the 24.

**Cost.** 7 minutes 30 s on 2 cores. ``--variants`` takes T3, SE3-random-2 and C4 too; 2 random
lifts see each other, which takes four times the pairs.

**Command.** ``python -m experiments compare qm9-lifts``

**Result** (2 cores of an Intel Xeon, seed 0; errors in bohr², of which ridge regression on atom
counts makes 173; spread in bohr²: standard deviation of the prediction for a turned molecule;
time of a training step, and of a prediction for one molecule):

==================  ==========  ============  =============  ===========  =============
symmetry            error       any rotation  quarter turns  ms per step  ms to predict
==================  ==========  ============  =============  ===========  =============
T3-augmented        10.3 ± 0.5             4              3           42            0.8
SE3-random-1        32.0 ± 1.3            32             33           43            1.0
SE3-frame            9.1 ± 0.5          4e-4           3e-4           38            3.2
SE3-weighted-frame  14.9 ± 0.8          4e-4           3e-4           45            3.0
O                   10.2 ± 0.5             7           2e-5           52             26
==================  ==========  ============  =============  ===========  =============
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
        return y * molecules.std + molecules.offset[: len(y)]  # always the first of the test

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
