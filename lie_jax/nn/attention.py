"""LieSelfAttention: parameters around the pure functions of ``lie_jax.attention``."""

import dataclasses
from typing import Literal, get_args

import jax.numpy as jnp
from flax import nnx

from lie_jax import attention
from lie_jax.attention import Normalisation, combine, content, location
from lie_jax.geometry.pairs import PairSet, gather_keys
from lie_jax.nn.layers import ACTIVATIONS, ActivationName, PerHeadMLP, fan_in_uniform, linear
from lie_jax.typing import Array, Float

ContentName = Literal[
    "dot_product", "linear_concat", "linear_concat_linear", "relative_position", "none"
]
LocationName = Literal["mlp", "raw", "none"]
CombinationName = Literal["sum", "product", "mlp", "none"]


def check_option(where: str, name: str, value: object, options: object) -> None:
    """Raises ValueError unless ``value`` is one of the ``Literal``'s options."""
    if value not in get_args(options):
        raise ValueError(f"{where}: {name} must be one of {get_args(options)}, got {value!r}")


def check_positive(where: str, **values: int) -> None:
    """Raises ValueError unless every value is an integer of at least 1."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{where}: {name} must be an integer of at least 1, got {value!r}")


@dataclasses.dataclass(frozen=True)
class AttentionConfig:
    """How a layer turns a pair into a score, and scores into weights.

    Args:
        content: score of the features of query and key. ``"dot_product"`` gives one number,
            ``"linear_concat"`` the two projections beside each other,
            ``"linear_concat_linear"`` a linear map of these that all heads share,
            ``"relative_position"`` the dot product and linear terms of the pair's features.
        location: score of the pair. ``"mlp"``: one MLP per head; ``"raw"``: the features
            themselves; ``"none"``.
        combination: ``"sum"`` or ``"product"`` of the two scores (a vector is first read out by
            one linear map per head), ``"mlp"`` of both per head, or ``"none"`` where only one
            of them is there (``"relative_position"`` is both already).
        normalisation: see `lie_jax.attention.normalise`.
        location_hidden: hidden features of location and combination MLPs.
        content_features: size per head of the content vector of the linear-concat scores, even.
        activation: of the MLPs.

    Raises:
        ValueError: unknown option, or a combination that does not fit.
    """

    content: ContentName = "dot_product"
    location: LocationName = "mlp"
    combination: CombinationName = "sum"
    normalisation: Normalisation = "softmax"
    location_hidden: int = 16
    content_features: int = 4
    activation: ActivationName = "swish"

    def __post_init__(self):
        where = "AttentionConfig"
        check_option(where, "content", self.content, ContentName)
        check_option(where, "location", self.location, LocationName)
        check_option(where, "combination", self.combination, CombinationName)
        check_option(where, "normalisation", self.normalisation, Normalisation)
        check_option(where, "activation", self.activation, ActivationName)
        check_positive(
            where, location_hidden=self.location_hidden, content_features=self.content_features
        )
        if self.content == "linear_concat" and self.content_features % 2:
            raise ValueError(
                f'{where}: content_features must be even for content="linear_concat", half for '
                f"the query and half for the key, got {self.content_features}"
            )
        present = (self.content != "none") + (self.location != "none")
        if present == 0:
            raise ValueError(f'{where}: content and location must not both be "none"')
        if (self.combination == "none") != (present == 1):
            wanted = '"none"' if present == 1 else '"sum", "product" or "mlp"'
            raise ValueError(
                f"{where}: combination must be {wanted} for content={self.content!r} and "
                f"location={self.location!r}, got {self.combination!r}"
            )


class LieSelfAttention(nnx.Module):
    """Multi-head attention between lifted points, from their features and pair features.

    Args:
        in_channels: features of a point.
        out_channels: features of the result; a multiple of ``heads``.
        heads: h.
        pair_features: f, see `lie_jax.geometry.feature_dim`.
        config: see `AttentionConfig`.
        dtype: dtype to compute in; None follows inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of the initial values.

    Raises:
        ValueError: channels are not a multiple of heads.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        heads: int,
        pair_features: int,
        config: AttentionConfig = AttentionConfig(),
        dtype=None,
        param_dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        if out_channels % heads:
            raise ValueError(
                f"LieSelfAttention: out_channels must be a multiple of heads = {heads}, "
                f"got {out_channels}"
            )
        self.config = config
        self.heads = heads
        kwargs = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.value = linear(in_channels, out_channels, **kwargs)
        self.output = linear(out_channels, out_channels, **kwargs)

        size = self._projection_size(in_channels)
        if size:
            self.query = linear(in_channels, heads * size, **kwargs)
            self.key = linear(in_channels, heads * size, **kwargs)
        if config.content == "linear_concat_linear":
            self.content_map = linear(2 * size, size, **kwargs)
        if config.content == "relative_position":
            self.location_map = linear(pair_features, heads * size, **kwargs)
            init = fan_in_uniform(size)
            self.content_bias = nnx.Param(init(rngs.params(), (heads, size), param_dtype))
            self.location_bias = nnx.Param(init(rngs.params(), (heads, size), param_dtype))

        hidden = config.location_hidden
        if config.location == "mlp":
            self.location_mlp = PerHeadMLP(
                (pair_features, hidden, hidden, 1), heads, param_dtype=param_dtype, rngs=rngs
            )
        content_size = {"linear_concat": 2 * size, "linear_concat_linear": size}.get(
            config.content, 1
        )
        location_size = pair_features if config.location == "raw" else 1
        if config.combination == "mlp":
            self.combine_mlp = PerHeadMLP(
                (content_size + location_size, hidden, hidden, 1),
                heads,
                param_dtype=param_dtype,
                rngs=rngs,
            )
        else:
            # A vector must become one number before it can be added, multiplied or normalised.
            if config.content in ("linear_concat", "linear_concat_linear"):
                init = fan_in_uniform(content_size)
                self.content_readout = nnx.Param(
                    init(rngs.params(), (heads, content_size), param_dtype)
                )
            if config.location == "raw":
                init = fan_in_uniform(max(pair_features, 1))
                self.location_readout = nnx.Param(
                    init(rngs.params(), (heads, pair_features), param_dtype)
                )

    def _projection_size(self, in_channels: int) -> int:
        """Size per head of the projections of query and key."""
        name = self.config.content
        if name in ("dot_product", "relative_position"):
            if in_channels % self.heads:
                raise ValueError(
                    f"LieSelfAttention: in_channels must be a multiple of heads = {self.heads}, "
                    f"got {in_channels}"
                )
            return in_channels // self.heads
        if name == "linear_concat":
            return self.config.content_features // 2
        return self.config.content_features if name == "linear_concat_linear" else 0

    def scores(self, values: Float[Array, "*b m c"], pairs: PairSet) -> Float[Array, "*b h q k"]:
        """Scores before masking and normalisation."""
        config = self.config
        content_score = None
        if config.content == "none":
            dtype = self.value(values[..., :0, :]).dtype
            features = pairs.features.astype(dtype)
        else:
            queries = self._split(self.query(values))
            keys = self._gather(self._split(self.key(values)), pairs)
            dtype = queries.dtype
            features = pairs.features.astype(dtype)
            content_score = self._content(queries, keys, features)
        location_score = self._location(features)
        if config.combination == "mlp":
            assert content_score is not None
            assert location_score is not None
            weights, biases = self.combine_mlp.arrays(dtype)
            return attention.combine_mlp(
                content_score, location_score, weights, biases, ACTIVATIONS[config.activation]
            )
        if content_score is None or location_score is None:
            score = location_score if content_score is None else content_score
            assert score is not None
            return score
        if config.combination == "sum":
            return content_score + location_score
        return content_score * location_score

    def __call__(self, values: Float[Array, "*b m c"], pairs: PairSet) -> Float[Array, "*b m o"]:
        """New features of every lifted point.

        Args:
            values: (\\*b, m, in_channels).
            pairs: of the same m points, see `lie_jax.geometry.pair_set`.

        Returns:
            (\\*b, m, out_channels).
        """
        scores = self.scores(values, pairs)
        # Sums over keys lose precision in bf16, so weights are normalised in float32.
        wide = jnp.promote_types(scores.dtype, jnp.float32)
        weights = attention.normalise(scores.astype(wide), pairs.mask, self.config.normalisation)
        v = self._gather(self._split(self.value(values)), pairs)
        mixed = attention.aggregate(weights.astype(v.dtype), v)
        return self.output(mixed.reshape(*mixed.shape[:-2], -1))

    def _split(self, x: Array) -> Array:
        return x.reshape(*x.shape[:-1], self.heads, -1)

    def _gather(self, x: Array, pairs: PairSet) -> Array:
        return x if pairs.indices is None else gather_keys(x, pairs.indices, 2)

    def _content(self, queries: Array, keys: Array, features: Array) -> Array:
        """A score (\\*b, h, q, k); a vector (\\*b, h, q, k, f) where an MLP will combine it."""
        config = self.config
        if config.content == "dot_product":
            score = content.dot_product(queries, keys)
        elif config.content == "relative_position":
            location_map = self.location_map
            projection = location_map.kernel[...].astype(features.dtype)
            assert location_map.bias is not None
            projection_bias = location_map.bias[...].astype(features.dtype)
            score = content.relative_position(
                queries,
                keys,
                features,
                projection.reshape(-1, self.heads, queries.shape[-1]),
                projection_bias.reshape(self.heads, queries.shape[-1]),
                self.content_bias[...].astype(features.dtype),
                self.location_bias[...].astype(features.dtype),
            )
        else:
            vector = content.linear_concat(queries, keys)
            if config.content == "linear_concat_linear":
                vector = self.content_map(vector)
            if config.combination == "mlp":
                return vector
            return combine.read_out(vector, self.content_readout[...].astype(vector.dtype))
        return combine.as_features(score) if config.combination == "mlp" else score

    def _location(self, features: Array) -> Array | None:
        """As `_content`; None without location scores."""
        config = self.config
        if config.location == "none":
            return None
        if config.location == "raw":
            vector = jnp.expand_dims(features, -4)  # one for all heads
            if config.combination == "mlp":
                return vector
            return combine.read_out(
                jnp.broadcast_to(vector, (*vector.shape[:-4], self.heads, *vector.shape[-3:])),
                self.location_readout[...].astype(features.dtype),
            )
        weights, biases = self.location_mlp.arrays(features.dtype)
        score = location.location_mlp(features, weights, biases, ACTIVATIONS[config.activation])
        return combine.as_features(score) if config.combination == "mlp" else score
