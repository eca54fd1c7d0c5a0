"""True systems with exact energies, to learn from and to measure against.

Each is a frozen dataclass: ``hamiltonian`` is H(q, p, params) -> energy, ``sample(key, count)``
draws states (q, p, params) to start from. q and p are (\\*b, n, d); params is (\\*b, n, c), a row
of constants for each particle, so that it can be the values of a point set.

=================  ===========================================  =========  ======================
system             q                                            separable  params
=================  ===========================================  =========  ======================
`Springs`          places (n, 2), or of any dimension           yes        mass, stiffness
`Gravity`          places (n, 2) or (n, 3)                      yes        mass
`PendulumChain`    angles (n, 1)                                no         mass, length
`RigidPairs`       centres and angles (n, 3)                    yes        mass, length, charge
=================  ===========================================  =========  ======================

What arrays hold (masses above 0, say) is checked where they are concrete: not inside jit.
"""

from lie_jax.dynamics.systems.gravity import Gravity as Gravity
from lie_jax.dynamics.systems.pendulum import PendulumChain as PendulumChain
from lie_jax.dynamics.systems.rigid_pairs import RigidPairs as RigidPairs
from lie_jax.dynamics.systems.springs import Springs as Springs
