"""Comparisons of symmetries from end to end, on real and synthetic data and tiny networks."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

import lie_jax as lj
from experiments.__main__ import main
from experiments.compare.settings import Settings
from experiments.compare.spread import largest_change
from experiments.compare.train import Network, Steps, sizes
from experiments.digits.recipe import DIGITS
from experiments.jets.recipe import JETS
from experiments.qm9_lifts.recipe import QM9_LIFTS
from lie_jax.data import Batches

TINY = [
    *("--quick", "--steps", "3", "--train-size", "30", "--test-size", "25", "--batch-size", "10"),
    *("--width", "8", "--layers", "1", "--heads", "2", "--buckets", "1", "--variants"),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compare(here, name, *variants):
    """The folder and the results of a tiny comparison."""
    assert main(["compare", name, *TINY, *variants]) == 0
    (run,) = (here / "runs" / f"compare-{name}").iterdir()
    return run, json.loads((run / "results.json").read_text())


def test_digits(here, capsys):
    run, results = compare(here, "digits", "none", "SO2")
    out = capsys.readouterr().out
    assert "rotated" in out
    assert "…" not in out  # the table fits
    exact, control = results["SO2"], results["none"]
    assert exact["accuracy"]["rotated"] == exact["accuracy"]["upright"]
    assert exact["change"]["rotations"] < 1e-5 < 1e-3 < control["change"]["rotations"]
    assert (run / "digits.png").stat().st_size > 0
    table = (run / "table.md").read_text()
    assert "| SO2 |" in table
    assert "| C8 |" not in table


def test_qm9_lifts(here):
    run, results = compare(here, "qm9-lifts", "T3", "SE3-frame")
    exact, control = (results[name]["spread"]["any rotation"] for name in ("SE3-frame", "T3"))
    assert exact < 1e-3 < control
    assert (run / "qm9-lifts.png").stat().st_size > 0


def test_jets_and_that_what_is_finished_is_not_trained_again(here, monkeypatch, capsys):
    run, before = compare(here, "jets", "T4", "Lorentz-frame")
    assert len(before["T4"]["auc"]) == len(before["T4"]["rapidity"])
    assert before["Lorentz-frame"]["change"]["2"] < 1e-4 < 1e-2 < before["T4"]["change"]["2"]
    kept = {"T4": before["T4"]}
    (run / "results.json").write_text(json.dumps(kept))
    assert main(["report", "jets", str(run)]) == 1
    assert "no results for Lorentz-frame" in capsys.readouterr().err
    trained = []
    train = Network.train

    def spy(network, log, progress):
        trained.append(network.variant.name)
        train(network, log, progress)

    monkeypatch.setattr(Network, "train", spy)
    (run / "jets.png").unlink()
    assert main(["resume", "jets", str(run)]) == 0
    assert trained == ["Lorentz-frame"]
    after = json.loads((run / "results.json").read_text())
    assert after["Lorentz-frame"]["accuracy"] == before["Lorentz-frame"]["accuracy"]
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [record["variant"] for record in records] == ["T4", "Lorentz-frame"]
    (run / "jets.png").unlink()
    assert main(["report", "jets", str(run)]) == 0
    assert (run / "jets.png").exists()
    assert len(trained) == 1
    assert main(["report", "digits", str(run)]) == 1
    assert "must be a run of compare digits" in capsys.readouterr().err


@pytest.mark.parametrize("comparison", [DIGITS, JETS, QM9_LIFTS], ids=lambda c: c.name)
def test_settings_name_known_variants(comparison, capsys):
    names = [variant.name for variant in comparison.variants]
    for settings in (comparison.full, comparison.quick):
        assert [v.name for v in comparison.chosen(settings)] == [
            name for name in names if name in settings.variants
        ]
    assert main(["compare", comparison.name, "--variants", "SO5"]) == 1
    assert f"of {', '.join(names)}, got 'SO5'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"variants": ()}, "at least one, got"),
        ({"variants": ("a", "a")}, "once each"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        Settings(**{"variants": ("a",), "train_size": 1, "test_size": 1, "steps": 1} | change)


def test_frames_are_drawn_in_training_alone():
    variant = next(v for v in QM9_LIFTS.variants if v.name == "SE3-frame")
    config = QM9_LIFTS.quick.network(in_channels=3)
    assert variant.build(config, 0).config.lift_frames == 1
    assert variant.build_for_test(config, 0).config.lift_frames is None


def test_steps_go_on_through_epochs():
    batches = Batches(np.full(5, 3), 2, (3,), seed=0)
    steps = Steps(batches, 7)
    assert len(steps) == len(list(steps.epoch(0))) == 7
    seen = [batch.indices[batch.mask] for batch in steps.epoch(0)]
    assert sorted(np.concatenate(seen[:3])) == sorted(np.concatenate(seen[3:6])) == list(range(5))


def test_largest_change():
    still = np.array([[1.0, -4.0], [2.0, 0.0]])
    assert largest_change(np.stack([still, still]), still) == 0
    assert largest_change(np.stack([still, still + 1]), still) == pytest.approx(1 / 4)


def test_absent_points_come_last():
    mask = np.array([[True, True, False], [True, False, False]])
    points = lj.PointSet(jnp.zeros((2, 3, 1)), jnp.zeros((2, 3, 1)), jnp.asarray(mask))
    assert sizes(points).tolist() == [2, 1]
    with pytest.raises(ValueError, match="real points of a cloud must come first"):
        sizes(dataclasses.replace(points, mask=points.mask[:, ::-1]))
