"""The spring experiment from end to end, on a handful of systems."""

import dataclasses
import json
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.__main__ import main
from experiments.springs.models import build
from experiments.springs.recipe import PRESETS, ModelName, Recipe
from experiments.springs.run import DT, SYSTEM, Chunks, RandomBatches, Run, load
from lie_jax import dynamics, training

TINY = {
    "train_size": 6, "steps": 4, "batch_size": 4, "width": 8, "layers": 1, "evaluate_every": 2,
    "validation_size": 4, "test_size": 4, "rollout_systems": 3, "rollout_length": 25,
}  # fmt: skip
FLAGS = [x for k, v in TINY.items() for x in (f"--{k.replace('_', '-')}", str(v))]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(**changes):
    return Recipe(preset="quick", **(TINY | changes))


def test_train_report_and_files(here, capsys):
    assert main(["train", "springs", "--preset", "quick", *FLAGS]) == 0
    (run,) = (here / "runs" / "springs").iterdir()
    result = json.loads((run / "test.json").read_text())
    assert result["step"] == 4
    assert result["test_systems"] == 4
    assert 0 < result["mse"] < 10
    assert {"mse_at_step_20", "energy_drift", "mse_if_nothing_moved"} <= set(result)
    for name in ("rollout.png", "learning_curve.png", "rollout.gif", "metrics.jsonl"):
        assert (run / name).stat().st_size > 0
    capsys.readouterr()
    assert main(["report", "springs", str(run)]) == 0
    assert "4 test systems" in capsys.readouterr().out
    assert main(["resume", "springs", str(run)]) == 0  # finished: shown again, not trained
    assert main(["drift", "springs", str(run), "--steps", "30", "--systems", "2"]) == 0
    largest = json.loads((run / "drift.json").read_text())["largest"]
    assert all(0 < value < 1 for value in largest.values())
    assert (run / "drift.png").stat().st_size > 0


# Of the loop that all experiments share; tests/training has it too.
@pytest.mark.slow
def test_resumed_run_is_the_uninterrupted_one(here):
    whole = Run(recipe(), training.RunFolder.create(here, "springs", "whole", recipe()))
    whole.train()
    folder = training.RunFolder.create(here, "springs", "stopped", recipe())
    Run(recipe(), folder).train(stop_after=3)
    resumed = Run(recipe(), folder)
    resumed.train()
    jax.tree.map(np.testing.assert_array_equal, whole.state.params, resumed.state.params)
    assert [r["step"] for r in whole.folder.log.read()] == [2, 2, 4, 4]


# Models of which another has the code already.
_REPEATED = {"lietransformer-SO2", "lietransformer-trivial", "lietransformer-T2", "hogn", "hfc"}
_MODELS = [
    pytest.param(name, marks=pytest.mark.slow if name in _REPEATED else ())
    for name in get_args(ModelName)
]


@pytest.mark.parametrize("model", _MODELS)
@pytest.mark.no_cover
def test_every_model_takes_a_step(model, here):
    choice = recipe(model=model, steps=1, evaluate_every=1, warmup=0)
    run = Run(choice, training.RunFolder.create(here, "springs", model, choice))
    before = jax.tree.map(np.asarray, run.state.params)
    run.train()
    after = run.state.params
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(after))
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (before, after)), strict=True))


def test_published_sizes():
    def parameters(model, **options):
        weights = build(Recipe(preset="full", model=model, **options)).weights
        return sum(x.size for x in jax.tree.leaves(weights))

    assert parameters("lietransformer-T2", readout="cloud") == 841_641
    assert parameters("lietransformer-SE2") < 140_000
    assert parameters("lieconv-T2") == 895_297


def test_study_goes_on_where_it_stopped(here, capsys):
    flags = ["--models", "fc", "--preset", "quick", "--steps", "2", "--width", "8", "--layers", "1"]
    small = {"validation_size": 4, "test_size": 4, "rollout_systems": 3, "rollout_length": 25}
    with pytest.MonkeyPatch.context() as patch:
        tiny = dataclasses.replace(PRESETS["quick"], **small, solver="rk38")
        patch.setitem(PRESETS, "quick", tiny)
        assert main(["study", "springs", *flags, "--sizes", "4"]) == 0
        first = next((here / "runs" / "springs-study").glob("*/test.json"))
        written = first.stat().st_mtime_ns
        assert main(["study", "springs", *flags, "--sizes", "4", "5"]) == 0
    assert first.stat().st_mtime_ns == written
    assert len(list((here / "runs" / "springs-study").glob("*/test.json"))) == 2
    assert (here / "runs" / "springs-study" / "data_efficiency.png").stat().st_size > 0
    assert "n = 5" in capsys.readouterr().out


def test_batches_do_not_repeat_a_system_and_depend_on_seed_and_epoch():
    batches = RandomBatches(10, 4, 3, 0)
    found = [b.tolist() for b in batches.epoch(1)]
    assert len(found) == len(batches) == 3
    assert all(len(set(b)) == 4 for b in found)
    assert found == [b.tolist() for b in batches.epoch(1)]
    assert found != [b.tolist() for b in batches.epoch(2)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"chunk": 1}, "chunk must be at least 2, got 1"),
        ({"weight_decay": -0.1}, "weight_decay must not be negative, got -0.1"),
        ({"model": "fc", "solver": "leapfrog"}, "solver must be rk38 for fc"),
        ({"rollout_systems": 9}, "rollout_systems must be at most test_size, 4, got 9"),
    ],
)
def test_bad_recipes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        recipe(**change)


def test_a_run_that_blows_up_says_when_and_keeps_the_last_good_checkpoint(here, capsys):
    """Warmed up from 0, the rate of step 1 is 0 and that of step 2 is 1e28."""
    flags = [*FLAGS, "--learning-rate", "1e30", "--clip", "None", "--evaluate-every", "1"]
    assert main(["train", "springs", "--preset", "quick", *flags]) == 1
    error = capsys.readouterr().err
    assert "validation_mse must be finite, got nan" in error
    assert "at step 2; the last checkpoint is from before it" in error
    (run,) = (here / "runs" / "springs").iterdir()
    assert not (run / "test.json").exists()
    checkpoints = training.Checkpoints(run / "checkpoints")
    assert checkpoints.steps == [1]
    checkpoints.close()
    for command in ("report", "drift"):
        assert main([command, "springs", str(run)]) == 1
        assert "is not finished" in capsys.readouterr().err


def test_leapfrog_costs_less_accuracy_than_few_systems_do():
    """With the true energy; published networks reach 2.4e-5 with n = 100, 5.7e-6 with 1,000."""
    chunks = Chunks.of(load(Recipe(preset="full"), "test", 500, chunk=5))
    ts = DT * jnp.arange(5)
    start = (chunks.q[:, 0], chunks.p[:, 0])
    found = dynamics.rollout(SYSTEM.hamiltonian, start, ts, chunks.particles)
    assert 1e-6 < jnp.mean(dynamics.rollout_error(found, (chunks.q, chunks.p))) < 3e-6
