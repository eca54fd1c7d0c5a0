"""The Hamiltonian of particles whose potential a network learns."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax.numpy as jnp
from jax.core import Tracer

from lie_jax.dynamics.hamiltonian import SeparableHamiltonian, kinetic_energy
from lie_jax.points import PointSet
from lie_jax.typing import Array, Bool, Float, PRNGKey, PyTree, Validated

Centre = Literal["mean", "mass", "none"]


class Learned(NamedTuple):
    """What a learned Hamiltonian takes as ``params``.

    Args:
        weights: of the network.
        system: (\\*b, n, c) what is known of each particle, its mass first; the network's features.
        mask: (\\*b, n) bool, True where there is a particle; None where all are there.
        key: of the network's lifts, where it draws any.
    """

    weights: PyTree
    system: Float[Array, "*b n c"]
    mask: Bool[Array, "*b n"] | None = None
    key: PRNGKey | None = None


def learned_hamiltonian(
    apply: Callable[..., Array], *, centre: Validated[Centre] = "mean"
) -> SeparableHamiltonian:
    """H = Σ |p|²/(2m) + V(q), V the first output of a network, with params a `Learned`.

    With ``centre`` the network sees positions from the centre, so that H does not change under
    translations even where the network knows nothing of them (groups of rotations alone, MLPs).

    Args:
        apply: (weights, PointSet, key=...) -> (\\*b, 1 or more), as of `lie_jax.functional`.
        centre: ``"mean"`` of the positions, as published; that of ``"mass"``; ``"none"``.

    Raises:
        ValueError: unknown centre; when the energy is taken outside jit, a mass of a particle that
            is there is not positive.
    """
    if centre not in get_args(Centre):
        raise ValueError(
            f"learned_hamiltonian: centre must be one of {get_args(Centre)}, got {centre!r}"
        )

    def kinetic(p: Array, params: Any) -> Array:
        mass = params.system[..., 0]
        if params.mask is not None:
            mass, p = jnp.where(params.mask, mass, 1), jnp.where(params.mask[..., None], p, 0)
        if not isinstance(mass, Tracer) and not (lightest := float(jnp.min(mass))) > 0:
            raise ValueError(
                "learned_hamiltonian: masses, params.system[..., 0], must be positive, got "
                f"{lightest}"
            )
        return kinetic_energy(p, mass)

    def potential(q: Array, params: Any) -> Array:
        mask = jnp.ones(q.shape[:-1], bool) if params.mask is None else params.mask
        if centre != "none":
            weight = params.system[..., :1] if centre == "mass" else jnp.ones_like(q[..., :1])
            weight = jnp.where(mask[..., None], weight, 0)
            total = jnp.sum(weight, axis=-2, keepdims=True)
            middle = jnp.sum(weight * q, axis=-2, keepdims=True)
            q = q - middle / jnp.where(total == 0, 1, total)
        points = PointSet(q, params.system, mask)
        return apply(params.weights, points, key=params.key)[..., 0]

    return SeparableHamiltonian(kinetic, potential)
