"""Batches of static shapes: complete, deterministic, and cheap."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lie_jax.data import Batch, Batches, bucket_edges

SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=60)


@given(SIZES, st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_edges_are_optimal(sizes, buckets):
    edges = bucket_edges(sizes, buckets)
    assert edges[-1] == max(sizes)

    def work(edges):
        return sum(min(e for e in edges if e >= n) ** 2 for n in sizes)

    distinct = sorted(set(sizes))
    count = min(buckets, len(distinct))
    assert len(edges) <= count
    inner = itertools.combinations(distinct[:-1], count - 1)
    assert work(edges) == min(work((*choice, distinct[-1])) for choice in inner)


@given(SIZES, st.integers(1, 7), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_an_epoch_holds_every_example_once(sizes, batch_size, epoch):
    edges = bucket_edges(sizes, 3)
    batches = Batches(np.array(sizes), batch_size, edges, seed=1)
    got = batches.epoch(epoch)
    assert len(got) == len(batches)
    seen = np.concatenate([b.indices[b.mask] for b in got])
    assert sorted(seen) == list(range(len(sizes)))
    for batch in got:
        assert batch.indices.shape == batch.mask.shape == (batch_size,)
        assert batch.size in edges
        assert max(np.array(sizes)[batch.indices]) <= batch.size
    assert sum((~b.mask).sum() for b in got) == len(batches) * batch_size - len(sizes)


def test_the_seed_and_the_epoch_fix_the_order():
    sizes = np.arange(50) % 9 + 1

    def order(seed, epoch):
        batches = Batches(sizes, 4, (5, 9), seed=seed).epoch(epoch)
        return np.concatenate([b.indices for b in batches]).tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)
    assert order(None, 0) == order(None, 1)


def test_rows_rename_the_examples():
    batches = Batches(np.array([3, 3, 2]), 2, (3,), rows=np.array([10, 20, 30]))
    first, second = batches.epoch()
    assert first.indices.tolist() == [10, 20]
    assert second.indices.tolist() == [30, 30]
    assert second.mask.tolist() == [True, False]


def test_one_compilation_per_padded_size():
    sizes = np.random.default_rng(0).integers(3, 30, 500)
    batches = Batches(sizes, 16, bucket_edges(sizes, 3), seed=0)
    data = jnp.arange(500.0 * 30).reshape(500, 30)

    @jax.jit
    @chex.assert_max_traces(n=3)
    def step(data, batch: Batch):
        return data[batch.indices, : batch.size].sum()

    for epoch in range(3):
        for batch in batches.epoch(epoch):
            step(data, batch)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bucket_edges([], 2), "sizes must be positive and not empty"),
        (lambda: bucket_edges([0, 1], 2), "sizes must be positive"),
        (lambda: bucket_edges([1], 0), "buckets must be at least 1"),
        (lambda: Batches(np.zeros((2, 2)), 1, (3,)), r"sizes must have shape \(n,\)"),
        (lambda: Batches(np.array([1]), 0, (3,)), "batch_size must be at least 1"),
        (lambda: Batches(np.array([1]), 1, (3, 2)), "edges must be increasing"),
        (lambda: Batches(np.array([4]), 1, (3,)), "at least the largest size 4"),
        (lambda: Batches(np.array([1]), 1, (3,), rows=np.arange(2)), "rows must have the shape"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
