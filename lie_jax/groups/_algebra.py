"""A matrix Lie algebra as its generators span it: projection, structure constants, checks."""

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lie_jax.typing import Validated

Matrix = tuple[tuple[float, ...], ...]
Matrices = tuple[Matrix, ...]
TOLERANCE = 1e-6
"""Of the checks, relative: generators may have been computed in float32."""


class Algebra(NamedTuple):
    """What follows from generators X_i.

    Attributes:
        basis: (a, r, r), the generators.
        dual: (a, r, r), with <dual_i, X_j> = δ_ij: least squares coordinates of a matrix.
        structure: (a, a, a), [X_i, X_j] = Σ_k structure_ijk X_k.
    """

    basis: np.ndarray
    dual: np.ndarray
    structure: np.ndarray


def nested(where: str, name: str, value: Validated[ArrayLike], depth: int) -> tuple:
    """Numbers as nested tuples of floats, which are hashable.

    Raises:
        ValueError: not an array of ``depth`` axes, or not finite.
    """
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {name} must be an array of real numbers ({error})") from None
    if array.ndim != depth:
        raise ValueError(f"{where}: {name} must have {depth} axes, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{where}: {name} must be finite")

    def freeze(x):
        return tuple(map(freeze, x)) if isinstance(x, list) else x

    return freeze(array.tolist())


@functools.lru_cache(maxsize=256)
def algebra(where: str, generators: Matrices) -> Algebra:
    """The algebra that the generators span.

    Raises:
        ValueError: they are linearly dependent, or the span is not closed under the bracket; the
            message names the two whose bracket leaves it, and by how much.
    """
    basis = np.asarray(generators, float)
    count, size = basis.shape[:2]
    flat = basis.reshape(count, -1)
    scale = np.linalg.norm(flat, axis=1)
    unit = flat / np.where(scale > 0, scale, 1)[:, None]
    rank = np.linalg.matrix_rank(unit, tol=TOLERANCE)
    if rank < count:
        raise ValueError(
            f"{where}: generators must be linearly independent, got {count} of rank {rank}"
        )
    dual = np.linalg.pinv(flat).T.reshape(basis.shape)
    products = np.einsum("irk,jkc->ijrc", basis, basis)
    brackets = products - products.swapaxes(0, 1)
    structure = np.einsum("ijrc,krc->ijk", brackets, dual)
    remainder = brackets - np.einsum("ijk,krc->ijrc", structure, basis)
    relative = np.linalg.norm(remainder.reshape(count, count, size * size), axis=-1)
    relative = relative / (scale[:, None] * scale)
    if relative.size and relative.max() > TOLERANCE:
        i, j = np.unravel_index(np.argmax(relative), relative.shape)
        raise ValueError(
            f"{where}: generators must be closed under the bracket, but [generators[{i}], "
            f"generators[{j}]] leaves their span (by {relative[i, j]:.2g} of its factors' size); "
            "add it to the generators"
        )
    structure[np.abs(structure) < 1e-14 * np.abs(structure).max(initial=0)] = 0
    return Algebra(*map(_read_only, (basis, dual, structure)))


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def leaves_span(algebra: Algebra, matrices: np.ndarray) -> float:
    """How far from the algebra the farthest of the matrices (n, r, r) is, relative to its size."""
    inside = np.einsum("nrc,krc,kst->nst", matrices, algebra.dual, algebra.basis)
    size = np.linalg.norm(matrices, axis=(1, 2))
    distance = np.linalg.norm(matrices - inside, axis=(1, 2))
    return float(np.max(distance / np.maximum(size, 1e-300), initial=0))


def misses_elements(algebra: Algebra) -> bool:
    """Whether some product of two exponentials is found that has no real logarithm.

    Such a product has a negative eigenvalue without a partner. True is a proof, False only a
    search without a find.
    """
    # Imported here: few groups ask, and all of lie_jax would wait for it.
    from scipy.linalg import expm

    rng = np.random.default_rng(0)
    scale = np.linalg.norm(algebra.basis, axis=(1, 2))
    draws = rng.normal(size=(2, 300, len(scale))) * rng.choice([1.0, 2.0, 4.0], (2, 300, 1))
    g, h = expm(np.einsum("nbi,irc->nbrc", draws / scale, algebra.basis))
    for values in np.linalg.eigvals(g @ h):
        gaps = np.abs(values[:, None] - values) + np.where(np.eye(len(values)), np.inf, 0)
        lonely = gaps.min(axis=1) > 1e-3 * np.abs(values)
        negative = (values.real < 0) & (values.imag == 0)
        if np.any(negative & lonely):
            return True
    return False
