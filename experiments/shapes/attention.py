"""What a LieTransformer attends to: its weights, and maps between points."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import lie_jax as lj
from lie_jax import attention, geometry
from lie_jax.models.lifting import lift_as
from lie_jax.nn.norm import MaskedBatchNorm
from lie_jax.typing import Array, Float, PRNGKey


def attention_weights(
    model: lj.LieTransformer, points: lj.PointSet, key: PRNGKey | None = None
) -> Float[Array, "layers *b h m m"]:
    """Weights of every layer between lifted points, [query, key], after normalisation.

    Args:
        model: in which every query attends to all keys.
        points: (\\*b) clouds of n points.
        key: of the lifts, the one that the model is given; None where nothing is drawn.

    Returns:
        (layers, \\*b, heads, m, m), 0 at absent keys. With lifts by frames the last batch axis
        runs over frames.

    Raises:
        ValueError: the model's queries attend to neighbours only.
    """
    return _weights(model, _lifted(model, points, key))


def point_maps(
    model: lj.LieTransformer, points: lj.PointSet, key: PRNGKey | None = None
) -> Float[Array, "layers *b h n n"]:
    """How much each point attends to each other: sum over a key's lifts, mean over a query's.

    Args:
        model, points, key: as for `attention_weights`.

    Returns:
        (layers, \\*b, heads, n, n), averaged over frames where the model's output is.
    """
    lifted = _lifted(model, points, key)
    weights = _weights(model, lifted)
    *lead, m, _ = weights.shape
    n, s = m // lifted.samples, lifted.samples
    maps = weights.reshape(*lead, n, s, n, s).sum(axis=-1).mean(axis=-2)
    if lifted.frame_weights is not None:
        share = lifted.frame_weights.astype(maps.dtype)[..., None, None, None]
        maps = jnp.sum(maps * share, axis=-4)
    return maps


_compiled = nnx.jit(point_maps)


def turned_maps(
    model: lj.LieTransformer,
    cloud: lj.PointSet,
    angles: Sequence[float],
    key: PRNGKey | None = None,
    *,
    layer: int = -1,
    head: int | None = None,
) -> np.ndarray:
    """The maps of one cloud, turned about the origin.

    Args:
        model: see `attention_weights`.
        cloud: one cloud, coords (n, 2); its features turn unchanged.
        angles: radians, counterclockwise.
        key: of the lifts; each angle has draws of its own.
        layer: which.
        head: which; None takes the mean of all.

    Returns:
        (angles, n, n). Weights that need not be positive, of attention that is not softmax, as
        magnitudes, in units of the largest of the map.
    """
    maps = _compiled(model, turned(cloud, angles), key)[layer]
    if model.config.attention.normalisation != "softmax":
        maps = jnp.abs(maps)
    maps = np.asarray(maps.mean(axis=-3) if head is None else maps[..., head, :, :])
    if model.config.attention.normalisation != "softmax":
        maps = maps / maps.max(axis=(-2, -1), keepdims=True)
    return maps


def turned(cloud: lj.PointSet, angles: Sequence[float]) -> lj.PointSet:
    """One cloud, (n), turned about the origin by each angle, (angles, n)."""
    c, s = np.cos(angles), np.sin(angles)
    rotation = jnp.asarray(np.stack([c, -s, s, c], axis=-1).reshape(-1, 2, 2), cloud.coords.dtype)
    coords = jnp.einsum("aij,nj->ani", rotation, cloud.coords, precision="highest")
    same = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(angles), *x.shape)), cloud)
    return dataclasses.replace(same, coords=coords)


def _lifted(model: lj.LieTransformer, points: lj.PointSet, key: PRNGKey | None) -> lj.LiftedSet:
    config = model.config
    if config.neighbours.method != "all":
        raise ValueError(
            'attention_weights: model must have neighbours of method "all", got '
            f"{config.neighbours.method!r}"
        )
    return lift_as(config, model.group, points, key)


def _weights(model: lj.LieTransformer, lifted: lj.LiftedSet) -> Array:
    config = model.config
    pairs = geometry.pair_set(
        model.group, lifted, embedding=config.pair_embedding, norm_bound=config.pair_norm_bound
    )
    x, weights = model.embedding(lifted.values), []
    for block in model.blocks:
        seen = x
        if config.block_norm.endswith("pre"):
            norm = block.attention_norm
            batch = isinstance(norm, MaskedBatchNorm)
            seen = norm(x, lifted.mask, train=False) if batch else norm(x)
        scores = block.attention.scores(seen, pairs)
        weights.append(attention.normalise(scores, pairs.mask, config.attention.normalisation))
        x = block(x, pairs, lifted.mask, implementation="reference")
    return jnp.stack(weights)
