"""Public checks of groups and models: the laws a group must obey, equivariance, padding.

Each check raises AssertionError that names what is broken, the error and what was allowed.
Nothing here needs a test framework.
"""

from lie_jax.testing.laws import assert_group_laws as assert_group_laws
from lie_jax.testing.models import assert_equivariant as assert_equivariant
from lie_jax.testing.models import assert_padding_free as assert_padding_free
from lie_jax.testing.tolerances import TOLERANCES as TOLERANCES
from lie_jax.testing.tolerances import tolerance as tolerance
