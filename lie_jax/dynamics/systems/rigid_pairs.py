"""Pairs of particles held at a distance: rotors in the plane."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lie_jax.dynamics.hamiltonian import SeparableHamiltonian
from lie_jax.dynamics.systems._checks import (
    Bound,
    Range,
    check_counts,
    check_numbers,
    check_params,
    check_range,
    check_state,
)
from lie_jax.dynamics.systems._shared import Sample, sample_each, softened_pairs, uniform
from lie_jax.typing import Array, Float, PRNGKey, Validated, unchecked

_COLUMNS: dict[str, Bound] = {"mass": "above 0", "length": "above 0", "charge": ""}


@unchecked
@dataclasses.dataclass(frozen=True)
class RigidPairs:
    """H = Σ_i |p_i|² / (2 m_i) + L_i² / (2 I_i) + V: two equal masses at the ends of a rigid rod.

    Pair i is a rotor of the plane: q_i = (x, y, φ), centre and direction of the rod, and its
    momenta (p_i, L_i). Ends lie at the centre ± (l_i / 2) (cos φ, sin φ), each of mass m_i / 2, so
    I_i = m_i l_i² / 4. The distance of the two is held exactly: centre and angle are all the
    coordinates that the constraint leaves, and the energy of them is exact and separable.
    The ends carry the charges +c_i and -c_i, and ends of different pairs repel or attract by
    V = strength Σ c c' / sqrt(|r|² + softening²). Conserved: energy, and of the `particles` linear
    and angular momentum.

    Args:
        pairs: n of `sample`; energies take any.
        strength: of the interaction.
        softening: a length, above 0: derivatives are finite where ends coincide.
        mass: (low, high) of a pair's mass, uniform between.
        length: (low, high) of the rods, likewise.
        charge: (low, high) of c, likewise.
        position_scale: standard deviation of a coordinate of a centre.
        velocity_scale: standard deviation of a coordinate of a centre's velocity, before the
            centre of mass is brought to rest.
        speed_scale: standard deviation of the angular velocities.

    Raises:
        ValueError: counts below 1, ranges upside down, masses, lengths or softening that are not
            positive.

    Source: Goldstein, Classical mechanics, 1.3 (holonomic constraints) and 8.1.
    """

    pairs: int = 4
    strength: float = 1.0
    softening: float = 0.2
    mass: Range = (0.5, 1.5)
    length: Range = (0.5, 1.0)
    charge: Range = (0.5, 1.0)
    position_scale: float = 1.0
    velocity_scale: float = 0.5
    speed_scale: float = 1.0

    def __post_init__(self):
        check_counts("RigidPairs", pairs=self.pairs)
        check_range("RigidPairs", "mass", self.mass, above_zero=True)
        check_range("RigidPairs", "length", self.length, above_zero=True)
        check_range("RigidPairs", "charge", self.charge, above_zero=False)
        check_numbers("RigidPairs", softening=self.softening, above_zero=True)
        check_numbers(
            "RigidPairs",
            strength=self.strength,
            position_scale=self.position_scale,
            velocity_scale=self.velocity_scale,
            speed_scale=self.speed_scale,
        )

    @property
    def hamiltonian(self) -> SeparableHamiltonian:
        """H(q, p, params)."""
        return SeparableHamiltonian(self.kinetic, self.potential)

    def kinetic(
        self,
        p: Validated[Float[Array, "*b n 3"]],
        params: Validated[Float[Array, "*#b n 3"]],
    ) -> Float[Array, "*b"]:
        """Σ |p|² / (2 m) + L² / (2 I).

        Raises:
            ValueError: shapes do not fit, masses or lengths are not positive.
        """
        check_params("RigidPairs.kinetic", "p", p, params, 3, _COLUMNS)
        return jnp.sum(p * p / (2 * _inertia(params)), axis=(-2, -1))

    def potential(
        self,
        q: Validated[Float[Array, "*b n 3"]],
        params: Validated[Float[Array, "*#b n 3"]],
    ) -> Float[Array, "*b"]:
        """strength Σ c c' / sqrt(|r|² + softening²) over two ends of different pairs.

        Raises:
            ValueError: shapes do not fit, masses or lengths are not positive.
        """
        check_params("RigidPairs.potential", "q", q, params, 3, _COLUMNS)
        charge = params[..., 2]
        charge = jnp.concatenate([charge, -charge], axis=-1)
        pair = np.tile(np.arange(q.shape[-2]), 2)
        is_pair = pair[:, None] != pair
        ends = _both(q[..., :2], _arm(q, params))
        return self.strength * softened_pairs(ends, charge, self.softening, is_pair)

    def particles(
        self,
        q: Validated[Float[Array, "*b n 3"]],
        p: Validated[Float[Array, "*b n 3"]],
        params: Validated[Float[Array, "*#b n 3"]],
    ) -> tuple[Float[Array, "*b m 2"], Float[Array, "*b m 2"]]:
        """Places and momenta of the ends: (\\*b, 2 n, 2), first all of charge +c.

        Raises:
            ValueError: shapes do not fit, masses or lengths are not positive.
        """
        check_params("RigidPairs.particles", "q", q, params, 3, _COLUMNS)
        check_state("RigidPairs.particles", q, p)
        arm = _arm(q, params)
        across = jnp.stack([-arm[..., 1], arm[..., 0]], axis=-1)
        mass = params[..., 0, None]
        turning = mass / 2 * across * (p / _inertia(params))[..., 2:]
        return _both(q[..., :2], arm), _both(p[..., :2] / 2, turning)

    def sample(self, key: PRNGKey, count: Validated[int], dtype: Any = None) -> Sample:
        """States to start from, and params [mass, length, charge].

        System i depends on the key and on i.

        Args:
            key: of the draw.
            count: number of systems.
            dtype: of everything; JAX's default where None.

        Returns:
            q, p and params, each (count, n, 3). The total linear momentum is 0.

        Raises:
            ValueError: count below 1, a dtype that is not floating or not enabled.
        """
        return sample_each("RigidPairs.sample", self, key, count, dtype)

    def _sample_one(self, key: PRNGKey, dtype: Any) -> tuple[Array, Array, Array]:
        keys = jax.random.split(key, 7)
        n = self.pairs
        limits = (self.mass, self.length, self.charge)
        draws = [uniform(k, limit, n, dtype) for k, limit in zip(keys[:3], limits, strict=True)]
        params = jnp.stack(draws, axis=-1)
        centre = self.position_scale * jax.random.normal(keys[3], (n, 2), dtype)
        angle = uniform(keys[4], (-np.pi, np.pi), n, dtype)[:, None]
        velocity = self.velocity_scale * jax.random.normal(keys[5], (n, 2), dtype)
        mass = params[:, :1]
        velocity = velocity - jnp.sum(mass * velocity, axis=0) / jnp.sum(mass)
        speed = self.speed_scale * jax.random.normal(keys[6], (n, 1), dtype)
        p = _inertia(params) * jnp.concatenate([velocity, speed], axis=-1)
        return jnp.concatenate([centre, angle], axis=-1), p, params


def _inertia(params: Float[Array, "*b n 3"]) -> Float[Array, "*b n 3"]:
    """(m, m, I) of each pair."""
    mass, length = params[..., 0], params[..., 1]
    return jnp.stack([mass, mass, mass * length * length / 4], axis=-1)


def _arm(q: Float[Array, "*b n 3"], params: Float[Array, "*#b n 3"]) -> Float[Array, "*b n 2"]:
    """From the centre to the end of charge +c."""
    angle, half = q[..., 2], params[..., 1] / 2
    return half[..., None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)


def _both(middle: Float[Array, "*b n 2"], half: Float[Array, "*b n 2"]) -> Array:
    return jnp.concatenate([middle + half, middle - half], axis=-2)
