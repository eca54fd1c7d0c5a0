"""Particles of which every two are joined by a spring: the system of the published results."""

import dataclasses
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from lie_jax.dynamics.hamiltonian import SeparableHamiltonian, kinetic_energy
from lie_jax.dynamics.systems._checks import (
    Bound,
    Range,
    check_batch,
    check_counts,
    check_numbers,
    check_params,
    check_range,
    check_state,
    check_times,
)
from lie_jax.dynamics.systems._shared import Sample, sample_each, uniform
from lie_jax.numerics import cos_theta, sinc
from lie_jax.typing import Array, Float, PRNGKey, Validated, unchecked

Centre = Literal["particles", "systems", "none"]
_COLUMNS: dict[str, Bound] = {"mass": "above 0", "k": "not below 0"}


@unchecked
@dataclasses.dataclass(frozen=True)
class Springs:
    """H = Σ_i |p_i|² / (2 m_i) + ½ Σ_{i,j} k_i k_j |q_i - q_j|², the sum over ordered pairs.

    So a pair's spring has the constant 2 k_i k_j and the length 0. The motion is linear given
    params, and known: `flow`. Conserved: energy, linear and angular momentum.

    Args:
        particles: n of `sample`; energies take any.
        dim: d of `sample`; energies take any.
        mass: (low, high), masses are uniform between.
        stiffness: (low, high) of k, likewise.
        position_scale: standard deviation of a coordinate of q.
        momentum_scale: standard deviation of a coordinate of p, before it is centred.
        centre: ``"particles"`` takes the mean over a system's particles off its momenta, so that
            its centre of mass rests. ``"systems"`` takes off the mean over all systems of the
            sample, particle by particle, which is what the published data do, by mistake: there
            the centres of mass move, and a system depends on the others. ``"none"`` takes off
            nothing.

    Raises:
        ValueError: counts below 1, ranges upside down, masses that are not positive.

    Source: Finzi et al., Generalizing convolutional neural networks for equivariance to Lie groups
    (2020), section 6.4; Hutchinson et al., LieTransformer (2021), section 5.4.
    """

    particles: int = 6
    dim: int = 2
    mass: Range = (0.1, 3.1)
    stiffness: Range = (0.0, 5.0)
    position_scale: float = 0.4
    momentum_scale: float = 0.6
    centre: Centre = "particles"

    def __post_init__(self):
        check_counts("Springs", particles=self.particles, dim=self.dim)
        check_range("Springs", "mass", self.mass, above_zero=True)
        check_range("Springs", "stiffness", self.stiffness, above_zero=False)
        check_numbers(
            "Springs", position_scale=self.position_scale, momentum_scale=self.momentum_scale
        )
        if self.centre not in get_args(Centre):
            raise ValueError(
                f"Springs: centre must be one of {get_args(Centre)}, got {self.centre!r}"
            )

    @property
    def hamiltonian(self) -> SeparableHamiltonian:
        """H(q, p, params)."""
        return SeparableHamiltonian(self.kinetic, self.potential)

    def kinetic(
        self,
        p: Validated[Float[Array, "*b n d"]],
        params: Validated[Float[Array, "*#b n 2"]],
    ) -> Float[Array, "*b"]:
        """Σ |p|² / (2 m).

        Raises:
            ValueError: shapes do not fit, masses are not positive, k is negative.
        """
        check_params("Springs.kinetic", "p", p, params, None, _COLUMNS)
        return kinetic_energy(p, params[..., 0])

    def potential(
        self,
        q: Validated[Float[Array, "*b n d"]],
        params: Validated[Float[Array, "*#b n 2"]],
    ) -> Float[Array, "*b"]:
        """½ Σ_{i,j} k_i k_j |q_i - q_j|²; smooth everywhere.

        Raises:
            ValueError: shapes do not fit, masses are not positive, k is negative.
        """
        check_params("Springs.potential", "q", q, params, None, _COLUMNS)
        difference = q[..., :, None, :] - q[..., None, :, :]
        squares = jnp.sum(difference * difference, axis=-1)
        k = params[..., 1]
        return jnp.sum(k[..., :, None] * k[..., None, :] * squares, axis=(-2, -1)) / 2

    def sample(self, key: PRNGKey, count: Validated[int], dtype: Any = None) -> Sample:
        """States to start from, and params [mass, k].

        System i depends on the key and on i, not on ``count`` (but for ``centre="systems"``).

        Args:
            key: of the draw.
            count: number of systems.
            dtype: of everything; JAX's default where None.

        Returns:
            q and p (count, n, d), params (count, n, 2).

        Raises:
            ValueError: count below 1, a dtype that is not floating or not enabled.
        """
        q, p, params = sample_each("Springs.sample", self, key, count, dtype)
        if self.centre == "systems":
            p = p - jnp.mean(p, axis=0)
        return q, p, params

    def _sample_one(self, key: PRNGKey, dtype: Any) -> tuple[Array, Array, Array]:
        keys = jax.random.split(key, 4)
        shape = (self.particles, self.dim)
        q = self.position_scale * jax.random.normal(keys[0], shape, dtype)
        p = self.momentum_scale * jax.random.normal(keys[1], shape, dtype)
        if self.centre == "particles":
            p = p - jnp.mean(p, axis=0)
        mass = uniform(keys[2], self.mass, self.particles, dtype)
        k = uniform(keys[3], self.stiffness, self.particles, dtype)
        return q, p, jnp.stack([mass, k], axis=-1)

    def solution(
        self,
        ts: Validated[Float[Array, "*#b t"]],
        q: Validated[Float[Array, "*b n d"]],
        p: Validated[Float[Array, "*b n d"]],
        params: Validated[Float[Array, "*#b n 2"]],
    ) -> tuple[Float[Array, "*b t n d"], Float[Array, "*b t n d"]]:
        """The exact trajectory through the state (q, p) at the first of the times.

        Args:
            ts: increasing times.
            q, p, params: the state at ts[..., 0], as for `flow`.

        Returns:
            q and p at all times, as `lie_jax.dynamics.rollout` returns them.

        Raises:
            ValueError: times that do not increase; as `flow`.
        """
        check_times("Springs.solution", ts)
        ts = jnp.asarray(ts)
        return self.flow(ts - ts[..., :1], q, p, params)

    def flow(
        self,
        elapsed: Validated[Float[Array, "*#b t"]],
        q: Validated[Float[Array, "*b n d"]],
        p: Validated[Float[Array, "*b n d"]],
        params: Validated[Float[Array, "*#b n 2"]],
    ) -> tuple[Float[Array, "*b t n d"], Float[Array, "*b t n d"]]:
        """The state after each of these times, exact to rounding.

        With y = M^½ q about the centre of mass, y'' = -A y, A = M^-½ S M^-½ = U Λ U^T and
        V = ½ q^T S q, S = 2 (Σk diag(k) - k k^T): y(t) = U [cos(√Λ t) U^T y + sin(√Λ t)/√Λ U^T y'].
        The centre of mass moves uniformly. There are no steps, so a long time costs nothing; the
        phases √Λ t lose digits as any large angle does. Derivatives with respect to q, p and
        elapsed are exact too; those with respect to params are not defined where two frequencies
        of a system are equal: integrate where you need them.

        Args:
            elapsed: times from the given state on, in any order and of any sign; (t,) for all
                systems or (\\*b, t).
            q, p: the state.
            params: [mass, k].

        Raises:
            ValueError: shapes do not fit, masses are not positive, k is negative.
        """
        check_params("Springs.flow", "q", q, params, None, _COLUMNS)
        check_state("Springs.flow", q, p)
        check_batch("Springs.flow", "elapsed", elapsed, jnp.shape(q)[:-2])
        q, p, params = jnp.asarray(q), jnp.asarray(p), jnp.asarray(params)
        t = jnp.asarray(elapsed, q.dtype)
        mass, k = params[..., 0], params[..., 1]
        root = jnp.sqrt(mass)

        # The uniform motion is taken out first: its frequency, 0, comes out of eigh as the root
        # of a rounding error, which after a long time would show.
        total = jnp.sum(mass, axis=-1)[..., None, None]
        velocity = jnp.sum(p, axis=-2, keepdims=True) / total
        middle = jnp.sum(mass[..., None] * q, axis=-2, keepdims=True) / total
        y = root[..., None] * (q - middle)
        dy = p / root[..., None] - root[..., None] * velocity

        scaled = k / root
        stiffness = -2 * scaled[..., :, None] * scaled[..., None, :]
        on_diagonal = 2 * jnp.sum(k, axis=-1, keepdims=True) * k / mass
        stiffness = stiffness + on_diagonal[..., None] * jnp.eye(k.shape[-1], dtype=k.dtype)
        squares, modes = jnp.linalg.eigh(stiffness)
        # What is 0 up to rounding is 0, for instance of a particle without springs.
        rounding = 8 * k.shape[-1] * jnp.finfo(squares.dtype).eps * squares[..., -1:]
        squares = jnp.where(squares > rounding, squares, 0)

        # Each mode moves along its part of the state, (m, n d): one matrix product for all times.
        def parts(x):
            along = jnp.einsum("...nm,...nd->...md", modes, x, precision="highest")
            moved = modes.mT[..., None] * along[..., None, :]
            return moved.reshape(*moved.shape[:-2], -1)

        time = t[..., None]
        phase2 = squares[..., None, :] * time * time
        cos, sin = cos_theta(phase2), time * sinc(phase2)  # sin √Λ t / √Λ
        both = jnp.concatenate([cos, sin], axis=-1)
        a, b = parts(y), parts(dy)
        y, dy = (
            jnp.matmul(both, jnp.concatenate(x, axis=-2), precision="highest")
            for x in ((a, b), (b, -squares[..., None] * a))
        )
        shape = (*y.shape[:-1], *q.shape[-2:])
        y, dy = y.reshape(shape), dy.reshape(shape)

        root, mass = root[..., None, :, None], mass[..., None, :, None]
        velocity, middle = velocity[..., None, :, :], middle[..., None, :, :]
        return y / root + middle + time[..., None] * velocity, root * dy + mass * velocity
