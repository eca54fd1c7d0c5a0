"""Distance between lifted points, by which neighbourhoods are chosen."""

import jax.numpy as jnp

from lie_jax.geometry.pairs import pair_elements
from lie_jax.groups import Group
from lie_jax.numerics import safe_norm
from lie_jax.points import LiftedSet
from lie_jax.typing import Array, Float


def pair_distance(
    group: Group,
    queries: LiftedSet,
    keys: LiftedSet,
    *,
    algebra_weights: tuple[int | float, ...] | None = None,
    orbit_weight: float = 1.0,
) -> Float[Array, "*b q k"]:
    """|w log(g_query^-1 g_key)| + orbit_weight |q_query - q_key|, plus 1 per component apart.

    Invariant to the group acting on all points. Where points have several lifts and the
    weights of the stabiliser's directions are not 0, lifts of one point are apart too.

    Args:
        group: the group.
        queries, keys: lifted points.
        algebra_weights: one weight per algebra coordinate (in SE(3): 3 of rotation, then 3 of
            translation); None weighs all 1.
        orbit_weight: weight of the difference of orbit coordinates.

    Raises:
        ValueError: the number of weights is not ``group.algebra_dim``.
    """
    elements = pair_elements(group, queries.elements, keys.elements)
    log = group.log(elements)
    if algebra_weights is not None:
        if len(algebra_weights) != group.algebra_dim:
            raise ValueError(
                f"pair_distance: algebra_weights must hold {group.algebra_dim} numbers for "
                f"{group}, got {len(algebra_weights)}"
            )
        log = log * jnp.asarray(algebra_weights, log.dtype)
    distance = safe_norm(log)
    if group.component_dim:
        # The label of g^-1 h is 1 exactly where g and h lie in one component.
        distance = distance + jnp.sum(group.component(elements) != 1, axis=-1)
    if group.orbit_dim:
        difference = queries.orbit[..., :, None, :] - keys.orbit[..., None, :, :]
        distance = distance + orbit_weight * safe_norm(difference)
    return distance
