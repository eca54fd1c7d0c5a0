"""Hamilton's equations: dq/dt = dH/dp, dp/dt = -dH/dq, for any callable H.

Source: Goldstein, Classical mechanics, chapter 8.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax.numpy as jnp

from lie_jax.dynamics.gradient import Gradient, gradient
from lie_jax.typing import Array, Float, PyTree, Validated, unchecked

State = tuple[Float[Array, "*b n d"], Float[Array, "*b n d"]]
Energy = Callable[[Array, Array, Any], Array]


def hamiltonian_field(
    H: Energy, *, gradient: Gradient = gradient
) -> Callable[[Any, State, PyTree], State]:
    """The vector field of Hamilton's equations, as `diffrax.ODETerm` takes it.

    Args:
        H: (q, p, params) -> energy; of one system, or (\\*b) of a batch of systems that do not
            see each other. Separable or not.
        gradient: how gradients are taken, see `lie_jax.dynamics.gradient`.

    Returns:
        (t, (q, p), params) -> (dH/dp, -dH/dq), shaped as q and p.

    Raises:
        ValueError: q and p do not fit (when the field is called).
    """
    return _Bound(_field, (H, gradient))


def _field(H: Energy, gradient: Gradient, t, state: State, params: PyTree) -> State:
    del t
    dq, dp = gradient(H)(check_state("hamiltonian_field", state), params)
    return dp, -dq


@unchecked
@dataclasses.dataclass(frozen=True)
class SeparableHamiltonian:
    """H(q, p, params) = T(p, params) + V(q, params): what the symplectic solvers integrate.

    Args:
        kinetic: (p, params) -> T.
        potential: (q, params) -> V.
        gradient: how gradients are taken, see `lie_jax.dynamics.gradient`.
    """

    kinetic: Callable[[Array, Any], Array]
    potential: Callable[[Array, Any], Array]
    gradient: Gradient = gradient

    def __call__(self, q: Array, p: Array, params: PyTree) -> Array:
        return self.kinetic(p, params) + self.potential(q, params)

    def velocity(self, t, p: Array, params: PyTree) -> Array:
        """dq/dt = dT/dp."""
        del t
        return self.gradient(self.kinetic)((p,), params)[0]

    def force(self, t, q: Array, params: PyTree) -> Array:
        """dp/dt = -dV/dq."""
        del t
        return -self.gradient(self.potential)((q,), params)[0]

    def field(self, t, state: Validated[State], params: PyTree) -> State:
        """(dq/dt, dp/dt), for solvers of one term."""
        q, p = check_state("SeparableHamiltonian.field", state)
        return self.velocity(t, p, params), self.force(t, q, params)

    @property
    def terms(self) -> tuple[diffrax.ODETerm, diffrax.ODETerm]:
        """The two terms that the solvers of `lie_jax.dynamics` and diffrax's own take."""
        return self._term("velocity"), self._term("force")

    @property
    def term(self) -> diffrax.ODETerm:
        """The one term, `field`, that other solvers take."""
        return self._term("field")

    def _term(self, name: str) -> diffrax.ODETerm:
        return diffrax.ODETerm(_Bound(getattr(type(self), name), (self,)))


class _Bound(eqx.Module):
    """A function with its first arguments, equal to another one of equal parts.

    Closures and bound methods are not, and diffrax would compile again for each. Unlike those,
    and unlike `equinox.Partial`, it is a tree of arrays (an H may hold some) that has a hash.
    """

    function: Callable[..., Any]
    first: tuple[Any, ...]

    def __call__(self, *rest: Any) -> Any:
        return self.function(*self.first, *rest)

    def __hash__(self) -> int:
        try:
            return hash((self.function, self.first))
        except TypeError:  # arrays in it: `jax.jit` then compiles once for this very object
            return id(self)


def kinetic_energy(p: Float[Array, "*b n d"], mass: Float[Array, "*#b n"]) -> Float[Array, "*b"]:
    """Σ |p|² / (2 m)."""
    return jnp.sum(p * p / (2 * mass[..., None]), axis=(-2, -1))


def check_state(where: str, state: Any) -> State:
    """(q, p) if it is a pair of one shape.

    Raises:
        ValueError: it is not.
    """
    try:
        q, p = state
    except (TypeError, ValueError):
        raise ValueError(
            f"{where}: state must be a pair (q, p), got {type(state).__name__}"
        ) from None
    if jnp.shape(q) != jnp.shape(p):
        raise ValueError(f"{where}: q and p must have one shape, got {q.shape} and {p.shape}")
    return q, p
