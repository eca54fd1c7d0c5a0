"""The contract of a group: what a class must bind for the rest of the library to use it.

Elements are raw arrays of shape ``(*b, *element_shape)``, one documented representation per
group. Everything broadcasts over leading batch axes, works under jit, vmap and grad, and keeps
the input's dtype (float32 or float64; narrower input is computed in float32).
"""

import abc
import dataclasses
from typing import ClassVar

import jax.numpy as jnp

from lie_jax.typing import Array, Float, PRNGKey, Shape


@dataclasses.dataclass(frozen=True)
class Group(abc.ABC):
    """A Lie group G, possibly with several components, that acts on R^d.

    A subclass is a frozen dataclass, so that it is hashable and can be a static argument of
    ``jax.jit``; its fields are plain Python numbers. It binds pure functions of its module and
    holds no arrays.

    **Lifting.** A point x is split by the action into the orbit it lies on, named by
    ``orbit(x)``, and its place on that orbit, ``section(x)``: an element s(x) that carries the
    orbit's representative to x. The elements that do so are s(x) h, with h in the stabiliser of
    the representative, which `stabiliser` samples. Off the singular orbits (each class names
    its own) ``act(section(x), representative) == x``.

    **Components.** For a group that is not connected (O(n), E(n)) ``log`` is the principal
    logarithm of the part in the identity component, and ``component(g)`` labels the rest, so
    that the two together determine g.
    """

    is_abelian: ClassVar[bool] = False
    is_compact: ClassVar[bool] = False
    log_is_additive: ClassVar[bool] = False
    """Whether ``log(g h) = log(g) + log(h)`` for all elements: abelian, and nothing wraps."""
    exp_is_surjective: ClassVar[bool] = True
    """Whether exp reaches every element of the identity component. Where it does not, ``log`` is
    NaN, and so is ``distance`` of two elements that far apart."""

    # --- sizes -----------------------------------------------------------------------------

    @property
    @abc.abstractmethod
    def algebra_dim(self) -> int:
        """Dimension of the Lie algebra: the size of ``log(g)``."""

    @property
    @abc.abstractmethod
    def orbit_dim(self) -> int:
        """Size of ``orbit(x)``; 0 where the action is transitive."""

    @property
    @abc.abstractmethod
    def space_dim(self) -> int:
        """Dimension of the space R^d on which the group acts."""

    @property
    @abc.abstractmethod
    def element_shape(self) -> Shape:
        """Shape of the raw array of one element."""

    @property
    @abc.abstractmethod
    def matrix_dim(self) -> int:
        """r, where ``to_matrix`` gives (..., r, r)."""

    @property
    def component_dim(self) -> int:
        """Size of ``component(g)``; 0 for a connected group."""
        return 0

    @property
    def has_lift(self) -> bool:
        """Whether points can be lifted: section, orbit and samples of the stabiliser exist."""
        return True

    @property
    def has_stabiliser(self) -> bool:
        """Whether a point has more than one lift."""
        return True

    @property
    def stabiliser_order(self) -> int | None:
        """Number of lifts of a point; None where they are infinitely many."""
        return None if self.has_stabiliser else 1

    # --- the group -------------------------------------------------------------------------

    @abc.abstractmethod
    def identity(self, shape: Shape = (), dtype=None) -> Float[Array, "*b g"]:
        """Identity elements of batch shape ``shape``."""

    @abc.abstractmethod
    def compose(self, g: Float[Array, "*b g"], h: Float[Array, "*b g"]) -> Float[Array, "*b g"]:
        """The product g h: h acts first."""

    @abc.abstractmethod
    def inverse(self, g: Float[Array, "*b g"]) -> Float[Array, "*b g"]:
        """The inverse of g."""

    @abc.abstractmethod
    def exp(self, a: Float[Array, "*b a"]) -> Float[Array, "*b g"]:
        """The element reached from the identity along a in unit time."""

    @abc.abstractmethod
    def log(self, g: Float[Array, "*b g"]) -> Float[Array, "*b a"]:
        """Principal logarithm; its branch where it is multivalued is told by each group."""

    @abc.abstractmethod
    def adjoint(self, g: Float[Array, "*b g"]) -> Float[Array, "*b a a"]:
        """Ad_g as a matrix: ``g exp(a) g^-1 = exp(Ad_g a)``."""

    def component(self, g: Float[Array, "..."]) -> Float[Array, "*b p"]:
        """Labels of the connected component, +1 or -1 each; of size 0 if G is connected."""
        return jnp.zeros((*g.shape[: g.ndim - len(self.element_shape)], 0), g.dtype)

    # --- action ----------------------------------------------------------------------------

    @abc.abstractmethod
    def act(self, g: Float[Array, "*b g"], x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        """The point g x."""

    @abc.abstractmethod
    def section(self, x: Float[Array, "*b d"]) -> Float[Array, "*b g"]:
        """An element that carries the representative of x's orbit to x."""

    @abc.abstractmethod
    def orbit(self, x: Float[Array, "*b d"]) -> Float[Array, "*b q"]:
        """Coordinates of x's orbit: equal for x and g x."""

    def stabiliser(self, key: PRNGKey, shape: Shape = (), dtype=None) -> Float[Array, "*b g"]:
        """Haar samples of the representative's stabiliser (the identity if that is all)."""
        del key
        return self.identity(shape, dtype)

    def stabiliser_grid(self, count: int, dtype=None) -> Float[Array, "s g"]:
        """``count`` elements spread evenly over the stabiliser, the identity first."""
        return self.identity((count,), dtype)

    # --- matrices --------------------------------------------------------------------------

    @abc.abstractmethod
    def to_matrix(self, g: Float[Array, "*b g"]) -> Float[Array, "*b r r"]:
        """The matrix of g; homogeneous where the action is affine."""

    @abc.abstractmethod
    def from_matrix(self, matrix: Float[Array, "*b r r"]) -> Float[Array, "*b g"]:
        """The element whose matrix this is; the matrix is trusted to be one of the group."""

    @abc.abstractmethod
    def hat(self, a: Float[Array, "*b a"]) -> Float[Array, "*b r r"]:
        """The Lie algebra matrix of coordinates a: ``to_matrix(exp(a)) = expm(hat(a))``."""

    @abc.abstractmethod
    def vee(self, matrix: Float[Array, "*b r r"]) -> Float[Array, "*b a"]:
        """Inverse of ``hat``."""

    # --- measures --------------------------------------------------------------------------

    @abc.abstractmethod
    def distance(self, g: Float[Array, "*b g"], h: Float[Array, "*b g"]) -> Float[Array, "*b"]:
        """Left-invariant distance |log(g^-1 h)|, plus 1 for each component label that differs."""

    def haar(self, key: PRNGKey, shape: Shape = (), dtype=None) -> Float[Array, "*b g"]:
        """Samples of the uniform (Haar) measure; only a compact group has one.

        Raises:
            ValueError: the group is not compact.
        """
        del key, shape, dtype
        raise ValueError(
            f"{type(self).__name__}.haar: the group is not compact, so it has no uniform "
            "distribution; sample the stabiliser with .stabiliser(key, shape), or exp of an "
            "algebra element of your own distribution"
        )
