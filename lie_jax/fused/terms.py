"""Scores split into what is known per point and what must be done per pair.

Every option of `AttentionConfig` becomes the same few terms. Whatever is linear in a pair's
content or location is taken apart into a part of the query and a part of the key, computed once
per point; for groups whose logarithm is additive (T(n), scalings) nothing of the pair's location
is left to compute, not even a difference. What remains for each pair is a dot product, small
sums, and the later layers of the MLPs.

Arrays have heads first, then clouds: query side (h, b, m, o), key side (h, b, o, m), channels
before keys, because in a tile the keys are the vector lanes.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from lie_jax import native
from lie_jax.attention.activations import ACTIVATIONS
from lie_jax.attention.config import AttentionConfig
from lie_jax.attention.scores import ScoreWeights
from lie_jax.geometry.embeddings import resolve_embedding
from lie_jax.geometry.pairs import LazyPairs
from lie_jax.masking import masked_mean
from lie_jax.typing import Array, Float, unchecked

Layers = tuple[tuple[Float[Array, "h _i _o"], Float[Array, "h _o"]], ...]


@jax.tree_util.register_dataclass
@unchecked
@dataclasses.dataclass(frozen=True)
class Affine:
    """An affine function of a pair with o outputs: features + query + key + bias.

    Args:
        features: (h, o, f), coefficients of the pair's features.
        query: (h, b, m, o), the query's part.
        key: (h, b, o, m), the key's part.
        bias: (h, o).

    A part that is None is 0.
    """

    features: Float[Array, "h o f"] | None = None
    query: Float[Array, "h b m o"] | None = None
    key: Float[Array, "h b o m"] | None = None
    bias: Float[Array, "h o"] | None = None

    def __add__(self, other: "Affine") -> "Affine":
        return jax.tree.map(_add, self, other, is_leaf=lambda x: x is None)

    def per_point(self) -> "Affine":
        """The same, the bias in the query's part if there is one: a sum less for every pair."""
        if self.query is None or self.bias is None:
            return self
        query = self.query + self.bias[:, None, None].astype(self.query.dtype)
        return dataclasses.replace(self, query=query, bias=None)


@jax.tree_util.register_dataclass
@unchecked
@dataclasses.dataclass(frozen=True)
class ScoreTerms:
    """The score of every pair of a layer, per head.

    Args:
        query, key: (h, b, m, c) and (h, b, c, m), whose dot product is part of the content.
        seen: (h, b, m, f), coefficients that a query gives the pair's features (content).
        content: the rest of the content score, one output.
        location_mlp: all layers of the location MLP, where machine code takes it whole; then
            there is no ``location``, and pairs' features have their first axis first.
        location: input of the location MLP's first activation, or the location score itself.
        location_layers: later layers of the location MLP.
        combine: input of the combining MLP's first activation, less the two scores.
        combine_content, combine_location: (h, o), how the two scores enter it.
        combine_layers: its later layers.
        has_location_mlp: whether ``location`` passes through activations.
        combination: of content and location where no MLP combines them.
        activation: of the MLPs.
    """

    query: Float[Array, "h b m c"] | None = None
    key: Float[Array, "h b c m"] | None = None
    seen: Float[Array, "h b m f"] | None = None
    content: Affine | None = None
    location_mlp: Layers = ()
    location: Affine | None = None
    location_layers: Layers = ()
    combine: Affine | None = None
    combine_content: Float[Array, "h o"] | None = None
    combine_location: Float[Array, "h o"] | None = None
    combine_layers: Layers = ()
    has_location_mlp: bool = dataclasses.field(default=False, metadata={"static": True})
    combination: str = dataclasses.field(default="none", metadata={"static": True})
    activation: str = dataclasses.field(default="swish", metadata={"static": True})

    @property
    def needs_features(self) -> bool:
        """Whether a tile must embed the pairs' group elements."""
        parts = (self.content, self.location, self.combine)
        if self.seen is not None or self.location_mlp:
            return True
        return any(p is not None and p.features is not None for p in parts)

    @property
    def is_swish(self) -> bool:
        """Whether the activation is swish, which kernels compute in a way of their own."""
        return self.activation in ("swish", "exact_swish")

    @property
    def activate(self) -> Callable[[Array], Array]:
        """The activation of the MLPs."""
        return ACTIVATIONS[self.activation]


def score_terms(
    config: AttentionConfig,
    weights: ScoreWeights,
    queries: Float[Array, "b m h c"] | None,
    keys: Float[Array, "b m h c"] | None,
    pairs: LazyPairs,
    dtype,
    *,
    whole_location: bool = False,
) -> ScoreTerms:
    """The terms of a layer's scores; work and memory linear in the number of points.

    Args:
        config, weights: see `lie_jax.attention.scores`.
        queries, keys: projected features, one batch axis; None without content scores.
        pairs: the lifted points, one batch axis.
        dtype: to compute scores in.
        whole_location: leave the location MLP in one piece where machine code takes it.
    """
    locate = _Locate(pairs, dtype)
    terms = ScoreTerms(activation=config.activation, combination=config.combination)
    by_mlp = config.combination == "mlp"
    vector = None
    if config.content in ("linear_concat", "linear_concat_linear"):
        vector = _concatenated(config, weights, queries, keys)
        if not by_mlp:
            assert weights.content_readout is not None
            read = _read(vector, weights.content_readout[:, :, None])
            terms = dataclasses.replace(terms, content=read.per_point())
    elif config.content != "none":
        assert queries is not None
        assert keys is not None
        terms = _dot_product(config, weights, queries, keys, locate, terms)

    if whole_location and _is_native(config, weights, pairs):
        assert weights.location_mlp is not None
        layers = tuple(zip(*weights.location_mlp, strict=True))
        terms = dataclasses.replace(terms, location_mlp=layers)
    elif config.location == "mlp":
        assert weights.location_mlp is not None
        first, *rest = zip(*weights.location_mlp, strict=True)
        terms = dataclasses.replace(
            terms,
            location=(locate.affine(first[0]) + Affine(bias=first[1])).per_point(),
            location_layers=tuple(rest),
            has_location_mlp=True,
        )
    elif config.location == "raw" and not by_mlp:
        assert weights.location_readout is not None
        terms = dataclasses.replace(
            terms, location=locate.affine(weights.location_readout[:, :, None])
        )
    if not by_mlp:
        return terms

    assert weights.combine_mlp is not None
    first, *rest = zip(*weights.combine_mlp, strict=True)
    kernel, combine = first[0], Affine(bias=first[1])
    size = 1 if vector is None else vector[0].shape[-1]
    of_content, of_location = kernel[:, :size], kernel[:, size:]
    if vector is not None:
        combine = combine + _read(vector, of_content)
    if config.location == "raw":
        combine = combine + locate.affine(of_location)
    return dataclasses.replace(
        terms,
        combine=combine.per_point(),
        combine_content=of_content[:, 0] if vector is None else None,
        combine_location=of_location[:, 0] if config.location == "mlp" else None,
        combine_layers=tuple(rest),
    )


def _is_native(config: AttentionConfig, weights: ScoreWeights, pairs: LazyPairs) -> bool:
    """Whether machine code takes the location MLP: no other term needs the pairs' features."""
    if config.location != "mlp" or config.content == "relative_position":
        return False
    if config.combination == "mlp" or config.activation != "swish" or pairs.group.orbit_dim:
        return False
    assert weights.location_mlp is not None
    return native.has_code(*weights.location_mlp, pairs.elements)


class _Locate:
    """Linear maps of the pairs' location features, taken apart."""

    def __init__(self, pairs: LazyPairs, dtype):
        self.is_additive = pairs.is_additive
        self.orbit = pairs.orbit.astype(dtype) if pairs.group.orbit_dim else None
        if self.is_additive:
            log = resolve_embedding(pairs.embedding).embed(pairs.group, pairs.elements)
            # Differences do not see a common shift; taking the mean away keeps the digits of
            # clouds that lie far from the origin.
            centre = masked_mean(log, pairs.mask[..., None], axis=-2)
            log = log - jax.lax.stop_gradient(centre[..., None, :])
            self.log = log.astype(dtype) if log.shape[-1] else None
            self.size = log.shape[-1]
        else:
            self.log = None
            self.size = resolve_embedding(pairs.embedding).size(pairs.group)

    def split(self, kernel: Array, axis: int) -> list[Array]:
        """``kernel`` for the embedded element, the query's and the key's orbit."""
        orbit = 0 if self.orbit is None else self.orbit.shape[-1]
        return jnp.split(kernel, (self.size, self.size + orbit), axis=axis)

    def affine(self, kernel: Float[Array, "h i o"]) -> Affine:
        """features @ kernel."""
        element, of_query, of_key = self.split(kernel, axis=1)
        found = Affine()
        if self.log is not None:
            found = found + Affine(
                query=-jnp.einsum("bmf,hfo->hbmo", self.log, element),
                key=jnp.einsum("bmf,hfo->hbom", self.log, element),
            )
        elif self.size and not self.is_additive:
            found = found + Affine(features=jnp.swapaxes(element, 1, 2))
        if self.orbit is not None:
            found = found + Affine(
                query=jnp.einsum("bmf,hfo->hbmo", self.orbit, of_query),
                key=jnp.einsum("bmf,hfo->hbom", self.orbit, of_key),
            )
        return found


def _dot_product(config, weights, queries, keys, locate: _Locate, terms: ScoreTerms) -> ScoreTerms:
    scale = queries.shape[-1] ** -0.5
    queries, keys = jnp.moveaxis(queries, -2, 0), jnp.moveaxis(keys, -2, 0)  # (h, b, m, c)
    if config.content == "dot_product":
        return dataclasses.replace(terms, query=queries * scale, key=jnp.swapaxes(keys, -1, -2))
    # relative position: (q.k + e.(q + v) + u.k) / sqrt(c), e = features @ projection + bias
    projection, bias = weights.location_map
    shifted = (queries + weights.location_bias[:, None, None]) * scale
    seen = jnp.einsum("hbmc,fhc->hbmf", shifted, projection)
    of_element, of_query, of_key = locate.split(seen, axis=-1)
    constant = jnp.einsum("hbmc,hc->hbm", shifted, bias)
    left = [(queries + weights.content_bias[:, None, None]) * scale]
    right = [keys]
    if locate.log is not None:
        left.append(of_element)
        right.append(jnp.broadcast_to(locate.log, (*keys.shape[:-1], locate.log.shape[-1])))
        constant = constant - jnp.sum(of_element * locate.log, axis=-1)
    if locate.orbit is not None:
        left.append(of_key)
        right.append(jnp.broadcast_to(locate.orbit, (*keys.shape[:-1], locate.orbit.shape[-1])))
        constant = constant + jnp.sum(of_query * locate.orbit, axis=-1)
    return dataclasses.replace(
        terms,
        query=jnp.concatenate(left, axis=-1),
        key=jnp.swapaxes(jnp.concatenate(right, axis=-1), -1, -2),
        seen=of_element if locate.size and not locate.is_additive else None,
        content=Affine(query=constant[..., None]),
    )


def _concatenated(config, weights, queries, keys) -> tuple[Array, Array, Array | None]:
    """The concatenated content as a query's part and a key's part (h, b, m, f), and a bias."""
    queries, keys = jnp.moveaxis(queries, -2, 0), jnp.moveaxis(keys, -2, 0)
    if config.content == "linear_concat":
        zero = jnp.zeros_like(queries)
        return (
            jnp.concatenate([queries, zero], axis=-1),
            jnp.concatenate([zero, keys], axis=-1),
            None,
        )
    kernel, bias = weights.content_map
    size = queries.shape[-1]
    return queries @ kernel[:size], keys @ kernel[size:], bias


def _read(vector: tuple[Array, Array, Array | None], kernel: Float[Array, "h f o"]) -> Affine:
    """The content vector times ``kernel``."""
    query, key, bias = vector
    return Affine(
        query=jnp.einsum("hbmf,hfo->hbmo", query, kernel),
        key=jnp.einsum("hbmf,hfo->hbom", key, kernel),
        bias=None if bias is None else jnp.einsum("f,hfo->ho", bias, kernel),
    )


def _add(x: Array | None, y: Array | None) -> Array | None:
    if x is None or y is None:
        return y if x is None else x
    return x + y
