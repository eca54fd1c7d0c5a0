"""Nearest neighbours of a lifted cloud, in memory linear in its size.

`nearest` and `ball` read them off the matrix of all distances. Here two methods give the same:

* Where the lifted points have *positions*, points of R^d that are no farther apart than
  `pair_distance` says (see `positions`), a tree of boxes: `lie_jax.geometry.tree`.
* Elsewhere, a scan: all distances of a few queries at a time.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from lie_jax.geometry.pairs import Neighbourhood, pair_elements
from lie_jax.geometry.tree import Distance, norm, search_tree
from lie_jax.groups import E2, E3, SE2, SE3, Group
from lie_jax.points import LiftedSet, check_mask
from lie_jax.typing import Array, Bool, Float, Int, Validated, unchecked

SCANNED = 2**20  # distances in memory at a time in the scan; no result depends on it


@unchecked
@dataclasses.dataclass(frozen=True)
class _Options:
    """What a search was asked for; static."""

    count: int
    radius: int | float
    algebra_weights: tuple[int | float, ...] | None
    orbit_weight: int | float
    recall_target: int | float | None


def search_nearest(
    group: Group,
    lifted: Validated[LiftedSet],
    count: Validated[int],
    *,
    algebra_weights: tuple[int | float, ...] | None = None,
    orbit_weight: int | float = 1.0,
    recall_target: int | float | None = None,
) -> Neighbourhood:
    """The ``count`` nearest real points of each lifted point, itself among them.

    As ``nearest(pair_distance(group, lifted, lifted), lifted.mask, count)``, up to the choice
    among points at equal distance; absent points are given no neighbours, masked indices are 0.

    Args:
        group: the group.
        lifted: m lifted points, with any batch axes.
        count: static size, k. Where the cloud has fewer points, all of them.
        algebra_weights, orbit_weight: see `pair_distance`; static numbers.
        recall_target: where the group gives no positions, find only this share of the neighbours
            (expected), by ``jax.lax.approx_min_k``: faster on a TPU. None finds all.

    Returns:
        Neighbourhood of indices and mask (\\*b, m, min(count, m)), nearest first; choosing has no
        gradient.

    Raises:
        ValueError: count, algebra_weights, orbit_weight or recall_target is out of range.
        TypeError: lifted is not a LiftedSet, or its mask not boolean.
    """
    options = _Options(count, math.inf, algebra_weights, orbit_weight, recall_target)
    return _search(group, lifted, _check("search_nearest", group, lifted, options))


def search_ball(
    group: Group,
    lifted: Validated[LiftedSet],
    radius: int | float,
    count: Validated[int],
    *,
    algebra_weights: tuple[int | float, ...] | None = None,
    orbit_weight: int | float = 1.0,
    recall_target: int | float | None = None,
) -> Neighbourhood:
    """The ``count`` nearest real points within ``radius`` of each lifted point.

    As ``ball(pair_distance(group, lifted, lifted), lifted.mask, radius, count)``; for the rest
    see `search_nearest`.

    Args:
        radius: in the unit of `pair_distance`, positive; a static number.

    Raises:
        ValueError: radius, count, algebra_weights, orbit_weight or recall_target is out of range.
        TypeError: lifted is not a LiftedSet, or its mask not boolean.
    """
    options = _Options(count, radius, algebra_weights, orbit_weight, recall_target)
    return _search(group, lifted, _check("search_ball", group, lifted, options))


def positions(
    group: Group,
    lifted: LiftedSet,
    *,
    algebra_weights: tuple[int | float, ...] | None = None,
    orbit_weight: int | float = 1.0,
) -> Float[Array, "*b m d"] | None:
    """Points of R^d at most as far apart as `pair_distance` says of the lifted points.

    A group that gets positions here is searched by the tree.

    * Where log(g^-1 h) = log h - log g: weighted log and orbit coordinates, side by side; the
      norm of (a, b) is at most |a| + |b|.
    * For motions: the translation, times the smallest weight of its directions. With log(g^-1 h)
      = (ω, u), the difference of the translations is as long as V u, and |V u| <= |u|, because
      V is a mean of rotations.

    Returns:
        (\\*b, m, d), or None where no positions are known.
    """
    if group.log_is_additive and group.component_dim == 0:
        log = group.log(lifted.elements)
        if algebra_weights is not None:
            log = log * jnp.asarray(algebra_weights, log.dtype)
        return jnp.concatenate([log, orbit_weight * lifted.orbit.astype(log.dtype)], axis=-1)
    if isinstance(group, SE2 | SE3 | E2 | E3):
        weight = 1.0
        if algebra_weights is not None:
            weight = min(abs(w) for w in algebra_weights[-group.space_dim :])
        if weight > 0:
            origin = jnp.zeros(group.space_dim, lifted.elements.dtype)
            return weight * group.act(lifted.elements, origin)
    return None


def _check(where: str, group: Group, lifted: Validated[LiftedSet], options: _Options) -> _Options:
    count, weights, recall = options.count, options.algebra_weights, options.recall_target
    if not isinstance(lifted, LiftedSet):
        raise TypeError(f"{where}: lifted must be a LiftedSet, got {type(lifted).__name__}")
    check_mask(where, lifted.mask)
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"{where}: count must be an integer of at least 1, got {count!r}")
    if not options.radius > 0:
        raise ValueError(f"{where}: radius must be positive, got {options.radius!r}")
    if weights is not None:
        if len(weights) != group.algebra_dim:
            raise ValueError(
                f"{where}: algebra_weights must hold {group.algebra_dim} numbers for {group}, "
                f"got {len(weights)}"
            )
        weights = tuple(float(w) for w in weights)
    if not options.orbit_weight >= 0:
        raise ValueError(f"{where}: orbit_weight must be at least 0, got {options.orbit_weight!r}")
    if recall is not None and not 0 < recall <= 1:
        raise ValueError(f"{where}: recall_target must be in (0, 1] or None, got {recall!r}")
    count = min(count, lifted.mask.shape[-1])
    return dataclasses.replace(options, count=count, algebra_weights=weights)


# Compiled as a whole: outside jit, every call would compile its loops again.
@functools.partial(jax.jit, static_argnums=(0, 2))
def _search(group: Group, lifted: LiftedSet, options: _Options) -> Neighbourhood:
    real, batch = lifted.mask, lifted.mask.shape[:-1]
    if not real.size:  # an empty batch
        shape = (*real.shape, options.count)
        return Neighbourhood(jnp.zeros(shape, jnp.int32), jnp.zeros(shape, bool))
    lifted = dataclasses.replace(lifted, values=lifted.values[..., :0])  # not to be moved about
    lifted = jax.tree.map(
        lambda x: lax.stop_gradient(x).reshape(math.prod(batch), *x.shape[len(batch) :]), lifted
    )
    weights = {"algebra_weights": options.algebra_weights, "orbit_weight": options.orbit_weight}
    distance = functools.partial(_distance, group, **weights)
    x = positions(group, lifted, **weights)
    if x is None:
        found = _scan(distance, lifted, options)
    else:
        found = search_tree(distance, lifted, x, options.count, options.radius)
    indices, mask = (values.reshape(*batch, *values.shape[1:]) for values in found)
    mask = mask & real[..., None]
    return Neighbourhood(jnp.where(mask, indices, 0), mask)


def _distance(
    group: Group,
    queries: LiftedSet,
    keys: LiftedSet,
    algebra_weights: tuple[int | float, ...] | None,
    orbit_weight: int | float,
) -> Float[Array, "*b q k"]:
    """`pair_distance`, but for the norm, see `norm`."""
    elements = pair_elements(group, queries.elements, keys.elements)
    log = group.log(elements)
    if algebra_weights is not None:
        log = log * jnp.asarray(algebra_weights, log.dtype)
    distance = norm(log)
    if group.component_dim:
        distance = distance + jnp.sum(group.component(elements) != 1, axis=-1)
    if group.orbit_dim:
        difference = queries.orbit[..., :, None, :] - keys.orbit[..., None, :, :]
        distance = distance + orbit_weight * norm(difference)
    return distance


def _scan(
    distance: Distance, lifted: LiftedSet, options: _Options
) -> tuple[Int[Array, "b m k"], Bool[Array, "b m k"]]:
    clouds, m = lifted.mask.shape
    rows = max(1, min(m, SCANNED // m))
    tiles = math.ceil(m / rows)

    def search(tile: Int[Array, ""]):
        """The neighbours of some queries of one cloud."""
        cloud = jax.tree.map(lambda x: x[tile // tiles], lifted)
        here = jnp.minimum(tile % tiles * rows + jnp.arange(rows), m - 1)
        far = distance(jax.tree.map(lambda x: x[here], cloud), cloud)
        far = jnp.where(cloud.mask & (far <= options.radius), far, jnp.inf)
        if options.recall_target is None:
            negative, found = lax.top_k(-far, options.count)
            return found, jnp.isfinite(negative)
        far, found = lax.approx_min_k(far, options.count, recall_target=options.recall_target)
        return found, jnp.isfinite(far)

    together = max(1, SCANNED // (rows * m))
    found = lax.map(search, jnp.arange(clouds * tiles), batch_size=min(together, clouds * tiles))
    return jax.tree.map(lambda x: x.reshape(clouds, tiles * rows, -1)[:, :m], found)
