"""Spring trajectories: exact, seeded, cut into chunks, kept on disk, written as records."""

import re
import time

import jax
import numpy as np
import pytest

from lie_jax.data import springs
from lie_jax.data.springs import Trajectories, chunks, load_springs, simulate
from lie_jax.data.springs import simulate as simulate_function
from lie_jax.dynamics.systems import Springs

FIELDS = ("ts", "q", "p", "params")


def assert_same(a, b, tolerance=0.0):
    for name in FIELDS:
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance, err_msg=name)


@pytest.fixture(scope="module")
def whole():
    return simulate(30, "train", 1, dtype=np.float64)


def total_energy(found):
    mass, k = np.moveaxis(found.params[:, None].astype(np.float64), -1, 0)
    kinetic = ((found.p**2).sum(-1) / (2 * mass)).sum(-1)
    squares = ((found.q[..., :, None, :] - found.q[..., None, :, :]) ** 2).sum(-1)
    return kinetic + (k[..., :, None] * k[..., None, :] * squares).sum((-1, -2)) / 2


def test_trajectories_are_exact(whole):
    assert whole.q.shape == whole.p.shape == (30, 500, 6, 2)
    assert whole.params.shape == (30, 6, 2)
    np.testing.assert_allclose(whole.ts, np.broadcast_to(0.01 * np.arange(500), (30, 500)))
    energy = total_energy(whole)
    np.testing.assert_allclose(energy, np.broadcast_to(energy[:, :1], energy.shape), rtol=1e-11)
    assert np.abs(whole.p.sum(2)).max() < 1e-10  # the centres of mass rest
    # The differences of the places are what the momenta say, to the fourth order in 0.01.
    speed = whole.p / whole.params[:, None, :, :1]
    q = whole.q
    slope = (8 * (q[:, 3:-1] - q[:, 1:-3]) - (q[:, 4:] - q[:, :-4])) / 0.12
    slow = np.abs(np.diff(speed, axis=1)).max((1, 2, 3)) < 0.1
    assert slow.any()
    np.testing.assert_allclose(slope[slow], speed[slow][:, 2:-2], atol=1e-4)


def test_seeds_and_splits(whole):
    again = simulate(12, "train", 1, dtype=np.float64)
    assert_same(again, whole.take(np.arange(12)), 1e-10)  # more are added to those there are
    others = [("validation", 1), ("test", 1), ("train", 2)]
    seen = {x.tobytes() for x in whole.params}
    for split, seed in others:
        found = simulate(12, split, seed, length=2, dtype=np.float64)
        params = {x.tobytes() for x in found.params}
        assert len(params) == 12
        assert not params & seen
        seen |= params


def test_the_users_jax_keeps_its_precision(whole):
    with jax.enable_x64(False):
        found = simulate(12, "train", 1)
        assert not jax.config.jax_enable_x64
    assert {getattr(found, name).dtype for name in FIELDS} == {np.dtype(np.float32)}
    for name in FIELDS:
        np.testing.assert_allclose(
            getattr(found, name), getattr(whole, name)[:12], rtol=1e-7, atol=1e-9
        )


def test_chunks(whole):
    found = chunks(whole, seed=3)
    assert found.q.shape == (30, 5, 6, 2)
    starts = np.round(found.ts[:, 0] / 0.01).astype(int)
    assert len(set(starts)) > 20
    for i, start in enumerate(starts):
        np.testing.assert_array_equal(found.ts[i], whole.ts[i, start : start + 5])
        np.testing.assert_array_equal(found.q[i], whole.q[i, start : start + 5])
        np.testing.assert_array_equal(found.p[i], whole.p[i, start : start + 5])
    np.testing.assert_array_equal(found.params, whole.params)
    assert_same(found, chunks(whole, 5, seed=3))
    assert (chunks(whole, 5, seed=(3, 1)).ts != found.ts).any()
    assert_same(chunks(whole, 500, seed=0), whole)
    starts = springs.chunk_starts(4000, 10, 5, 0)
    assert set(starts) == set(range(6))
    np.testing.assert_array_equal(springs.chunk_starts(50, 10, 5, 0), starts[:50])


def test_chunks_without_the_whole_trajectories(whole):
    found = simulate(30, "train", 1, chunk=5, dtype=np.float64)
    assert_same(found, chunks(whole, 5, seed=(1, 0)), 1e-10)


def test_the_published_data_centre_momenta_over_systems():
    system = Springs(centre="systems")
    found = simulate(12, system=system, length=2, dt=springs.PUBLISHED_DT)
    np.testing.assert_allclose(found.p[:, 0].mean(0), 0, atol=1e-6)
    assert np.abs(found.p.sum(2)).max() > 0.5
    np.testing.assert_allclose(found.ts[:, 1], 5 / 499)


def test_the_cache(tmp_path, monkeypatch):
    options = {"length": 20, "data_dir": tmp_path}
    first = load_springs(12, **options)
    (path,) = (tmp_path / "springs").iterdir()

    def not_again(*_, **__):
        raise AssertionError("simulated although there is a cache")

    module = __import__(simulate_function.__module__, fromlist=["simulate"])
    with monkeypatch.context() as patch:
        patch.setattr(module, "simulate", not_again)
        assert_same(load_springs(12, **options), first)
        for change in (
            {"split": "test"},
            {"seed": 1},
            {"dt": 0.02},
            {"chunk": 5},
            {"dtype": np.float64},
            {"system": Springs(centre="none")},
        ):
            with pytest.raises(AssertionError, match="simulated although"):
                load_springs(12, **(options | change))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="springs: the cache .* cannot be read"):
        assert_same(load_springs(12, **options), first)
    assert_same(load_springs(12, **options), first)


def test_ten_thousand_systems_take_less_than_a_minute():
    simulate(300, length=100)  # compiled

    def seconds():
        start = time.process_time()
        simulate(300, length=100)
        return time.process_time() - start

    # Of the processor, all threads: 2 cores have 120 in a minute. A 300 x 100th part of it.
    assert min(seconds() for _ in range(2)) * (10_000 / 300) * 5 < 60


def test_trajectories_are_a_pytree(whole):
    device = jax.tree.map(lambda x: x[:2], whole)
    assert isinstance(device, Trajectories)
    assert len(device) == 2


def test_the_builder_writes_and_reads_without_tensorflow(tmp_path):
    from lie_jax.data.springs.builder import SpringsConfig, SpringSystems

    assert sorted(SpringSystems.builder_configs) == ["default", "published"]
    config = SpringsConfig(name="small", train=12, validation=3, test=2, seed=4, length=6)
    builder = SpringSystems(config=config, data_dir=str(tmp_path))
    builder.download_and_prepare()
    assert builder.info.file_format.value == "array_record"
    for split, count in (("train", 12), ("validation", 3), ("test", 2)):
        examples: list = list(builder.as_data_source(split))
        stacked = Trajectories(*(np.stack([x[name] for x in examples]) for name in FIELDS))
        assert_same(stacked, simulate(count, split, 4, length=6))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load_springs(0), "load_springs: count must be a whole number, at least 1, got 0"),
        (lambda: load_springs(1, "all"), "load_springs: split must be one of ('train', 'vali"),  # pyright: ignore
        (lambda: simulate(1, seed=-1), "simulate: seed must be a whole number, at least 0, got -1"),
        (lambda: simulate(1, length=1), "simulate: length must be a whole number, at least 2"),
        (lambda: simulate(1, dt=-0.01), "simulate: dt must be finite and above 0, got -0.01"),
        (lambda: simulate(1, dt=np.nan), "simulate: dt must be finite and above 0, got nan"),
        (lambda: simulate(1, dtype=int), "simulate: dtype must be float32 or float64, got int64"),
        (lambda: simulate(1, length=4, chunk=5), "length must be at least 2 and at most 4"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_chunk_errors(whole):
    with pytest.raises(ValueError, match=r"chunks: length must be at least 2 .* got 501"):
        chunks(whole, 501, seed=0)
    bad = Trajectories(whole.ts, whole.q, whole.p[:, :3], whole.params)
    with pytest.raises(ValueError, match=r"chunks: trajectories must hold ts \(b, t\)"):
        chunks(bad, seed=0)
