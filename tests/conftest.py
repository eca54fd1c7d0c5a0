"""Tests run in float64 by default; those about float32 name their dtype."""

import jax
import pytest

jax.config.update("jax_enable_x64", True)


@pytest.fixture
def key():
    return jax.random.key(0)
