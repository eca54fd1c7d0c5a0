"""Groups: each a file of pure functions and one frozen class that binds them."""

from lie_jax.groups.base import Group as Group
from lie_jax.groups.translation import T as T
from lie_jax.groups.translation import Trivial as Trivial
from lie_jax.groups.rxso2 import RxSO2 as RxSO2
from lie_jax.groups.scaling import Scaling as Scaling
from lie_jax.groups.scaling import Squeeze as Squeeze
