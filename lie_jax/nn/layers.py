"""Linear maps and MLPs; shells around parameters, no mathematics of their own."""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from lie_jax.attention.activations import ACTIVATIONS
from lie_jax.attention.config import ActivationName
from lie_jax.nn.dense import dot_general
from lie_jax.typing import Array


def fan_in_uniform(fan_in: int):
    """U(-b, b) with b = 1 / sqrt(fan_in), for weights and biases, as in the published runs."""
    bound = fan_in**-0.5

    def initialise(key, shape, dtype=jnp.float32, **_):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initialise


def linear(
    in_features: int,
    out_features: int,
    *,
    use_bias: bool = True,
    dtype,
    param_dtype,
    matmul_dtype=None,
    rngs,
) -> nnx.Linear:
    """``nnx.Linear`` with the published initialisation.

    With ``matmul_dtype`` the factors of its product are rounded to it, see `lie_jax.nn.dense`.
    """
    return nnx.Linear(
        in_features,
        out_features,
        use_bias=use_bias,
        kernel_init=fan_in_uniform(in_features),
        bias_init=fan_in_uniform(in_features),
        dtype=dtype,
        param_dtype=param_dtype,
        dot_general=dot_general(matmul_dtype),
        rngs=rngs,
    )


class PerHeadMLP(nnx.Module):
    """Parameters of one MLP per head: weights (h, in, out) and biases (h, out) of each layer.

    Args:
        sizes: features of the input and of every layer's output.
        heads: h.
        param_dtype: dtype of the parameters.
        rngs: source of the initial values.
    """

    def __init__(self, sizes: Sequence[int], heads: int, *, param_dtype, rngs: nnx.Rngs):
        weights, biases = [], []
        for fan_in, fan_out in itertools.pairwise(sizes):
            init = fan_in_uniform(max(fan_in, 1))
            weights.append(nnx.Param(init(rngs.params(), (heads, fan_in, fan_out), param_dtype)))
            biases.append(nnx.Param(init(rngs.params(), (heads, fan_out), param_dtype)))
        self.weights = nnx.List(weights)
        self.biases = nnx.List(biases)

    def arrays(self, dtype) -> tuple[list[Array], list[Array]]:
        """Weights and biases as arrays of ``dtype``."""
        return (
            [w[...].astype(dtype) for w in self.weights],
            [b[...].astype(dtype) for b in self.biases],
        )


class BlockMLP(nnx.Module):
    """act(W2 act(W1 x)), of constant width."""

    def __init__(
        self, width: int, activation: ActivationName, *, dtype, param_dtype, matmul_dtype=None, rngs
    ):
        kwargs = {
            "dtype": dtype, "param_dtype": param_dtype, "matmul_dtype": matmul_dtype, "rngs": rngs
        }  # fmt: skip
        self.first = linear(width, width, **kwargs)
        self.second = linear(width, width, **kwargs)
        self.activation = activation

    def __call__(self, x: Array) -> Array:
        act = ACTIVATIONS[self.activation]
        return act(self.second(act(self.first(x))))
