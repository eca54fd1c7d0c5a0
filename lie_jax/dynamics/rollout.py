"""Trajectories of a system, in one solve, batched and differentiable."""

import dataclasses
from typing import Any, Literal

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from lie_jax.dynamics.gradient import Gradient, gradient, reverse_gradient
from lie_jax.dynamics.hamiltonian import (
    Energy,
    SeparableHamiltonian,
    State,
    check_state,
    hamiltonian_field,
)
from lie_jax.dynamics.reversible import reversible_solve
from lie_jax.dynamics.solvers import AbstractSymplecticSolver, Leapfrog
from lie_jax.typing import Array, Float, PyTree, Validated

System = Energy | SeparableHamiltonian | diffrax.AbstractTerm
Adjoint = diffrax.AbstractAdjoint | Literal["reversible"]

# Steps that diffrax differentiates without computing them again in the backward pass.
_FEW = 16


def rollout(
    system: Validated[System],
    state: Validated[State],
    ts: Float[Array, " t"],
    params: PyTree,
    *,
    solver: Validated[diffrax.AbstractSolver | None] = None,
    substeps: Validated[int] = 1,
    adjoint: Validated[Adjoint | None] = None,
) -> tuple[Float[Array, "*b t n d"], Float[Array, "*b t n d"]]:
    """The states at the times ts, from the state at the first of them.

    Steps are of fixed length: ``substeps`` of them, all alike, from each time to the next.

    Args:
        system: H(q, p, params); a `SeparableHamiltonian` where the solver takes velocity and
            force; or a `diffrax.ODETerm` of any vector field on (q, p), Hamiltonian or not.
        state: (q, p) at ts[0], each (\\*b, n, d).
        ts: increasing times, at least two.
        params: what ``system`` takes as such.
        solver: of fixed steps; `Leapfrog` where the system is separable, else `diffrax.Tsit5`.
        substeps: solver steps between two times.
        adjoint: how gradients are computed. None keeps the states of all steps and pulls back
            through gradients of H as `lie_jax.dynamics.gradient` says, in reverse mode alone
            (fast); any of diffrax's, `diffrax.DirectAdjoint` for forward mode too; or
            ``"reversible"`` for symplectic solvers, see `lie_jax.dynamics.reversible`: memory
            does not depend on the number of steps.

    Returns:
        q and p at all times, the given state first.

    Raises:
        ValueError: times that do not increase, shapes that do not fit, substeps below 1; outside
            jit, what the kinetic energy refuses, such as masses that are not positive.
        TypeError: the solver needs a separable system, or one that is reversible.
    """
    state = check_state("rollout", state)
    check_times("rollout", ts)
    if substeps < 1:
        raise ValueError(f"rollout: substeps must be at least 1, got {substeps}")
    if solver is None:
        is_separable = isinstance(system, SeparableHamiltonian)
        solver = Leapfrog() if is_separable else diffrax.Tsit5()
    _check_params(system, state, params)
    terms = _terms(system, solver, reverse_gradient if adjoint is None else gradient)
    ts = ts.astype(jnp.promote_types(ts.dtype, state[0].dtype))
    if adjoint == "reversible":
        if not isinstance(solver, AbstractSymplecticSolver):
            raise TypeError(
                f'rollout: solver must be a symplectic one with adjoint="reversible", got {solver}'
            )
        found = reversible_solve(solver, terms, state, ts, params, substeps)
    else:
        steps = substeps * (len(ts) - 1)
        if adjoint is None and steps <= _FEW and not isinstance(system, diffrax.AbstractTerm):
            adjoint = diffrax.DirectAdjoint()
        found = diffrax.diffeqsolve(
            terms,
            solver,
            t0=ts[0],
            t1=ts[-1],
            dt0=None,
            y0=state,
            args=params,
            saveat=diffrax.SaveAt(ts=ts),
            stepsize_controller=diffrax.StepTo(ts=_refine(ts, substeps)),
            adjoint=adjoint or diffrax.RecursiveCheckpointAdjoint(checkpoints=steps),
            max_steps=steps,
        ).ys
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, -3), found)


def rollout_in_chunks(
    system: Validated[System],
    state: Validated[State],
    ts: Float[Array, " t"],
    params: PyTree,
    *,
    chunk: Validated[int] = 1000,
    keep_every: Validated[int] = 1,
    **options: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """A long trajectory, ``chunk`` intervals at a time with one compiled program, in host memory.

    Args:
        system: as for `rollout`.
        state: as for `rollout`.
        ts: as for `rollout`.
        params: as for `rollout`.
        chunk: intervals per call.
        keep_every: keep the first of so many times and no others.
        options: of `rollout`.

    Returns:
        q and p, (\\*b, t, n, d), numpy.

    Raises:
        ValueError: as `rollout`; chunk or keep_every below 1.
        FloatingPointError: the trajectory is no longer finite; the message says when.
    """
    state = check_state("rollout_in_chunks", state)
    check_times("rollout_in_chunks", ts)
    for name, value in (("chunk", chunk), ("keep_every", keep_every)):
        if value < 1:
            raise ValueError(f"rollout_in_chunks: {name} must be at least 1, got {value}")
    _check_params(system, state, params)
    times = np.asarray(ts)
    last = len(times) - 1
    # The last chunk goes on past the end, so that one program serves all of them.
    beyond = times[-1] + (times[-1] - times[-2]) * np.arange(1, (-last) % chunk + 1)
    times = np.concatenate([times, beyond.astype(times.dtype)])

    kept = [[np.asarray(x)[..., None, :, :]] for x in state]
    for start in range(0, last, chunk):
        here = times[start : start + chunk + 1]
        found = _compiled_rollout(system, state, jnp.asarray(here), params, options)
        state = tuple(x[..., -1, :, :] for x in found)
        found = [np.asarray(x) for x in found]
        _check_finite(found, here)
        first = -start % keep_every or keep_every
        for parts, x in zip(kept, found, strict=True):
            parts.append(x[..., first::keep_every, :, :])
    count = last // keep_every + 1
    q, p = (np.concatenate(parts, axis=-3)[..., :count, :, :] for parts in kept)
    return q, p


@eqx.filter_jit
def _compiled_rollout(system: Any, state: Any, ts: Any, params: PyTree, options: Any) -> Any:
    """Compiled once per system and options, not once per trajectory."""
    return rollout(system, state, ts, params, **options)


def rollout_error(predicted: State, true: State) -> Float[Array, " t"]:
    """Mean squared error of (q, p) at each time, over systems, particles and coordinates.

    Args:
        predicted: q and p, (\\*b, t, n, d).
        true: likewise.

    Raises:
        ValueError: shapes differ.
    """
    for a, b in zip(check_state("rollout_error", predicted), true, strict=True):
        if a.shape != b.shape:
            raise ValueError(f"rollout_error: true must have shape {a.shape}, got {b.shape}")
    squares = [(a - b) ** 2 for a, b in zip(predicted, true, strict=True)]
    mean = (squares[0] + squares[1]) / 2
    axes = tuple(axis for axis in range(mean.ndim) if axis != mean.ndim - 3)
    return jnp.mean(mean, axis=axes)


def check_times(where: str, ts: Any) -> None:
    """Raises ValueError unless ts are at least two finite, increasing times."""
    if jnp.ndim(ts) != 1 or len(ts) < 2:
        raise ValueError(f"{where}: ts must have shape (t,), t at least 2, got {jnp.shape(ts)}")
    if isinstance(ts, Tracer):
        return
    values = np.asarray(ts)
    bad = np.flatnonzero(~(np.diff(values) > 0))
    if len(bad) or not np.isfinite(values).all():
        i = int(bad[0]) if len(bad) else int(np.flatnonzero(~np.isfinite(values))[0]) - 1
        raise ValueError(
            f"{where}: ts must be finite and increase, got {values[i]} and {values[i + 1]} at "
            f"index {i}"
        )


def _check_params(system: System, state: State, params: PyTree) -> None:
    """Lets the kinetic energy refuse masses: inside the solver, traced, it no longer can."""
    is_traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((state, params)))
    if isinstance(system, SeparableHamiltonian) and not is_traced:
        system.kinetic(state[1], params)


def _terms(system: System, solver: diffrax.AbstractSolver, gradient: Gradient) -> Any:
    wants_two = isinstance(solver.term_structure, tuple)
    if isinstance(system, SeparableHamiltonian):
        system = dataclasses.replace(system, gradient=gradient)
        return system.terms if wants_two else system.term
    if wants_two:
        raise TypeError(
            f"rollout: system must be a SeparableHamiltonian with {type(solver).__name__}, which "
            f"takes velocity and force apart, got {system!r}"
        )
    if isinstance(system, diffrax.AbstractTerm):
        return system
    return diffrax.ODETerm(hamiltonian_field(system, gradient=gradient))


def _refine(ts: Array, substeps: int) -> Array:
    """ts with ``substeps`` - 1 more, evenly spaced, between any two."""
    part = jnp.arange(substeps, dtype=ts.dtype) / substeps
    inner = ts[:-1, None] + part * jnp.diff(ts)[:, None]
    return jnp.append(inner.reshape(-1), ts[-1])


def _check_finite(found: list[np.ndarray], times: np.ndarray) -> None:
    is_finite = np.ones(len(times), bool)
    for x in found:
        axes = tuple(axis for axis in range(x.ndim) if axis != x.ndim - 3)
        is_finite &= np.isfinite(x).all(axis=axes)
    if not is_finite.all():
        when = times[int(np.argmin(is_finite))]
        raise FloatingPointError(f"rollout_in_chunks: the state is not finite from t = {when} on")
