"""Bodies that attract each other."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lie_jax.dynamics.hamiltonian import SeparableHamiltonian, kinetic_energy
from lie_jax.dynamics.systems._checks import (
    Bound,
    Range,
    check_counts,
    check_numbers,
    check_params,
    check_range,
)
from lie_jax.dynamics.systems._shared import Sample, sample_each, softened_pairs, uniform
from lie_jax.typing import Array, Float, PRNGKey, Validated, unchecked

_COLUMNS: dict[str, Bound] = {"mass": "above 0"}


@unchecked
@dataclasses.dataclass(frozen=True)
class Gravity:
    """H = Σ_i |p_i|² / (2 m_i) - G Σ_{i<j} m_i m_j / sqrt(|q_i - q_j|² + softening²).

    Plummer's softening keeps energy and derivatives finite where bodies coincide. Conserved:
    energy, linear and angular momentum.

    Args:
        particles: n of `sample`; energies take any.
        dim: d of `sample`, 2 or 3; energies take either.
        G: the gravitational constant.
        softening: a length, above 0.
        mass: (low, high), masses are uniform between.
        position_scale: standard deviation of a coordinate of q.
        velocity_scale: standard deviation of a coordinate of the velocity, before the centre of
            mass is brought to rest.

    Raises:
        ValueError: counts below 1, dim neither 2 nor 3, ranges upside down, masses or softening
            that are not positive.

    Source: Binney, Tremaine, Galactic dynamics (2008), 2.9; Aarseth, Gravitational N-body
    simulations (2003).
    """

    particles: int = 5
    dim: int = 3
    G: float = 1.0
    softening: float = 0.1
    mass: Range = (0.5, 1.5)
    position_scale: float = 1.0
    velocity_scale: float = 0.5

    def __post_init__(self):
        check_counts("Gravity", particles=self.particles)
        if self.dim not in (2, 3):
            raise ValueError(f"Gravity: dim must be 2 or 3, got {self.dim}")
        check_range("Gravity", "mass", self.mass, above_zero=True)
        check_numbers("Gravity", softening=self.softening, above_zero=True)
        check_numbers(
            "Gravity",
            G=self.G,
            position_scale=self.position_scale,
            velocity_scale=self.velocity_scale,
        )

    @property
    def hamiltonian(self) -> SeparableHamiltonian:
        """H(q, p, params)."""
        return SeparableHamiltonian(self.kinetic, self.potential)

    def kinetic(
        self,
        p: Validated[Float[Array, "*b n d"]],
        params: Validated[Float[Array, "*#b n 1"]],
    ) -> Float[Array, "*b"]:
        """Σ |p|² / (2 m).

        Raises:
            ValueError: shapes do not fit, masses are not positive.
        """
        check_params("Gravity.kinetic", "p", p, params, None, _COLUMNS)
        return kinetic_energy(p, params[..., 0])

    def potential(
        self,
        q: Validated[Float[Array, "*b n d"]],
        params: Validated[Float[Array, "*#b n 1"]],
    ) -> Float[Array, "*b"]:
        """-G Σ_{i<j} m_i m_j / sqrt(|q_i - q_j|² + softening²).

        Raises:
            ValueError: shapes do not fit, masses are not positive.
        """
        check_params("Gravity.potential", "q", q, params, None, _COLUMNS)
        is_pair = ~np.eye(q.shape[-2], dtype=bool)
        return -self.G * softened_pairs(q, params[..., 0], self.softening, is_pair)

    def sample(self, key: PRNGKey, count: Validated[int], dtype: Any = None) -> Sample:
        """States to start from, and params [mass]; system i depends on the key and on i.

        Args:
            key: of the draw.
            count: number of systems.
            dtype: of everything; JAX's default where None.

        Returns:
            q and p (count, n, d), params (count, n, 1). The total momentum is 0.

        Raises:
            ValueError: count below 1, a dtype that is not floating or not enabled.
        """
        return sample_each("Gravity.sample", self, key, count, dtype)

    def _sample_one(self, key: PRNGKey, dtype: Any) -> tuple[Array, Array, Array]:
        keys = jax.random.split(key, 3)
        shape = (self.particles, self.dim)
        mass = uniform(keys[0], self.mass, self.particles, dtype)[:, None]
        q = self.position_scale * jax.random.normal(keys[1], shape, dtype)
        p = mass * self.velocity_scale * jax.random.normal(keys[2], shape, dtype)
        p = p - mass * (jnp.sum(p, axis=0) / jnp.sum(mass))
        return q, p, mass
