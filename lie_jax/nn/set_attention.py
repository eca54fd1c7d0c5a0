"""Attention between sets: the blocks of the Set Transformer, blind to the order of points.

Source: Lee et al., Set Transformer: A Framework for Attention-based Permutation-Invariant Neural
Networks (2019), section 3.1; without the MLP that the paper has before its pooling, as in the
baseline of Hutchinson et al., LieTransformer (2021).
"""

import jax
import jax.numpy as jnp
from flax import nnx

from lie_jax.masking import masked_softmax
from lie_jax.nn.layers import linear
from lie_jax.typing import Array, Bool, Float


class SetCrossAttention(nnx.Module):
    """y + relu(W y + b) with y = q + attention(q, k, v): one set reads another (equation 6).

    q is a linear map of the queries, k and v are linear maps of the keys. Scores of every head
    are q . k / sqrt(width), with the whole width and not a head's, as published.

    Args:
        query_channels: features of a query.
        key_channels: features of a key.
        width: features of the result; a multiple of ``heads``.
        heads: h.
        layer_norm: norm y, and then the result.
        dtype: dtype to compute in; None follows inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of the initial values.

    Raises:
        ValueError: width is not a multiple of heads.
    """

    def __init__(
        self,
        query_channels: int,
        key_channels: int,
        width: int,
        *,
        heads: int,
        layer_norm: bool = False,
        dtype=None,
        param_dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        if width % heads:
            raise ValueError(
                f"SetCrossAttention: width must be a multiple of heads = {heads}, got {width}"
            )
        self.heads = heads
        kwargs = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.query = linear(query_channels, width, **kwargs)
        self.key = linear(key_channels, width, **kwargs)
        self.value = linear(key_channels, width, **kwargs)
        self.output = linear(width, width, **kwargs)
        if layer_norm:
            self.attention_norm = nnx.LayerNorm(width, epsilon=1e-5, **kwargs)
            self.output_norm = nnx.LayerNorm(width, epsilon=1e-5, **kwargs)

    def __call__(
        self,
        queries: Float[Array, "*#b n c"],
        keys: Float[Array, "*#b k e"],
        mask: Bool[Array, "*#b k"] | None = None,
    ) -> Float[Array, "*#b n o"]:
        """New features of every query.

        Args:
            queries: (\\*b, n, query_channels).
            keys: (\\*b, k, key_channels).
            mask: which keys are real; None says that all are. Where none is, nothing is added
                to q.

        Returns:
            (\\*b, n, width).
        """
        if mask is None:
            mask = jnp.ones(keys.shape[:-1], bool)
        q, k, v = self.query(queries), self.key(keys), self.value(keys)
        y = q + self._attend(q, k, v, mask)
        y = self._norm("attention_norm", y)
        y = y + jax.nn.relu(self.output(y))
        return self._norm("output_norm", y)

    def _attend(self, q: Array, k: Array, v: Array, mask: Array) -> Array:
        """What every head of the queries reads, (\\*b, n, width)."""
        width = q.shape[-1]

        def split(x: Array) -> Array:
            return x.reshape(*x.shape[:-1], self.heads, width // self.heads)

        score = jnp.einsum("...qhc,...khc->...hqk", split(q * width**-0.5), split(k))
        # Sums over keys lose precision in bf16, so weights are normalised in float32.
        wide = jnp.promote_types(score.dtype, jnp.float32)
        weights = masked_softmax(score.astype(wide), mask[..., None, None, :]).astype(v.dtype)
        mixed = jnp.einsum("...hqk,...khc->...qhc", weights, split(v))
        return mixed.reshape(*mixed.shape[:-2], width)

    def _norm(self, name: str, x: Array) -> Array:
        norm = getattr(self, name, None)
        return x if norm is None else norm(x)


class SetSelfAttention(nnx.Module):
    """A set reads itself (equation 8): n^2 scores.

    Args:
        channels: features of a point.
        width, heads, kwargs: as in `SetCrossAttention`.
    """

    def __init__(self, channels: int, width: int, *, heads: int, **kwargs):
        self.attention = SetCrossAttention(channels, channels, width, heads=heads, **kwargs)

    def __call__(
        self, x: Float[Array, "*b n c"], mask: Bool[Array, "*b n"] | None = None
    ) -> Float[Array, "*b n o"]:
        """New features of every point; ``mask`` says which are real."""
        return self.attention(x, x, mask)


class InducedSetAttention(nnx.Module):
    """A set reads a few learnt points that have read the set (equations 9, 10): 2 n p scores.

    Args:
        channels: features of a point.
        width, heads, kwargs: as in `SetCrossAttention`.
        inducing_points: p.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        heads: int,
        inducing_points: int,
        param_dtype=jnp.float32,
        rngs: nnx.Rngs,
        **kwargs,
    ):
        kwargs = {"heads": heads, "param_dtype": param_dtype, "rngs": rngs, **kwargs}
        self.inducing = _learnt_points(inducing_points, width, param_dtype, rngs)
        self.gather = SetCrossAttention(width, channels, width, **kwargs)
        self.spread = SetCrossAttention(channels, width, width, **kwargs)

    def __call__(
        self, x: Float[Array, "*b n c"], mask: Bool[Array, "*b n"] | None = None
    ) -> Float[Array, "*b n o"]:
        """New features of every point; ``mask`` says which are real."""
        return self.spread(x, self.gather(self.inducing[...], x, mask))


class AttentionPooling(nnx.Module):
    """A few learnt seeds read a set (equation 11): one vector per seed, whatever the set's size.

    Args:
        width: features of a point, and of a vector.
        heads, kwargs: as in `SetCrossAttention`.
        seeds: s, the number of vectors.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        seeds: int,
        param_dtype=jnp.float32,
        rngs: nnx.Rngs,
        **kwargs,
    ):
        kwargs = {"heads": heads, "param_dtype": param_dtype, "rngs": rngs, **kwargs}
        self.seeds = _learnt_points(seeds, width, param_dtype, rngs)
        self.attention = SetCrossAttention(width, width, width, **kwargs)

    def __call__(
        self, x: Float[Array, "*b n c"], mask: Bool[Array, "*b n"] | None = None
    ) -> Float[Array, "*b s c"]:
        """The vectors of every set; ``mask`` says which points are real."""
        return self.attention(self.seeds[...], x, mask)


def _learnt_points(count: int, width: int, param_dtype, rngs: nnx.Rngs) -> nnx.Param:
    """(count, width), Xavier uniform for a fan-in of count * width and a fan-out of width."""
    # The fans that the published code gets, whose array has a leading axis of size 1: a bound
    # of sqrt(6 / (width (count + 1))), smaller than that of a (count, width) matrix.
    bound = (6 / (width * (count + 1))) ** 0.5
    start = jax.random.uniform(rngs.params(), (count, width), param_dtype, -bound, bound)
    return nnx.Param(start)
