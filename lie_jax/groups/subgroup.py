"""Subgroups of any group, from a basis of their algebra."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from lie_jax.groups import _check
from lie_jax.groups._algebra import Matrix, algebra, misses_elements, nested
from lie_jax.groups._of_parent import OfParent
from lie_jax.groups.base import Group
from lie_jax.numerics import safe_norm
from lie_jax.typing import Array, Float, PRNGKey, Shape, Validated, unchecked


@unchecked
@dataclasses.dataclass(frozen=True)
class Subgroup(OfParent):
    """The connected subgroup of ``parent`` whose algebra has the given basis.

    Elements are those of the parent, algebra coordinates b stand for b @ basis. ``log`` is NaN
    where the parent's logarithm is not in the algebra. Orbits are smaller than the parent's: say
    with `with_lift` how points lift.

    Args:
        parent: the group.
        basis: (k, a), rows are coordinates in the parent's algebra.

    Raises:
        ValueError: basis has another shape, is linearly dependent, or spans no subalgebra.
    """

    basis: Matrix

    def __post_init__(self):
        where = f"Subgroup({self.parent})"
        object.__setattr__(self, "basis", nested(where, "basis", self.basis, 2))
        if not self.basis or len(self.basis[0]) != self.parent.algebra_dim:
            raise ValueError(
                f"{where}: basis must have shape (k, {self.parent.algebra_dim}) with k >= 1, "
                f"got {np.shape(self.basis)}"
            )
        _facts(self.parent, self.basis)

    @property
    def is_abelian(self) -> bool:
        return _facts(self.parent, self.basis)[0]

    @property
    def is_compact(self) -> bool:
        """Not known: a subgroup of a compact group need not be closed."""
        return False

    @property
    def exp_is_surjective(self) -> bool:
        return _facts(self.parent, self.basis)[1]

    @property
    def algebra_dim(self) -> int:
        return len(self.basis)

    @property
    def orbit_dim(self) -> int:
        return 0

    @property
    def has_lift(self) -> bool:
        return False

    @property
    def has_stabiliser(self) -> bool:
        return True

    @property
    def stabiliser_order(self) -> int | None:
        return None

    def exp(self, a):
        return self.parent.exp(self._embed("exp", a))

    def log(self, g):
        a = self.parent.log(g)
        b = self._coordinates(a)
        error = safe_norm(a - self._embed("log", b))
        is_inside = error < float(jnp.finfo(a.dtype).eps) ** 0.5 * (1 + safe_norm(a))
        return jnp.where(is_inside[..., None], b, jnp.nan)

    def adjoint(self, g):
        whole = self.parent.adjoint(g)
        basis = jnp.asarray(self.basis, whole.dtype)
        moved = jnp.einsum("...ij,kj->...ki", whole, basis, precision="highest")
        return jnp.swapaxes(self._coordinates(moved), -1, -2)

    def section(self, x):
        raise NotImplementedError(_check.no_lift(self, "section"))

    def orbit(self, x):
        raise NotImplementedError(_check.no_lift(self, "orbit"))

    def stabiliser(self, key: PRNGKey, shape: Shape = (), dtype=None):
        raise NotImplementedError(_check.no_lift(self, "stabiliser"))

    def stabiliser_grid(self, count: int, dtype=None):
        raise NotImplementedError(_check.no_lift(self, "stabiliser_grid"))

    def hat(self, a):
        return self.parent.hat(self._embed("hat", a))

    def vee(self, matrix):
        return self._coordinates(self.parent.vee(matrix))

    def distance(self, g, h):
        relative = self.compose(self.inverse(g), h)
        apart = jnp.sum(self.component(relative) != 1, axis=-1)
        return safe_norm(self.log(relative)) + apart

    def haar(self, key: PRNGKey, shape: Shape = (), dtype=None):
        return Group.haar(self, key, shape, dtype)

    def _embed(self, where: str, value: Validated[Array]) -> Float[Array, "*b a"]:
        value = _check.last_axes(f"Subgroup.{where}", "a", value, (self.algebra_dim,))
        basis = jnp.asarray(self.basis, value.dtype)
        return jnp.einsum("...k,ka->...a", value, basis, precision="highest")

    def _coordinates(self, a: Float[Array, "*b a"]) -> Float[Array, "*b k"]:
        inverse = jnp.asarray(np.linalg.pinv(self.basis), a.dtype)
        return jnp.einsum("...a,ak->...k", a, inverse, precision="highest")


@functools.lru_cache(maxsize=256)
def _facts(parent: Group, basis: Matrix) -> tuple[bool, bool]:
    """Whether the subgroup is abelian, and whether its exp is surjective."""
    where = f"Subgroup({parent})"
    with jax.ensure_compile_time_eval():
        hats = np.asarray(parent.hat(jnp.asarray(basis, float)), float)
    found = algebra(where, nested(where, "basis", hats, 3))
    is_abelian = parent.component_dim == 0 and not np.abs(found.structure).max() > 1e-6
    return is_abelian, parent.exp_is_surjective and not misses_elements(found)
