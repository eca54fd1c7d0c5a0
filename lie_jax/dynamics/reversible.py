"""Gradients of a symplectic solution by running it backwards: memory free of the steps' number.

A symmetric step of -h undoes one of h but for rounding. So the backward pass needs no stored
steps: from the saved state at the end of an interval it steps back, and pulls the gradient through
each step on the way. The gradient is that of the numerical solution itself, not of the continuous
adjoint equation.

Source: McCallum and Foster, Efficient, accurate and stable gradients for neural ODEs (2024), for
the idea; for symmetric compositions the backward step is the solver's own.
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lie_jax.dynamics.hamiltonian import State
from lie_jax.dynamics.solvers import AbstractSymplecticSolver
from lie_jax.typing import Array, PyTree


def reversible_solve(
    solver: AbstractSymplecticSolver,
    terms: Any,
    state: State,
    ts: Array,
    params: PyTree,
    substeps: int,
) -> PyTree:
    """q and p at the times ts, (t, \\*b, n, d); gradients by running back.

    Gradients are those of state and params, not of ts or of arrays that the system's functions
    hold by themselves: JAX raises where these are traced.
    """
    inexact, rest = eqx.partition(params, eqx.is_inexact_array)
    return _solve((solver, terms, substeps), state, inexact, rest, ts)


def _step(static, y, inexact, rest, t0, t1):
    solver, terms, _ = static
    return solver.advance(terms, t0, t1, y, eqx.combine(inexact, rest))


def _times(static, t0, t1):
    """The ends of the steps from t0 to t1."""
    substeps = static[2]
    return t0 + (t1 - t0) * jnp.arange(substeps + 1, dtype=t0.dtype) / substeps


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _solve(static, y0, inexact, rest, ts):
    def interval(y, ends):
        times = _times(static, *ends)
        y, _ = lax.scan(
            lambda y, t: (_step(static, y, inexact, rest, *t), None), y, (times[:-1], times[1:])
        )
        return y, y

    _, ys = lax.scan(interval, y0, (ts[:-1], ts[1:]))
    return jax.tree.map(lambda first, others: jnp.concatenate([first[None], others]), y0, ys)


def _forward(static, y0, inexact, rest, ts):
    ys = _solve(static, y0, inexact, rest, ts)
    return ys, (ys, inexact, rest, ts)


def _backward(static, saved, gradient):
    ys, inexact, rest, ts = saved

    def back(carry, t):
        y1, dy, dparams = carry
        y0 = _step(static, y1, inexact, rest, t[1], t[0])
        _, pull = jax.vjp(lambda y, w: _step(static, y, w, rest, *t), y0, inexact)
        dy, more = pull(dy)
        return (y0, dy, jax.tree.map(jnp.add, dparams, more)), None

    def interval(carry, x):
        dy, dparams = carry
        ends, y1, from_here = x
        times = _times(static, *ends)
        # From the saved state: rounding does not add up over intervals.
        carry = (y1, jax.tree.map(jnp.add, dy, from_here), dparams)
        (_, dy, dparams), _ = lax.scan(back, carry, (times[:-1], times[1:]), reverse=True)
        return (dy, dparams), None

    zeros = jax.tree.map(jnp.zeros_like, (jax.tree.map(lambda y: y[0], ys), inexact))
    later = jax.tree.map(lambda x: x[1:], (ys, gradient))
    (dy, dparams), _ = lax.scan(interval, zeros, ((ts[:-1], ts[1:]), *later), reverse=True)
    dy = jax.tree.map(lambda dy, g: dy + g[0], dy, gradient)
    nothing = jax.tree.map(lambda x: np.zeros(jnp.shape(x), jax.dtypes.float0), rest)
    return dy, dparams, nothing, jnp.zeros_like(ts)


_solve.defvjp(_forward, _backward)
