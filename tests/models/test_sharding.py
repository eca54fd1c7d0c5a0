"""Models under `jax.shard_map`: each device has its own clouds, all have the same weights."""

import os
import subprocess
import sys

import pytest

# In a process of its own: the number of a CPU's devices is fixed when JAX starts.
PROGRAM = """
import jax, numpy as np, lie_jax as lj
from flax import nnx
from jax.sharding import PartitionSpec as P

group = lj.groups.{group}
config = lj.LieTransformerConfig(
    in_channels=3, width=8, layers=1, heads=2, implementation="{implementation}",
    neighbours={neighbours}, lift_method="grid",
)
apply, params = lj.functional(lj.LieTransformer(config, group=group, rngs=nnx.Rngs(0)))
keys = jax.random.split(jax.random.key(1))
points = lj.PointSet(jax.random.normal(keys[0], (4, 6, 2)), jax.random.normal(keys[1], (4, 6, 3)))
mesh = jax.make_mesh((2,), ("clouds",), axis_types=(jax.sharding.AxisType.Auto,))
whole = lambda params, points: apply(params, points, key=jax.random.key(0))
shared = jax.shard_map(
    whole, mesh=mesh, in_specs=(P(), P("clouds")), out_specs=P("clouds")
)
results = [
    jax.jit(jax.value_and_grad(lambda params, points: f(params, points).sum()))(params, points)
    for f in (whole, shared)
]
assert len(jax.devices()) == 2
for one, other in zip(*map(jax.tree.leaves, results), strict=True):
    np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)
"""


def run(**names):
    env = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    command = [sys.executable, "-c", PROGRAM.format(**names)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_tiles():
    run(group="SE2()", implementation="tiled", neighbours="lj.NeighbourConfig()")


@pytest.mark.slow
def test_neighbours():
    nearest = 'lj.NeighbourConfig("nearest", count=3)'
    run(group="T(2)", implementation="tiled", neighbours=nearest)


def test_reference():
    run(group="T(2)", implementation="reference", neighbours="lj.NeighbourConfig()")
