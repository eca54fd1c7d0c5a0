"""A row of the table: a recipe beside what was published for it."""

import dataclasses
from collections.abc import Mapping

from experiments.qm9.recipe import Recipe

ORDER = ("alpha", "gap", "homo", "lumo", "mu", "Cv", "G", "H", "r2", "U", "U0", "zpve")
"""Of the published tables' columns."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A recipe that can be trained on any of the twelve properties.

    Args:
        recipe: its preset is the row's name.
        citation: where recipe and scores were published.
        published: mean absolute errors by property, in its reported unit; empty where none was.
    """

    recipe: Recipe
    citation: str
    published: Mapping[str, float]

    @property
    def name(self) -> str:
        return self.recipe.preset


def scores(*values: float) -> dict[str, float]:
    """Errors in the order of the published tables."""
    return dict(zip(ORDER, values, strict=True))
