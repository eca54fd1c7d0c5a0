"""Checks of arguments that every group map makes: shapes and dtypes, never values."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax.numpy as jnp

from lie_jax.typing import Array

_P = ParamSpec("_P")
_R = TypeVar("_R")


def checked(function: Callable[_P, _R], module: str | None = None) -> Callable[_P, _R]:
    """``function`` whose array arguments first go through `last_axes`.

    The wanted last axes are those of the annotations, which so stand in one place:
    ``omega: Float[Array, "*b 3"]`` must have shape (..., 3).

    Args:
        function: a group map.
        module: the module that messages name, if it is not the function's own.
    """
    signature = inspect.signature(function)
    module = module or function.__module__.rpartition(".")[2]
    where = f"{module}.{function.__name__}"
    shapes = {
        name: tuple(int(axis) if axis.isdigit() else axis for axis in dims.split()[1:])
        for name, parameter in signature.parameters.items()
        if (dims := getattr(parameter.annotation, "dim_str", ""))
    }

    @functools.wraps(function)
    def with_checks(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        bound = signature.bind(*args, **kwargs)
        for name, shape in shapes.items():
            bound.arguments[name] = last_axes(where, name, bound.arguments[name], shape)
        return function(*bound.args, **bound.kwargs)

    with_checks.wanted_shapes = shapes  # pyright: ignore (an attribute of a function)
    return with_checks


def last_axes(where: str, name: str, value: Any, shape: tuple[int | str, ...]) -> Array:
    """``value`` as a floating array of at least float32 whose last axes are ``shape``.

    An axis with a name instead of a number may have any size.

    Raises:
        ValueError: the last axes differ.
        TypeError: the dtype is complex.
    """
    array = jnp.asarray(value)
    last = array.shape[array.ndim - len(shape) :] if array.ndim >= len(shape) else None
    if last is None or any(
        isinstance(want, int) and want != have for want, have in zip(shape, last, strict=True)
    ):
        wanted = "(..., " + ", ".join(map(str, shape)) + ")"
        raise ValueError(f"{where}: {name} must have shape {wanted}, got {array.shape}")
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(f"{where}: {name} must be real, got dtype {array.dtype}")
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def float_dtype(dtype) -> jnp.dtype:
    """The dtype to build new elements in: at least float32; the default float if None."""
    if dtype is None:
        return jnp.zeros(()).dtype
    return jnp.promote_types(dtype, jnp.float32)


def no_lift(group: Any, where: str) -> str:
    """The message for a group of which it is not known how points lift."""
    return (
        f"{group}.{where}: it is not known how points lift to this group; say it with "
        "lie_jax.groups.with_lift(group, section=..., orbit=..., stabiliser=...)"
    )
