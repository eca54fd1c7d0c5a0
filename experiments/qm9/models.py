"""The networks of the recipes, and their optimisers."""

from typing import Any

import jax.numpy as jnp
import optax
from flax import nnx

import lie_jax as lj
from experiments.optimizer import adam, warmup_cosine
from experiments.qm9.recipe import Recipe
from lie_jax.data import qm9
from lie_jax.groups import Group

GROUPS: dict[str, Group] = {
    "T3": lj.groups.T(3),
    "SE3": lj.groups.SE3(),
    "SO3": lj.groups.SO3(),
    "Trivial": lj.groups.Trivial(3),
}
DIRECTIONS = 3
"""Outputs per atom that tell its noise."""


def build_model(
    recipe: Recipe, *, lift_frames: int | None = None
) -> lj.LieTransformer | lj.LieConv:
    """The network of a recipe, with one output for each target.

    Where it is not pooled inside (see `is_pooled_inside`), outputs are those of atoms.

    Args:
        recipe: the recipe.
        lift_frames: see `lie_jax.geometry.lift`; the recipe's ``train_frames`` in training.
    """
    options: dict[str, Any] = {
        "in_channels": qm9.CHANNELS,
        "outputs": len(recipe.targets) + (DIRECTIONS if recipe.noise else 0),
        "width": recipe.width,
        "layers": recipe.layers,
        "pooling": poolings(recipe)[0] if is_pooled_inside(recipe) else "none",
        "lift_method": recipe.lift_method,
        "lift_samples": recipe.lift_samples,
        "lift_frames": lift_frames,
        "pair_embedding": recipe.pair_embedding,
        "neighbours": lj.NeighbourConfig("nearest", count=recipe.neighbours)
        if recipe.neighbours
        else lj.NeighbourConfig(),
        "matmul_dtype": jnp.bfloat16 if recipe.precision == "bfloat16" else None,
        "param_dtype": jnp.float32,
    }
    rngs, group = nnx.Rngs(recipe.seed), GROUPS[recipe.group]
    if recipe.model == "lieconv":
        return lj.LieConv(lj.LieConvConfig(**options, batch_norm=True), group=group, rngs=rngs)
    attention = lj.AttentionConfig(
        normalisation=recipe.normalisation,
        location=recipe.location,
        combination=recipe.combination,
    )
    config = lj.LieTransformerConfig(
        **options, heads=recipe.heads, attention=attention, head=recipe.head
    )
    return lj.LieTransformer(config, group=group, rngs=rngs)


def is_pooled_inside(recipe: Recipe) -> bool:
    """Whether the network's outputs are those of molecules.

    By property, sums are of what each atom gives, while means are taken of the features, before
    the last layers: an orbital's energy is no mean over atoms.
    """
    if recipe.noise:
        return False
    return recipe.pooling != "by_property" or set(poolings(recipe)) == {"mean"}


def poolings(recipe: Recipe) -> tuple[str, ...]:
    """``"mean"`` or ``"sum"`` for each target."""
    if recipe.pooling != "by_property":
        return (recipe.pooling,) * len(recipe.targets)
    return tuple("sum" if qm9.PROPERTIES[t].extensive else "mean" for t in recipe.targets)


def build_optimizer(recipe: Recipe, steps: int) -> optax.GradientTransformation:
    """That of the recipe; the rate of Adam and Muon decays to 0 over ``steps``."""
    betas = (recipe.beta1, recipe.beta2)
    if recipe.optimizer == "adam":
        return adam(
            recipe.learning_rate, steps, warmup=recipe.warmup, clip=recipe.clip, betas=betas
        )
    parts = [] if recipe.clip is None else [optax.clip_by_global_norm(recipe.clip)]
    if recipe.optimizer == "schedule_free":
        parts.append(
            optax.contrib.schedule_free_adamw(
                recipe.learning_rate, warmup_steps=recipe.warmup or None, b1=recipe.beta1,
                b2=recipe.beta2, weight_decay=0.0,
            )
        )  # fmt: skip
        return optax.chain(*parts)
    muon = optax.contrib.muon(
        warmup_cosine(recipe.learning_rate, steps, recipe.warmup),
        adam_b1=betas[0], adam_b2=betas[1], consistent_rms=0.2, weight_decay=0.0,
    )  # fmt: skip
    return optax.chain(*parts, muon)
