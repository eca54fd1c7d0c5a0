"""Hamiltonian dynamics: fields, solvers, rollouts.

Needs diffrax: ``pip install lie_jax[dynamics]``.
"""

from lie_jax.dynamics.hamiltonian import SeparableHamiltonian as SeparableHamiltonian
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
