"""Groups: each a file of pure functions and one frozen class that binds them."""

from lie_jax.groups.base import Group as Group
from lie_jax.groups.discrete import Discrete as Discrete
from lie_jax.groups.orthogonal import E2 as E2
from lie_jax.groups.orthogonal import E3 as E3
from lie_jax.groups.orthogonal import O2 as O2
from lie_jax.groups.orthogonal import O3 as O3
from lie_jax.groups.rxso2 import RxSO2 as RxSO2
from lie_jax.groups.scaling import Scaling as Scaling
from lie_jax.groups.scaling import Squeeze as Squeeze
from lie_jax.groups.se2 import SE2 as SE2
from lie_jax.groups.se3 import SE3 as SE3
from lie_jax.groups.so2 import SO2 as SO2
from lie_jax.groups.so3 import SO3 as SO3
from lie_jax.groups.translation import T as T
from lie_jax.groups.translation import Trivial as Trivial
