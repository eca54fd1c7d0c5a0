"""What a trajectory should conserve, and how far it drifts.

States are (\\*b, n, d) with any leading axes, time among them: (\\*b, t, n, d) as
`lie_jax.dynamics.rollout` returns them. NumPy arrays will do, as long trajectories are.
"""

from typing import Any

import jax
import jax.numpy as jnp

from lie_jax.dynamics.hamiltonian import Energy
from lie_jax.numerics import safe_norm
from lie_jax.typing import Array, Float, PyTree, Validated


def energy(
    H: Validated[Energy],
    q: Validated[Float[Array, "*b n d"]],
    p: Validated[Float[Array, "*b n d"]],
    params: PyTree,
    *,
    time_axis: int = -3,
) -> Float[Array, "*b"]:
    """H along a trajectory.

    Args:
        H: (q, p, params) -> energy, of one system or of a batch.
        q, p: the trajectory, with one axis for time more than H takes.
        params: what H takes; the same at all times, without an axis for time.
        time_axis: where q and p have it, from the front or from the back.

    Returns:
        Energies, shaped as q without its last two axes.

    Raises:
        ValueError: shapes of q and p differ, or there is no such axis.
    """
    _check_state("energy", q, p)
    axis = time_axis + q.ndim if time_axis < 0 else time_axis
    if not 0 <= axis < q.ndim - 2:
        raise ValueError(
            f"energy: time_axis must name an axis of q before the last two, got {time_axis} for "
            f"shape {q.shape}"
        )
    return jax.vmap(H, in_axes=(axis, axis, None), out_axes=axis)(q, p, params)


def linear_momentum(p: Validated[Float[Array, "*b n d"]]) -> Float[Array, "*b d"]:
    """Σ_i p_i.

    Raises:
        ValueError: p has fewer than two axes.
    """
    if p.ndim < 2:
        raise ValueError(f"linear_momentum: p must have shape (*b, n, d), got {p.shape}")
    return jnp.sum(p, axis=-2)


def angular_momentum(
    q: Validated[Float[Array, "*b n d"]], p: Validated[Float[Array, "*b n d"]]
) -> Float[Array, "*b"] | Float[Array, "*b 3"]:
    """Σ_i q_i x p_i, about the origin.

    Args:
        q, p: places and momenta of particles, d = 2 or 3. Of `PendulumChain` and `RigidPairs`,
            whose coordinates are no places, take what their ``particles`` returns.

    Returns:
        (\\*b) numbers in the plane, (\\*b, 3) vectors in space.

    Raises:
        ValueError: shapes of q and p differ, or d is neither 2 nor 3.
    """
    _check_state("angular_momentum", q, p)
    if q.shape[-1] not in (2, 3):
        raise ValueError(
            f"angular_momentum: q must have shape (*b, n, 2) or (*b, n, 3), got {q.shape}"
        )
    if q.shape[-1] == 3:
        return jnp.sum(jnp.cross(q, p), axis=-2)
    return jnp.sum(q[..., 0] * p[..., 1] - q[..., 1] * p[..., 0], axis=-1)


def relative_drift(
    values: Validated[Float[Array, "..."]],
    scale: Validated[Float[Array, "..."] | float | None] = None,
    *,
    time_axis: int = -1,
    component_axis: int | None = None,
) -> Float[Array, "..."]:
    """|values(t) - values(first)| / scale.

    Args:
        values: of a conserved quantity, along a trajectory.
        scale: what to divide by; |values(first)| where None. Give it where the quantity may be
            0, as the total momentum of a centred system is: to divide by that says nothing.
        time_axis: axis of the times.
        component_axis: axis of the components of a vector, of which norms are taken; None for
            numbers.

    Returns:
        Shaped as values, without the axis of the components. NaN or infinite where scale is 0.

    Raises:
        ValueError: there are no values, no such axis, or both axes are the same.
    """
    axes = {"time_axis": time_axis, "component_axis": component_axis}
    for name, axis in axes.items():
        if axis is not None and not -values.ndim <= axis < values.ndim:
            raise ValueError(
                f"relative_drift: {name} must be an axis of values, of shape {values.shape}, got "
                f"{axis}"
            )
    if component_axis is not None and (component_axis - time_axis) % values.ndim == 0:
        raise ValueError(
            f"relative_drift: component_axis must not be time_axis, got {component_axis}"
        )
    if values.shape[time_axis] == 0:
        raise ValueError(f"relative_drift: values must hold a time, got shape {values.shape}")
    first = jnp.take(values, jnp.array([0]), axis=time_axis)

    def size(x: Any) -> Array:
        return (
            jnp.abs(x) if component_axis is None else safe_norm(jnp.asarray(x), axis=component_axis)
        )

    return size(values - first) / (size(first) if scale is None else scale)


def _check_state(where: str, q: Any, p: Any) -> None:
    if q.ndim < 2 or q.shape != p.shape:
        raise ValueError(
            f"{where}: q and p must have one shape (*b, n, d), got {q.shape} and {p.shape}"
        )
