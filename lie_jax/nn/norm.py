"""Normalisation of features; batch statistics are those of real points only."""

import jax
import jax.numpy as jnp
from flax import nnx

from lie_jax.masking import masked_mean
from lie_jax.typing import Array, Bool, Float


class MaskedBatchNorm(nnx.Module):
    """Batch normalisation whose mean and variance are taken over the real points of the batch.

    In evaluation it uses running averages, so that a point's output depends neither on padding
    nor on batch mates. The running variance is the unbiased one.

    Args:
        features: c.
        momentum: share of the old running average that each training step keeps.
        epsilon: added to the variance.
        clamp: raise variances below ``epsilon`` to it, as LieConv does, instead of adding it.
        param_dtype: dtype of parameters and statistics.
    """

    def __init__(
        self,
        features: int,
        *,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        clamp: bool = False,
        param_dtype=jnp.float32,
    ):
        self.scale = nnx.Param(jnp.ones(features, param_dtype))
        self.bias = nnx.Param(jnp.zeros(features, param_dtype))
        self.mean = nnx.BatchStat(jnp.zeros(features, param_dtype))
        self.var = nnx.BatchStat(jnp.ones(features, param_dtype))
        self.momentum = momentum
        self.epsilon = epsilon
        self.clamp = clamp

    def __call__(
        self, x: Float[Array, "*b m c"], mask: Bool[Array, "*b m"], *, train: bool
    ) -> Float[Array, "*b m c"]:
        """Normalised features; with ``train`` the running averages move."""
        if train:
            flat, real = x.reshape(-1, x.shape[-1]), mask.reshape(-1, 1)
            flat = flat.astype(jnp.promote_types(x.dtype, jnp.float32))
            mean = masked_mean(flat, real, axis=0)
            var = masked_mean((flat - mean) ** 2, real, axis=0)
            count = jnp.sum(real).astype(flat.dtype)
            unbiased = var * count / jnp.maximum(count - 1, 1)
            self._move(self.mean, mean)
            self._move(self.var, unbiased)
        else:
            mean, var = self.mean[...], self.var[...]
        var = jnp.maximum(var, self.epsilon) if self.clamp else var + self.epsilon
        scale = self.scale[...] * jax.lax.rsqrt(var)
        return ((x - mean) * scale + self.bias[...]).astype(x.dtype)

    def _move(self, average: nnx.BatchStat, now: Array):
        now = jax.lax.stop_gradient(now).astype(average[...].dtype)
        average[...] = self.momentum * average[...] + (1 - self.momentum) * now
