"""Models as plain values, from which the same model can be built again."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx

from lie_jax import groups
from lie_jax.attention.config import AttentionConfig
from lie_jax.geometry.embeddings import resolve_embedding
from lie_jax.models import (
    LieConv,
    LieConvConfig,
    LieTransformer,
    LieTransformerConfig,
    NeighbourConfig,
)

_KINDS: dict[str, tuple[type, type]] = {
    "LieTransformer": (LieTransformer, LieTransformerConfig),
    "LieConv": (LieConv, LieConvConfig),
}
_GROUPS: dict[str, groups.Group] = {
    "T3": groups.T(3),
    "SE3": groups.SE3(),
    "E3": groups.E3(),
    "SO3": groups.SO3(),
    "O3": groups.O3(),
    "Trivial": groups.Trivial(3),
}
_NESTED: dict[str, type] = {"attention": AttentionConfig, "neighbours": NeighbourConfig}
_DTYPES = ("dtype", "param_dtype", "matmul_dtype")


def describe_model(model: LieTransformer | LieConv) -> dict[str, Any]:
    """Kind, group and config of a model as plain values, fit for JSON.

    Raises:
        ValueError: another kind of model or group, or a pair embedding of the user's own.
    """
    kind = type(model).__name__
    if kind not in _KINDS:
        raise ValueError(f"describe_model: model must be one of {tuple(_KINDS)}, got {kind}")
    names = [name for name, group in _GROUPS.items() if group == model.group]
    if not names:
        raise ValueError(
            f"describe_model: the model's group must be one of {tuple(_GROUPS)}, got {model.group}"
        )
    config: dict[str, Any] = dataclasses.asdict(model.config) | {
        "pair_embedding": _embedding_name(model.config.pair_embedding)
    }
    for name in _DTYPES:
        config[name] = None if config[name] is None else jnp.dtype(config[name]).name
    weights = config["neighbours"]["algebra_weights"]
    config["neighbours"]["algebra_weights"] = None if weights is None else list(weights)
    return {"kind": kind, "group": names[0], "config": config}


def build_model(description: Mapping[str, Any]) -> LieTransformer | LieConv:
    """The model that `describe_model` described, with new parameters.

    Raises:
        ValueError: an unknown kind, group or option.
    """
    kind, name = description["kind"], description["group"]
    if kind not in _KINDS or name not in _GROUPS:
        raise ValueError(
            f"build_model: kind must be one of {tuple(_KINDS)} and group one of "
            f"{tuple(_GROUPS)}, got {kind!r} and {name!r}"
        )
    model, config = _KINDS[kind]
    options = dict(description["config"])
    unknown = set(options) - {field.name for field in dataclasses.fields(config)}
    if unknown:
        raise ValueError(
            f"build_model: options of {config.__name__} must be those of this version of "
            f"lie_jax, got {sorted(unknown)}: a newer one may have written the checkpoint"
        )
    for option, nested in _NESTED.items():
        if option in options:
            values = options[option].items()
            options[option] = nested(
                **{key: tuple(v) if isinstance(v, list) else v for key, v in values}
            )
    for option in _DTYPES:
        if options.get(option) is not None:
            options[option] = jnp.dtype(options[option])
    return model(config(**options), group=_GROUPS[name], rngs=nnx.Rngs(0))


def _embedding_name(embedding: Any) -> str:
    name = embedding if isinstance(embedding, str) else embedding.name
    try:
        known = resolve_embedding(name).name
    except ValueError:
        known = None
    if not isinstance(embedding, str) and known != name:
        raise ValueError(
            f"describe_model: pair_embedding must be one that has a name, got {name!r}"
        )
    return name
