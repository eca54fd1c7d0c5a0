"""A pendulum of several links: the system whose energy is not separable."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve

from lie_jax.dynamics.systems._checks import (
    Bound,
    Range,
    check_counts,
    check_numbers,
    check_params,
    check_range,
    check_state,
)
from lie_jax.dynamics.systems._shared import Sample, sample_each, uniform
from lie_jax.typing import Array, Float, PRNGKey, Validated, unchecked

_COLUMNS: dict[str, Bound] = {"mass": "above 0", "length": "above 0"}


@unchecked
@dataclasses.dataclass(frozen=True)
class PendulumChain:
    """H = ½ p^T M(q)^-1 p - Σ_i g μ_i l_i cos q_i: point masses on rigid rods without mass.

    The chain swings in a plane from a fixed pivot. q_i is the angle between rod i and the
    downward vertical, p_i its momentum, μ_i = Σ_{j≥i} m_j what hangs on rod i, and
    M_ij = μ_max(i,j) l_i l_j cos(q_i - q_j). M depends on q, so H is not separable: integrate it
    with `lie_jax.dynamics.hamiltonian_field`. Conserved: energy; without gravity Σ p_i too, the
    angular momentum about the pivot.

    Args:
        links: n of `sample`; energies take any.
        gravity: g, downward acceleration.
        mass: (low, high), masses are uniform between.
        length: (low, high) of the rods, likewise.
        angle: angles are uniform between -angle and angle, radians.
        speed_scale: standard deviation of the angular velocities.

    Raises:
        ValueError: counts below 1, ranges upside down, masses or lengths that are not positive.

    Source: Goldstein, Classical mechanics, 1.6 and 8.1; Arnold, Mathematical methods of classical
    mechanics, section 21.
    """

    links: int = 3
    gravity: float = 1.0
    mass: Range = (0.5, 1.5)
    length: Range = (0.5, 1.5)
    angle: float = np.pi / 2
    speed_scale: float = 0.5

    def __post_init__(self):
        check_counts("PendulumChain", links=self.links)
        check_range("PendulumChain", "mass", self.mass, above_zero=True)
        check_range("PendulumChain", "length", self.length, above_zero=True)
        check_numbers(
            "PendulumChain", gravity=self.gravity, angle=self.angle, speed_scale=self.speed_scale
        )

    @property
    def hamiltonian(self) -> Callable[[Array, Array, Any], Array]:
        """H(q, p, params), which is `energy`."""
        return self.energy

    def energy(
        self,
        q: Validated[Float[Array, "*b n 1"]],
        p: Validated[Float[Array, "*b n 1"]],
        params: Validated[Float[Array, "*#b n 2"]],
    ) -> Float[Array, "*b"]:
        """Kinetic and potential energy, the latter 0 at the height of the pivot.

        Raises:
            ValueError: shapes do not fit, masses or lengths are not positive.
        """
        _check("PendulumChain.energy", q, p, params)
        kinetic = jnp.sum(p * self.velocity(q, p, params), axis=(-2, -1)) / 2
        weight = self.gravity * _hanging(params) * params[..., 1]
        return kinetic - jnp.sum(weight * jnp.cos(q[..., 0]), axis=-1)

    def velocity(
        self,
        q: Validated[Float[Array, "*b n 1"]],
        p: Validated[Float[Array, "*b n 1"]],
        params: Validated[Float[Array, "*#b n 2"]],
    ) -> Float[Array, "*b n 1"]:
        """Angular velocities M(q)^-1 p.

        Raises:
            ValueError: shapes do not fit, masses or lengths are not positive.
        """
        _check("PendulumChain.velocity", q, p, params)
        # The triangular solves have matrix products inside, which TF32 would spoil.
        with jax.default_matmul_precision("highest"):
            return cho_solve(cho_factor(_inertia(q, params), lower=True), p)

    def particles(
        self,
        q: Validated[Float[Array, "*b n 1"]],
        p: Validated[Float[Array, "*b n 1"]],
        params: Validated[Float[Array, "*#b n 2"]],
    ) -> tuple[Float[Array, "*b n 2"], Float[Array, "*b n 2"]]:
        """Places (x, y) and momenta of the masses, the pivot at the origin and y upward.

        Raises:
            ValueError: shapes do not fit, masses or lengths are not positive.
        """
        velocity = self.velocity(q, p, params)
        length = params[..., 1, None]
        rods = length * jnp.concatenate([jnp.sin(q), -jnp.cos(q)], axis=-1)
        moves = length * velocity * jnp.concatenate([jnp.cos(q), jnp.sin(q)], axis=-1)
        return jnp.cumsum(rods, axis=-2), params[..., 0, None] * jnp.cumsum(moves, axis=-2)

    def sample(self, key: PRNGKey, count: Validated[int], dtype: Any = None) -> Sample:
        """States to start from, and params [mass, length]; system i depends on the key and on i.

        Args:
            key: of the draw.
            count: number of systems.
            dtype: of everything; JAX's default where None.

        Returns:
            q and p (count, n, 1), params (count, n, 2).

        Raises:
            ValueError: count below 1, a dtype that is not floating or not enabled.
        """
        return sample_each("PendulumChain.sample", self, key, count, dtype)

    def _sample_one(self, key: PRNGKey, dtype: Any) -> tuple[Array, Array, Array]:
        keys = jax.random.split(key, 4)
        mass = uniform(keys[0], self.mass, self.links, dtype)
        length = uniform(keys[1], self.length, self.links, dtype)
        params = jnp.stack([mass, length], axis=-1)
        q = uniform(keys[2], (-self.angle, self.angle), self.links, dtype)[:, None]
        speed = self.speed_scale * jax.random.normal(keys[3], (self.links, 1), dtype)
        return q, jnp.matmul(_inertia(q, params), speed, precision="highest"), params


def _hanging(params: Float[Array, "*b n 2"]) -> Float[Array, "*b n"]:
    """μ: what hangs on each rod."""
    return jnp.flip(jnp.cumsum(jnp.flip(params[..., 0], -1), axis=-1), -1)


def _inertia(q: Float[Array, "*b n 1"], params: Float[Array, "*#b n 2"]) -> Float[Array, "*b n n"]:
    order = np.arange(q.shape[-2])
    hanging = _hanging(params)[..., np.maximum(order[:, None], order)]
    length = params[..., 1]
    return hanging * length[..., :, None] * length[..., None, :] * jnp.cos(q - q.mT)


def _check(where: str, q: Any, p: Any, params: Any) -> None:
    check_params(where, "q", q, params, 1, _COLUMNS)
    check_state(where, q, p)
