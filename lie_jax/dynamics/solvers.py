"""Solvers for Hamilton's equations, as diffrax solvers of fixed steps.

The symplectic ones and the Nyström one integrate H = T(p) + V(q): they take the two terms of
`SeparableHamiltonian.terms`, the velocity as a function of p and the force as one of q, as
`diffrax.SemiImplicitEuler` does. `RK38` takes any single term, `hamiltonian_field` for instance.

A symplectic step keeps the phase-space form, so the energy error stays bounded instead of growing.
Each is a composition of drifts (q moves, p stays) and kicks (p moves, q stays), first and last a
half drift; read backwards it is the same, so that a step of -h undoes one of h.

Source: Hairer, Lubich, Wanner, Geometric numerical integration (2006), chapters II and V;
Yoshida, Construction of higher order symplectic integrators (1990).
"""

import itertools
from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import jax
import numpy as np
from diffrax import RESULTS, AbstractTerm, LocalLinearInterpolation
from diffrax import ThirdOrderHermitePolynomialInterpolation as Hermite

from lie_jax.typing import PyTree


def _composition(*steps: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Drifts and kicks of leapfrog steps of these lengths one after the other."""
    ends = [0.0, *steps, 0.0]
    drifts = tuple((a + b) / 2 for a, b in itertools.pairwise(ends))
    return drifts, steps


def _add(y: PyTree, change: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: a + b, y, change)


class AbstractSeparableSolver(diffrax.AbstractSolver):
    """What solvers of two terms, velocity and force, have in common."""

    term_structure: ClassVar = (AbstractTerm, AbstractTerm)
    # Off its steps a solution is interpolated linearly: more would need more forces. Let steps end
    # at the times that are wanted, as `lie_jax.dynamics.rollout` does.
    interpolation_cls: ClassVar[Callable[..., LocalLinearInterpolation]] = LocalLinearInterpolation

    accuracy: ClassVar[int]

    def order(self, terms):
        return self.accuracy

    def init(self, terms, t0, t1, y0, args):
        return None

    def func(self, terms, t0, y0, args):
        velocity, force = terms
        q, p = y0
        return velocity.vf(t0, p, args), force.vf(t0, q, args)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        del solver_state, made_jump
        y1 = self.advance(terms, t0, t1, y0, args)
        return y1, None, {"y0": y0, "y1": y1}, None, RESULTS.successful

    def advance(self, terms, t0, t1, y0, args) -> Any:
        """(q, p) at t1."""
        raise NotImplementedError


class AbstractSymplecticSolver(AbstractSeparableSolver):
    """A symmetric composition of drifts and kicks, in parts of the step."""

    drifts: ClassVar[tuple[float, ...]]
    kicks: ClassVar[tuple[float, ...]]

    def advance(self, terms, t0, t1, y0, args):
        velocity, force = terms
        q, p = y0
        h = t1 - t0
        time = t0
        for i, drift in enumerate(self.drifts):
            q = _add(q, velocity.vf_prod(time, p, args, velocity.contr(t0, t0 + drift * h)))
            time = time + drift * h
            if i < len(self.kicks):
                p = _add(p, force.vf_prod(time, q, args, force.contr(t0, t0 + self.kicks[i] * h)))
        return q, p


class Leapfrog(AbstractSymplecticSolver):
    """Störmer-Verlet: symplectic, symmetric, order 2; 1 force per step."""

    drifts, kicks = _composition(1.0)

    accuracy = 2


class Yoshida4(AbstractSymplecticSolver):
    """Three leapfrog steps, the middle one backwards: symplectic, order 4; 3 forces per step."""

    _outer: ClassVar[float] = 1 / (2 - 2 ** (1 / 3))
    drifts, kicks = _composition(_outer, 1 - 2 * _outer, _outer)

    accuracy = 4


class Yoshida6(AbstractSymplecticSolver):
    """Seven leapfrog steps: symplectic, order 6; 7 forces per step.

    Source: Yoshida (1990), table 1, solution A.
    """

    _outer: ClassVar[tuple[float, ...]] = (
        0.784513610477560,
        0.235573213359357,
        -1.17767998417887,
    )
    drifts, kicks = _composition(*_outer, 1 - 2 * sum(_outer), *_outer[::-1])

    accuracy = 6


class Nystrom4(AbstractSeparableSolver):
    """Runge-Kutta-Nyström for q'' = f(q): order 4 with 3 forces per step. Not symplectic.

    The velocity must be linear in p, T = Σ |p|²/(2m) for instance.

    Source: Hairer, Nørsett, Wanner, Solving ordinary differential equations I (1993), II.14.
    """

    accuracy = 4

    def advance(self, terms, t0, t1, y0, args):
        velocity, force = terms
        q, p = y0
        middle = t0 + (t1 - t0) / 2
        whole, half = velocity.contr(t0, t1), velocity.contr(t0, middle)
        control = force.contr(t0, t1)

        def kick(part: float, *kicks: PyTree) -> PyTree:
            return jax.tree.map(lambda p, *k: p + part * sum(k), p, *kicks)

        k1 = force.vf_prod(t0, q, args, control)
        at_half = _add(q, velocity.vf_prod(t0, kick(1 / 4, k1), args, half))
        k2 = force.vf_prod(middle, at_half, args, control)
        at_end = _add(q, velocity.vf_prod(t0, kick(1 / 2, k2), args, whole))
        k3 = force.vf_prod(t1, at_end, args, control)
        q = _add(q, velocity.vf_prod(t0, kick(1 / 6, k1, k2, k2), args, whole))
        return q, kick(1 / 6, k1, k2, k2, k2, k2, k3)


_KUTTA = diffrax.ButcherTableau(
    c=np.array([1 / 3, 2 / 3, 1.0]),
    a_lower=(np.array([1 / 3]), np.array([-1 / 3, 1.0]), np.array([1.0, -1.0, 1.0])),
    b_sol=np.array([1 / 8, 3 / 8, 3 / 8, 1 / 8]),
    b_error=np.array([-1 / 8, 1 / 8, 1 / 8, -1 / 8]),
)


class RK38(diffrax.AbstractERK):
    """Kutta's 3/8 rule: order 4, 4 evaluations per step; that of the published results.

    The error estimate is the difference from the mean of the four slopes, which is of order 2.
    """

    tableau: ClassVar[diffrax.ButcherTableau | diffrax.MultiButcherTableau] = _KUTTA
    interpolation_cls: ClassVar[Callable[..., Hermite]] = Hermite.from_k

    def order(self, terms):
        return 4

    def error_order(self, terms):
        return 3
