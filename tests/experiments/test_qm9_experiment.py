"""The command line from end to end, on real molecules and a tiny network."""

import json
import re

import numpy as np
import pytest

from experiments.__main__ import _COMMANDS, main
from experiments.qm9.baselines import mean_error, ridge_error
from experiments.qm9.recipe import PRESETS, Recipe
from experiments.qm9.run import Run, Task
from lie_jax.data import qm9

TINY = [
    *("--train-size", "64", "--validation-size", "30", "--epochs", "2", "--batch-size", "16"),
    *("--width", "8", "--layers", "1", "--heads", "2", "--buckets", "1"),
]


@pytest.fixture(scope="module")
def few_molecules():
    """The molecules of which the test split has 50 only, so that a test run is short."""
    return qm9.load()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, few_molecules):
    monkeypatch.chdir(tmp_path)
    whole = qm9.split_rows

    def short(config, count):
        rows = whole(config, count)
        return rows | {"test": rows["test"][:50]}

    monkeypatch.setattr("lie_jax.data.qm9.split_rows", short)
    monkeypatch.setattr("lie_jax.data.qm9.load", lambda: few_molecules)
    return tmp_path


def the_run(folder):
    (run,) = (folder / "runs" / "qm9").iterdir()
    return run


def test_train_end_to_end(here, capsys):
    assert main(["train", "qm9", "--preset", "quick", "--target", "gap", *TINY]) == 0
    out = capsys.readouterr().out
    run = the_run(here)
    assert "64 molecules to learn gap" in out
    assert "LieTransformer (" in out
    assert "ridge regression on atom counts" in out
    result = json.loads((run / "test.json").read_text())
    assert result["test_molecules"] == 50
    assert result["unit"] == "meV"
    assert 100 < result["ridge_mae"] < 3000
    assert result["step"] == 8
    for name in ("parity.png", "learning_curve.png", "metrics.jsonl", "environment.json"):
        assert (run / name).stat().st_size > 0
    config = json.loads((run / "config.json").read_text())
    assert Recipe(**config).width == 8
    # A finished run is shown again; the test molecules are not read again.
    (run / "parity.png").unlink()
    assert main(["report", "qm9", str(run)]) == 0
    assert (run / "parity.png").exists()
    before = (run / "test.json").stat().st_mtime_ns
    assert main(["resume", "qm9", str(run)]) == 0
    assert (run / "test.json").stat().st_mtime_ns == before
    assert f"{result['mae']:.4g}" in capsys.readouterr().out


def test_an_interrupted_run_goes_on(here, monkeypatch, capsys):
    train = Run.train

    class Interrupted(Exception):
        pass

    def interrupted(self):
        train(self, stop_after=3)
        raise Interrupted

    options = ["--group", "SE3", "--augment", "SE3", "--ema-decay", "0.9", *TINY]
    assert main(["train", "qm9", *options]) == 0
    whole = the_run(here)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "train", interrupted)
        with pytest.raises(Interrupted):
            main(["train", "qm9", *options])
    (run,) = set((here / "runs" / "qm9").iterdir()) - {whole}
    capsys.readouterr()
    assert main(["report", "qm9", str(run)]) == 1
    assert "is not finished: python -m experiments resume qm9" in capsys.readouterr().err
    assert main(["resume", "qm9", str(run)]) == 0
    once, twice = (json.loads((r / "test.json").read_text()) for r in (whole, run))
    assert twice["step"] == 8
    assert twice["mae"] == once["mae"]  # to the last bit
    once, twice = (
        [json.loads(line) for line in (r / "metrics.jsonl").read_text().splitlines()]
        for r in (whole, run)
    )
    timeless = lambda log: [  # noqa: E731
        {k: v for k, v in entry.items() if "second" not in k}
        for entry in log
        if entry["step"] > 4 or "loss" not in entry  # 3 and 4 have a mean each, not one for both
    ]
    assert timeless(twice) == timeless(once)


def test_an_interruption_is_no_error(monkeypatch, capsys):
    def interrupted(_arguments):
        raise KeyboardInterrupt

    monkeypatch.setitem(_COMMANDS, ("train", "qm9"), interrupted)
    assert main(["train", "qm9"]) == 130
    assert capsys.readouterr().err == "\nexperiments: interrupted\n"


def test_help_and_mistakes(capsys):
    assert main([]) == 0
    assert main(["--help"]) == 0
    assert "train qm9" in capsys.readouterr().out
    assert main(["fly", "qm9"]) == 2
    assert "unknown command 'fly qm9'" in capsys.readouterr().out
    for command in ("train", "resume", "report"):
        with pytest.raises(SystemExit) as stop:
            main([command, "qm9", "--help"])
        assert stop.value.code == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "Property to learn." in text
    assert main(["report", "qm9", "nowhere"]) == 1
    assert "holds no run" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", "qm9", "--preset", "slow"])


def test_presets_show_their_own_defaults(capsys):
    for preset in PRESETS:
        with pytest.raises(SystemExit):
            main(["train", "qm9", f"--preset={preset}", "--help"])
        text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
        assert f"(default: {PRESETS[preset].learning_rate})" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [({"epochs": 0}, "epochs must be at least 1"), ({"train_size": 200_000}, "at most 100000")],
)
def test_recipes_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        Recipe(preset="quick", target="mu", **change)


def test_baselines():
    counts = np.random.default_rng(0).integers(0, 9, (500, 5)).astype(float)
    target = counts @ np.arange(1.0, 6) + 3
    assert ridge_error(counts[:400], target[:400], counts[400:], target[400:]) < 0.01
    assert mean_error(target, np.array([target.mean() + 2])) == pytest.approx(2)


def test_training_never_holds_test_molecules():
    task = Task.load(PRESETS["quick"])
    arrays = task.arrays("train", "validation")
    assert len(arrays.targets) == 22_000
    test = set(task.rows["test"].tolist())
    assert not test & set(task.rows["train"].tolist())
    assert not test & set(task.rows["validation"].tolist())
    np.testing.assert_allclose(arrays.targets[:20_000].mean(), 0, atol=1e-4)
    np.testing.assert_allclose(arrays.targets[:20_000].std(), 1, atol=1e-4)
