"""Graph network: messages between all pairs of points, invariant to their order only.

Source: Sanchez-Gonzalez et al., Hamiltonian Graph Networks with ODE Integrators (2019), whose
baselines are OGN and HOGN; Battaglia et al., Interaction Networks (2016).
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from lie_jax import masking
from lie_jax.attention.activations import ACTIVATIONS
from lie_jax.attention.config import ActivationName, check_option, check_positive
from lie_jax.models.lifting import check_points
from lie_jax.nn.layers import BlockMLP, linear
from lie_jax.points import PointSet
from lie_jax.typing import Array, Bool, Float, PRNGKey, Validated, unchecked

PositionName = Literal["relative", "absolute"]
GraphPoolingName = Literal["mean", "sum", "none"]


@unchecked
@dataclasses.dataclass(frozen=True)
class GraphNetworkConfig:
    """Sizes and options of a `GraphNetwork`.

    Args:
        space_dim: d.
        in_channels: features of a point.
        outputs: numbers that come out, of the cloud or of each point.
        width: features of points and messages.
        rounds: number of times that messages pass.
        position: edges see where the sender is from the receiver (``"relative"``: the network is
            invariant to translations), or points see where they are (``"absolute"``).
        pooling: ``"mean"`` or ``"sum"`` over points; ``"none"`` gives outputs of each point.
        activation: of the MLPs.
        dtype: dtype to compute in; None follows input and parameters.
        param_dtype: dtype of the parameters.

    Raises:
        ValueError: an unknown option or a size that does not fit.
    """

    space_dim: int
    in_channels: int
    outputs: int = 1
    width: int = 64
    rounds: int = 2
    position: PositionName = "relative"
    pooling: GraphPoolingName = "sum"
    activation: ActivationName = "swish"
    dtype: jax.typing.DTypeLike | None = None
    param_dtype: jax.typing.DTypeLike = jnp.float32

    def __post_init__(self):
        where = "GraphNetworkConfig"
        check_positive(
            where,
            space_dim=self.space_dim,
            in_channels=self.in_channels,
            outputs=self.outputs,
            width=self.width,
            rounds=self.rounds,
        )
        check_option(where, "position", self.position, PositionName)
        check_option(where, "pooling", self.pooling, GraphPoolingName)
        check_option(where, "activation", self.activation, ActivationName)


class _Round(nnx.Module):
    """v_i + MLP(v_i, sum_j MLP(v_i, v_j, x_j - x_i)) over the real points j other than i."""

    def __init__(self, config: GraphNetworkConfig, **kwargs):
        width = config.width
        # The first layer of the edge MLP, one part per input: points are mapped before they pair.
        self.receiver = linear(width, width, **kwargs)
        self.sender = linear(width, width, use_bias=False, **kwargs)
        if config.position == "relative":
            self.offset = linear(config.space_dim, width, use_bias=False, **kwargs)
        self.message = linear(width, width, **kwargs)
        self.keep = linear(width, width, **kwargs)
        self.take = linear(width, width, use_bias=False, **kwargs)
        self.update = linear(width, width, **kwargs)
        self.activation = config.activation

    def __call__(self, v: Array, coords: Array, edges: Bool[Array, "*b n n"]) -> Array:
        act, offset = ACTIVATIONS[self.activation], getattr(self, "offset", None)
        edge = self.receiver(v)[..., :, None, :] + self.sender(v)[..., None, :, :]
        if offset is not None:
            edge = edge + offset(coords[..., None, :, :] - coords[..., :, None, :])
        messages = act(self.message(act(edge)))
        received = masking.masked_sum(messages, edges[..., None], axis=messages.ndim - 2)
        return v + self.update(act(self.keep(v) + self.take(received)))


class GraphNetwork(nnx.Module):
    """Interaction network on the complete graph of a cloud's real points.

    Args:
        config: sizes and options.
        rngs: source of the initial parameters.
    """

    def __init__(self, config: GraphNetworkConfig, *, rngs: nnx.Rngs):
        self.config = config
        kwargs = {"dtype": config.dtype, "param_dtype": config.param_dtype, "rngs": rngs}
        inputs = config.in_channels + (config.space_dim if config.position == "absolute" else 0)
        self.embedding = linear(inputs, config.width, **kwargs)
        self.rounds = nnx.List([_Round(config, **kwargs) for _ in range(config.rounds)])
        self.read_out = BlockMLP(config.width, config.activation, **kwargs)
        self.head = linear(config.width, config.outputs, **kwargs)

    def __call__(
        self,
        points: PointSet,
        *,
        key: Validated[PRNGKey | None] = None,  # noqa: ARG002 (the call of every model)
        train: bool = False,  # noqa: ARG002
    ) -> Float[Array, "*b o"]:
        """Outputs of every cloud, or of every point.

        Args:
            points: coords (\\*b, n, d), values (\\*b, n, in_channels), mask (\\*b, n).
            key, train: not used.

        Returns:
            (\\*b, outputs); (\\*b, n, outputs) with ``pooling="none"``, 0 at absent points. The
            dtype is that of ``points.values``.

        Raises:
            ValueError: shapes do not fit or, outside jit, a real point is not finite.
        """
        config, dtype = self.config, points.values.dtype
        check_points("GraphNetwork", points, config.in_channels)
        if points.coords.shape[-1] != config.space_dim:
            raise ValueError(
                f"GraphNetwork: points.coords must have shape (*b, n, {config.space_dim}), "
                f"got {points.coords.shape}"
            )
        values, coords, mask = points.values, points.coords, points.mask
        if config.position == "absolute":
            values = jnp.concatenate([values, coords], axis=-1)
        others = ~jnp.eye(mask.shape[-1], dtype=bool)
        edges = mask[..., None, :] & others
        v = self.embedding(values)
        for one_round in self.rounds:
            v = one_round(v, coords.astype(v.dtype), edges)
        v = self.head(self.read_out(v))
        match config.pooling:
            case "mean":
                y = masking.masked_mean(v, mask[..., None], axis=v.ndim - 2)
            case "sum":
                y = masking.masked_sum(v, mask[..., None], axis=v.ndim - 2)
            case _:
                y = jnp.where(mask[..., None], v, 0)
        return y.astype(dtype)
