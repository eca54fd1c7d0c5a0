"""From numbers seen from lifted elements to vectors and tensors of space."""

import jax.numpy as jnp

from lie_jax.groups import Group
from lie_jax.typing import Array, Float


def linear_part(group: Group, elements: Float[Array, "*b g"]) -> Float[Array, "*b d d"]:
    """A of x -> A x + t, by which vectors (differences of points) move.

    Raises:
        NotImplementedError: the group's matrix is not that of such a map of its space.
    """
    d = group.space_dim
    if group.matrix_dim not in (d, d + 1):
        raise NotImplementedError(
            f"linear_part: to_matrix must give the matrix of an affine map of R^{d}, {d} or "
            f"{d + 1} wide, got one {group.matrix_dim} wide for {group}"
        )
    return group.to_matrix(elements)[..., :d, :d]


def to_space(
    group: Group, elements: Float[Array, "*b g"], values: Float[Array, "..."], rank: int
) -> Float[Array, "..."]:
    """Components along a lifted element's axes, as a vector A v or tensor A M A^T of space.

    Args:
        group: the group.
        elements: (\\*b, \\*g).
        values: (\\*b, c, d) for rank 1, (\\*b, c, d, d) for rank 2.
        rank: 1 or 2.

    Returns:
        As ``values``; moves as A does when all elements are multiplied from the left.
    """
    axes = linear_part(group, elements).astype(values.dtype)
    if rank == 1:
        return jnp.einsum("...ij,...cj->...ci", axes, values, precision="highest")
    return jnp.einsum("...ij,...cjk,...lk->...cil", axes, values, axes, precision="highest")
