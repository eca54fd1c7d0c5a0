"""Many updates in one call are the same updates, wherever the calls begin and end."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lie_jax import training
from lie_jax.data import Batch
from lie_jax.training.segments import Segment
from lie_jax.training.window import Window
from tests.training import tiny


@pytest.fixture(scope="module")
def scan():
    # Two padded sizes: a third trace would be a compilation that nobody asked for.
    loss_fn = chex.assert_max_traces(tiny.loss_fn, n=2)
    return training.make_train_scan(loss_fn, tiny.OPTIMIZER, ema_decay=0.9)


@pytest.fixture(scope="module")
def step():
    return training.make_train_step(tiny.loss_fn, tiny.OPTIMIZER, ema_decay=0.9)


class Kill(Exception):
    pass


def test_it_makes_the_updates_of_the_single_step(scan, step, tmp_path):
    found = {}
    for name, how in (("scan", scan), ("step", step)):
        log = training.MetricsLog(tmp_path / name)
        state = tiny.fit(tiny.new_state(), step=how, log=log, log_every=2)
        found[name] = state, tiny.timeless(log)
    assert int(found["scan"][0].step) == 15
    chex.assert_trees_all_close(found["scan"][0], found["step"][0], rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(found["scan"][1], found["step"][1], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-12)


def test_in_float32_too():
    """Also where a default is float64, as in this process: the state keeps its dtypes."""
    scan = training.make_train_scan(tiny.loss_fn, tiny.OPTIMIZER)
    dtype = jnp.float32
    state = tiny.fit(tiny.new_state(dtype), step=scan, data=tiny.data(dtype), epochs=1)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, tiny.new_state(dtype))


def test_only_what_is_asked_for_is_done(scan):
    batches = training.stack_batches(tiny.BATCHES.epoch(0))
    arguments = tiny.data(), batches
    key = jax.random.key(7)
    state, metrics = scan(tiny.new_state(), *arguments, 2, 2, key)
    chex.assert_trees_all_equal(state, tiny.new_state())
    assert not np.any(metrics["loss"])
    state, metrics = scan(tiny.new_state(), *arguments, 1, 3, key)
    assert int(state.step) == 2
    np.testing.assert_array_equal(metrics["loss"] != 0, [False, True, True, False, False])
    with pytest.raises(ValueError, match="start <= stop <= 5, got 3 and 6"):
        scan(state, *arguments, 3, 6, key)


def test_the_loop_is_called_where_something_is_due(scan):
    shown = []
    tiny.fit(
        tiny.new_state(),
        step=scan,
        log_every=3,
        checkpoint_every=4,
        stop_after=13,
        progress=lambda step, *_: shown.append(step),
    )
    assert shown == [3, 4, 5, 6, 8, 9, 10, 12, 13]


@pytest.mark.parametrize(
    ("moment", "step"),
    [("shown", 2), ("evaluate", 5), ("saved", 5), ("save", 8), ("shown", 10), ("saved", 15)],
)
def test_killed_and_resumed_it_ends_the_same(scan, tmp_path, moment, step):
    class Watched(training.Checkpoints):
        watch = staticmethod(lambda *_: None)

        def save(self, state):
            self.watch("save", state.step)
            super().save(state)
            self.watch("saved", state.step)

    def run(name, watch):
        checkpoints = Watched(tmp_path / name)
        checkpoints.watch = watch

        def evaluate(state):
            watch("evaluate", state.step)
            return {"norm": optax.tree.norm(state.averaged)}

        state = tiny.new_state()
        log = training.MetricsLog(tmp_path / f"{name}.jsonl")
        state = tiny.fit(
            checkpoints.restore(state) if checkpoints.steps else state,
            step=scan,
            log=log,
            log_every=2,
            checkpoints=checkpoints,
            checkpoint_every=4,
            evaluate=evaluate,
            progress=lambda now, *_: watch("shown", now),
        )
        return state, tiny.timeless(log)

    def kill(here, now):
        if (here, int(now)) == (moment, step):
            raise Kill

    whole = run("whole", lambda *_: None)
    with pytest.raises(Kill):
        run("parts", kill)
    parts = run("parts", lambda *_: None)
    chex.assert_trees_all_equal(whole[0], parts[0])
    assert whole[1] == parts[1]


def test_where_calls_end_changes_no_bit(scan):
    """Neither the metrics nor the state know in how many calls they were made."""
    states = [
        tiny.fit(tiny.new_state(), step=scan, log_every=every, epochs=2) for every in (1, 3, 50)
    ]
    chex.assert_trees_all_equal(*states)


def test_nan_stops_the_run_before_a_checkpoint(tmp_path):
    def loss_fn(params, model_state, data, batch, key):
        loss, model_state = tiny.loss_fn(params, model_state, data, batch, key)
        return jnp.where(jnp.isin(7, batch.indices), jnp.nan, loss), model_state

    batches = tiny.BATCHES.epoch(0)
    bad = next(i for i, batch in enumerate(batches) if 7 in batch.indices.tolist())
    checkpoints = training.Checkpoints(tmp_path)
    with pytest.raises(FloatingPointError, match=f"loss must be finite, got nan at step {bad + 1}"):
        tiny.fit(
            tiny.new_state(),
            step=training.make_train_scan(loss_fn, tiny.OPTIMIZER),
            checkpoints=checkpoints,
        )
    assert checkpoints.steps == []


def test_batches_are_stacked_by_what_is_static():
    mask = np.array([True, False])
    batches = [Batch(np.array([i, i]), mask, size) for i, size in enumerate((9, 4, 9))]
    stacked = training.stack_batches(batches)
    assert len(stacked) == 3
    assert len(stacked.structures) == 2
    for i, batch in enumerate(batches):
        leaves = [leaf[i] for leaf in stacked.leaves]
        again = jax.tree.unflatten(stacked.structures[stacked.kinds[i]], leaves)
        assert again.size == batch.size
        np.testing.assert_array_equal(again.indices, batch.indices)
    # The order of what is static is that of no epoch: all epochs share a program.
    assert training.stack_batches(batches[::-1]).structures == stacked.structures
    plain = training.stack_batches([np.arange(3), np.arange(3)])
    assert plain.leaves[0].shape == (2, 3)
    with pytest.raises(ValueError, match="batches must not be empty"):
        training.stack_batches([])
    with pytest.raises(ValueError, match="arrays of one shape and dtype"):
        training.stack_batches([np.arange(3), np.arange(2)])


def test_ema_decay_is_checked():
    with pytest.raises(ValueError, match=r"make_train_scan: ema_decay must lie in \[0, 1\)"):
        training.make_train_scan(tiny.loss_fn, tiny.OPTIMIZER, ema_decay=1.0)


def test_examples_are_counted_and_compilation_is_told_apart(scan, step, tmp_path):
    """Of 24 examples in 5 batches of 5 one is padding; both ways know that."""
    for name, how in (("scan", scan), ("step", step)):
        log = training.MetricsLog(tmp_path / name)
        shown = {}
        tiny.fit(
            tiny.new_state(),
            step=how,
            log=log,
            evaluate=lambda _: {},
            progress=lambda _step, _total, latest: shown.update(latest),  # noqa: B023
        )
        records = [r for r in log.read() if "loss" in r]
        for record in records[1:]:
            assert record["examples_per_second"] / record["steps_per_second"] == pytest.approx(4.8)
        assert ["compile_seconds" in record for record in records] == [True, False, False]
        assert shown["examples_per_second"] == records[-1]["examples_per_second"]
    # A batch without a mask has no padding.
    rows = Rows([np.arange(3), np.arange(2, 5)])
    unmasked = training.make_train_scan(lambda p, m, x, i, _: (p * x[i].sum(), m), optax.sgd(0.1))
    state = training.create_state(jnp.ones(()), optax.sgd(0.1))
    log = training.MetricsLog(tmp_path / "rows")
    key = jax.random.key(0)
    training.fit(state, step=unmasked, data=jnp.ones(5), batches=rows, epochs=1, key=key, log=log)
    (record,) = log.read()
    assert record["examples_per_second"] / record["steps_per_second"] == pytest.approx(3)


class Rows(list):
    def epoch(self, _number):
        return self


def test_the_clock_runs_during_updates_only(monkeypatch):
    now = 0.0

    def wait(seconds):
        nonlocal now
        now += seconds

    def segment(seconds, *, steps=1, compiles=False):
        def run(state):
            wait(seconds)
            return state, {"loss": np.arange(4.0)}

        return Segment(run, steps, slice(0, steps), 10 * steps, compiles)

    state = tiny.new_state()
    monkeypatch.setattr("time.perf_counter", lambda: now)
    window = Window(0)
    window.run(segment(2.0), state)
    window.run(segment(60.0, compiles=True), state)
    wait(100)
    window.run(segment(6.0, steps=3), state)
    assert window.close(5) == {
        "loss": 3 / 5,
        "steps_per_second": 4 / 8,
        "examples_per_second": 40 / 8,
        "compile_seconds": 60,
    }
    wait(100)
    window.run(segment(4.0), state)
    assert window.close(6)["steps_per_second"] == 1 / 4
    # Nothing but first calls: their speed, and the record says that they compiled.
    window.run(segment(50.0, compiles=True), state)
    record = window.close(7)
    assert (record["steps_per_second"], record["compile_seconds"]) == (1 / 50, 50)


def test_predictions_are_averaged_over_keys():
    def apply(params, data, batch, key):
        noise = jax.random.normal(key, (len(batch.indices), 2))
        return params * data[batch.indices, None] + noise

    batches = tiny.BATCHES.epoch(0)
    data = jnp.arange(24.0)
    keys = jax.random.split(jax.random.key(0), 64)
    rows, mean, spread = training.average_predictions(apply, jnp.array(2.0), data, batches, keys)
    assert sorted(rows) == list(range(24))
    np.testing.assert_allclose(mean, np.stack([2.0 * rows] * 2, axis=1), atol=0.6)
    np.testing.assert_allclose(spread, 1, atol=0.45)
    one = training.average_predictions(apply, jnp.array(2.0), data, batches, keys[:1])
    two = training.average_predictions(apply, jnp.array(2.0), data, batches, keys[:2])
    assert np.all(one[2] == 0)
    other = 2 * two[1] - one[1]
    np.testing.assert_allclose(two[2], abs(one[1] - other) / 2**0.5)
    with pytest.raises(ValueError, match="keys must not be empty"):
        training.average_predictions(apply, jnp.array(2.0), data, batches, [])
