"""scikit-learn's handwritten digits as point sets, and their motions.

1,797 images of 8 x 8 pixels, ink from 0 to 16, by 43 writers. Every pixel with ink is a point, 33
of them on average and at most 42; none is left out. Coordinates are measured from the centroid of
the ink in pixels, y upwards; the value of a point is its ink, from 0 to 1.

Source: Alpaydin and Kaynak, Optical recognition of handwritten digits (UCI, 1998), the test part,
by `sklearn.datasets.load_digits`.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import lie_jax as lj
from experiments.compare.comparison import Examples
from lie_jax.groups import rxso2

Motion = tuple[np.ndarray, np.ndarray]
"""An angle and a factor for each cloud."""

SCALES = (0.7, 1.4)
SHOWN = (2, 6, 7)
TURNS = np.arange(6) * np.pi / 3
KINDS = ("eighth turns", "rotations", "scalings")
"""Of motions under which the change of the output is measured, see `group_motions`."""

POINTS = 42
"""Most pixels with ink in an image."""


def load(seed: int, train_size: int, test_size: int) -> tuple[Examples, Examples]:
    """Two disjoint parts of the images, in an order drawn from the seed."""
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.target))
    if train_size + test_size > len(order):
        raise ValueError(
            f"digits.load: train_size + test_size must be at most {len(order)}, got "
            f"{train_size} + {test_size}"
        )
    train, test = order[:train_size], order[len(order) - test_size :]
    first, second = (
        Examples(point_sets(data.images[rows]), jnp.asarray(data.target[rows], jnp.int32))
        for rows in (train, test)
    )
    return first, second


def point_sets(images: np.ndarray) -> lj.PointSet:
    """Images (n, 8, 8) as n clouds of ``POINTS`` points, real points first."""
    n = len(images)
    ink = images.reshape(n, 64) / 16
    row, column = np.divmod(np.arange(64), 8)
    place = np.stack([column, -row], axis=-1).astype(float)
    centroid = ink @ place / ink.sum(1, keepdims=True)
    first = np.argsort(ink == 0, axis=1, kind="stable")[:, :POINTS]
    values = np.take_along_axis(ink, first, axis=1)
    mask = values > 0
    coords = np.where(mask[..., None], place[first] - centroid[:, None], 0)
    return lj.PointSet(
        jnp.asarray(coords, jnp.float32),
        jnp.asarray(values[..., None], jnp.float32),
        jnp.asarray(mask),
    )


def move(points: lj.PointSet, angle: np.ndarray, scale: np.ndarray) -> lj.PointSet:
    """Each cloud turned about its centroid and scaled.

    Args:
        points: (n, points).
        angle: (n,) in radians.
        scale: (n,), factors.
    """
    g = rxso2.exp(jnp.stack([jnp.log(scale), angle], axis=-1).astype(points.coords.dtype))
    return dataclasses.replace(points, coords=rxso2.act(g[:, None], points.coords))


def test_motions(seed: int, count: int) -> dict[str, Motion]:
    """The motion of each test set: an angle in [0, 2 pi), a factor in [0.7, 1.4]."""
    rng = np.random.default_rng((seed, 1))
    angle, scale = rng.uniform(0, 2 * np.pi, count), rng.uniform(*SCALES, count)
    none, one = np.zeros(count), np.ones(count)
    return {
        "upright": (none, one),
        "rotated": (angle, one),
        "scaled": (none, scale),
        "both": (angle, scale),
    }


def group_motions(seed: int, count: int) -> dict[str, list[Motion]]:
    """Several motions by elements of each symmetry, under which an exact network is constant."""
    rng = np.random.default_rng((seed, 2))
    none, one = np.zeros(count), np.ones(count)
    motions = (
        [(none + k * np.pi / 4, one) for k in range(1, 8)],
        [(rng.uniform(0, 2 * np.pi, count), one) for _ in range(7)],
        [(none, rng.uniform(*SCALES, count)) for _ in range(7)],
    )
    return dict(zip(KINDS, motions, strict=True))


def shown(test: Examples) -> lj.PointSet:
    """The clouds of the picture: for each digit of ``SHOWN`` its first image, at ``TURNS``."""
    digits = np.asarray(test.targets)
    rows = np.repeat([np.flatnonzero(digits == digit)[0] for digit in SHOWN], len(TURNS))
    points = jax.tree.map(lambda x: x[rows], test.points)
    return move(points, np.tile(TURNS, len(SHOWN)), np.ones(len(rows)))


def take(examples: Examples, count: int) -> Examples:
    """The first ``count`` examples."""
    return jax.tree.map(lambda x: x[:count], examples)
