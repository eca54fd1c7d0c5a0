"""The one table of tolerances, by dtype and kind of check."""

import jax.numpy as jnp

TOLERANCES: dict[str, dict[str, float]] = {
    # laws: of a group, relative to the size of the elements in the law.
    # equivariance: of a model, relative to the size of its outputs.
    # padding: the same, where padding, batch mates or the order of points change.
    "float64": {"laws": 1e-10, "equivariance": 1e-10, "padding": 1e-12},
    "float32": {"laws": 3e-5, "equivariance": 1e-3, "padding": 1e-5},
}


def tolerance(kind: str, dtype) -> float:
    """The tolerance of a kind of check in a dtype.

    Raises:
        ValueError: no tolerance is known for the dtype.
    """
    name = jnp.dtype(dtype).name
    if name not in TOLERANCES:
        raise ValueError(
            f"testing.tolerance: dtype must be one of {', '.join(TOLERANCES)}, got {name}"
        )
    return TOLERANCES[name][kind]
