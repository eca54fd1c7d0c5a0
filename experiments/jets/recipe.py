"""Jets, learnt near rest, are told apart however fast they move by the Lorentz group.

**Claim.** Whether a cloud of pions comes from one prong or two is a matter of their relative
motion. A network invariant to the Lorentz group says the same at every boost: exactly with frames
of the jet, on average with random lifts. One that knows translations of momentum space only, T(4),
learns it near rest and fails on boosted jets; training on boosted ones mends part of that.

**Data.** Synthetic, see `experiments.jets.data`: 10,000 jets to train on, 4,000 to test on, 8 to 16
pions each.

**Network.** 2 layers of width 32, 16,000 parameters, 1,500 steps of 64 jets. A pair of particles is
seen through `experiments.jets.embedding`.

**Cost.** 4 minutes 38 s on 2 cores that did other work too.

**Command.** ``python -m experiments compare jets``

**Result** (2 cores of an AMD EPYC, seed 0; accuracy in %, by rapidity of the boost):

==============  ======  ======  ======  ==========  =========================
symmetry        0       1       2       AUC at 2    change of logit at boost 2
==============  ======  ======  ======  ==========  =========================
T4              94.8    56.5    52.7    .679        2
T4-augmented    92.5    90.6    81.8    .907        0.7
Lorentz-random  94.0    94.0    94.0    .987        0.3
Lorentz-frame   98.0    98.0    98.0    .997        4e-5
==============  ======  ======  ======  ==========  =========================
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import lie_jax as lj
from experiments.compare.comparison import Column, Comparison, Examples, Predict, Task
from experiments.compare.settings import Settings
from experiments.compare.spread import largest_change
from experiments.compare.variant import Variant
from experiments.jets import data
from experiments.jets.embedding import RAPIDITY
from experiments.jets.lorentz import random_transformations, transform
from experiments.jets.picture import draw
from lie_jax.groups import Lorentz, T
from lie_jax.typing import Array, PRNGKey

COMPARED, MOTIONS = 200, 4
"""How many jets are moved, and how often, to see the logit change."""
RAPIDITIES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
"""Of the boosts of the test jets."""
TRAINED_RAPIDITY = 2.0
"""Largest of the augmentation."""


def augment(key: PRNGKey, points: lj.PointSet) -> lj.PointSet:
    """A boost of a rapidity uniform in [0, 2], after a rotation."""
    rapidity_key, motion_key = jax.random.split(key)
    rapidity = TRAINED_RAPIDITY * jax.random.uniform(rapidity_key, points.mask.shape[:1])
    return transform(random_transformations(motion_key, rapidity), points)


VARIANTS = (
    Variant("T4", T(4)),
    Variant("T4-augmented", T(4), augment=augment),
    Variant("Lorentz-random", Lorentz(), lift_samples=1, pair_embedding=RAPIDITY),
    Variant("Lorentz-frame", Lorentz(), lift_method="frame", pair_embedding=RAPIDITY),
)
NAMES = tuple(variant.name for variant in VARIANTS)


def loss(outputs: Array, targets: Array) -> Array:
    """Cross entropy of the one logit."""
    return optax.sigmoid_binary_cross_entropy(outputs[:, 0], targets.astype(outputs.dtype))


def load(settings: Settings) -> Task:
    """The jets, and a network with one logit."""
    train_key, test_key = jax.random.split(jax.random.key(settings.seed))
    test = data.jets(test_key, settings.test_size)
    return Task(
        config=settings.network(in_channels=1, head="linear_pool"),
        train=data.jets(train_key, settings.train_size),
        loss=loss,
        evaluate=lambda predict: evaluate(predict, test, settings.seed),
        timed=test.points,
    )


def evaluate(predict: Predict, test: Examples, seed: int) -> dict[str, Any]:
    """Accuracy and AUC for boosts of each rapidity, and how much the logit changes."""
    from sklearn.metrics import roc_auc_score

    truth = np.asarray(test.targets)
    key = jax.random.key(seed + 1)
    result: dict[str, Any] = {"rapidity": list(RAPIDITIES), "accuracy": [], "auc": []}
    for rapidity in RAPIDITIES:
        logit = predict(boosted(key, test.points, rapidity))[:, 0]
        result["accuracy"].append(float(((logit > 0) == truth).mean()))
        result["auc"].append(float(roc_auc_score(truth, logit)))
    some = jax.tree.map(lambda x: x[:COMPARED], test.points)
    still = predict(some)
    result["change"] = {
        f"{rapidity:g}": largest_change(
            np.stack([predict(boosted(k, some, rapidity)) for k in jax.random.split(key, MOTIONS)]),
            still,
        )
        for rapidity in (1.0, 2.0)
    }
    return result


def boosted(key: PRNGKey, points: lj.PointSet, rapidity: float) -> lj.PointSet:
    """Every jet turned at random, then boosted by this rapidity in a random direction."""
    rapidities = jnp.full(points.mask.shape[:1], rapidity)
    return transform(random_transformations(key, rapidities), points)


def _at(key: str, rapidity: float, form: str):
    place = RAPIDITIES.index(rapidity)
    return lambda result: format(result[key][place], form)


def _change(rapidity: str):
    return lambda result: f"{result['change'][rapidity]:.0e}"


COLUMNS = (
    Column("as\ntrained", _at("accuracy", 0.0, ".1%")),
    Column("boost 1", _at("accuracy", 1.0, ".1%")),
    Column("boost 2", _at("accuracy", 2.0, ".1%")),
    Column("AUC", _at("auc", 0.0, ".3f")),
    Column("AUC,\nboost 2", _at("auc", 2.0, ".3f")),
    Column("change,\nboost 2", _change("2")),
    Column("s", lambda result: f"{result['train_seconds']:.0f}"),
)

JETS = Comparison(
    name="jets",
    title="Jets of pions, one prong or two: trained near rest, tested boosted",
    notes=(
        "as trained, boost 1, boost 2: accuracy on test jets that are turned at random, then "
        "boosted in a random direction by this rapidity (2 is 96 % of the speed of light)\n"
        f"change: largest change of the logit of {COMPARED} jets so moved, relative to the largest "
        "logit (float32)\n"
        f"T4-augmented: trained on rapidities up to {TRAINED_RAPIDITY:g}\n"
        "s: seconds of training"
    ),
    variants=VARIANTS,
    full=Settings(
        variants=NAMES, train_size=10_000, test_size=4_000, steps=1_500, learning_rate=1e-2
    ),
    quick=Settings(
        variants=NAMES,
        train_size=500,
        test_size=500,
        steps=60,
        learning_rate=1e-2,
        quick=True,
    ),
    load=load,
    columns=COLUMNS,
    draw=draw,
)
