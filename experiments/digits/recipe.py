"""Digits."""

from typing import Any

import jax
import numpy as np
import optax

import lie_jax as lj
from experiments.compare.comparison import Comparison, Examples, Predict, Result, Task
from experiments.compare.settings import Settings
from experiments.compare.spread import largest_change
from experiments.compare.variant import Variant
from experiments.digits import data
from experiments.digits.picture import draw

VARIANTS = (
    Variant("none", lj.groups.Trivial(2)),
    Variant("C8", lj.groups.Discrete(lj.groups.SO2(), "C8")),
    Variant("SO(2)", lj.groups.SO2()),
    Variant("R*xSO(2)", lj.groups.RxSO2()),
)
NAMES = tuple(v.name for v in VARIANTS)


def load(settings: Settings) -> Task:
    """The images, and a network that tells ten digits apart."""
    train, test = data.load(settings.seed, settings.train_size, settings.test_size)
    config = lj.LieTransformerConfig(
        in_channels=1,
        outputs=10,
        width=settings.width,
        layers=settings.layers,
        heads=settings.heads,
        attention=lj.AttentionConfig(normalisation="mean"),
        head="linear_pool",
    )
    return Task(
        config=config,
        train=train,
        loss=optax.softmax_cross_entropy_with_integer_labels,
        evaluate=lambda predict: evaluate(predict, test, settings.seed),
        timed=test.points,
    )


def evaluate(predict: Predict, test: Examples, seed: int) -> dict[str, Any]:
    """Accuracy on every test set, errors between 6 and 9, and changes of the logits."""
    digit = np.asarray(test.targets)
    sixes_nines = np.isin(digit, (6, 9))
    result: dict[str, Any] = {"accuracy": {}, "errors": {}, "errors_six_nine": {}}
    for name, (angle, scale) in data.test_motions(seed, len(digit)).items():
        told = predict(data.move(test.points, angle, scale)).argmax(1)
        wrong = told != digit
        result["accuracy"][name] = float(1 - wrong.mean())
        result["errors"][name] = int(wrong.sum())
        result["errors_six_nine"][name] = int((wrong & sixes_nines & np.isin(told, (6, 9))).sum())
    some = data.take(test, 100).points
    still = predict(some)
    result["change"] = {
        kind: largest_change(np.stack([predict(data.move(some, *m)) for m in motions]), still)
        for kind, motions in data.group_motions(seed, len(still)).items()
    }
    result["shown"] = predict(data.shown(test)).argmax(1).tolist()
    return result


DIGITS = Comparison(
    name="digits",
    title="Digits",
    notes="",
    variants=VARIANTS,
    full=Settings(
        variants=NAMES,
        train_size=1_347,
        test_size=450,
        steps=2_500,
        batch_size=32,
        learning_rate=1e-2,
    ),
    quick=Settings(
        variants=NAMES, train_size=300, test_size=100, steps=60, batch_size=32, quick=True
    ),
    load=load,
    columns=(),
    draw=draw,
)
