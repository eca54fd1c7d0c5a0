"""What tests of kernels share."""

import contextlib

import jax
import pytest


@pytest.fixture
def as_if_on():
    """A context for a platform: from version 0.12 on JAX wants to know which GPU it lowers for."""

    def context(platform):
        if platform not in ("gpu", "cuda") or jax.__version_info__ < (0, 12):
            return contextlib.nullcontext()
        card = jax.sharding.AbstractDevice("NVIDIA H100 80GB HBM3", 132, "gpu")
        mesh = jax.sharding.AbstractMesh((), (), abstract_device=card)
        return jax.sharding.use_abstract_mesh(mesh)

    return context
