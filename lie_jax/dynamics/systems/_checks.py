"""What every system asks of its fields and arguments; each raises ValueError."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from lie_jax.typing import Validated

Range = tuple[float, float]
Bound = Literal["above 0", "not below 0", ""]

_BOUNDS = {"above 0": lambda x: x > 0, "not below 0": lambda x: x >= 0, "": lambda x: x == x}


def check_counts(where: str, **counts: Validated[int]) -> None:
    """Whole numbers, at least 1."""
    for name, value in counts.items():
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{where}: {name} must be a whole number, at least 1, got {value!r}")


def check_numbers(where: str, *, above_zero: bool = False, **numbers: Validated[float]) -> None:
    """Finite numbers, not below 0 or, if so wanted, above 0."""
    for name, value in numbers.items():
        if not (np.isfinite(value) and (value > 0 if above_zero else value >= 0)):
            wanted = "above 0" if above_zero else "not below 0"
            raise ValueError(f"{where}: {name} must be finite and {wanted}, got {value}")


def check_range(where: str, name: str, limits: Validated[Range], *, above_zero: bool) -> None:
    """(low, high) of a uniform distribution of what is positive, or at least not negative."""
    low, high = limits
    if not (np.isfinite(high) and low <= high and (low > 0 if above_zero else low >= 0)):
        wanted = "0 < low <= high" if above_zero else "0 <= low <= high"
        raise ValueError(f"{where}: {name} must be (low, high) with {wanted}, got {limits}")


def check_params(
    where: str, coords: str, x: Any, params: Any, width: int | None, columns: dict[str, Bound]
) -> None:
    """x (\\*b, n, d) and a row of params for each of its particles.

    Args:
        where: the function.
        coords: what x is called.
        x: coordinates or momenta.
        params: (\\*b, n, c).
        width: d, None for any.
        columns: what the c constants are called, and what they may be.
    """
    shape, got = jnp.shape(x), jnp.shape(params)
    if len(shape) < 2 or (width is not None and shape[-1] != width):
        wanted = f"(*b, n, {'d' if width is None else width})"
        raise ValueError(f"{where}: {coords} must have shape {wanted}, got {shape}")
    if len(got) < 2 or got[-2:] != (shape[-2], len(columns)) or not _fit(shape[:-2], got[:-2]):
        raise ValueError(
            f"{where}: params must have shape (*b, n, {len(columns)}) = [{', '.join(columns)}] for "
            f"{coords} of shape {shape}, got {got}"
        )
    if isinstance(params, Tracer):
        return
    values = np.asarray(params)
    for i, (name, bound) in enumerate(columns.items()):
        column = values[..., i]
        bad = ~(np.isfinite(column) & _BOUNDS[bound](column))
        if bad.any():
            wanted = " and ".join(filter(None, ["finite", bound]))
            raise ValueError(
                f"{where}: params[..., {i}] ({name}) must be {wanted}, got {column[bad][0]}"
            )


def check_state(where: str, q: Any, p: Any) -> None:
    """q and p of one shape."""
    if jnp.shape(q) != jnp.shape(p):
        raise ValueError(f"{where}: p must have the shape of q, {jnp.shape(q)}, got {jnp.shape(p)}")


def check_batch(where: str, name: str, times: Any, batch: tuple[int, ...]) -> None:
    """Times (\\*b, t), b those of the systems or fewer."""
    shape = jnp.shape(times)
    if not shape or not _fit(batch, shape[:-1]):
        raise ValueError(
            f"{where}: {name} must have shape (t,) or (*b, t) for systems of batch shape {batch}, "
            f"got {shape}"
        )


def check_times(where: str, ts: Any) -> None:
    """Finite times (..., t) that increase."""
    if jnp.ndim(ts) < 1 or jnp.shape(ts)[-1] < 1:
        raise ValueError(f"{where}: ts must have shape (..., t), t at least 1, got {jnp.shape(ts)}")
    if isinstance(ts, Tracer):
        return
    values = np.asarray(ts)
    if not np.isfinite(values).all() or (np.diff(values, axis=-1) <= 0).any():
        raise ValueError(f"{where}: ts must be finite and increase, got {values}")


def float_dtype(where: str, dtype: Any) -> np.dtype:
    """The dtype wanted, or JAX's default; refused where JAX would give another one."""
    if dtype is None:
        return jnp.zeros(()).dtype
    wanted = jnp.dtype(dtype)
    if not jnp.issubdtype(wanted, jnp.floating):
        raise ValueError(f"{where}: dtype must be floating, got {wanted}")
    if jax.dtypes.canonicalize_dtype(wanted) != wanted:
        raise ValueError(f"{where}: dtype {wanted} needs jax.enable_x64(True), which is off")
    return wanted


def _fit(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(a, b) == a
    except ValueError:
        return False
