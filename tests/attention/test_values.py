"""Scores and normalisations against plain loops in NumPy, pair by pair."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lie_jax as lj
from lie_jax.attention import ScoreWeights, reference_attention
from lie_jax.geometry import PairSet

N, HEADS, C, F, HIDDEN, OUT = 4, 2, 3, 3, 5, 2
MASK = np.array([True, True, True, False])


def swish(x):
    return x / (1 + np.exp(-x))


def mlp(x, layers, head):
    # As published: an activation after the last layer too.
    for w, b in zip(*layers, strict=True):
        x = swish(x @ w[head] + b[head])
    return x[0]


def draw(rng, config):
    """Random weights of every part that a score may have."""
    size = config.content_features // (2 if config.content == "linear_concat" else 1)
    c = C if config.content in ("dot_product", "relative_position") else size
    vector = {"linear_concat": 2 * c, "linear_concat_linear": c}.get(config.content, 1)
    seen = F if config.location == "raw" else 1

    def layers(first):
        sizes = (first, HIDDEN, HIDDEN, 1)
        return (
            tuple(rng.normal(size=(HEADS, a, b)) for a, b in itertools.pairwise(sizes)),
            tuple(rng.normal(size=(HEADS, b)) for b in sizes[1:]),
        )

    return c, {
        "location_mlp": layers(F),
        "combine_mlp": layers(vector + seen),
        "content_map": (rng.normal(size=(2 * c, c)), rng.normal(size=c)),
        "location_map": (rng.normal(size=(F, HEADS, c)), rng.normal(size=(HEADS, c))),
        "content_bias": rng.normal(size=(HEADS, c)),
        "location_bias": rng.normal(size=(HEADS, c)),
        "content_readout": rng.normal(size=(HEADS, vector)),
        "location_readout": rng.normal(size=(HEADS, F)),
    }


def score(config, w, q, k, f, h):
    """The score of one pair and head."""
    content = None
    if config.content == "dot_product":
        content = np.array([q @ k / np.sqrt(len(q))])
    elif config.content == "relative_position":
        kernel, bias = w["location_map"]
        e = f @ kernel[:, h] + bias[h]
        u, v = w["content_bias"][h], w["location_bias"][h]
        content = np.array([(q @ k + u @ k + q @ e + v @ e) / np.sqrt(len(q))])
    elif config.content != "none":
        content = np.concatenate([q, k])
        if config.content == "linear_concat_linear":
            content = content @ w["content_map"][0] + w["content_map"][1]
    location = None
    if config.location == "mlp":
        location = np.array([mlp(f, w["location_mlp"], h)])
    elif config.location == "raw":
        location = f
    if config.combination == "mlp":
        return mlp(np.concatenate([content, location]), w["combine_mlp"], h)
    if content is not None:
        is_vector = config.content.startswith("linear")
        content = content @ w["content_readout"][h] if is_vector else content[0]
    if location is not None:
        is_vector = config.location == "raw"
        location = location @ w["location_readout"][h] if is_vector else location[0]
    if config.combination == "none":
        return location if content is None else content
    return content + location if config.combination == "sum" else content * location


CASES = [
    {"content": content, "location": place, "combination": combination}
    for content in ("dot_product", "relative_position", "linear_concat", "linear_concat_linear")
    for place in ("mlp", "raw", "none")
    for combination in ("sum", "product", "mlp")
    if place != "none"
] + [
    {"content": "linear_concat", "location": "none", "combination": "none"},
    {"content": "relative_position", "location": "none", "combination": "none"},
    {"content": "none", "location": "raw", "combination": "none"},
    {"content": "none", "location": "mlp", "combination": "none"},
]


@pytest.mark.parametrize("options", CASES, ids=lambda o: ".".join(o.values()))
def test_every_score(options):
    config = lj.AttentionConfig(**options, normalisation="mean", content_features=4)
    rng = np.random.default_rng(1)
    c, w = draw(rng, config)
    q, k = rng.normal(size=(2, N, HEADS, c))
    features, values = rng.normal(size=(N, N, F)), rng.normal(size=(N, HEADS, OUT))
    wanted = np.zeros((N, HEADS, OUT))
    for i, j, h in itertools.product(range(N), range(N), range(HEADS)):
        if MASK[j]:
            pair = score(config, w, q[i, h], k[j, h], features[i, j], h)
            wanted[i, h] += pair / MASK.sum() * values[j, h]
    got = run(config, w, q, k, values, features)
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


def run(config, w, q, k, values, features):
    given = (q, k) if config.content != "none" else (None, None)
    pairs = PairSet(jnp.asarray(features), jnp.asarray(MASK)[None])
    weights = jax.tree.map(jnp.asarray, ScoreWeights(**w))
    arrays = (None if x is None else jnp.asarray(x) for x in (*given, values))
    return reference_attention(config, weights, *arrays, pairs)


@pytest.mark.parametrize("normalisation", ["softmax", "mean", "exp_mean"])
def test_every_normalisation(normalisation):
    config = lj.AttentionConfig("dot_product", "none", "none", normalisation=normalisation)
    rng = np.random.default_rng(2)
    c, w = draw(rng, config)
    q, k = rng.normal(size=(2, N, HEADS, c))
    values = rng.normal(size=(N, HEADS, OUT))
    logits = np.einsum("qhc,khc->hqk", q, k) / np.sqrt(c)
    shares = {"mean": logits, "exp_mean": np.exp(logits), "softmax": np.exp(logits)}[normalisation]
    shares = shares * MASK
    total = shares.sum(-1, keepdims=True) if normalisation == "softmax" else MASK.sum()
    wanted = np.einsum("hqk,kho->qho", shares / total, values)
    got = run(config, w, q, k, values, np.zeros((N, N, F)))
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-14)
