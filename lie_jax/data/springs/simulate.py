"""Simulating spring systems, and the cache of what was simulated.

In float64 whatever the user's JAX computes in, from the exact solution of the linear system and
on the CPU, so that all machines see the same data.
"""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import numpy as np

from lie_jax.data.cache import cache_dir, read_arrays, write_arrays
from lie_jax.data.springs.trajectories import Trajectories, chunk_starts
from lie_jax.dynamics.systems import Springs
from lie_jax.typing import Validated

SplitName = Literal["train", "validation", "test"]

PUBLISHED_DT = 5 / 499
"""Time between two points of the published data: 500 of them from 0 to 5, both included."""

_BLOCK = 256  # systems solved at once: 0.3 GB
_LAYOUT = 1  # changes when the same arguments give other data


def simulate(
    count: Validated[int] = 10_000,
    split: Validated[SplitName] = "train",
    seed: Validated[int] = 0,
    *,
    system: Validated[Springs] = Springs(),  # noqa: B008 (frozen)
    length: Validated[int] = 500,
    dt: Validated[float] = 0.01,
    chunk: Validated[int | None] = None,
    dtype: Any = np.float32,
) -> Trajectories:
    """Trajectories at the times 0, dt, ..., (length - 1) dt, exact to rounding.

    A system depends on seed, split and its number, not on ``count``: more systems are added to
    those there are, up to rounding (but for ``Springs(centre="systems")``). Splits draw from
    different keys.

    Args:
        count: number of systems b.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        seed: of all splits, at least 0.
        system: distribution of the systems.
        length: points in time of a trajectory, the initial state included.
        dt: between two points. The published text says 0.01, its code has `PUBLISHED_DT`.
        chunk: compute and keep one random chunk of so many consecutive points of each trajectory
            and nothing else: a hundredth of the memory for those who train on chunks.
        dtype: of the result, float32 or float64; the computation is in float64.

    Returns:
        t = chunk or, where None, t = length; params are [mass, k].

    Raises:
        ValueError: an unknown split, numbers out of range, or another dtype.
    """
    _check("simulate", count, split, seed, length, dt, dtype)
    number = get_args(SplitName).index(split)
    columns = np.arange(length)[None]
    if chunk is not None:
        starts = chunk_starts(count, length, chunk, (seed, number))
        columns = starts[:, None] + np.arange(chunk)
    times = np.broadcast_to(dt * columns, (count, columns.shape[1]))

    with jax.enable_x64(True), _on_cpu():
        key = jax.random.fold_in(jax.random.key(seed), number)
        start = [np.asarray(x) for x in system.sample(key, count, np.float64)]
        shape = (*times.shape, *start[0].shape[1:])
        q, p = np.empty(shape, dtype), np.empty(shape, dtype)
        flow = jax.jit(system.flow)
        for rows in _blocks(count):
            block = flow(times[rows], *(x[rows] for x in start))
            for whole, part in zip((q, p), block, strict=True):
                whole[rows[: min(_BLOCK, count - rows[0])]] = part[: count - rows[0]]
    return Trajectories(times.astype(dtype), q, p, start[2].astype(dtype))


def load_springs(
    count: Validated[int] = 10_000,
    split: Validated[SplitName] = "train",
    seed: Validated[int] = 0,
    *,
    system: Validated[Springs] = Springs(),  # noqa: B008 (frozen)
    length: Validated[int] = 500,
    dt: Validated[float] = 0.01,
    chunk: Validated[int | None] = None,
    dtype: Any = np.float32,
    data_dir: str | Path | None = None,
) -> Trajectories:
    """What `simulate` returns, from the cache where it lies there already.

    The published learning curves train on ``chunk=5`` of n systems and test on 2,000 others:
    ``load_springs(n, "train", chunk=5)``, ``load_springs(2000, "test", chunk=5)``.

    Args:
        count, split, seed, system, length, dt, chunk, dtype: as for `simulate`.
        data_dir: where the cache lies, see `lie_jax.data.cache.cache_dir`. 10,000 whole
            trajectories of 6 particles take 0.5 GB, as many chunks 6 MB.

    Raises:
        ValueError: as `simulate`.
    """
    _check("load_springs", count, split, seed, length, dt, dtype)
    options = {"system": system, "length": length, "dt": dt, "chunk": chunk, "dtype": dtype}
    path = cache_dir(data_dir) / _file_name(count, split, seed, options)
    names = [field.name for field in dataclasses.fields(Trajectories)]
    arrays = read_arrays("springs", path, names)
    if arrays is None:
        found = simulate(count, split, seed, **options)
        write_arrays(path, {name: getattr(found, name) for name in names})
        return found
    return Trajectories(**arrays)


def _blocks(count: int) -> Iterator[np.ndarray]:
    """Rows of each block; the last is filled up, so that one program serves all blocks."""
    size = min(_BLOCK, count)
    for first in range(0, count, size):
        yield np.minimum(np.arange(first, first + size), count - 1)


def _on_cpu() -> contextlib.AbstractContextManager[Any]:
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:  # JAX_PLATFORMS leaves it out
        return contextlib.nullcontext()


def _file_name(count: int, split: str, seed: int, options: dict[str, Any]) -> str:
    described = options | {
        "system": dataclasses.asdict(options["system"]),
        "dtype": np.dtype(options["dtype"]).name,
        "layout": _LAYOUT,
    }
    digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=float).encode())
    return f"springs/{split}-{count}-seed{seed}-{digest.hexdigest()[:16]}.npz"


def _check(where: str, count: Any, split: Any, seed: Any, length: Any, dt: Any, dtype: Any) -> None:
    if split not in get_args(SplitName):
        raise ValueError(f"{where}: split must be one of {get_args(SplitName)}, got {split!r}")
    for name, value, least in (("count", count, 1), ("seed", seed, 0), ("length", length, 2)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise ValueError(
                f"{where}: {name} must be a whole number, at least {least}, got {value!r}"
            )
    if not (np.isfinite(dt) and dt > 0):
        raise ValueError(f"{where}: dt must be finite and above 0, got {dt}")
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"{where}: dtype must be float32 or float64, got {np.dtype(dtype)}")
