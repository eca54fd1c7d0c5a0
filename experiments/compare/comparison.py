"""What a recipe gives: data, variants, columns of the table, a picture."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

import lie_jax as lj
from experiments.compare.settings import Settings
from experiments.compare.variant import Variant
from lie_jax.typing import Array, PRNGKey, unchecked

Result = Mapping[str, Any]
"""What one variant gave, as results.json holds it."""


@jax.tree_util.register_dataclass
@unchecked
@dataclasses.dataclass(frozen=True)
class Examples:
    """Clouds, real points first, and what is to be told of each; on the device.

    Args:
        points: coords (n, points, d).
        targets: (n, ...).
    """

    points: lj.PointSet
    targets: Array


class Predict(Protocol):
    """Outputs (n, o) of a trained network for clouds; ``key`` draws lifts where any are drawn."""

    def __call__(self, points: lj.PointSet, key: PRNGKey = ...) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class Task:
    """The data of a comparison, and what is asked of a network.

    Args:
        config: of all networks; what a `Variant` names is replaced.
        train: examples to learn from.
        loss: (outputs (b, o), targets (b, ...)) -> (b,).
        evaluate: what a trained network is worth on the test data: plain values for results.json.
        timed: clouds on which the time of a prediction is measured.
    """

    config: lj.LieTransformerConfig
    train: Examples
    loss: Callable[[Array, Array], Array]
    evaluate: Callable[[Predict], dict[str, Any]]
    timed: lj.PointSet


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of the table: its title, and the text that a result puts there."""

    title: str
    text: Callable[[Result], str]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A recipe: the same network under several symmetries.

    Args:
        name: on the command line.
        title: what is compared, over the table.
        notes: what a reader of the table must know, under it.
        variants: in the order of the table.
        full, quick: settings by default and with ``--quick``.
        load: the data.
        columns: of the table, after the variant's name.
        draw: writes the picture of all results, by name of variant, to a file.
    """

    name: str
    title: str
    notes: str
    variants: tuple[Variant, ...]
    full: Settings
    quick: Settings
    load: Callable[[Settings], Task]
    columns: tuple[Column, ...]
    draw: Callable[[Mapping[str, Result], Settings, Path], None]

    def chosen(self, settings: Settings) -> list[Variant]:
        """The variants that the settings name, in the table's order.

        Raises:
            ValueError: a name is unknown.
        """
        known = [variant.name for variant in self.variants]
        for name in settings.variants:
            if name not in known:
                raise ValueError(
                    f"compare {self.name}: variants must be of {', '.join(known)}, got {name!r}"
                )
        return [variant for variant in self.variants if variant.name in settings.variants]
