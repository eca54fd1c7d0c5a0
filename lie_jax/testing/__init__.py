"""Public checks of groups and models: laws, lifts, equivariance, padding, gradients.

Each check raises AssertionError that names what is broken, the error and what was allowed.
Nothing here needs a test framework.
"""

from lie_jax.testing.laws import assert_group_laws as assert_group_laws
from lie_jax.testing.laws import group_law_errors as group_law_errors
from lie_jax.testing.lifts import assert_lift as assert_lift
from lie_jax.testing.lifts import lift_errors as lift_errors
from lie_jax.testing.models import assert_equivariant as assert_equivariant
from lie_jax.testing.models import assert_gradients_finite as assert_gradients_finite
from lie_jax.testing.models import assert_padding_free as assert_padding_free
from lie_jax.testing.tolerances import TOLERANCES as TOLERANCES
from lie_jax.testing.tolerances import tolerance as tolerance
