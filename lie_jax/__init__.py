"""Attention that respects a symmetry: transformers for any Lie group, in JAX.

Importing this package imports jax and jaxtyping, nothing else: groups, lifts, attention. Networks,
and flax with them, ``lie_jax.data``, ``lie_jax.dynamics``, ``lie_jax.predict``,
``lie_jax.training`` and ``lie_jax.testing`` are imported when they are first used, or by name.
"""

import importlib
from typing import TYPE_CHECKING

from lie_jax import attention as attention
from lie_jax import fused as fused
from lie_jax import geometry as geometry
from lie_jax import groups as groups
from lie_jax import native as native
from lie_jax.attention import AttentionConfig as AttentionConfig
from lie_jax.geometry import lift as lift
from lie_jax.points import LiftedSet as LiftedSet
from lie_jax.points import PointSet as PointSet

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lie_jax import data as data
    from lie_jax import dynamics as dynamics
    from lie_jax import interop as interop
    from lie_jax import models as models
    from lie_jax import nn as nn
    from lie_jax import predict as predict
    from lie_jax import testing as testing
    from lie_jax import training as training
    from lie_jax.models import MLP as MLP
    from lie_jax.models import GraphNetwork as GraphNetwork
    from lie_jax.models import GraphNetworkConfig as GraphNetworkConfig
    from lie_jax.models import LieConv as LieConv
    from lie_jax.models import LieConvConfig as LieConvConfig
    from lie_jax.models import LieTransformer as LieTransformer
    from lie_jax.models import LieTransformerConfig as LieTransformerConfig
    from lie_jax.models import MLPConfig as MLPConfig
    from lie_jax.models import NeighbourConfig as NeighbourConfig
    from lie_jax.models import SetTransformer as SetTransformer
    from lie_jax.models import SetTransformerConfig as SetTransformerConfig
    from lie_jax.models import functional as functional
    from lie_jax.models import functional_with_state as functional_with_state
    from lie_jax.nn import LieSelfAttention as LieSelfAttention

# What needs flax, half of the time that an import with it takes, or an extra.
_MODULES = ("data", "dynamics", "interop", "models", "nn", "predict", "testing", "training")
_HOMES = {
    "lie_jax.models": (
        "GraphNetwork", "GraphNetworkConfig", "LieConv", "LieConvConfig", "LieTransformer",
        "LieTransformerConfig", "MLP", "MLPConfig", "NeighbourConfig", "SetTransformer",
        "SetTransformerConfig", "functional", "functional_with_state",
    ),
    "lie_jax.nn": ("LieSelfAttention",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(f"lie_jax.{name}")
    if name in _HOME_OF:
        value = getattr(importlib.import_module(_HOME_OF[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'lie_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_HOME_OF})
