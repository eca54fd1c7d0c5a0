"""Gradients of energies, and a cheap way to differentiate them once more.

The field of a Hamiltonian system is a gradient g(z, w) of an energy E(z, w), and training pulls
cotangents u back through it. Reversing the reverse pass keeps, reads and writes every value of
both passes. But second derivatives are symmetric: u . dg/d(z, w) = d/de grad_(z, w) E(z + e u, w),
one forward derivative of a gradient. That fuses better, and keeps nothing but z and w.

Source: Pearlmutter, Fast exact multiplication by the Hessian (1994).
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from lie_jax.typing import Array, PyTree

Gradient = Callable[[Callable[..., Array]], Callable[[PyTree, PyTree], PyTree]]
"""energy(*z, params) -> what maps (z, params) to its gradient with respect to z, a tuple."""


def gradient(energy: Callable[..., Array]) -> Callable[[PyTree, PyTree], PyTree]:
    """The gradient of the sum over the batch, which is that of every system."""

    def of(z: tuple[Array, ...], params: PyTree) -> tuple[Array, ...]:
        return jax.grad(lambda z: jnp.sum(energy(*z, params)))(z)

    return of


def reverse_gradient(energy: Callable[..., Array]) -> Callable[[PyTree, PyTree], PyTree]:
    """`gradient`, pulled back as a forward derivative; it has no forward derivative itself."""

    def of(z: tuple[Array, ...], params: PyTree) -> tuple[Array, ...]:
        def total(z, params):
            return jnp.sum(energy(*z, params))

        # What the energy holds by itself may be differentiated too: it becomes an argument.
        arguments = (params, eqx.filter_closure_convert(total, z, params))
        inexact, rest = eqx.partition(arguments, eqx.is_inexact_array)
        return _gradient((z, inexact), rest)

    return of


def _total(z, inexact, rest):
    params, total = eqx.combine(inexact, rest)
    return total(z, params)


@eqx.filter_custom_vjp
def _gradient(arguments, rest):
    z, inexact = arguments
    return jax.grad(_total)(z, inexact, rest)


@_gradient.def_fwd
def _forward(perturbed, arguments, rest):
    del perturbed
    return _gradient(arguments, rest), None


@_gradient.def_bwd
def _backward(residuals, cotangent, perturbed, arguments, rest):
    del residuals, perturbed
    z, inexact = arguments
    direction = jax.tree.map(
        lambda u, x: jnp.zeros_like(x) if u is None else u, cotangent, z, is_leaf=_is_none
    )

    def both(z):
        return jax.grad(_total, argnums=(0, 1))(z, inexact, rest)

    return jax.jvp(both, (z,), (direction,))[1]


def _is_none(x: Any) -> bool:
    return x is None
