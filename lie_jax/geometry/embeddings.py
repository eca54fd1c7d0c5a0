"""Embeddings: real features of a pair's group element, from which attention scores are made."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from lie_jax.groups import Group
from lie_jax.typing import Array, Validated


@dataclasses.dataclass(frozen=True)
class PairEmbedding:
    """A map from a pair's group element to real location features.

    Args:
        name: how it is called in messages and configs.
        size: number of features it gives for a group.
        embed: ``embed(group, element)``, (\\*b, g) -> (\\*b, f).
        is_additive: whether ``embed(g^-1 h) = embed(h) - embed(g)`` for all g and h of a group.
            Linear maps of the features are then computed per point instead of per pair.
        sees_stabiliser: False where the features are the same for all lifts of two points.
        needs_log: whether every element must have a logarithm.
    """

    name: str
    size: Callable[[Group], int]
    embed: Callable[[Group, Array], Array]
    is_additive: Callable[[Group], bool] = lambda _: False
    sees_stabiliser: bool = True
    needs_log: bool = False


# --- logarithm ---------------------------------------------------------------------------------


def _log_and_component(group: Group, element: Array) -> Array:
    log = group.log(element)
    if group.component_dim == 0:
        return log
    return jnp.concatenate([log, group.component(element)], axis=-1)


LOG = PairEmbedding(
    "log",
    lambda group: group.algebra_dim + group.component_dim,
    _log_and_component,
    lambda group: group.log_is_additive and group.component_dim == 0,
    needs_log=True,
)
"""Log coordinates as published, with the component's label where the group has several.

They jump where the logarithm has its branch, at rotations by pi.
"""


# --- matrix ------------------------------------------------------------------------------------


def _flat_matrix(group: Group, element: Array) -> Array:
    matrix = group.to_matrix(element)
    return matrix.reshape((*matrix.shape[:-2], -1))


MATRIX = PairEmbedding("matrix", lambda group: group.matrix_dim**2, _flat_matrix)
"""Entries of the matrix: smooth on any matrix group."""


# --- harmonics ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Parts:
    """What the matrices of a group are made of: rotation, scale, translation."""

    rotates: bool
    scales: bool
    translates: bool


@functools.cache
def _parts(group: Group) -> _Parts:
    """Reads off the generators what the group does to R^d.

    Raises:
        ValueError: it does more than rotate, scale all axes alike, and translate.
    """
    d = group.space_dim
    with jax.ensure_compile_time_eval():
        generators = np.asarray(group.hat(jnp.eye(group.algebra_dim)))
    linear = generators[:, :d, :d]
    stretch = (linear + linear.swapaxes(1, 2)) / 2
    scale = np.trace(stretch, axis1=1, axis2=2) / d
    alike = np.allclose(stretch, scale[:, None, None] * np.eye(d), atol=1e-6)
    if group.matrix_dim not in (d, d + 1) or not alike or d not in (1, 2, 3):
        raise ValueError(
            f"pair_embedding: harmonics and distances are those of rotations of R² and R³ (with "
            f'translations and one scale), {group} is none: take "matrix"'
        )
    return _Parts(
        rotates=not np.allclose(linear, stretch, atol=1e-6),
        scales=not np.allclose(scale, 0, atol=1e-6),
        translates=group.matrix_dim == d + 1,
    )


# Symmetric traceless matrices, orthonormal: rotations act on them as on the harmonics of degree 2.
_QUADRUPOLES = np.array(
    [
        [[0, 1, 0], [1, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 1], [0, 1, 0]],
        [[0, 0, 1], [0, 0, 0], [1, 0, 0]],
        [[1, 0, 0], [0, -1, 0], [0, 0, 0]],
        np.diag([-1, -1, 2]) / np.sqrt(3),
    ]
) / np.sqrt(2)


def _harmonics_of_rotation(rotation: Array, degree: int) -> Array:
    """cos kθ, sin kθ in the plane; Wigner's matrices of degree k in space; k = 1 to degree."""
    if rotation.shape[-1] == 2:
        c, s = rotation[..., 0, 0], rotation[..., 1, 0]
        turns = [(c, s)]
        for _ in range(degree - 1):
            ck, sk = turns[-1]
            turns.append((c * ck - s * sk, s * ck + c * sk))
        return jnp.stack([x for turn in turns for x in turn], axis=-1)
    first = rotation.reshape(*rotation.shape[:-2], 9)
    if degree == 1:
        return first
    e = jnp.asarray(_QUADRUPOLES, rotation.dtype)
    turned = jnp.einsum("...ik,bkl,...jl->...bij", rotation, e, rotation, precision="highest")
    second = jnp.einsum("aij,...bij->...ab", e, turned, precision="highest")
    return jnp.concatenate([first, second.reshape(*second.shape[:-2], 25)], axis=-1)


def _rotation_size(d: int, degree: int) -> int:
    return 2 * degree if d == 2 else 9 if degree == 1 else 34


def _size(group: Group, degree: int) -> int:
    parts, d = _parts(group), group.space_dim
    size = group.component_dim + d * parts.translates + parts.scales
    return size + (_rotation_size(d, degree) if parts.rotates else 0)


def _embed(group: Group, element: Array, degree: int) -> Array:
    parts, d = _parts(group), group.space_dim
    matrix = group.to_matrix(element)
    linear, features = matrix[..., :d, :d], [group.component(element)]
    if parts.scales:
        scale = jnp.sqrt(jnp.mean(jnp.sum(linear**2, axis=-2), axis=-1))[..., None]
        features.append(jnp.log(scale))
        linear = linear / scale[..., None]
    if parts.rotates:
        if group.component_dim and d == 3:  # a reflection is the inversion times a rotation
            linear = linear * group.component(element)[..., None]
        features.append(_harmonics_of_rotation(linear, degree))
    if parts.translates:
        features.append(matrix[..., :d, d])
    return jnp.concatenate(features, axis=-1)


@functools.cache
def harmonics(degree: int) -> PairEmbedding:
    """Harmonics of the rotation up to a degree, log of the scale, translation, component.

    In the plane cos kθ and sin kθ, k = 1 to ``degree``; in space the entries of Wigner's matrices
    of degree 1 and 2, which are quadratic and quartic in the quaternion. Smooth on the whole
    group, so that sums over a grid of lifts come near the integral exponentially fast.

    Args:
        degree: 1 or 2; in the plane any.

    Raises:
        ValueError: degree is not positive.
    """
    if degree < 1:
        raise ValueError(f"harmonics: degree must be at least 1, got {degree}")

    def size(group: Group) -> int:
        if group.space_dim == 3 and degree > 2:
            raise ValueError(f"harmonics: degree must be 1 or 2 for {group}, got {degree}")
        return _size(group, degree)

    return PairEmbedding(
        f"harmonics({degree})",
        size,
        lambda group, element: _embed(group, element, degree),
        lambda group: group.log_is_additive and not (_parts(group).rotates or group.component_dim),
    )


# --- distance ----------------------------------------------------------------------------------


@functools.cache
def soft_distance(softening: float = 0.1) -> PairEmbedding:
    """The points' distance r, as r² and sqrt(r² + softening²): no choice of lift changes it.

    For translations with or without rotations, whose points lift from the origin (a lift of one's
    own may start elsewhere). Rotations h, k of the stabiliser take the element
    g^-1 g' of two lifts to h^-1 g^-1 g' k, whose translation has the same length: a function on
    the double cosets H \\ G / H. So one lift per point makes a network exactly invariant, to
    reflections too, at the cost of T(n). The price: no directions, pairs are seen as distances.

    Args:
        softening: in units of the coordinates; it keeps derivatives finite where points meet.

    Raises:
        ValueError: softening is not positive.
    """
    if not softening > 0:
        raise ValueError(f"soft_distance: softening must be positive, got {softening}")

    def embed(group: Group, element: Array) -> Array:
        squared = _squared_distance(group, element)
        return jnp.stack([squared, jnp.sqrt(squared + softening**2)], axis=-1)

    def size(group: Group) -> int:
        _check_distances(group)
        return 2

    return PairEmbedding(f"distance({softening})", size, embed, sees_stabiliser=False)


@functools.cache
def radial_basis(count: int = 16, reach: float = 4.0) -> PairEmbedding:
    """The points' distance r, as bumps exp(-(r - c)² / 2w²) and log(1 + r/w).

    Exact with one lift for the reason, and at the price, of `soft_distance`. With
    ``location="raw"`` a score is a sum of bumps: the network sees shells about each point, as fine
    as w, where an MLP of the distance must first learn to tell small distances apart.

    Args:
        count: of bumps.
        reach: centres c are spread evenly from 0 to it, w apart; in units of the coordinates.

    Raises:
        ValueError: fewer than 2 bumps, or a reach that is not positive.
    """
    if count < 2 or not reach > 0:
        raise ValueError(
            f"radial_basis: count must be at least 2 and reach positive, got {count} and {reach}"
        )
    width = reach / (count - 1)

    def embed(group: Group, element: Array) -> Array:
        # Softened by a hundredth of a bump, so that derivatives are finite where points meet.
        squared = _squared_distance(group, element)[..., None] + (0.01 * width) ** 2
        steps = jnp.sqrt(squared) / width
        bumps = jnp.exp(-jnp.square(steps - jnp.arange(count, dtype=steps.dtype)) / 2)
        return jnp.concatenate([bumps, jnp.log1p(steps)], axis=-1)

    def size(group: Group) -> int:
        _check_distances(group)
        return count + 1

    return PairEmbedding(f"radial({count}, {reach})", size, embed, sees_stabiliser=False)


def _check_distances(group: Group) -> None:
    parts = _parts(group)
    if not parts.translates or parts.scales:
        raise ValueError(
            "pair_embedding: distances are those of groups of translations and rotations, "
            f'{group} is none: take "matrix"'
        )


def _squared_distance(group: Group, element: Array) -> Array:
    _check_distances(group)
    d = group.space_dim
    return jnp.sum(jnp.square(group.to_matrix(element)[..., :d, d]), axis=-1)


# --- several, and names ------------------------------------------------------------------------


@functools.cache
def beside(*embeddings: PairEmbedding) -> PairEmbedding:
    """Several embeddings beside each other, for instance logarithm and distance.

    Raises:
        ValueError: none is given.
    """
    if not embeddings:
        raise ValueError("beside: embeddings must be one or more, got none")
    return PairEmbedding(
        "+".join(e.name for e in embeddings),
        lambda group: sum(e.size(group) for e in embeddings),
        lambda group, element: jnp.concatenate([e.embed(group, element) for e in embeddings], -1),
        lambda group: all(e.is_additive(group) for e in embeddings),
        sees_stabiliser=any(e.sees_stabiliser for e in embeddings),
        needs_log=any(e.needs_log for e in embeddings),
    )


EmbeddingName = str
"""What `resolve_embedding` understands."""

_NAMED: dict[str, PairEmbedding] = {
    "log": LOG,
    "matrix": MATRIX,
    "circle": harmonics(1),
    "harmonics": harmonics(2),
    "distance": soft_distance(0.1),
    "radial": radial_basis(16, 4.0),
}
_MADE: dict[str, Callable[..., PairEmbedding]] = {
    "harmonics": harmonics,
    "distance": soft_distance,
    "radial": radial_basis,
}


def resolve_embedding(embedding: Validated[EmbeddingName | PairEmbedding]) -> PairEmbedding:
    """The embedding of that name, or the user's own.

    ``"log"``: logarithm, as published. ``"matrix"``: entries of the matrix. ``"harmonics"``: those
    of degree 1 and 2. ``"circle"``: those of degree 1, sine and cosine in the plane.
    ``"distance"``: how far the points are apart, see `soft_distance`; ``"radial"``: the same in
    finer detail, up to a reach, see `radial_basis`. Arguments follow in brackets, ``"radial(24,
    6.0)"``; ``"log+radial"`` has both beside each other. The ``name`` of any of these leads back
    to it.

    Raises:
        ValueError: unknown name, or arguments that do not fit.
    """
    if isinstance(embedding, PairEmbedding):
        return embedding
    if isinstance(embedding, str):
        found = [_resolve_one(part.strip()) for part in embedding.split("+")]
        if None not in found:
            return found[0] if len(found) == 1 else beside(*found)  # pyright: ignore
    raise ValueError(
        f'pair_embedding must be one of {tuple(_NAMED)}, perhaps as "radial(24, 6.0)" or '
        f'"log+radial", or a PairEmbedding, got {embedding!r}'
    )


def _resolve_one(text: str) -> PairEmbedding | None:
    if text in _NAMED:
        return _NAMED[text]
    name, bracket, rest = text.partition("(")
    if name not in _MADE or not bracket or not rest.endswith(")"):
        return None
    numbers = [n.strip() for n in rest[:-1].split(",")]
    try:
        values = [int(n) if n.isdecimal() else float(n) for n in numbers]
        return _MADE[name](*values)
    except TypeError:  # too many
        return None
    except ValueError as error:
        raise ValueError(f"pair_embedding: {text!r} does not fit: {error}") from error
