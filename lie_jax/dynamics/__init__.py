"""Hamiltonian dynamics: fields, solvers, rollouts.

Needs diffrax: ``pip install lie_jax[dynamics]``.
"""

from lie_jax.dynamics.conserved import angular_momentum as angular_momentum
from lie_jax.dynamics.conserved import energy as energy
from lie_jax.dynamics.conserved import linear_momentum as linear_momentum
from lie_jax.dynamics.conserved import relative_drift as relative_drift
from lie_jax.dynamics.hamiltonian import SeparableHamiltonian as SeparableHamiltonian
from lie_jax.dynamics.hamiltonian import State as State
from lie_jax.dynamics.hamiltonian import hamiltonian_field as hamiltonian_field
from lie_jax.dynamics.hamiltonian import kinetic_energy as kinetic_energy
from lie_jax.dynamics.learned import Learned as Learned
from lie_jax.dynamics.learned import learned_hamiltonian as learned_hamiltonian
from lie_jax.dynamics.rollout import rollout as rollout
from lie_jax.dynamics.rollout import rollout_error as rollout_error
from lie_jax.dynamics.rollout import rollout_in_chunks as rollout_in_chunks
from lie_jax.dynamics.solvers import RK38 as RK38
from lie_jax.dynamics.solvers import Leapfrog as Leapfrog
from lie_jax.dynamics.solvers import Nystrom4 as Nystrom4
from lie_jax.dynamics.solvers import Yoshida4 as Yoshida4
from lie_jax.dynamics.solvers import Yoshida6 as Yoshida6
from lie_jax.dynamics.systems import Gravity as Gravity
from lie_jax.dynamics.systems import PendulumChain as PendulumChain
from lie_jax.dynamics.systems import RigidPairs as RigidPairs
from lie_jax.dynamics.systems import Springs as Springs
