"""The location MLPs' machine code on a CPU as functions of JAX, see ``location.cc``.

Arguments of all are those of `Scores`: the pairs' features (f, p), then per head the
weights and biases of three layers, (h, f, o), (h, o), (h, o, o), (h, o), (h, o, 1), (h, 1).
"""

import enum
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from lie_jax.native.accelerated import Code, Function
from lie_jax.native.build import library
from lie_jax.typing import Array

_MAX_FEATURES = 16  # kMaxFeatures
_MAX_HIDDEN = 64


class _Kind(enum.IntEnum):
    """As in ``location.cc``."""

    SCORES = 0
    PULL_FEATURES = 1
    PULL_WEIGHTS = 2
    PULL_ALL = 3
    PULL_OF_PULL_FEATURES = 4
    TANGENT = 5
    TANGENT_OF_PULL_FEATURES = 6
    TANGENT_OF_PULL_ALL = 7


def takes(features: int, hidden: int) -> bool:
    """Whether there is code for such layers; compiles it if so."""
    return (
        1 <= features <= _MAX_FEATURES
        and hidden % 4 == 0
        and hidden <= _MAX_HIDDEN
        and library("location", hidden) is not None
    )


class _Location(Code):
    def is_there(self, *arguments: Array) -> bool:
        return takes(*arguments[1].shape[1:])


class Scores(_Location):
    """Scores (h, p)."""

    def __call__(self, *arguments: Array) -> Sequence[Array]:
        return _call(_Kind.SCORES, arguments, [_scores_of(arguments)])

    def tangent(self, moved: tuple[int, ...]) -> Function | None:
        if moved != (0,):
            return None
        return lambda *arguments: _call(_Kind.TANGENT, arguments, [_scores_of(arguments)])

    def pullback(self, wanted: tuple[int, ...], given: tuple[int, ...]) -> Code:
        del given  # there is one result
        return _Pull(wanted)


class _Pull(_Location):
    """The wanted arguments' gradients, from the arguments and the scores' cotangents (h, p)."""

    def __init__(self, wanted: tuple[int, ...]):
        self.wanted = wanted

    def __call__(self, *arguments: Array) -> Sequence[Array]:
        if self.wanted == (0,):
            return _call(_Kind.PULL_FEATURES, arguments, [_like(arguments[0])])
        first = 0 if 0 in self.wanted else 1
        kind = _Kind.PULL_WEIGHTS if first else _Kind.PULL_ALL
        found = _call(kind, arguments, [_like(x) for x in arguments[first:7]])
        return [found[i - first] for i in self.wanted]

    def tangent(self, moved: tuple[int, ...]) -> Function | None:
        if not set(moved) <= {0, 7}:
            return None

        def along(*arguments: Array) -> Sequence[Array]:
            changes = dict(zip(moved, arguments[8:], strict=True))
            if 0 not in changes:  # linear in the cotangents
                return self(*arguments[:7], changes[7])
            if 7 not in changes:
                changes[7] = jnp.zeros_like(arguments[7])
            arguments = (*arguments[:8], changes[0], changes[7])
            if self.wanted == (0,):
                return _call(_Kind.TANGENT_OF_PULL_FEATURES, arguments, [_like(arguments[0])])
            structs = [_like(x) for x in arguments[:7]]
            found = _call(_Kind.TANGENT_OF_PULL_ALL, arguments, structs)
            return [found[i] for i in self.wanted]

        return along

    def pullback(self, wanted: tuple[int, ...], given: tuple[int, ...]) -> Code | None:
        del given
        return _PullOfPullFeatures(wanted) if self.wanted == (0,) else None


class _PullOfPullFeatures(_Location):
    """From the arguments, the scores' cotangents and those of the features' gradients."""

    def __init__(self, wanted: tuple[int, ...]):
        self.wanted = wanted

    def __call__(self, *arguments: Array) -> Sequence[Array]:
        structs = [_like(x) for x in arguments[:8]]
        found = _call(_Kind.PULL_OF_PULL_FEATURES, arguments, structs)
        return [found[i] for i in self.wanted]


def _scores_of(arguments: Sequence[Array]) -> jax.ShapeDtypeStruct:
    features, weights = arguments[:2]
    return jax.ShapeDtypeStruct((weights.shape[0], features.shape[1]), features.dtype)


def _like(x: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def _call(kind: _Kind, arguments: Sequence[Array], results) -> Sequence[Array]:
    hidden = arguments[1].shape[2]
    library("location", hidden)  # registers it
    call = jax.ffi.ffi_call(f"lie_jax_location_{hidden}", results)
    return call(*arguments, kind=np.int32(kind))
