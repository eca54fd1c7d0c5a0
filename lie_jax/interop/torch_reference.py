"""Weights of the published PyTorch LieTransformer, as parameters of ours.

The published networks see ``log(g_key^-1 g_query)`` where ours see ``log(g_query^-1 g_key)``,
its negative: the sign of the weights that meet these coordinates is flipped. Their names "k" and
"q" change sides between the dot product and the concatenated scores.
"""

from typing import Any

import jax.numpy as jnp

from lie_jax.attention import AttentionConfig
from lie_jax.groups import Group
from lie_jax.interop.state_dict import Reader, StateDict, flip
from lie_jax.models.lie_transformer import LieTransformerConfig
from lie_jax.typing import PyTree


def _attention(
    read: Reader, prefix: str, config: AttentionConfig, orbit_dim: int
) -> dict[str, PyTree]:
    kernel = f"{prefix}kernel."
    params: dict[str, Any] = {
        "value": read.linear(f"{prefix}input_linear"),
        "output": read.linear(f"{prefix}output_linear"),
    }
    # Two generations of published layers name the same parts differently. In the second, the MLP
    # is the second module of a sequence.
    if config.combination == "mlp":
        features, location = f"{kernel}feature_featurisation", f"{kernel}location_featurisation.1"
    else:
        features, location = f"{kernel}feature_kernel", f"{kernel}location_kernel"

    if config.content == "dot_product":
        params["query"], params["key"] = (
            read.linear(f"{features}.fc_q"),
            read.linear(f"{features}.fc_k"),
        )
    elif config.content in ("linear_concat", "linear_concat_linear"):
        params["query"], params["key"] = (
            read.linear(f"{features}.fc_k"),
            read.linear(f"{features}.fc_q"),
        )
        if config.content == "linear_concat_linear":
            params["content_map"] = read.linear(f"{features}.fc_o")
    elif config.content == "relative_position":
        params["query"], params["key"] = read.linear(f"{kernel}W_q"), read.linear(f"{kernel}W_k")
        mapped = read.linear(f"{kernel}W_l")
        size = mapped["kernel"].shape[0]
        mapped["kernel"] = flip(mapped["kernel"], 0, 0, size - 2 * orbit_dim)
        params["location_map"] = mapped
        params["content_bias"] = jnp.asarray(read(f"{kernel}u"))[:, 0]
        params["location_bias"] = jnp.asarray(read(f"{kernel}v"))[:, 0]

    def flip_first(mlp, start: int):
        first = mlp["weights"][0]
        mlp["weights"][0] = flip(first, 1, start, first.shape[1] - 2 * orbit_dim)
        return mlp

    if config.location == "mlp":
        params["location_mlp"] = flip_first(read.per_head_mlp(location), 0)
    if config.combination == "mlp":
        mlp = read.per_head_mlp(f"{kernel}location_feature_combination.1")
        if config.location == "raw":
            content_size = 1 if config.content == "dot_product" else config.content_features
            mlp = flip_first(mlp, content_size)
        params["combine_mlp"] = mlp
    return params


def load_torch_attention(
    state_dict: StateDict, config: AttentionConfig, *, group: Group | None = None
) -> PyTree:
    """Parameters of a `LieSelfAttention` from one published attention layer.

    Args:
        state_dict: names to arrays (numpy, or torch tensors on the CPU).
        config: of our layer; the published digits are its options by name.
        group: needed where the group has orbit coordinates.

    Raises:
        ValueError: an entry is missing or left over.
    """
    read = Reader("load_torch_attention", state_dict)
    orbit_dim = 0 if group is None else group.orbit_dim
    return read.finish(lambda: _attention(read, "", config, orbit_dim))


def load_torch_reference(
    state_dict: StateDict, config: LieTransformerConfig, *, group: Group | None = None
) -> PyTree:
    """Parameters of a `LieTransformer` from a published state dict.

    Args:
        state_dict: names to arrays (numpy, or torch tensors on the CPU), as
            ``EquivariantTransformer.state_dict()`` gives.
        config: of our model, with the published options by their names here.
        group: needed where the group has orbit coordinates.

    Returns:
        ``params`` for the ``apply`` of `lie_jax.functional`.

    Raises:
        ValueError: an entry is missing or left over, or the config has batch norm, whose
            published running statistics are wrong.

    Example:
        >>> apply, _ = lj.functional(model)
        >>> params = lj.interop.load_torch_reference(torch_model.state_dict(), model.config)
        >>> y = apply(params, points)
    """
    if config.block_norm.startswith("batch"):
        raise ValueError(
            'load_torch_reference: config.block_norm must be "layer_pre", "layer_post" or "none", '
            f"got {config.block_norm!r}"
        )
    read = Reader("load_torch_reference", state_dict)
    orbit_dim = 0 if group is None else group.orbit_dim

    def block(i: int) -> dict[str, PyTree]:
        prefix = f"net.{i + 1}."
        params: dict[str, PyTree] = {
            "attention": _attention(read, f"{prefix}ema.", config.attention, orbit_dim),
            "mlp": {
                "first": read.linear(f"{prefix}mlp.LinNormAct_1.linear.module"),
                "second": read.linear(f"{prefix}mlp.LinNormAct_2.linear.module"),
            },
        }
        if config.block_norm != "none":
            params["attention_norm"] = read.norm(f"{prefix}ln_ema")
            params["mlp_norm"] = read.norm(f"{prefix}ln_mlp")
        return params

    def build() -> PyTree:
        if config.head == "pool_mlp":
            names = [f"net.{config.layers + 2}.{i}" for i in (2, 5, 8)]
        else:
            names = [f"net.{config.layers + 1}.linear.module"]
        return {
            "embedding": read.linear("net.0.module"),
            "blocks": {i: block(i) for i in range(config.layers)},
            "head": {i: read.linear(name) for i, name in enumerate(names)},
        }

    return read.finish(build)
