"""Digits."""

from typing import Any

import jax
import numpy as np
import optax

import lie_jax as lj
from experiments.compare.comparison import Column, Comparison, Examples, Predict, Task
from experiments.compare.settings import Settings
from experiments.compare.spread import largest_change
from experiments.compare.variant import Variant
from experiments.digits import data
from experiments.digits.picture import EXAMPLES, TURNS, draw

VARIANTS = (
    Variant("none", lj.groups.Trivial(2)),
    Variant("C8", lj.groups.Discrete(lj.groups.SO2(), "C8")),
    Variant("SO(2)", lj.groups.SO2()),
    Variant("R*xSO(2)", lj.groups.RxSO2()),
)

def load(settings: Settings) -> Task:
    train, test = data.load(settings.seed, settings.train_size, settings.test_size)
    config = lj.LieTransformerConfig(
        in_channels=1, outputs=10,
        width=settings.width, layers=settings.layers, heads=settings.heads,
    )
    return Task(config, train, optax.softmax_cross_entropy_with_integer_labels,
        lambda predict: evaluate(predict, test, settings.seed), test.points)


def evaluate(predict: Predict, test: Examples, seed: int) -> dict[str, Any]:
    digit = np.asarray(test.targets)
    result: dict[str, Any] = {"accuracy": {}, "errors": {}, "six_nine": {}}
    for name, (angle, scale) in data.motions(seed, len(digit)).items():
        told = predict(data.move(test.points, angle, scale)).argmax(1)
        wrong = told != digit
        result["accuracy"][name] = float(1 - wrong.mean())
        result["errors"][name] = int(wrong.sum())
        result["six_nine"][name] = int((wrong & np.isin(digit, (6, 9)) & np.isin(told, (6, 9))).sum())
    some = data.take(test, 100).points
    n = len(some.mask)
    still = predict(some)
    rng = np.random.default_rng((seed, 2))
    one, zero = np.ones(n), np.zeros(n)
    kinds = {
        "rotation": [(rng.uniform(0, 2*np.pi, n), one) for _ in range(8)],
        "eighth_turn": [(np.full(n, k*np.pi/4), one) for k in range(1, 8)],
        "scaling": [(zero, rng.uniform(.7, 1.4, n)) for _ in range(8)],
    }
    result["change"] = {
        kind: largest_change(np.stack([predict(data.move(some, *m)) for m in ms]), still)
        for kind, ms in kinds.items()
    }
    return result

DIGITS = Comparison("digits", "Digits", "", VARIANTS,
   Settings(variants=tuple(v.name for v in VARIANTS), train_size=1347, test_size=450, steps=1500),
   Settings(variants=tuple(v.name for v in VARIANTS), train_size=300, test_size=100, steps=60, quick=True),
   load, (), draw)
