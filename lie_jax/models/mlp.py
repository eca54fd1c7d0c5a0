"""MLP: a plain network of all coordinates and features of a cloud, with no symmetry.

Source: the baselines FC and HFC of Finzi et al., Generalizing Convolutional Neural Networks for
Equivariance to Lie Groups on Arbitrary Continuous Data (2020), appendix C.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
from flax import nnx

from lie_jax.attention.activations import ACTIVATIONS
from lie_jax.attention.config import ActivationName, check_option, check_positive
from lie_jax.models.lifting import check_points
from lie_jax.nn.layers import linear
from lie_jax.points import PointSet
from lie_jax.typing import Array, Float, PRNGKey, Validated, unchecked


@unchecked
@dataclasses.dataclass(frozen=True)
class MLPConfig:
    """Sizes and options of an `MLP`.

    Args:
        points: n, the number of points that the network is made for.
        space_dim: d.
        in_channels: features of a point.
        outputs: numbers that come out, of the cloud or of each point.
        per_point: whether they belong to points.
        width: hidden features.
        layers: number of hidden layers.
        activation: after each of them.
        dtype: dtype to compute in; None follows input and parameters.
        param_dtype: dtype of the parameters.

    Raises:
        ValueError: an unknown option or a size that does not fit.
    """

    points: int
    space_dim: int
    in_channels: int
    outputs: int = 1
    per_point: bool = False
    width: int = 300
    layers: int = 4
    activation: ActivationName = "swish"
    dtype: jax.typing.DTypeLike | None = None
    param_dtype: jax.typing.DTypeLike = jnp.float32

    def __post_init__(self):
        check_positive(
            "MLPConfig",
            points=self.points,
            space_dim=self.space_dim,
            in_channels=self.in_channels,
            outputs=self.outputs,
            width=self.width,
            layers=self.layers,
        )
        check_option("MLPConfig", "activation", self.activation, ActivationName)


class MLP(nnx.Module):
    """W_L act(... act(W_0 x)), x being the coordinates and features of n points in their order.

    Neither invariant to motions nor to the order of the points: what a symmetry is compared to.
    Absent points enter as zeros.

    Args:
        config: sizes and options.
        rngs: source of the initial parameters.
    """

    def __init__(self, config: MLPConfig, *, rngs: nnx.Rngs):
        self.config = config
        kwargs = {"dtype": config.dtype, "param_dtype": config.param_dtype, "rngs": rngs}
        numbers = config.outputs * (config.points if config.per_point else 1)
        inputs = config.points * (config.space_dim + config.in_channels)
        sizes = [inputs, *[config.width] * config.layers, numbers]
        self.layers = nnx.List([linear(a, b, **kwargs) for a, b in itertools.pairwise(sizes)])

    def __call__(
        self,
        points: PointSet,
        *,
        key: Validated[PRNGKey | None] = None,  # noqa: ARG002 (the call of every model)
        train: bool = False,  # noqa: ARG002
    ) -> Float[Array, "*b o"]:
        """Outputs of every cloud, or of every point.

        Args:
            points: coords (\\*b, n, d), values (\\*b, n, in_channels), mask (\\*b, n); n as in
                the config.
            key, train: not used.

        Returns:
            (\\*b, outputs); (\\*b, n, outputs) with ``per_point``, 0 at absent points. The dtype
            is that of ``points.values``.

        Raises:
            ValueError: shapes do not fit or, outside jit, a real point is not finite.
        """
        config = self.config
        check_points("MLP", points, config.in_channels)
        if points.coords.shape[-2:] != (config.points, config.space_dim):
            raise ValueError(
                f"MLP: points.coords must have shape (*b, {config.points}, {config.space_dim}), "
                f"got {points.coords.shape}"
            )
        real = points.mask[..., None]
        x = jnp.concatenate([points.coords, points.values], axis=-1)
        x = jnp.where(real, x, 0).reshape(*points.mask.shape[:-1], -1)
        act = ACTIVATIONS[config.activation]
        for layer in self.layers[:-1]:
            x = act(layer(x))
        y = self.layers[-1](x)
        if config.per_point:
            y = jnp.where(real, y.reshape(*points.mask.shape, config.outputs), 0)
        return y.astype(points.values.dtype)
