"""The networks of the recipes."""

from typing import Any

import jax
from flax import nnx

import lie_jax as lj
from experiments.shapes.recipe import Recipe
from lie_jax.data.constellations import PATTERNS, feature_count
from lie_jax.groups import SE2, Discrete, Group, T, Trivial

REPEATS = 2
"""How often a pattern may be there."""
POINTS = REPEATS * sum(map(len, PATTERNS.values()))
"""That clouds are padded to."""
CLASSES = REPEATS + 1

GROUPS: dict[str, Group] = {
    "lietransformer-T2": T(2),
    "lietransformer-SE2": SE2(),
    "lietransformer-C4": Discrete(SE2(), "C4"),
    "lietransformer-trivial": Trivial(2),
}


def build(recipe: Recipe) -> nnx.Module:
    """The network of a recipe, with initial weights: points to (b, 4 patterns x 3 classes)."""
    sizes: dict[str, Any] = {
        "in_channels": feature_count(recipe.features, POINTS),
        "outputs": len(PATTERNS) * CLASSES,
        "width": recipe.width,
        "heads": recipe.heads,
    }
    rngs = nnx.Rngs(recipe.seed)
    if recipe.model == "set-transformer":
        config = lj.SetTransformerConfig(
            **sizes, space_dim=2, seeds=len(PATTERNS),
            encoder_layers=recipe.layers, decoder_layers=recipe.layers,
        )  # fmt: skip
        return lj.SetTransformer(config, rngs=rngs)
    lifts, is_published = recipe.lifts, recipe.attention == "published"
    attention = lj.AttentionConfig(
        normalisation="softmax" if is_published else "mean",
        location="raw" if lifts.pair_embedding == "radial" else "mlp",
        combination="sum" if is_published else "product",
    )
    config = lj.LieTransformerConfig(
        **sizes,
        layers=recipe.layers,
        attention=attention,
        lift_method=lifts.method,
        lift_samples=lifts.samples,
        pair_embedding=lifts.pair_embedding,
    )
    return lj.LieTransformer(config, group=GROUPS[recipe.model], rngs=rngs)


def parameters(tree: Any) -> int:
    """How many numbers a tree holds."""
    return sum(x.size for x in jax.tree.leaves(tree))
