"""The loop: it learns, resumes bit for bit, compiles once per shape, and refuses NaN."""

import functools
import time

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax import training
from lie_jax.data import Batch, Batches

SIZES = np.array([3, 4, 6] * 8)


def cloud_data(dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(1))
    coords = jax.random.normal(keys[0], (len(SIZES), 6, 3), dtype)
    mask = jnp.arange(6) < SIZES[:, None]
    values = jnp.where(mask[..., None], jax.random.normal(keys[1], (len(SIZES), 6, 2), dtype), 0)
    target = jnp.sum(jnp.where(mask, jnp.linalg.norm(coords, axis=-1), 0), axis=1)[:, None]
    return coords, values, mask, target


def gather(data, batch: Batch):
    coords, values, mask, target = (x[batch.indices] for x in data)
    cut = slice(0, batch.size)
    return lj.PointSet(coords[:, cut], values[:, cut], mask[:, cut]), target


@functools.cache
def machinery(nan_at=None):
    """Model, optimiser and step, made once: compiling them is what takes the time."""
    config = lj.LieTransformerConfig(
        in_channels=2, width=8, layers=1, heads=2, lift_samples=2, block_norm="batch_pre"
    )
    model = lj.LieTransformer(config, group=lj.groups.SE3(), rngs=nnx.Rngs(0))
    apply, params, model_state = lj.functional_with_state(model)

    # Two padded sizes: a third trace would be a compilation that nobody asked for.
    @chex.assert_max_traces(n=2)
    def loss_fn(params, model_state, data, batch, key):
        points, target = gather(data, batch)
        points = training.random_rotation(jax.random.fold_in(key, 1), points)
        y, model_state = apply(params, model_state, points, key=key, train=True)
        loss = training.masked_mean_loss(training.absolute_error(y, target), batch.mask)
        if nan_at is not None:
            loss = jnp.where(jnp.isin(nan_at, batch.indices), jnp.nan, loss)
        return loss, model_state

    optimizer = optax.adam(3e-3)
    step = training.make_train_step(loss_fn, optimizer, ema_decay=0.9)
    return apply, params, model_state, optimizer, step


@pytest.fixture(scope="module", autouse=True)
def _own_machinery():
    """A worker may come back to this module, whose programs are forgotten when it leaves."""
    machinery.cache_clear()


class Setup:
    """A small SE(3) transformer with batch norm: everything that a resume could forget."""

    def __init__(self, *, ema=True, nan_at=None):
        self.apply, params, model_state, optimizer, self.step = machinery(nan_at)
        # Copies, because the step takes the buffers of its state for itself.
        params, model_state = jax.tree.map(jnp.copy, (params, model_state))
        self.data = cloud_data()
        self.state = training.create_state(params, optimizer, model_state=model_state, ema=ema)
        self.batches = Batches(SIZES, 5, (4, 6), seed=0)

    def fit(self, state=None, **kwargs):
        return training.fit(
            self.state if state is None else state,
            step=self.step,
            data=self.data,
            batches=self.batches,
            key=jax.random.key(7),
            **({"epochs": 3} | kwargs),
        )


def without_times(log):
    return [{k: v for k, v in r.items() if "second" not in k} for r in log.read()]


def test_it_learns(tmp_path):
    setup = Setup()
    log = training.MetricsLog(tmp_path / "metrics.jsonl")
    shown = []
    state = setup.fit(
        epochs=30,
        log=log,
        log_every=5,
        evaluate=lambda state: {"step_seen": state.step},
        evaluate_every=10,
        progress=lambda step, total, _: shown.append((step, total)),
    )
    losses = [r["loss"] for r in log.read() if "loss" in r]
    assert losses[-1] < 0.7 * losses[0]
    assert int(state.step) == 150
    assert shown[-1] == (150, 150)
    assert [r["step_seen"] for r in log.read() if "step_seen" in r] == [50, 100, 150]
    leaves = zip(jax.tree.leaves(state.ema), jax.tree.leaves(state.params), strict=True)
    assert any(jnp.any(a != b) for a, b in leaves)


@pytest.mark.parametrize("stop", [1, 5, 8])
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(tmp_path, stop):
    def options(name):
        return {
            "log": training.MetricsLog(tmp_path / f"{name}.jsonl"),
            "log_every": 2,
            "checkpoints": training.Checkpoints(tmp_path / name),
            "checkpoint_every": 4,
            "evaluate": lambda s: {"norm": optax.tree.norm(s.averaged)},
        }

    whole = Setup().fit(**options("whole"))
    Setup().fit(stop_after=stop, **options("parts"))
    second = Setup()
    checkpoints = training.Checkpoints(tmp_path / "parts")
    state = checkpoints.restore(second.state)
    assert int(state.step) == stop
    parts = second.fit(state, **(options("parts") | {"checkpoints": checkpoints}))
    chex.assert_trees_all_equal(whole, parts)
    logs = [training.MetricsLog(tmp_path / f"{name}.jsonl") for name in ("whole", "parts")]
    whole_log, parts_log = map(without_times, logs)
    last = max(r["step"] for r in whole_log)
    assert whole_log[-1] == parts_log[-1]
    assert [r for r in parts_log if r["step"] == last] == [
        r for r in whole_log if r["step"] == last
    ]


def test_a_deadline_stops_with_a_checkpoint_and_the_next_call_goes_on(tmp_path):
    whole = Setup().fit()
    total, done = 3 * len(Setup().batches), []
    while not done or done[-1] < total:
        setup, checkpoints = Setup(), training.Checkpoints(tmp_path / "parts")
        state = checkpoints.restore(setup.state) if checkpoints.steps else None
        state = setup.fit(state, checkpoints=checkpoints, deadline=time.monotonic())
        assert checkpoints.steps[-1] == int(state.step)
        done.append(int(state.step))
        if len(done) == 2:  # enough of single steps
            state = setup.fit(state, checkpoints=checkpoints, deadline=time.monotonic() + 600)
            done.append(int(state.step))
    assert done == [1, 2, total]
    chex.assert_trees_all_equal(whole, state)


class Kill(Exception):
    pass


def kill_at(moment, call=1):
    """A function that does nothing but raise at its ``call``-th call for a step."""
    calls = []

    def watch(step, *_):
        calls.append(int(step))
        if calls.count(moment) == call:
            raise Kill

    return watch


@pytest.mark.parametrize(
    ("moment", "step"),
    [
        ("progress", 3),  # no checkpoint yet
        ("progress", 9),
        ("evaluate", 5),
        ("shown", 5),  # validation is written, the checkpoint is not
        ("save", 10),
        ("saved", 5),  # between two epochs
        ("saved", 8),
        ("saved", 15),  # all is done
    ],
)
def test_a_run_killed_at_any_moment_leaves_the_same_log(tmp_path, moment, step):
    never = kill_at(None)

    class Watched(training.Checkpoints):
        before = after = staticmethod(never)

        def save(self, state):
            self.before(state.step)
            super().save(state)
            self.after(state.step)

    def run(name, moment=None):
        def watch(here):
            return kill_at(step, 2 if here == "shown" else 1) if moment == here else never

        setup = Setup()
        checkpoints = Watched(tmp_path / name)
        checkpoints.before, checkpoints.after = watch("save"), watch("saved")
        evaluating = watch("evaluate")

        def evaluate(state):
            evaluating(state.step)
            return {"norm": optax.tree.norm(state.averaged)}

        log = training.MetricsLog(tmp_path / f"{name}.jsonl")
        state = setup.fit(
            checkpoints.restore(setup.state) if checkpoints.steps else None,
            log=log,
            log_every=2,
            checkpoints=checkpoints,
            checkpoint_every=4,
            evaluate=evaluate,
            progress=watch("shown") if moment == "shown" else watch("progress"),
        )
        return state, without_times(log)

    whole, whole_log = run("whole")
    with pytest.raises(Kill):
        run("parts", moment)
    parts, parts_log = run("parts")
    chex.assert_trees_all_equal(whole, parts)
    assert parts_log == whole_log
    assert [r["step"] for r in whole_log if "norm" in r] == [5, 10, 15]


def test_a_crash_between_checkpoints_is_made_good(tmp_path):
    """The steps after the last checkpoint are made and written again."""
    log = training.MetricsLog(tmp_path / "metrics.jsonl")
    common = {"log": log, "log_every": 1, "checkpoint_every": 2}

    class Crash(Exception):
        pass

    def crash(step, *_):
        if step == 4:
            raise Crash

    first = Setup()
    checkpoints = training.Checkpoints(tmp_path / "c", keep=1)
    with pytest.raises(Crash):
        first.fit(checkpoints=checkpoints, progress=crash, **(common | {"checkpoint_every": 3}))
    assert checkpoints.steps == [3]
    assert [r["step"] for r in log.read()] == [1, 2, 3, 4]
    again = Setup()
    again.fit(checkpoints.restore(again.state), epochs=1, **common)
    assert [r["step"] for r in log.read()] == [1, 2, 3, 4, 5]


def test_nan_stops_the_run_and_leaves_a_good_checkpoint(tmp_path):
    setup = Setup(nan_at=7)
    bad = next(i for i, batch in enumerate(setup.batches.epoch(0)) if 7 in batch.indices.tolist())
    checkpoints = training.Checkpoints(tmp_path / "c")
    with pytest.raises(
        FloatingPointError, match=f"loss must be finite, got nan at step {bad + 1};"
    ):
        setup.fit(checkpoints=checkpoints, checkpoint_every=1)
    assert checkpoints.steps == list(range(max(1, bad - 1), bad + 1))
    state = checkpoints.restore(Setup().state)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(state))


def test_without_average():
    optimizer = optax.sgd(0.1)

    def loss_fn(params, model_state, data, _batch, _key):
        return jnp.sum((params["w"] - data) ** 2), model_state

    step = training.make_train_step(loss_fn, optimizer)
    state = training.create_state({"w": jnp.ones(2)}, optimizer, ema=False)
    state, metrics = step(state, jnp.zeros(2), None, jax.random.key(0))
    assert state.ema == {}
    assert state.averaged is state.params
    np.testing.assert_allclose(state.params["w"], 0.8)
    np.testing.assert_allclose(metrics["grad_norm"], 8**0.5)


def test_the_average_follows_the_parameters():
    optimizer = optax.sgd(0.1)

    def loss_fn(params, model_state, *_):
        return jnp.sum(params), model_state

    step = training.make_train_step(loss_fn, optimizer, ema_decay=0.5)
    state = training.create_state(jnp.zeros(1), optimizer)
    average = 0.0
    for t in range(20):
        state, _ = step(state, None, None, jax.random.key(0))
        decay = min(0.5, (1 + t) / (10 + t))
        average = decay * average + (1 - decay) * -0.1 * (t + 1)
        np.testing.assert_allclose(state.averaged, average, rtol=1e-6)


def test_ema_decay_is_checked():
    with pytest.raises(ValueError, match=r"ema_decay must lie in \[0, 1\)"):
        training.make_train_step(lambda *_: None, optax.sgd(1.0), ema_decay=1.0)  # pyright: ignore


def test_damaged_missing_and_foreign_checkpoints(tmp_path):
    setup = Setup()
    checkpoints = training.Checkpoints(tmp_path / "c")
    with pytest.raises(FileNotFoundError, match="no checkpoint of step None"):
        checkpoints.restore(setup.state)
    checkpoints.save(setup.state)
    checkpoints.save(setup.state)  # the same step again: nothing happens
    with pytest.raises(FileNotFoundError, match=r"no checkpoint of step 3 .* there are \[0\]"):
        checkpoints.restore(setup.state, 3)
    with pytest.raises(training.CheckpointError, match="belongs to another model"):
        checkpoints.restore(Setup(ema=False).state)
    for path in (tmp_path / "c" / "0").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(training.CheckpointError, match="start the run anew"):
        training.Checkpoints(tmp_path / "c").restore(setup.state)


def test_a_damaged_checkpoint_names_the_older_one(tmp_path):
    setup = Setup()
    checkpoints = training.Checkpoints(tmp_path / "c")
    setup.fit(epochs=2, checkpoints=checkpoints)
    for path in (tmp_path / "c" / "10").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    again = training.Checkpoints(tmp_path / "c")
    with pytest.raises(training.CheckpointError, match="resume from step 5"):
        again.restore(Setup().state)
    assert int(again.restore(Setup().state, 5).step) == 5


def test_predict_gives_every_example_once():
    setup = Setup()
    variables = (setup.state.params, setup.state.model_state)

    def apply(variables, data, batch):
        points, _ = gather(data, batch)
        return setup.apply(*variables, points, key=jax.random.key(0))[0]

    batches = Batches(SIZES, 7, (4, 6))
    rows, y = training.predict(apply, variables, setup.data, batches.epoch())
    assert sorted(rows) == list(range(len(SIZES)))
    one = apply(variables, setup.data, Batch(jnp.array([5]), jnp.array([True]), 6))
    np.testing.assert_allclose(y[rows == 5], one, rtol=1e-4, atol=1e-5)

    def broken(*arguments):
        return apply(*arguments).at[0].set(jnp.nan)

    with pytest.raises(FloatingPointError, match="outputs must be finite"):
        training.predict(broken, variables, setup.data, batches.epoch())


def test_mean_absolute_error():
    error = training.mean_absolute_error(np.array([[1.0], [3.0]]), np.array([[0.0], [0.0]]))
    assert error == [2.0]
    with pytest.raises(ValueError, match=r"must have the target's shape \(2,\)"):
        training.mean_absolute_error(np.zeros((2, 1)), np.zeros(2))


def test_losses_do_not_broadcast():
    y = jnp.array([[1.0], [-3.0], [9.0]])
    mask = jnp.array([True, True, False])
    assert training.masked_mean_loss(training.absolute_error(y, 0 * y), mask) == 2.0
    assert training.masked_mean_loss(training.squared_error(y, 0 * y), mask) == 5.0
    assert training.masked_mean_loss(training.squared_error(y, 0 * y), mask & False) == 0.0
    for loss in (training.absolute_error, training.squared_error):
        with pytest.raises(ValueError, match=r"prediction must have the target's shape \(3,\)"):
            loss(y, y[:, 0])
