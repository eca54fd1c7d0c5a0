"""How points lift to a group, said by the user."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from lie_jax.groups import _check
from lie_jax.groups._of_parent import OfParent
from lie_jax.groups.base import Group
from lie_jax.typing import Array, PRNGKey, Shape, Validated, unchecked


def with_lift(
    group: Validated[Group],
    *,
    section: Validated[Callable[[Array], Array]],
    orbit: Validated[Callable[[Array], Array] | None] = None,
    orbit_dim: int = 0,
    stabiliser: Validated[Callable[[PRNGKey, Shape, jnp.dtype], Array] | None] = None,
    stabiliser_grid: Validated[Callable[[int, jnp.dtype], Array] | None] = None,
    stabiliser_order: int | None = None,
) -> "WithLift":
    """The group, its points lifting as said; check it with `lie_jax.testing.assert_lift`.

    The functions should stand at the top of a module: a static argument of ``jax.jit`` is
    compared by identity, and a lambda made anew is another function, compiled anew.

    Args:
        group: the group, most often of `from_generators`.
        section: x (\\*b, d) to an element (\\*b, \\*g) that carries the representative of x's
            orbit to x. Where none can be told (singular points), any element, never NaN.
        orbit: x (\\*b, d) to coordinates (\\*b, q) of its orbit, equal for x and g x; None where
            space is one orbit.
        orbit_dim: q.
        stabiliser: (key, shape, dtype) to samples, of the Haar measure, of the elements that
            leave the representative where it is; None where that is the identity only. It must
            be compact.
        stabiliser_grid: (count, dtype) to that many of its elements (count, \\*g), spread evenly,
            the identity first; None if there shall be no lift of method "grid".
        stabiliser_order: how many elements the stabiliser has, if finitely many; `lift` with
            ``method="all"`` then takes the grid of that size.

    Raises:
        TypeError: ``group`` is not a Group, or a function is not callable.
        ValueError: orbit and orbit_dim, or stabiliser and its grid or order, do not fit.
    """
    if not isinstance(group, Group):
        raise TypeError(f"with_lift: group must be a lie_jax.groups.Group, got {group!r}")
    return WithLift(group, section, orbit, orbit_dim, stabiliser, stabiliser_grid, stabiliser_order)


@unchecked
@dataclasses.dataclass(frozen=True, repr=False)
class WithLift(OfParent):
    """A group with a lift of the user's, made by `with_lift`.

    Args:
        parent: the group.
        section_map, orbit_map, orbit_size, stabiliser_map, grid_map, order: see `with_lift`.
    """

    section_map: Callable[[Array], Array]
    orbit_map: Callable[[Array], Array] | None = None
    orbit_size: int = 0
    stabiliser_map: Callable[[PRNGKey, Shape, jnp.dtype], Array] | None = None
    grid_map: Callable[[int, jnp.dtype], Array] | None = None
    order: int | None = None

    def __post_init__(self):
        functions = {
            "section": self.section_map, "orbit": self.orbit_map,
            "stabiliser": self.stabiliser_map, "stabiliser_grid": self.grid_map,
        }  # fmt: skip
        for name, function in functions.items():
            if not (callable(function) or (function is None and name != "section")):
                raise TypeError(f"with_lift: {name} must be a function, got {function!r}")
        if (self.orbit_map is None) != (self.orbit_size == 0):
            raise ValueError(
                "with_lift: orbit_dim must be the size of orbit(x), and 0 without orbit, got "
                f"orbit_dim={self.orbit_size} with orbit={self.orbit_map}"
            )
        extras = {"stabiliser_grid": self.grid_map, "stabiliser_order": self.order}
        for name, value in extras.items():
            if self.stabiliser_map is None and value is not None:
                raise ValueError(f"with_lift: {name} needs stabiliser, got stabiliser=None")

    def __repr__(self):
        return repr(self.parent)

    @property
    def orbit_dim(self) -> int:
        return self.orbit_size

    @property
    def has_lift(self) -> bool:
        return True

    @property
    def has_stabiliser(self) -> bool:
        return self.stabiliser_map is not None

    @property
    def stabiliser_order(self) -> int | None:
        return self.order if self.has_stabiliser else 1

    def section(self, x):
        return self.section_map(self._point("section", x))

    def orbit(self, x):
        x = self._point("orbit", x)
        return x[..., :0] if self.orbit_map is None else self.orbit_map(x)

    def stabiliser(self, key: PRNGKey, shape: Shape = (), dtype=None):
        if self.stabiliser_map is None:
            return self.identity(shape, dtype)
        return self.stabiliser_map(key, shape, _check.float_dtype(dtype))

    def stabiliser_grid(self, count: int, dtype=None):
        if self.stabiliser_map is None:
            return self.identity((count,), dtype)
        if self.grid_map is None:
            raise NotImplementedError(
                f"{self}.stabiliser_grid: with_lift was given no stabiliser_grid; lift with "
                'method="random" or "shared"'
            )
        return self.grid_map(count, _check.float_dtype(dtype))

    def _point(self, where: str, value: Validated[Array]) -> Array:
        return _check.last_axes(f"{self}.{where}", "x", value, (self.space_dim,))
