"""Weights of the published PyTorch LieConv, as parameters of ours.

The published networks see ``log(g_key^-1 g_query)`` where ours see ``log(g_query^-1 g_key)``,
its negative: the sign of the weights that meet these coordinates is flipped. Their sums over
neighbours are flattened over (channel, kernel feature), ours over (kernel feature, channel).
"""

import jax.numpy as jnp

from lie_jax.groups import Group
from lie_jax.interop.state_dict import Reader, StateDict, flip
from lie_jax.models.lie_conv import LieConvConfig
from lie_jax.typing import Array, PyTree

Trees = tuple[dict, dict]
"""Parameters and batch statistics."""


def _batch_norms(read: Reader, names: list[str]) -> Trees:
    params, state = {}, {}
    for i, name in enumerate(names):
        params[i] = read.norm(name)
        state[i] = {
            "mean": jnp.asarray(read(f"{name}.running_mean")),
            "var": jnp.asarray(read(f"{name}.running_var")),
        }
        read.used.add(f"{name}.num_batches_tracked")
    return {"norms": params}, {"norms": state}


def _layer(read: Reader, prefix: str, batch_norm: bool, orbit_dim: int) -> Trees:
    layers = {i: read.linear(f"{prefix}weightnet.{3 * i}.module") for i in range(3)}
    first = layers[0]["kernel"]
    layers[0]["kernel"] = flip(first, 0, 0, first.shape[0] - 2 * orbit_dim)
    output = read.linear(f"{prefix}linear")
    output["kernel"] = _kernel_feature_first(output["kernel"], layers[2]["kernel"].shape[1])
    read.used.add(f"{prefix}r")
    norms, stats = {}, {}
    if batch_norm:
        norms, stats = _batch_norms(read, [f"{prefix}weightnet.{3 * i + 1}" for i in range(3)])
    params = {"weight_net": {"layers": layers, **norms}, "output": output}
    return params, {"weight_net": stats} if stats else {}


def _kernel_feature_first(weight: Array, kernel_features: int) -> Array:
    """Rows (c, r) to rows (r, c)."""
    rows, columns = weight.shape
    split = weight.reshape(rows // kernel_features, kernel_features, columns)
    return split.swapaxes(0, 1).reshape(rows, columns)


def _block(read: Reader, prefix: str, batch_norm: bool, orbit_dim: int) -> Trees:
    # The published block holds its convolution under two names, and so does its state dict.
    read.used.update(name for name in read.entries if name.startswith(f"{prefix}conv."))
    conv, conv_stats = _layer(read, f"{prefix}net.5.", batch_norm, orbit_dim)
    norms, stats = {}, {}
    if batch_norm:
        norms, stats = _batch_norms(read, [f"{prefix}net.{i}" for i in (0, 3, 6)])
    params = {
        "down": read.linear(f"{prefix}net.2.module"),
        "conv": conv,
        "up": read.linear(f"{prefix}net.8.module"),
        **norms,
    }
    return params, {"conv": conv_stats, **stats} if stats else {}


def load_torch_lieconv_layer(
    state_dict: StateDict, *, batch_norm: bool = False, group: Group | None = None
) -> tuple[PyTree, PyTree]:
    """Parameters and batch statistics of a `lie_jax.nn.LieConvLayer` from one published layer.

    Args:
        state_dict: names to arrays (numpy, or torch tensors on the CPU).
        batch_norm: whether our layer has them.
        group: needed where the group has orbit coordinates.

    Raises:
        ValueError: an entry is missing or left over.
    """
    read = Reader("load_torch_lieconv_layer", state_dict)
    orbit_dim = 0 if group is None else group.orbit_dim
    return read.finish(lambda: _layer(read, "", batch_norm, orbit_dim))


def load_torch_lieconv(
    state_dict: StateDict, config: LieConvConfig, *, group: Group | None = None
) -> tuple[PyTree, PyTree]:
    """Parameters and batch statistics of a `LieConv` from a published state dict.

    The published radius of neighbourhoods, ``r``, is no parameter here and left out: name it in
    ``config.neighbours``. (As published they are drawn anew for each layer, at evaluation too.)

    Args:
        state_dict: names to arrays (numpy, or torch tensors on the CPU), as
            ``LieResNet.state_dict()`` gives.
        config: of our model, with the published options by their names here.
        group: needed where the group has orbit coordinates.

    Returns:
        ``params`` for the ``apply`` of `lie_jax.functional`, and ``state``, empty without batch
        norm; both for that of `lie_jax.functional_with_state`.

    Raises:
        ValueError: an entry is missing or left over.

    Example:
        >>> apply, _, _ = lj.functional_with_state(model)
        >>> params, state = lj.interop.load_torch_lieconv(net.state_dict(), model.config)
        >>> y, _ = apply(params, state, points)
    """
    read = Reader("load_torch_lieconv", state_dict)
    orbit_dim = 0 if group is None else group.orbit_dim

    def build() -> tuple[PyTree, PyTree]:
        blocks = [
            _block(read, f"net.{i + 1}.", config.batch_norm, orbit_dim)
            for i in range(config.layers)
        ]
        params = {
            "embedding": read.linear("net.0.module"),
            "blocks": {i: block for i, (block, _) in enumerate(blocks)},
            "head": read.linear(f"net.{config.layers + 3}.module"),
        }
        if not config.batch_norm:
            return params, {}
        norms, stats = _batch_norms(read, [f"net.{config.layers + 1}"])
        state = {"blocks": {i: block for i, (_, block) in enumerate(blocks)}}
        return {**params, "norm": norms["norms"][0]}, {**state, "norm": stats["norms"][0]}

    return read.finish(build)
