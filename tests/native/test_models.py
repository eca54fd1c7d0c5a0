"""Whole networks in float32, with machine code, beside themselves in float64, without."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax import native

pytestmark = pytest.mark.skipif(
    not native.status().startswith("compiled"), reason=f"lie_jax.native is {native.status()}"
)

# Three lifts at equal angles: of two, one is half a turn from the other, where the logarithm jumps.
GRID = {"lift_method": "grid", "lift_samples": 3}
CASES = {
    "T2": (lj.groups.T(2), {}, "reference"),
    "SE2": (lj.groups.SE2(), GRID, "reference"),
    "SE2 in tiles": (lj.groups.SE2(), GRID, "tiled"),
    "neighbours": (
        lj.groups.T(3),
        {"neighbours": lj.NeighbourConfig("nearest", count=3)},
        "tiled",
    ),
}


@pytest.mark.parametrize(
    "name", [*list(CASES)[:-1], pytest.param("neighbours", marks=pytest.mark.slow)]
)
def test_forces_and_their_gradients(name):
    """The gradient of a loss on forces, taken in both ways; two points coincide."""
    group, options, implementation = CASES[name]
    dim = group.space_dim
    config = lj.LieTransformerConfig(
        in_channels=2, width=16, layers=1, heads=2, implementation=implementation, **options
    )
    rng = np.random.default_rng(0)
    q = rng.normal(size=(3, 5, dim))
    q[:, 1] = q[:, 0]
    values, u = rng.normal(size=(3, 5, 2)), rng.normal(size=(3, 5, dim))

    def gradients(dtype):
        apply, params = lj.functional(lj.LieTransformer(config, group=group, rngs=nnx.Rngs(0)))
        params, at, features, direction = jax.tree.map(
            lambda x: jnp.asarray(x, dtype), (params, q, values, u)
        )

        def energy(q, params):
            return jnp.sum(apply(params, lj.PointSet(q, features), key=jax.random.key(0)))

        def loss(q, params):
            return jnp.sum(direction * jax.grad(energy)(q, params))

        both = jax.grad(energy, (0, 1))
        forward = lambda params: jax.jvp(lambda q: both(q, params), (at,), (direction,))[1]  # noqa: E731
        program = jax.jit(lambda params: (jax.grad(loss, (0, 1))(at, params), forward(params)))
        uses = "lie_jax_location_16" in program.lower(params).as_text()
        assert uses == (dtype == jnp.float32)
        return [np.asarray(x, np.float64) for x in jax.tree.leaves(program(params))]

    found, exact = gradients(jnp.float32), gradients(jnp.float64)
    largest = max(np.abs(x).max() for x in exact)
    for mine, right in zip(found, exact, strict=True):
        assert np.isfinite(mine).all()
        np.testing.assert_allclose(mine, right, rtol=0, atol=1e-5 * largest)
