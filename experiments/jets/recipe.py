"""Jets."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import lie_jax as lj
from experiments.compare.comparison import Comparison, Examples, Predict, Task
from experiments.compare.settings import Settings
from experiments.compare.spread import largest_change
from experiments.compare.variant import Variant
from experiments.jets import data
from experiments.jets.lorentz import random_transformations, transform
from experiments.jets.picture import draw
from lie_jax.typing import Array, PRNGKey

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
    Variant("T(4)", lj.groups.T(4)),
    Variant("T(4), augmented", lj.groups.T(4), augment=augment),
)
NAMES = tuple(v.name for v in VARIANTS)


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
    result: dict[str, Any] = {"accuracy": [], "auc": []}
    key = jax.random.key(seed + 1)
    for rapidity in RAPIDITIES:
        logit = predict(boosted(key, test.points, rapidity))[:, 0]
        result["accuracy"].append(float(((logit > 0) == truth).mean()))
        result["auc"].append(float(roc_auc_score(truth, logit)))
    some = jax.tree.map(lambda x: x[:200], test.points)
    keys = jax.random.split(key, 4)
    # The lab frame too is a moved one; no jet is left as it was made.
    result["change"] = {
        rapidity: largest_change(
            np.stack([predict(boosted(k, some, rapidity)) for k in keys]), predict(some)
        )
        for rapidity in (0.0, 1.0, 2.0)
    }
    return result


def boosted(key: PRNGKey, points: lj.PointSet, rapidity: float) -> lj.PointSet:
    """Every jet turned at random, then boosted by this rapidity in a random direction."""
    rapidities = jnp.full(points.mask.shape[:1], rapidity)
    return transform(random_transformations(key, rapidities), points)


JETS = Comparison(
    name="jets",
    title="Jets",
    notes="",
    variants=VARIANTS,
    full=Settings(variants=NAMES, train_size=10_000, test_size=4_000, steps=2_000),
    quick=Settings(variants=NAMES, train_size=500, test_size=500, steps=60, quick=True),
    load=load,
    columns=(),
    draw=draw,
)
