"""How far networks are invariant, what they attend to, and the pictures of both."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from experiments.shapes import attention, pictures
from experiments.shapes.invariance import (
    BAR,
    PUBLISHED,
    Invariance,
    invariance,
    lifted,
    measure,
    verdict,
)
from lie_jax.data.constellations import constellations, point_set

SMALL = Invariance(
    samples=(16,), embeddings=("circle",), normalisations=("mean",), features=("distances",),
    models=2, angles=2,
)  # fmt: skip
ANGLES = (0.0, 0.7, 2.0)


@pytest.fixture(scope="module")
def curves():
    return {c.lift: c for c in measure(dataclasses.replace(SMALL, lifts=("random", "grid")))}


def test_grid_with_smooth_pairs_meets_the_bar_and_random_lifts_do_not(curves):
    assert curves["grid"].largest[0] <= BAR
    assert curves["random"].median[0] > 100 * BAR
    assert verdict(list(curves.values())).endswith("met")
    missed = dataclasses.replace(curves["grid"], median=(2 * BAR,))
    assert verdict([curves["grid"], missed]).endswith("MISSED")
    assert verdict([curves["random"]]).endswith("not measured")


def test_softmax_with_constant_features_says_nothing():
    choice = dataclasses.replace(
        SMALL, normalisations=("softmax",), features=("constant",), lifts=("random",), samples=(1,)
    )
    (curve,) = measure(choice)
    assert curve.largest[0] < 1e-14
    assert curve.is_vacuous
    assert not dataclasses.replace(curve, lift="grid").is_judged


def test_published_curve_is_that_of_turned_grids():
    choice = dataclasses.replace(
        SMALL, samples=(1, 4), embeddings=("log",), features=("constant",), lifts=("turned_grid",),
        models=4,
    )  # fmt: skip
    (curve,) = measure(choice)
    for samples, error in zip(choice.samples, curve.median, strict=True):
        assert PUBLISHED[samples] / 5 < error < 5 * PUBLISHED[samples]


def test_turned_grid_is_a_grid_at_every_point(key):
    coords = jax.random.normal(key, (3, 2))
    elements = lifted(lj.PointSet(coords, coords), "turned_grid", 4, key).elements.reshape(3, 4, 4)
    np.testing.assert_allclose(elements[..., 2:], np.repeat(coords[:, None], 4, axis=1), atol=1e-12)
    turns = np.arctan2(elements[..., 1], elements[..., 0])
    steps = np.diff(turns, axis=1) % (2 * np.pi)
    np.testing.assert_allclose(steps, np.pi / 2, atol=1e-12)
    assert np.ptp(turns[:, 0] % (np.pi / 2)) > 1e-3  # each point's own


def test_command_writes_table_numbers_and_picture(tmp_path, capsys):
    arguments = [
        "--samples", "1", "2", "--lifts", "grid", "--embeddings", "circle", "--models", "1",
        "--angles", "1", "--features", "constant", "--root", str(tmp_path / "study"),
    ]  # fmt: skip
    invariance(arguments)
    assert "not measured" in capsys.readouterr().out
    found = json.loads((tmp_path / "study" / "invariance.json").read_text())
    assert found["options"]["samples"] == [1, 2]
    assert [len(curve["median"]) for curve in found["curves"]] == [2, 2]
    text = (tmp_path / "study" / "invariance.md").read_text()
    assert "| constant features, unnormalised | circle | grid |" in text
    assert "published | 5e-05 | 3e-06 |" in text
    assert (tmp_path / "study" / "invariance.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": 0}, "models must be at least 1, got 0"),
        ({"samples": (2, 2)}, "samples must be given once each"),
        ({"samples": (0,)}, "samples must be at least 1"),
        ({"lifts": ()}, "lifts must be given once each, at least one"),
        ({"heads": 3}, "width must be a multiple of heads = 3, got 8"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=f"invariance: {message}"):
        dataclasses.replace(SMALL, **options).check()


# --- attention ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cloud():
    drawn = constellations(1, "test", 0, repeats=1)
    coords = jnp.asarray(drawn.coords[0], jnp.float64)
    return point_set(coords, jnp.asarray(drawn.mask[0]))


def network(cloud, **options):
    settings = {
        "width": 8, "layers": 2, "heads": 2, "pair_embedding": "circle", "lift_samples": 3,
        "param_dtype": jnp.float64,
    } | options  # fmt: skip
    config = lj.LieTransformerConfig(cloud.values.shape[-1], 2, **settings)
    return lj.LieTransformer(config, group=lj.groups.SE2(), rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("block_norm", "normalisation"),
    [("layer_pre", "softmax"), ("batch_pre", "softmax"), ("none", "mean")],
)
def test_weights_mix_values_to_what_the_layer_gives(cloud, key, block_norm, normalisation):
    options = lj.AttentionConfig(normalisation=normalisation)
    model = network(cloud, block_norm=block_norm, attention=options)
    weights = attention.attention_weights(model, cloud, key)
    m = 3 * cloud.coords.shape[0]
    assert weights.shape == (2, 2, m, m)
    assert not weights[..., ~np.repeat(cloud.mask, 3)].any()

    lift = lj.lift(model.group, cloud, key=key, samples=3)
    pairs = lj.geometry.pair_set(model.group, lift, embedding="circle")
    x = model.embedding(lift.values)
    for block, mixing in zip(model.blocks, weights, strict=True):
        seen = x
        if block_norm == "layer_pre":
            seen = block.attention_norm(x)
        elif block_norm == "batch_pre":
            seen = block.attention_norm(x, lift.mask, train=False)
        values = block.attention.value(seen).reshape(m, 2, 4)
        mixed = lj.attention.aggregate(mixing, values).reshape(m, 8)
        given = block.attention.output(mixed)
        np.testing.assert_allclose(given, block.attention(seen, pairs), atol=1e-12)
        x = block(x, pairs, lift.mask)


def test_maps_sum_over_the_lifts_of_keys(cloud, key):
    model = network(cloud)
    weights = np.asarray(attention.attention_weights(model, cloud, key))
    maps = attention.point_maps(model, cloud, key)
    n = cloud.coords.shape[0]
    assert maps.shape == (2, 2, n, n)
    np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-12)
    np.testing.assert_allclose(maps[1, 0, 2, 1], weights[1, 0, 6:9, 3:6].sum(1).mean(), atol=1e-14)


@pytest.mark.parametrize("normalisation", ["softmax", "mean"])
def test_maps_of_an_invariant_network_turn_with_the_cloud(cloud, key, normalisation):
    options = lj.AttentionConfig(normalisation=normalisation)
    exact = network(cloud, attention=options, lift_samples=None, lift_method="frame")
    maps = attention.turned_maps(exact, cloud, ANGLES)
    np.testing.assert_allclose(maps[1:], maps[:1].repeat(2, 0), atol=1e-12)
    random = attention.turned_maps(network(cloud, attention=options), cloud, ANGLES, key, head=0)
    assert np.abs(random[1:] - random[:1]).max() > 1e-4
    assert random.min() >= 0
    if normalisation == "mean":
        np.testing.assert_allclose(random.max((1, 2)), 1)


def test_maps_need_all_keys(cloud):
    model = network(cloud, neighbours=lj.NeighbourConfig("nearest", 4))
    with pytest.raises(ValueError, match="neighbours of method \"all\", got 'nearest'"):
        attention.attention_weights(model, cloud)


# --- pictures ----------------------------------------------------------------------------------


def test_pictures_are_written(cloud, key, tmp_path):
    pictures.examples(tmp_path / "examples.png", clouds=2)
    maps = {"random": attention.turned_maps(network(cloud), cloud, ANGLES, key)}
    coords = np.asarray(attention.turned(cloud, ANGLES).coords)
    mask = np.asarray(cloud.mask)
    pictures.attention_maps(tmp_path / "maps.png", maps, coords, mask, ANGLES)
    for name in ("examples.png", "maps.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    with pytest.raises(ValueError, match=r"maps must have shape \(2, 17, 17\), got \(3, 17, 17\)"):
        pictures.attention_maps(tmp_path / "x.png", maps, coords, mask, ANGLES[:2])
    with pytest.raises(ValueError, match="query must be a point that is there, got 16"):
        pictures.attention_maps(tmp_path / "x.png", maps, coords, mask, ANGLES, query=16)
    assert not (tmp_path / "x.png").exists()
