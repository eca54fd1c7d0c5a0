"""The invariance error of grid lifts falls exponentially where the embedding is smooth."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax.groups import SE2, SE3

SMOOTH = ["matrix", "circle", "harmonics"]


def invariance_error(group, samples, embedding, method="grid"):
    """The largest change of the outputs of an untrained model, over motions of the cloud."""
    config = lj.LieTransformerConfig(
        in_channels=2, outputs=3, width=8, layers=2, heads=2, param_dtype=jnp.float64,
        lift_samples=samples, lift_method=method, pair_embedding=embedding,
        attention=lj.AttentionConfig(normalisation="mean"),
    )  # fmt: skip
    model = lj.LieTransformer(config, group=group, rngs=nnx.Rngs(0))
    keys = jax.random.split(jax.random.key(0), 3)
    a = jax.random.normal(keys[0], (4, 1, group.algebra_dim), jnp.float64)
    x = group.act(group.exp(a), jax.random.normal(keys[1], (4, group.space_dim), jnp.float64))
    values = jnp.broadcast_to(jax.random.normal(keys[2], (4, 2), jnp.float64), (4, 4, 2))
    run = nnx.jit(lambda model, points: model(points, key=keys[0]))
    y = run(model, lj.PointSet(x, values))
    return float(jnp.abs(y - y[:1]).max())


@pytest.mark.parametrize("embedding", SMOOTH)
def test_error_of_grid_lifts_falls_exponentially(embedding):
    few, some, many = (invariance_error(SE2(), s, embedding) for s in (2, 8, 16))
    assert some < 1e-3 * few
    assert many < 1e-10


def test_error_falls_slowly_where_the_embedding_jumps_or_lifts_are_random():
    assert invariance_error(SE2(), 16, "log") > 1e-8
    assert invariance_error(SE2(), 16, "circle", "random") > 1e-6


@pytest.mark.parametrize("group", [SE2(), SE3()], ids=str)
@pytest.mark.parametrize("method", ["grid", "random"])
def test_distances_are_exact_with_one_lift(group, method):
    assert invariance_error(group, 1, "distance", method) < 1e-14
    assert invariance_error(group, 1, "radial", method) < 1e-14
    assert invariance_error(group, 1, "circle", method) > 1e-6


def test_vectors_need_more_than_distances():
    with pytest.raises(ValueError, match="pair_embedding must tell the lifts of a point apart"):
        lj.LieTransformerConfig(in_channels=2, output="vector", pair_embedding="distance")


def test_error_of_grid_lifts_in_space():
    errors = [invariance_error(SE3(), s, "harmonics") for s in (1, 12, 24)]
    assert errors[0] > 30 * errors[1] > 150 * errors[2]
