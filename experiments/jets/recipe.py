"""Jets."""

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
from experiments.jets.lorentz import random_transformations, transform
from experiments.jets.picture import draw
from lie_jax.groups import T
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
)
NAMES = tuple(variant.name for variant in VARIANTS)


def loss(outputs: Array, targets: Array) -> Array:
    """Cross entropy of the one logit."""
    return optax.sigmoid_binary_cross_entropy(outputs[:, 0], targets.astype(outputs.dtype))


def load(settings: Settings) -> Task:
    """The jets, and a network with one logit."""
    train_key, test_key = jax.random.split(jax.random.key(settings.seed))
    test = data.jets(test_key, settings.test_size)
    config = lj.LieTransformerConfig(
        in_channels=1,
        width=settings.width,
        layers=settings.layers,
        heads=settings.heads,
        attention=lj.AttentionConfig(normalisation="mean"),
        head="linear_pool",
    )
    return Task(
        config=config,
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
    still, lift_key = predict(some), jax.random.key(seed + 2)
    result["change"] = {
        # The same lifts, if any are drawn: what is left is due to the boost.
        f"{rapidity:g}": largest_change(
            np.stack([predict(boosted(k, some, rapidity)) for k in jax.random.split(key, MOTIONS)]),
            still,
        )
        for rapidity in (1.0, 2.0)
    }
    result["change"]["other lifts"] = largest_change(predict(some, lift_key)[None], still)
    return result


def boosted(key: PRNGKey, points: lj.PointSet, rapidity: float) -> lj.PointSet:
    """Every jet turned at random, then boosted by this rapidity in a random direction."""
    rapidities = jnp.full(points.mask.shape[:1], rapidity)
    return transform(random_transformations(key, rapidities), points)


def _at(key: str, rapidity: float, form: str):
    place = RAPIDITIES.index(rapidity)
    return lambda result: format(result[key][place], form)


def _change(name: str):
    return lambda result: f"{result['change'][name]:.0e}"


COLUMNS = (
    *(Column(f"accuracy,\nboost {y:g}", _at("accuracy", y, ".1%")) for y in (0.0, 1.0, 2.0)),
    *(Column(f"AUC,\nboost {y:g}", _at("auc", y, ".3f")) for y in (0.0, 1.0, 2.0)),
    *(Column(f"logit,\nboost {y:g}", _change(f"{y:g}")) for y in (1.0, 2.0)),
    Column("seconds", lambda result: f"{result['train_seconds']:.0f}"),
)

JETS = Comparison(
    name="jets",
    title="Jets of pions, one prong or two: trained near rest, tested boosted",
    notes=(
        '"boost": rapidity of the boost of every test jet, in a random direction and after a '
        'random rotation; 2 is 96 % of the speed of light. "logit": largest change of the logit '
        f"when {COMPARED} jets are so moved, relative to the largest logit, in float32. "
        f'"augmented": trained on boosts of up to {TRAINED_RAPIDITY:g}. Seconds of training.'
    ),
    variants=VARIANTS,
    full=Settings(
        variants=NAMES, train_size=10_000, test_size=4_000, steps=2_000, learning_rate=1e-2
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
