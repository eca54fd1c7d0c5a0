"""The semidirect product of two matrix groups, as one matrix group."""

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from lie_jax.groups.base import Group
from lie_jax.groups.matrix import MatrixGroup, from_generators
from lie_jax.typing import Validated


def semidirect_product(
    name: str, normal: Validated[Group], acting: Validated[Group], action: Validated[ArrayLike]
) -> MatrixGroup:
    """N ⋊ H, where h in H turns n in N into A(h) n A(h)^-1.

    Its elements are the block matrices diag(n A(h), h), whose product is that of the semidirect
    product, (n, h)(n', h') = (n A(h) n' A(h)^-1, h h'). Algebra coordinates: N's, then H's.
    Of groups that are not connected it has the identity components. For all translations of R^r
    and a group of r x r matrices take `SemidirectProduct`, which is faster and has lifts.

    Args:
        name: how the group is called in messages.
        normal: N, r x r matrices.
        acting: H.
        action: (H's algebra_dim, r, r), the derivative of A: one matrix for each generator of H.

    Raises:
        ValueError: ``action`` has another shape, is no representation of H's algebra, or leads
            out of N: the message names the bracket that is not in the product's algebra.
    """
    inner, outer = (
        np.asarray(g.hat(jnp.eye(g.algebra_dim, dtype=jnp.float32)), np.float64)
        for g in (normal, acting)
    )
    matrices = np.asarray(action, np.float64)
    r, s = normal.matrix_dim, acting.matrix_dim
    if matrices.shape != (len(outer), r, r):
        raise ValueError(
            f"semidirect_product({name!r}): action must have shape {(len(outer), r, r)}, one "
            f"matrix for each generator of {acting}, got {matrices.shape}"
        )
    generators = np.zeros((len(inner) + len(outer), r + s, r + s))
    generators[: len(inner), :r, :r] = inner
    generators[len(inner) :, :r, :r] = matrices
    generators[len(inner) :, r:, r:] = outer
    return from_generators(name, generators)
