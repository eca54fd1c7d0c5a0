"""The location MLPs' kernels on an NVIDIA GPU as functions of JAX, see ``cuda/location.cuh``.

Arguments as in `lie_jax.native.location`.
"""

import enum
import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from lie_jax.native.accelerated import Code
from lie_jax.native.build import cuda_library
from lie_jax.typing import Array, Shape

_MAX_FEATURES = 16
_MAX_HEADS = 65535  # kMostHeads
_HIDDEN = 16  # kHidden
_PAIRS_PER_BLOCK = 64  # kTile * kWarps
_SHARES = 1056
"""Blocks among which the weights' gradients are divided, of all heads: 8 for each of the 132
multiprocessors of an H100, which has 3 at a time."""


class _Kind(enum.IntEnum):
    """As in ``cuda/location.cu``."""

    SCORES = 0
    PULL_WEIGHTS = 1
    PULL_FEATURES = 2


def takes(features: int, hidden: int) -> bool:
    """Whether there are kernels for such layers; compiles them if so."""
    return 1 <= features <= _MAX_FEATURES and hidden == _HIDDEN and cuda_library() is not None


class _Location(Code):
    def is_there(self, *arguments: Array) -> bool:
        heads, features, hidden = arguments[1].shape
        return 1 <= heads <= _MAX_HEADS and takes(features, hidden)


class Scores(_Location):
    """Scores (h, p)."""

    def __call__(self, *arguments: Array) -> Sequence[Array]:
        features, weights = arguments[:2]
        return [_call(_Kind.SCORES, arguments, (weights.shape[0], features.shape[1]))]

    def pullback(self, wanted: tuple[int, ...], given: tuple[int, ...]) -> Code:
        del given  # there is one result
        return _Pull(wanted)


class _Pull(_Location):
    """The wanted arguments' gradients, from the arguments and the scores' cotangents (h, p)."""

    def __init__(self, wanted: tuple[int, ...]):
        self.wanted = wanted

    def __call__(self, *arguments: Array) -> Sequence[Array]:
        found = {}
        if self.wanted != (0,):
            shares = _call(_Kind.PULL_WEIGHTS, arguments, shares_shape(arguments))
            found = dict(enumerate(weights_of(jnp.sum(shares, axis=1), arguments), start=1))
        if 0 in self.wanted:
            found[0] = _call(_Kind.PULL_FEATURES, arguments, arguments[0].shape)
        return [found[i] for i in self.wanted]


def shares_shape(arguments: Sequence[Array]) -> Shape:
    """(heads, blocks, numbers): what the blocks add to the gradients of all weights."""
    heads, pairs = arguments[1].shape[0], arguments[0].shape[1]
    blocks = min(-(-pairs // _PAIRS_PER_BLOCK), _SHARES // heads)
    return heads, max(1, blocks), sum(math.prod(x.shape[1:]) for x in arguments[1:7])


def weights_of(flat: Array, arguments: Sequence[Array]) -> list[Array]:
    """Each weight's part of (heads, numbers)."""
    ends = itertools.accumulate(math.prod(x.shape[1:]) for x in arguments[1:7])
    parts = jnp.split(flat, [*ends][:-1], axis=1)
    return [part.reshape(x.shape) for part, x in zip(parts, arguments[1:7], strict=True)]


def _call(kind: _Kind, arguments: Sequence[Array], shape: Shape) -> Array:
    result = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.ffi.ffi_call("lie_jax_location_cuda", result)(*arguments, kind=np.int32(kind))
