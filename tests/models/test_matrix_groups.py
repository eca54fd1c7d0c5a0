"""A LieTransformer over groups of matrices: exactly invariant where a point has one lift."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax.groups import SL2, Galilei, Heisenberg, Lorentz, Similarity
from lie_jax.testing import assert_equivariant, assert_gradients_finite, assert_padding_free


def make(group, dtype=jnp.float64, **options):
    """A small model and a cloud of 5 points."""
    config = lj.LieTransformerConfig(
        **({"in_channels": 3, "outputs": 2, "width": 8, "layers": 1, "heads": 2,
            "param_dtype": dtype, "pair_embedding": "matrix"} | options)
    )  # fmt: skip
    model = lj.LieTransformer(config, group=group, rngs=nnx.Rngs(0))
    coords, values = (
        jax.random.normal(jax.random.key(i), (2, 5, d), dtype)
        for i, d in ((1, group.space_dim), (2, 3))
    )
    mask = jnp.arange(5) < jnp.array([[5], [4]])
    return model, lj.PointSet(coords, values, mask)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("group", "embedding"),
    [(SL2(), "matrix"), (Heisenberg(), "log"), (Similarity(2), "log")],
    ids=str,
)
def test_one_lift_is_exact(group, embedding, key):
    model, points = make(group, pair_embedding=embedding)
    function = jax.jit(model.__call__)
    assert_equivariant(function, group, points, key=key, scale=0.5)
    y = function(points)
    moved = dataclasses.replace(points, coords=points.coords * jnp.linspace(1, 2, group.space_dim))
    assert jnp.abs(function(moved) - y).max() > 1e-7 * jnp.abs(y).max()


def test_a_random_lift_is_exact_given_the_lift_only(key):
    model, points = make(Galilei(), pair_embedding="log")
    function = jax.jit(lambda points: model(points, key=key))
    with pytest.raises(AssertionError, match="assert_equivariant: broken"):
        assert_equivariant(function, Galilei(), points, key=key)
    lifted = lj.lift(Galilei(), points, key=key)
    g = Galilei().exp(jax.random.normal(key, (10,)))
    moved = dataclasses.replace(lifted, elements=Galilei().compose(g, lifted.elements))
    outputs = [jax.jit(model.from_lifted)(x) for x in (lifted, moved)]
    np.testing.assert_allclose(*outputs, rtol=1e-10, atol=1e-12)


def test_padding_and_gradients_of_matrices(key):
    """Elements of shape (2, 2)."""
    model, points = make(SL2())
    assert_padding_free(jax.jit(model.__call__), points, key=key)
    assert_gradients_finite(model, points, key=key)


@pytest.mark.parametrize("embedding", ["log", "matrix"])
def test_tiled_equals_the_reference(embedding, key):
    outputs = []
    for implementation in ("reference", "tiled"):
        model, points = make(Lorentz(), pair_embedding=embedding, implementation=implementation)
        energy = jnp.sqrt(1 + jnp.sum(points.coords[..., 1:] ** 2, axis=-1, keepdims=True))
        coords = jnp.concatenate([energy, points.coords[..., 1:]], axis=-1)
        points = dataclasses.replace(points, coords=coords)
        outputs.append(jax.jit(lambda p, model=model: model(p, key=key))(points))
    np.testing.assert_allclose(*outputs, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pair_embedding": "log"}, 'must not be "log", for not every element of SL2 .*"matrix"'),
        ({"neighbours": lj.NeighbourConfig("nearest", 2)}, 'method "all" or "random", got "nea'),
    ],
)
def test_models_that_need_logarithms_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(SL2(), **options)
