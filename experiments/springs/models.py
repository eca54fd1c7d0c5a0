"""The networks, and how each becomes a system that `lie_jax.dynamics.rollout` integrates."""

import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax
import jax.numpy as jnp
from flax import nnx

import lie_jax as lj
from experiments.springs.recipe import Recipe
from lie_jax import dynamics
from lie_jax.groups import SE2, SO2, T, Trivial
from lie_jax.typing import Array, PRNGKey, PyTree

PARTICLES, SPACE = 6, 2
FEATURES = 2
"""Mass and stiffness."""

GROUPS = {
    "lietransformer-T2": T(2),
    "lietransformer-SE2": SE2(),
    "lietransformer-SO2": SO2(),
    "lietransformer-trivial": Trivial(2),
}
SIZES = {"lietransformer-SE2": (80, 3), "lieconv-T2": (384, 4), "fc": (256, 4), "hfc": (256, 4)}
"""Published width and number of layers; those of the other transformers are (160, 5)."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A network as a dynamical system.

    Args:
        system: what `lie_jax.dynamics.rollout` takes.
        weights: initial ones.
        params: (weights, particles (*b, n, 2), key) -> what ``system`` takes as parameters.
        energy: the learned Hamiltonian; None where the network gives the vector field itself.
    """

    system: Any
    weights: PyTree
    params: Callable[[PyTree, Array, PRNGKey], Any]
    energy: Callable[[Array, Array, Any], Array] | None


def build(recipe: Recipe) -> Model:
    """The network of a recipe, with initial weights."""
    rngs = nnx.Rngs(recipe.seed)
    default = SIZES.get(recipe.model, (64, 2) if recipe.model.endswith("ogn") else (160, 5))
    width, layers = recipe.width or default[0], recipe.layers or default[1]
    if recipe.is_separable:
        apply, weights = lj.functional(_potential(recipe, width, layers, rngs))
        # Groups of rotations about the origin: the origin is put into the centre.
        H = dynamics.learned_hamiltonian(apply)
        return Model(
            H, weights, lambda w, particles, key: dynamics.Learned(w, particles, key=key), H
        )
    is_energy = recipe.model == "hogn"
    apply, weights = lj.functional(_plain(recipe, width, layers, rngs))

    def call(q: Array, p: Array, params: Any) -> Array:
        weights, particles = params
        q = q - jnp.mean(q, axis=-2, keepdims=True)
        return apply(weights, lj.PointSet(q, jnp.concatenate([p, particles], axis=-1)))

    def energy(q: Array, p: Array, params: Any) -> Array:
        return call(q, p, params)[..., 0]

    def field(_, state: dynamics.State, params: Any) -> dynamics.State:
        y = call(*state, params)
        return y[..., :SPACE], y[..., SPACE:]

    system = energy if is_energy else diffrax.ODETerm(field)
    return Model(
        system, weights, lambda w, particles, _: (w, particles), energy if is_energy else None
    )


def _potential(recipe: Recipe, width: int, layers: int, rngs: nnx.Rngs) -> nnx.Module:
    """Of positions, masses and stiffnesses."""
    if recipe.model == "hfc":
        config = lj.MLPConfig(
            points=PARTICLES, space_dim=SPACE, in_channels=FEATURES, width=width, layers=layers
        )
        return lj.MLP(config, rngs=rngs)
    if recipe.model == "lieconv-T2":
        config = lj.LieConvConfig(in_channels=FEATURES, width=width, layers=layers)
        return lj.LieConv(config, group=T(2), rngs=rngs)
    group = GROUPS[recipe.model]
    is_se2 = recipe.model == "lietransformer-SE2"
    is_sum = recipe.readout == "particles"
    config = lj.LieTransformerConfig(
        in_channels=FEATURES,
        width=width,
        layers=layers,
        block_norm=recipe.block_norm or ("none" if is_se2 else "layer_pre"),
        head="linear_pool" if is_sum else "pool_mlp",
        pooling="sum" if is_sum else "mean",
        attention=lj.AttentionConfig(
            normalisation="mean",
            location=recipe.location or ("raw" if is_se2 else "mlp"),
            combination=recipe.combination or ("product" if is_se2 else "sum"),
        ),
        lift_method=recipe.lift_method if is_se2 else "random",
        lift_samples=recipe.lift_samples if is_se2 else None,
        pair_embedding=recipe.pair_embedding if is_se2 else "log",
    )
    return lj.LieTransformer(config, group=group, rngs=rngs)


def _plain(recipe: Recipe, width: int, layers: int, rngs: nnx.Rngs) -> nnx.Module:
    """Of positions, momenta, masses and stiffnesses: the energy, or the vector field."""
    channels = SPACE + FEATURES
    if recipe.model == "fc":
        config = lj.MLPConfig(
            points=PARTICLES, space_dim=SPACE, in_channels=channels, outputs=2 * SPACE,
            per_point=True, width=width, layers=layers,
        )  # fmt: skip
        return lj.MLP(config, rngs=rngs)
    is_energy = recipe.model == "hogn"
    config = lj.GraphNetworkConfig(
        space_dim=SPACE, in_channels=channels, outputs=1 if is_energy else 2 * SPACE,
        width=width, rounds=layers, pooling="sum" if is_energy else "none",
    )  # fmt: skip
    return lj.GraphNetwork(config, rngs=rngs)
