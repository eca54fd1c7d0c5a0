"""Weights of the published PyTorch SetTransformer, as parameters of ours."""

import jax
import jax.numpy as jnp
from flax import nnx

from lie_jax.interop.state_dict import Reader, StateDict
from lie_jax.models.set_transformer import SetTransformer, SetTransformerConfig
from lie_jax.typing import Array, PyTree

_WHERE = "load_torch_set_transformer"


def _cross_attention(read: Reader, prefix: str, layer_norm: bool) -> dict[str, PyTree]:
    names = {"query": "fc_q", "key": "fc_k", "value": "fc_v", "output": "fc_o"}
    params: dict[str, PyTree] = {
        ours: read.linear(f"{prefix}.{theirs}") for ours, theirs in names.items()
    }
    if layer_norm:
        params["attention_norm"] = read.norm(f"{prefix}.ln0")
        params["output_norm"] = read.norm(f"{prefix}.ln1")
    return params


def _learnt_points(read: Reader, name: str) -> Array:
    return jnp.asarray(read(name)[0])


def load_torch_set_transformer(state_dict: StateDict, config: SetTransformerConfig) -> PyTree:
    """Parameters of a `SetTransformer` from a published state dict.

    The shapes tell every size but one: a wrong ``config.heads`` is not noticed.

    Args:
        state_dict: names to arrays (numpy, or torch tensors on the CPU), as
            ``SetTransformer.state_dict()`` gives.
        config: of our model, with the published options by their names here: ``num_outputs`` is
            ``seeds``, and ``num_outputs * dim_output`` is ``outputs``.

    Returns:
        ``params`` for the ``apply`` of `lie_jax.functional`.

    Raises:
        ValueError: an entry is missing or left over, or has another shape than the config says.

    Example:
        >>> apply, _ = lj.functional(model)
        >>> params = lj.interop.load_torch_set_transformer(net.state_dict(), model.config)
        >>> y = apply(params, points)
    """
    read, norm = Reader(_WHERE, state_dict), config.layer_norm

    def encoder_layer(prefix: str) -> dict[str, PyTree]:
        if not config.inducing_points:
            return {"attention": _cross_attention(read, f"{prefix}.mab", norm)}
        return {
            "inducing": _learnt_points(read, f"{prefix}.I"),
            "gather": _cross_attention(read, f"{prefix}.mab0", norm),
            "spread": _cross_attention(read, f"{prefix}.mab1", norm),
        }

    def build() -> PyTree:
        layers = config.decoder_layers
        params: dict[str, PyTree] = {
            "encoder": {
                i: encoder_layer(f"enc_layers.{i}.module") for i in range(config.encoder_layers)
            },
            "pooling": {
                "seeds": _learnt_points(read, "pooling_layer.module.S"),
                "attention": _cross_attention(read, "pooling_layer.module.mab", norm),
            },
            "head": read.linear(f"dec_layers.{layers}.module"),
        }
        if layers:
            params["decoder"] = {
                i: {"attention": _cross_attention(read, f"dec_layers.{i}.module.mab", norm)}
                for i in range(layers)
            }
        return params

    params = read.finish(build)
    _check_shapes(params, config)
    return params


def _check_shapes(params: PyTree, config: SetTransformerConfig) -> None:
    model = nnx.eval_shape(lambda: SetTransformer(config, rngs=nnx.Rngs(0)))
    wanted = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    got = {path: array.shape for path, array in jax.tree.leaves_with_path(params)}
    for path, want in jax.tree.leaves_with_path(wanted):
        if got.get(path) != want.shape:
            raise ValueError(
                f"{_WHERE}: state_dict must hold params{jax.tree_util.keystr(path)} of shape "
                f"{want.shape} for this config, got {got.get(path, 'none')}"
            )
