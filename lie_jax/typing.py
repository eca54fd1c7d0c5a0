"""Array types and the one glossary of axes.

========  =====================================================
``*b``    batch, any number of leading axes (none included)
``n``     points
``s``     lifts (samples of the stabiliser) per point
``m``     lifted points, ``m = n * s``, point-major, sample-minor
``k``     neighbours of a query
``d``     space (coordinates of a point)
``a``     algebra (coordinates of a Lie algebra element)
``g``     raw array that represents one group element
``q``     orbit (coordinates that the action leaves unchanged)
``p``     component labels of a group that is not connected
``f``     location features of a pair
``c``     channels
``h``     heads
========  =====================================================

Pairs are ``[..., query, key, :]``.
"""

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from jax import Array as Array
from jaxtyping import Bool as Bool
from jaxtyping import Float as Float
from jaxtyping import Int as Int
from jaxtyping import Key
from jaxtyping import PyTree as PyTree
from jaxtyping import UInt8 as UInt8

PRNGKey = Key[Array, ""]
"""A typed key, as ``jax.random.key`` makes it."""

Shape = tuple[int, ...]

_T = TypeVar("_T")

if TYPE_CHECKING:
    Validated = Annotated[_T, "checked by the function that it is given to"]
else:

    class Validated:
        """``Validated[X]`` is X to a reader and a static checker, and anything at run time.

        For arguments that a function checks itself: where calls are checked at run time (by
        jaxtyping's import hook, as in the tests), its own error must come first, because it
        says what was wanted and what came.
        """

        def __class_getitem__(cls, item):
            return Any


def unchecked(cls: type[_T]) -> type[_T]:
    """A dataclass whose arguments are left alone where calls are checked at run time.

    For pytrees, which JAX's transformations rebuild around placeholders that are no arrays,
    and for classes that check themselves in ``__post_init__`` (see `Validated`).
    """
    setattr(cls.__init__, "__no_type_check__", True)  # noqa: B010 (not an attribute to pyright)
    return cls
