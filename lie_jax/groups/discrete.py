"""Finite groups of rotations and reflections, alone or together with translations.

A discrete subgroup is its parent, SO(n), O(n), SE(n) or E(n), with fewer lifts: its elements are
elements of the parent and keep the parent's coordinates, but a point's stabiliser is the finite
point group. So all lifts of a point can be enumerated, and a network on them is exactly invariant.

Point groups go by their Schoenflies names, see `lie_jax.groups.point_groups`.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from lie_jax.groups import _check, quaternion
from lie_jax.groups._of_parent import OfParent
from lie_jax.groups.orthogonal import E2, E3, O2, O3
from lie_jax.groups.point_groups import point_group
from lie_jax.groups.se2 import SE2
from lie_jax.groups.se3 import SE3
from lie_jax.groups.so2 import SO2
from lie_jax.groups.so3 import SO3
from lie_jax.typing import Array, Float, PRNGKey, Shape

_PARENTS = (SO2, O2, SE2, E2, SO3, O3, SE3, E3)


def _axes(dim: int) -> np.ndarray:
    """Orthonormal axes in the rows, the first along a direction that no element keeps."""
    first = np.asarray(quaternion.DIRECTION[:dim])
    axes = np.linalg.qr(np.column_stack([first, np.eye(dim)[:, 1:]]))[0].T
    return axes * np.sign(axes[0] @ first)


@dataclasses.dataclass(frozen=True)
class Discrete(OfParent):
    """A point group, or its semidirect product with the translations.

    Args:
        parent: SO(2), O(2), SO(3), O(3): the point group alone. SE(2), E(2), SE(3), E(3): all
            translations and the point group.
        point_group: its Schoenflies name, ``"C4"`` for instance.

    With translations space is one orbit and the point group the stabiliser of the origin: lift
    with ``method="all"``. Alone, the orbits are finite and a point has one lift; an orbit is
    named by its point in a fundamental domain, the one nearest to a fixed direction that no
    element keeps. On the domain's walls two points are equally near, and the choice jumps.

    ``exp`` is the parent's: of the algebra only what generates translations stays in the
    subgroup. ``log`` is the parent's too, but for half turns: they have the same axis whatever the
    rounding, so that invariance is exact where the parent's logarithm has its branch.

    Raises:
        ValueError: unknown name, or a group with reflections in a parent without.
        TypeError: the parent is none of the eight.
    """

    point_group: str

    def __post_init__(self):
        if not isinstance(self.parent, _PARENTS):
            names = ", ".join(parent.__name__ for parent in _PARENTS)
            raise TypeError(f"Discrete: parent must be one of {names}, got {self.parent!r}")
        matrices = point_group(self.point_group, self.parent.space_dim)
        if self.parent.component_dim == 0 and np.min(np.linalg.det(matrices)) < 0:
            raise ValueError(
                f"Discrete: {self.point_group} holds reflections, {self.parent} does not: take "
                f"parent={'O' if self._is_alone else 'E'}{self.parent.space_dim}()"
            )

    @property
    def _is_alone(self) -> bool:
        return isinstance(self.parent, SO2 | O2 | SO3 | O3)

    @property
    def is_compact(self) -> bool:
        """A point group is, with translations it is not."""
        return self._is_alone

    @property
    def order(self) -> int:
        """Number of elements of the point group."""
        return len(point_group(self.point_group, self.parent.space_dim))

    @property
    def stabiliser_order(self) -> int | None:
        return 1 if self._is_alone else self.order

    @property
    def has_stabiliser(self) -> bool:
        return self.stabiliser_order != 1

    def elements(self, dtype=None) -> Float[Array, "s g"]:
        """All elements of the point group, the identity first."""
        size, dim = self.parent.matrix_dim, self.parent.space_dim
        matrices = np.zeros((self.order, size, size))
        matrices[:] = np.eye(size)
        matrices[:, :dim, :dim] = point_group(self.point_group, dim)
        return self.parent.from_matrix(jnp.asarray(matrices, _check.float_dtype(dtype)))

    def section(self, x):
        if not self._is_alone:
            return self.parent.section(x)
        return self._reduce("section", x)[0]

    def orbit(self, x):
        """The orbit's point in the fundamental domain; nothing where space is one orbit."""
        if not self._is_alone:
            return self.parent.orbit(x)
        return self._reduce("orbit", x)[1]

    def _reduce(self, where: str, x: Array) -> tuple[Array, Array]:
        """h and r with x = h r, r in the fundamental domain."""
        x = _check.last_axes(f"Discrete.{where}", "x", x, (self.space_dim,))
        elements = self.elements(x.dtype)
        candidates = self.parent.act(self.parent.inverse(elements), x[..., None, :])
        margin = 1e3 * jnp.finfo(x.dtype).eps * jnp.linalg.norm(x, axis=-1)[..., None]
        is_left = jnp.ones(candidates.shape[:-1], bool)
        # Candidates that are equally near but for rounding are told apart by where they are, as
        # the order of the elements is another one for g x; at the origin the identity is taken.
        for direction in _axes(self.space_dim):
            height = candidates @ jnp.asarray(direction, x.dtype)
            height = jax.lax.stop_gradient(jnp.where(is_left, height, -jnp.inf))
            best = jnp.max(height, axis=-1, keepdims=True)
            is_left &= height >= best - jax.lax.stop_gradient(margin)
        chosen = jnp.argmax(is_left, axis=-1)
        place = jnp.take_along_axis(candidates, chosen[..., None, None], axis=-2)[..., 0, :]
        return elements[chosen], place

    def stabiliser(self, key: PRNGKey, shape: Shape = (), dtype=None):
        """Elements of the point group, each as likely as the others."""
        if self._is_alone:
            return self.identity(shape, dtype)
        elements = self.elements(dtype)
        return elements[jax.random.randint(key, shape, 0, self.order)]

    def stabiliser_grid(self, count: int, dtype=None):
        """The first ``count`` elements of the point group, repeated where there are fewer."""
        if self._is_alone:
            return self.identity((count,), dtype)
        return self.elements(dtype)[jnp.arange(count) % self.order]

    def haar(self, key: PRNGKey, shape: Shape = (), dtype=None):
        """Elements of a point group alone, each as likely as the others.

        Raises:
            ValueError: the group holds translations.
        """
        if not self._is_alone:
            return super().haar(key, shape, dtype)
        return self.elements(dtype)[jax.random.randint(key, shape, 0, self.order)]

    def log(self, g):
        """The parent's logarithm; a half turn has the same axis whatever the rounding."""
        g = _check.last_axes("Discrete.log", "g", g, self.element_shape)
        size = 2 if self.space_dim == 2 else 4  # (cos, sin) or a quaternion
        turn, rest = g[..., :size], g[..., size:]
        if size == 2:
            rounding = 1e3 * float(jnp.finfo(g.dtype).eps)
            half = (turn[..., :1] < 0) & (jnp.abs(turn[..., 1:]) < rounding)
            turn = jnp.where(half, jnp.asarray((-1, 0), g.dtype), turn)
        else:
            turn = quaternion.to_one_side(turn)
            # Or else the parent's logarithm would choose again.
            turn = jnp.concatenate([jnp.maximum(turn[..., :1], 0), turn[..., 1:]], axis=-1)
        return self.parent.log(jnp.concatenate([turn, rest], axis=-1))

    @property
    def orbit_dim(self) -> int:
        return self.parent.space_dim if self._is_alone else 0
