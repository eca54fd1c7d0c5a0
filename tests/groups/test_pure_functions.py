"""Group maps as plain functions: they name wrong arguments and compute in float32 at least."""

import re

import jax.numpy as jnp
import pytest

from lie_jax.groups import rxso2, scaling, se2, se3, so2, so3, translation

MAPS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": function
    for module in (so2, se2, so3, se3, rxso2, scaling, translation)
    for name, function in vars(module).items()
    if hasattr(function, "wanted_shapes")
}


def last_axes(function):
    """Argument names and their last axes, 2 where any size will do."""
    return {
        name: [axis if isinstance(axis, int) else 2 for axis in shape]
        for name, shape in function.wanted_shapes.items()
    }


def test_every_map_is_here():
    wanted = {"exp", "log", "compose", "inverse", "act", "to_matrix"}
    for module in ("so2", "se2", "so3", "se3", "rxso2"):
        assert {f"{module}.{name}" for name in wanted} <= set(MAPS)


@pytest.mark.parametrize("name", MAPS)
def test_wrong_shapes_are_named(name):
    function = MAPS[name]
    good = {k: jnp.ones((4, *last), jnp.bfloat16) for k, last in last_axes(function).items()}
    out = function(**good)
    assert (out[0] if isinstance(out, tuple) else out).dtype == jnp.float32
    for argument, last in last_axes(function).items():
        if not last:  # an angle: any shape will do
            continue
        any_size = name.startswith("translation") or name == "scaling.scaling_section"
        bad = jnp.ones(() if any_size else (4, *last[:-1], last[-1] + 6))
        with pytest.raises(
            ValueError, match=re.escape(f"{name}: {argument} must have shape (..., ")
        ):
            function(**(good | {argument: bad}))


def test_message():
    message = "so3.exp: omega must have shape (..., 3), got (4, 2)"
    with pytest.raises(ValueError, match=re.escape(message)):
        so3.exp(jnp.ones((4, 2)))
