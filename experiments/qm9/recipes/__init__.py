"""One file per network: recipe, source, published errors, cost, command."""

from experiments.qm9.recipe import Recipe
from experiments.qm9.recipes import (
    lieconv_se3,
    lieconv_t3,
    lietransformer_se3,
    lietransformer_t3,
)
from experiments.qm9.recipes.distances import DISTANCES
from experiments.qm9.recipes.quick import QUICK
from experiments.qm9.recipes.row import Row as Row

ROWS: dict[str, Row] = {
    row.name: row
    for module in (lietransformer_t3, lietransformer_se3, lieconv_t3, lieconv_se3)
    for row in (module.PLAIN, module.AUGMENTED)
}
"""The published table's rows."""

PRESETS: dict[str, Recipe] = {recipe.preset: recipe for recipe in (QUICK, DISTANCES)} | {
    name: row.recipe for name, row in ROWS.items()
}
