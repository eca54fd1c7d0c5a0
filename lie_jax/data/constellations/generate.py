"""Drawing constellations, all of them at once, with NumPy."""

import dataclasses
from typing import Any, Literal, get_args

import numpy as np

from lie_jax.typing import Array, Bool, Float, Int, Validated, unchecked

SplitName = Literal["train", "validation", "test"]
MotionName = Literal["none", "translation", "rotation_translation"]

_FIELD = 24.0
"""Patterns of about unit size are dropped into a square of this side."""


def _circle(corners: int) -> np.ndarray:
    turns = 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(turns), np.sin(turns)], axis=-1)


PATTERNS: dict[str, np.ndarray] = {
    "triangle": _circle(3),
    "square": _circle(4),
    "pentagon": _circle(5),
    "L": np.array([[0.0, 0], [1, 0], [2, 0], [2, 1], [2, 2]]),
}
"""Corners of each pattern, (corners, 2), before it is turned and dropped."""


@unchecked
@dataclasses.dataclass(frozen=True)
class Constellations:
    """Clouds, real points first, as NumPy arrays.

    Args:
        coords: float32, (b, n, 2); 0 at absent points.
        mask: True where there is a point, (b, n).
        counts: how often each pattern of `PATTERNS`, in its order, is there, int32, (b, 4).
    """

    coords: Float[Array | np.ndarray, "b n 2"]
    mask: Bool[Array | np.ndarray, "b n"]
    counts: Int[Array | np.ndarray, "b p"]

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def sizes(self) -> np.ndarray:
        """Number of points of each cloud, (b,)."""
        return np.asarray(self.mask).sum(axis=1)


def constellations(
    count: Validated[int] = 10_000,
    split: Validated[SplitName] = "train",
    seed: Validated[int] = 0,
    *,
    motion: Validated[MotionName] = "none",
    repeats: Validated[int] = 2,
    probability: Validated[float] = 0.5,
    noise: Validated[float] = 0.1,
    largest_turn: Validated[float] = 0.33,
    shift: Validated[float] = 1.0,
) -> Constellations:
    """Clouds of patterns, each turned and dropped at random; at least one is there.

    The places of all patterns, of absent ones too, are scaled to [-1, 1] together, as published,
    so that a pattern is about a twelfth of the cloud. Splits draw from different seeds, and a
    motion moves the very clouds that ``"none"`` gives.

    Args:
        count: number of clouds b.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        seed: of all splits, at least 0.
        motion: of each cloud as a whole, after the scaling: ``"none"`` (D),
            ``"translation"`` (D^T2) or ``"rotation_translation"`` about 0 (D^SE2).
        repeats: how often each pattern may be there; n = 17 repeats.
        probability: that one is there.
        noise: standard deviation of each corner, in units of the patterns' radius.
        largest_turn: of a pattern, as a share of a full turn over both directions: 1 turns
            uniformly, the published 0.33 by at most 59 degrees either way.
        shift: standard deviation of each component of a translation.

    Raises:
        ValueError: an unknown split or motion, or numbers out of range.
    """
    _check(count, split, seed, motion, repeats, probability, noise, largest_turn, shift)
    number = get_args(SplitName).index(split)
    # A stream for the clouds and one for their motion: the clouds of D are those of D^SE2.
    draw, move = (np.random.default_rng((seed, number, stream)) for stream in (0, 1))

    corners = [pattern for _ in range(repeats) for pattern in PATTERNS.values()]
    sizes = [len(pattern) for pattern in corners]
    patterns = len(corners)
    turns = (draw.random((count, patterns)) - 0.5) * 2 * np.pi * largest_turn
    places = draw.random((count, patterns, 2)) * _FIELD
    present = draw.random((count, patterns)) < probability
    nothing = ~present.any(axis=1)
    present[nothing, draw.integers(patterns, size=nothing.sum())] = True

    coords = np.concatenate(
        [_turned(corner, turns[:, i]) + places[:, i, None] for i, corner in enumerate(corners)],
        axis=1,
    )
    coords += draw.normal(scale=noise, size=coords.shape)
    low, high = coords.min(axis=(1, 2), keepdims=True), coords.max(axis=(1, 2), keepdims=True)
    coords = 2 * (coords - low) / (high - low) - 1
    mask = np.repeat(present, sizes, axis=1)

    # Shuffled, then real points first.
    order = np.argsort(draw.random(mask.shape) + ~mask, axis=1)
    coords = np.take_along_axis(coords, order[..., None], axis=1)
    mask = np.take_along_axis(mask, order, axis=1)
    if motion == "rotation_translation":
        coords = _turned(coords, 2 * np.pi * move.random(count))
    if motion != "none":
        coords = coords + shift * move.normal(size=(count, 1, 2))
    counts = present.reshape(count, repeats, len(PATTERNS)).sum(axis=1)
    return Constellations(
        np.where(mask[..., None], coords, 0).astype(np.float32), mask, counts.astype(np.int32)
    )


def _turned(coords: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """(n, 2) or (b, n, 2) turned by b angles, (b, n, 2)."""
    c, s = np.cos(angles)[:, None], np.sin(angles)[:, None]
    x, y = coords[..., 0], coords[..., 1]
    return np.stack([c * x - s * y, s * x + c * y], axis=-1)


def _check(count: Any, split: Any, seed: Any, motion: Any, repeats: Any, *numbers: Any) -> None:
    where = "constellations"
    for name, value, options in (("split", split, SplitName), ("motion", motion, MotionName)):
        if value not in get_args(options):
            raise ValueError(f"{where}: {name} must be one of {get_args(options)}, got {value!r}")
    for name, value, least in (("count", count, 1), ("seed", seed, 0), ("repeats", repeats, 1)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise ValueError(
                f"{where}: {name} must be a whole number, at least {least}, got {value!r}"
            )
    ranges = (("probability", 1), ("noise", np.inf), ("largest_turn", 1), ("shift", np.inf))
    for (name, most), value in zip(ranges, numbers, strict=True):
        if not (0 <= value <= most and np.isfinite(value)):
            wanted = f"in [0, {most}]" if np.isfinite(most) else "finite and not negative"
            raise ValueError(f"{where}: {name} must be {wanted}, got {value}")
