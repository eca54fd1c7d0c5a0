"""Which location MLPs have machine code, on the default backend."""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from lie_jax.native import cuda_location, location
from lie_jax.native.build import is_alone
from lie_jax.typing import Array

LOCATION_SCORES = {"cpu": location.Scores(), "cuda": cuda_location.Scores()}
_TAKES = {"cpu": location.takes, "gpu": cuda_location.takes}


def has_code(weights: Sequence, biases: Sequence, features: Array) -> bool:
    """Whether machine code takes such a location MLP, with swish; compiles it if so.

    Args:
        weights, biases: of each layer, (h, in, out) and (h, out).
        features: anything of the dtype of the pairs' features.
    """
    takes = _TAKES.get(jax.default_backend())
    if takes is None or len(weights) != 3:
        return False
    if any(x.dtype != jnp.float32 for x in (features, *weights, *biases)):
        return False
    heads, inputs, hidden = weights[0].shape
    sizes = (inputs, hidden, hidden, 1)
    return (
        # All of them: the machine code reads what it is told, and broadcasts nothing.
        [x.shape for x in weights] == [(heads, *pair) for pair in itertools.pairwise(sizes)]
        and [x.shape for x in biases] == [(heads, size) for size in sizes[1:]]
        and is_alone()
        and takes(inputs, hidden)
    )
