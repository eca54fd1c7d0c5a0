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

from jax import Array as Array
from jaxtyping import Bool as Bool
from jaxtyping import Float as Float
from jaxtyping import Int as Int
from jaxtyping import Key
from jaxtyping import PyTree as PyTree

PRNGKey = Key[Array, ""]
"""A typed key, as ``jax.random.key`` makes it."""

Shape = tuple[int, ...]
