"""Constellations: what is in them, how they move, what points are told, written as records."""

import itertools
import re
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lie_jax.data.constellations import (
    PATTERNS,
    Constellations,
    constellations,
    feature_count,
    point_set,
)

FIELDS = ("coords", "mask", "counts")
SIZES = np.array([len(corners) for corners in PATTERNS.values()])


def assert_same(a, b):
    for name in FIELDS:
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y, err_msg=name)


def pair_offsets(coords):
    return coords[..., :, None, :] - coords[..., None, :, :]


def pair_distances(coords):
    return np.linalg.norm(pair_offsets(coords), axis=-1)


def cloud_points(clouds):
    return jnp.asarray(clouds.coords, jnp.float64), jnp.asarray(clouds.mask)


@pytest.fixture(scope="module")
def many():
    return constellations()


def test_ten_thousand_clouds_take_less_than_some_seconds(many):
    start = time.process_time()
    assert_same(constellations(10_000, "train", 0), many)
    assert time.process_time() - start < 5


def test_shapes_and_sizes(many):
    assert len(many) == 10_000
    assert many.coords.shape == (10_000, 34, 2)
    assert many.mask.shape == (10_000, 34)
    assert many.counts.shape == (10_000, 4)
    assert [getattr(many, name).dtype for name in FIELDS] == [np.float32, np.bool_, np.int32]
    np.testing.assert_array_equal(many.mask, np.arange(34) < many.sizes[:, None])
    np.testing.assert_array_equal(many.sizes, many.counts @ SIZES)
    assert not many.coords[~many.mask].any()
    assert np.abs(many.coords).max() <= 1
    assert constellations(3, repeats=3).mask.shape == (3, 51)


def test_how_often_patterns_are_there(many):
    for counts in many.counts.T:
        frequencies = np.bincount(counts, minlength=3) / len(counts)
        np.testing.assert_allclose(frequencies, [0.25, 0.5, 0.25], atol=0.02)
    assert many.counts.sum(axis=1).min() == 1
    # Where all are absent by chance, one that is drawn evenly is there after all.
    lonely = constellations(4000, probability=0.0)
    np.testing.assert_array_equal(lonely.counts.sum(axis=1), 1)
    np.testing.assert_allclose(lonely.counts.mean(axis=0), 0.25, atol=0.03)
    np.testing.assert_array_equal(constellations(9, probability=1.0).counts, 2)


def test_places_of_all_patterns_are_scaled_together():
    whole = constellations(50, probability=1.0).coords
    np.testing.assert_allclose(whole.min(axis=(1, 2)), -1, atol=1e-6)
    np.testing.assert_allclose(whole.max(axis=(1, 2)), 1, atol=1e-6)
    assert whole[..., 0].min() == whole[..., 1].min() == -1  # either axis may be the longer one
    assert np.abs(constellations(50).coords).max(axis=(1, 2)).min() < 0.99


def units(coords):
    """Lengths that could be the patterns' unit in a cloud: all their sides are there."""
    sides = np.concatenate(
        [pair_distances(c)[np.triu_indices(len(c), 1)] for c in PATTERNS.values()]
    )
    found = pair_distances(coords)[np.triu_indices(len(coords), 1)]
    candidates = found / np.sqrt(3)  # the side of the triangle
    gaps = np.abs(found - (candidates[:, None] * sides)[..., None]).min(axis=-1)
    return candidates[gaps.max(axis=-1) < 2e-6]


@pytest.mark.parametrize("largest_turn", [0.0, 0.33, 1.0])
def test_patterns_are_what_is_drawn(largest_turn):
    clouds = constellations(20, repeats=1, probability=1.0, noise=0.0, largest_turn=largest_turn)
    sides = np.concatenate([pair_offsets(c).reshape(-1, 2) for c in PATTERNS.values()])
    for coords in clouds.coords.astype(np.float64):
        unit = np.unique(units(coords).round(5))
        assert len(unit) == 1
        assert 2 / 30 < unit[0] < 0.15  # a pattern is about a twelfth of the cloud
        found = pair_offsets(coords).reshape(-1, 1, 2)
        gaps = np.linalg.norm(found - unit[0] * sides, axis=-1).min(axis=0)
        assert (gaps.max() < 1e-4) == (largest_turn == 0.0)
    noisy = constellations(20, repeats=1, probability=1.0, largest_turn=largest_turn)
    assert not any(units(coords).size for coords in noisy.coords.astype(np.float64))


def test_turns_are_limited():
    # Of an L alone, the offset between its ends tells its turn.
    clouds = constellations(2000, probability=0.0, noise=0.0, largest_turn=0.25)
    chosen = clouds.coords[clouds.counts[:, list(PATTERNS).index("L")] == 1][:, :5]
    distances = pair_distances(chosen)
    # The corner of the L is what is as far from the one end as from the other.
    ends = distances.reshape(len(chosen), 25).argmax(axis=-1)
    rows = np.arange(len(chosen))
    corner = np.abs(distances[rows, ends // 5] - distances[rows, ends % 5]).argmin(axis=-1)
    outwards = (chosen - chosen[rows, corner][:, None]).sum(axis=1)
    # (1, 0) and (2, 0) towards (-1, 0), (2, 1) and (2, 2) towards (0, 1): their sum is at 135°.
    angles = np.arctan2(outwards[:, 1], outwards[:, 0]) - 3 * np.pi / 4
    angles = (angles + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(angles).max() < np.pi / 4 + 1e-3
    assert min(angles.max(), -angles.min()) > 0.9 * np.pi / 4


def test_seeds_and_splits():
    first = constellations(20, "train", 3)
    assert_same(first, constellations(20, "train", 3))
    others = [constellations(20, split, 3) for split in ("validation", "test")]
    clouds = [first, *others, constellations(20, "train", 4)]
    seen = {tuple(row) for found in clouds for row in found.coords[:, 0]}
    assert len(seen) == 80


def test_motions_move_the_same_clouds():
    still, moved, turned = (
        constellations(200, "test", 1, motion=motion)
        for motion in ("none", "translation", "rotation_translation")
    )
    for found in (moved, turned):
        np.testing.assert_array_equal(found.mask, still.mask)
        np.testing.assert_array_equal(found.counts, still.counts)
        pairs = still.mask[:, :, None] & still.mask[:, None]
        np.testing.assert_allclose(
            pair_distances(found.coords)[pairs], pair_distances(still.coords)[pairs], atol=2e-6
        )
    steps = (moved.coords - still.coords)[:, 0]
    np.testing.assert_allclose(steps.mean(axis=0), 0, atol=0.25)
    np.testing.assert_allclose(steps.std(axis=0), 1, atol=0.2)
    np.testing.assert_allclose(
        moved.coords, np.where(still.mask[..., None], still.coords + steps[:, None], 0), atol=1e-6
    )
    # Turned by every angle, and not mirrored.
    first, second = ((x.coords[:, 1] - x.coords[:, 0]) @ [1, 1j] for x in (still, turned))
    third, fourth = ((x.coords[:, 2] - x.coords[:, 0]) @ [1, 1j] for x in (still, turned))
    angles = np.angle(second / first)
    np.testing.assert_allclose(np.exp(1j * angles), fourth / third, atol=2e-3)
    assert np.histogram(angles, 6, (-np.pi, np.pi))[0].min() > 10
    far = constellations(200, "test", 1, motion="translation", shift=100.0)
    np.testing.assert_allclose((far.coords - still.coords)[:, 0] / 100, steps, atol=1e-4)


def test_distances_are_sorted_and_filled_up():
    clouds = constellations(6)
    coords, mask = cloud_points(clouds)
    values = np.asarray(point_set(coords, mask).values)
    assert values.shape == (6, 34, feature_count("distances", 34)) == (6, 34, 33)
    for i, size in enumerate(clouds.sizes):
        distances = pair_distances(np.asarray(coords[i, :size]))
        others = distances[~np.eye(size, dtype=bool)].reshape(size, size - 1)
        np.testing.assert_allclose(values[i, :size, : size - 1], -np.sort(-others), atol=1e-12)
        assert not values[i, size:].any()
        assert not values[i, :size, size - 1 :].any()


def test_distances_do_not_depend_on_motion_order_or_padding():
    still, turned = (constellations(6, motion=m) for m in ("none", "rotation_translation"))
    coords, mask = cloud_points(still)
    values = point_set(coords, mask).values
    moved = point_set(*cloud_points(turned)).values
    np.testing.assert_allclose(moved, values, atol=2e-6)
    order = np.random.default_rng(0).permutation(34)
    shuffled = point_set(coords[:, order], mask[:, order]).values
    np.testing.assert_allclose(shuffled, values[:, order], atol=1e-12)
    # What stands at absent points does not count.
    noise = jnp.where(mask[..., None], coords, 7.0)
    np.testing.assert_array_equal(point_set(noise, mask).values, values)
    size = int(still.sizes.max())
    assert size < 34
    cut = point_set(coords[:, :size], mask[:, :size], count=33)
    np.testing.assert_allclose(cut.values, values[:, :size], atol=1e-12)
    assert cut.values.shape == (6, size, 33)


def test_constant_features():
    coords, mask = cloud_points(constellations(6))
    points = point_set(coords, mask, "constant")
    np.testing.assert_array_equal(points.values, np.asarray(mask)[..., None])
    assert points.values.dtype == coords.dtype
    assert feature_count("constant", 34) == 1


def test_gradients_are_finite_and_right():
    coords, mask = cloud_points(constellations(2))
    coords = coords.at[:, 1].set(coords[:, 0])  # coinciding, as are the absent points at 0
    weights = jax.random.normal(jax.random.key(0), (2, 34, 33))

    def total(coords):
        return jnp.sum(weights * point_set(coords, mask).values)

    gradient = jax.jit(jax.grad(total))(coords)
    total = jax.jit(total)
    assert jnp.isfinite(gradient).all()
    assert not gradient[~mask].any()
    for i, axis in itertools.product((3, 4), (0, 1)):
        step = jnp.zeros_like(coords).at[0, i, axis].set(1e-6)
        slope = (total(coords + step) - total(coords - step)) / 2e-6
        np.testing.assert_allclose(gradient[0, i, axis], slope, rtol=1e-5, atol=1e-7)


def test_the_builder_writes_and_reads_without_tensorflow(tmp_path):
    from lie_jax.data.constellations.builder import ConstellationClouds, ConstellationsConfig

    ready = ConstellationClouds.builder_configs
    motions = {"D": "none", "D_T2": "translation", "D_SE2": "rotation_translation"}
    assert {name: config.motion for name, config in ready.items()} == motions
    assert {(c.train, c.validation, c.test, c.seed) for c in ready.values()} == {
        (10_000, 1_000, 1_000, 0)
    }
    # Every number that is not the default must arrive.
    numbers = {
        "motion": "rotation_translation", "repeats": 1, "probability": 0.7, "noise": 0.2,
        "largest_turn": 0.5, "shift": 2.0,
    }  # fmt: skip
    config = ConstellationsConfig(name="small", train=12, validation=3, test=0, seed=4, **numbers)
    builder = ConstellationClouds(config=config, data_dir=str(tmp_path))
    builder.download_and_prepare()
    assert builder.info.file_format.value == "array_record"
    assert sorted(builder.info.splits) == ["train", "validation"]
    for split, count in (("train", 12), ("validation", 3)):
        examples: list = list(builder.as_data_source(split))
        stacked = Constellations(*(np.stack([x[name] for x in examples]) for name in FIELDS))
        assert_same(stacked, constellations(count, split, 4, **numbers))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "all"}, "split must be one of ('train', 'validation', 'test'), got 'all'"),
        ({"motion": "SE2"}, "motion must be one of ('none', 'translation', 'rotation_translati"),
        ({"count": 0}, "count must be a whole number, at least 1, got 0"),
        ({"count": 2.0}, "count must be a whole number, at least 1, got 2.0"),
        ({"seed": -1}, "seed must be a whole number, at least 0, got -1"),
        ({"repeats": True}, "repeats must be a whole number, at least 1, got True"),
        ({"probability": 1.5}, "probability must be in [0, 1], got 1.5"),
        ({"noise": -0.1}, "noise must be finite and not negative, got -0.1"),
        ({"largest_turn": 2}, "largest_turn must be in [0, 1], got 2"),
        ({"shift": np.inf}, "shift must be finite and not negative, got inf"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=re.escape(f"constellations: {message}")):
        constellations(**arguments)


def test_feature_errors():
    coords, mask = cloud_points(constellations(2))
    with pytest.raises(ValueError, match=r"point_set: features must be one of .* got 'angles'"):
        point_set(coords, mask, "angles")  # pyright: ignore
    with pytest.raises(ValueError, match="point_set: count must be at least 33, got 32"):
        point_set(coords, mask, count=32)
