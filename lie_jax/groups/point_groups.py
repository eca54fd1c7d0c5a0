"""Matrices of the finite groups of rotations and reflections of the plane and of space.

They go by their Schoenflies names. In the plane C<n> are the rotations by 2 pi / n, D<n> those and
reflections in n lines. In space C<n> turns about z, D<n> is it with half turns about axes in the
plane z = 0; T, O, I are the rotations of the tetrahedron, cube and icosahedron, Td, Oh, Ih these
with their reflections, Th is T with the inversion.
"""

import functools
import math
import re

import numpy as np

_MOST_ELEMENTS = 360


@functools.cache
def point_group(name: str, dim: int) -> np.ndarray:
    """The matrices (order, dim, dim) of a point group, the identity first, in float64.

    Args:
        name: Schoenflies name, see the module.
        dim: 2 or 3.

    Raises:
        ValueError: unknown name.
    """
    generators = _generators(name, dim)
    found = [np.eye(dim)]
    for matrix in found:  # grows while it is read
        for generator in generators:
            new = generator @ matrix
            if np.abs(np.stack(found) - new).max((1, 2)).min() > 1e-6:
                # Rounding must not build up along a chain of products.
                left, _, right = np.linalg.svd(new)
                found.append(left @ right)
    matrices = np.stack(found)
    matrices.flags.writeable = False
    return matrices


def _generators(name: str, dim: int) -> list[np.ndarray]:
    if match := re.fullmatch(r"([CD])([1-9][0-9]*)", name):
        kind, n = match[1], int(match[2])
        if n > _MOST_ELEMENTS:
            raise ValueError(f"point_group: at most n = {_MOST_ELEMENTS} in C<n>, got {name!r}")
        turn = _turn(2 * math.pi / n)
        mirror = np.diag([1.0, -1.0])
        if dim == 2:
            return [turn] if kind == "C" else [turn, mirror]
        turn = _in_space(turn, 1.0)
        return [turn] if kind == "C" else [turn, _in_space(mirror, -1.0)]
    if dim == 3 and name in _POLYHEDRAL:
        return [np.asarray(generator, float) for generator in _POLYHEDRAL[name]]
    known = "C<n>, D<n>" + (", " + ", ".join(_POLYHEDRAL) if dim == 3 else "")
    raise ValueError(f"point_group: name in {dim} dimensions must be one of {known}, got {name!r}")


def _turn(angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s], [s, c]])


def _in_space(plane: np.ndarray, z: float) -> np.ndarray:
    whole = np.diag([0.0, 0.0, z])
    whole[:2, :2] = plane
    return whole


def _about(axis, angle: float) -> np.ndarray:
    """Rodrigues' formula."""
    x, y, z = np.asarray(axis, float) / np.linalg.norm(axis)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * k + (1 - math.cos(angle)) * k @ k


_CYCLE = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])  # a third of a turn about (1, 1, 1)
_HALF_TURN = np.diag([-1, -1, 1])
_QUARTER_TURN = _in_space(_turn(math.pi / 2).round(), 1.0)
_FIFTH_TURN = _about((0, 1, (1 + math.sqrt(5)) / 2), 2 * math.pi / 5)
_INVERSION = -np.eye(3)
_SWAP = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])  # the reflection in the plane x = y
_POLYHEDRAL = {
    "T": (_CYCLE, _HALF_TURN),
    "O": (_CYCLE, _QUARTER_TURN),
    "I": (_CYCLE, _HALF_TURN, _FIFTH_TURN),
    "Td": (_CYCLE, _HALF_TURN, _SWAP),
    "Th": (_CYCLE, _HALF_TURN, _INVERSION),
    "Oh": (_CYCLE, _QUARTER_TURN, _INVERSION),
    "Ih": (_CYCLE, _HALF_TURN, _FIFTH_TURN, _INVERSION),
}
