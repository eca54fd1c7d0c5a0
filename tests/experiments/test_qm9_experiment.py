"""The command line from end to end, on real molecules and a tiny network."""

import json
import re
import shutil
from typing import get_args

import jax
import numpy as np
import pytest

import lie_jax as lj
from experiments.__main__ import _COMMANDS, main
from experiments.qm9.accelerator import LARGEST_ARCHIVE, pack, unpack
from experiments.qm9.baselines import mean_error, ridge, ridge_error
from experiments.qm9.recipe import Recipe
from experiments.qm9.recipes import PRESETS
from experiments.qm9.run import Run, Task
from experiments.qm9.study import SMALL, RowName
from lie_jax import training
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
    assert "network (" in out
    assert "ridge regression on atom counts" in out
    assert "molecules/s" in out
    result = json.loads((run / "test.json").read_text())
    assert result["test_molecules"] == 50
    (errors,) = result["errors"]
    assert errors["target"] == "gap"
    assert errors["unit"] == "meV"
    assert 100 < errors["ridge_mae"] < 3000
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
    assert f"{errors['mae']:.4g}" in capsys.readouterr().out


def test_an_interrupted_run_goes_on(here, monkeypatch, capsys):
    train = Run.train

    class Interrupted(Exception):
        pass

    def interrupted(self, **_):
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
    assert twice["errors"] == once["errors"]  # to the last bit
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
    assert "Property to learn;" in text
    assert main(["report", "qm9", "nowhere"]) == 1
    assert "holds no run" in capsys.readouterr().err
    assert main(["train", "qm9", "--preset", "slow"]) == 1
    assert "--preset must be one of quick, distances, " in capsys.readouterr().err


def test_presets_show_their_own_defaults(capsys):
    for preset in PRESETS:
        with pytest.raises(SystemExit):
            main(["train", "qm9", f"--preset={preset}", "--help"])
        text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
        assert f"(default: {PRESETS[preset].learning_rate})" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"train_size": 200_000}, "at most 100000"),
        ({"train_size": 0}, "train_size must be at least 1"),
        ({"train_frames": 1}, "train_frames needs .*, got 'random' and T3"),
        ({"train_frames": 1, "lift_method": "frame"}, "train_frames needs .* and T3"),
        ({"train_frames": 0, "lift_method": "frame"}, "train_frames must be at least 1, got 0"),
        ({"noise": -1.0}, "noise must not be negative"),
        ({"noise": 0.1, "group": "SE3"}, "noise must be 0 but for the LieTransformer on T3"),
    ],
)
def test_recipes_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        Recipe(preset="quick", target="mu", **change)


def test_baselines():
    counts = np.random.default_rng(0).integers(0, 9, (500, 5)).astype(float)
    target = counts @ np.arange(1.0, 6) + 3
    coefficients, constant = ridge(counts, np.stack([target, 2 * target], axis=1))
    np.testing.assert_allclose(coefficients[:, 1], 2 * np.arange(1, 6), atol=0.01)
    np.testing.assert_allclose(constant, [3, 6], atol=0.1)
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


def test_twelve_properties_in_one_network_and_the_predictor(here, few_molecules):
    options = ["--preset", "distances", "--test-samples", "2", *TINY]
    assert main(["train", "qm9", *options]) == 0
    run = the_run(here)
    result = json.loads((run / "test.json").read_text())
    assert [row["target"] for row in result["errors"]] == list(PRESETS["distances"].targets)
    assert len(result["errors"]) == 12
    log = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert "validation_homo" in log[-1]
    with np.load(run / "test_predictions.npz") as file:
        wanted = file["prediction"]
        # One lift of pairs that are distances: a turned molecule is the same.
        assert np.all(file["spread"] < 1e-3 * np.std(file["target"], axis=0))
    assert main(["export", "qm9", str(run), "--to", "small.npz", "--coverage", "0.5"]) == 0
    rows = qm9.split_rows("cormorant", len(few_molecules))["test"]
    some = few_molecules.take(rows)
    atoms = [(z[z > 0], x[z > 0]) for z, x in zip(some.charges, some.positions, strict=True)]
    found = lj.predict.load("small.npz")(atoms, check=False)
    assert found.names == tuple(PRESETS["distances"].targets)
    scale = np.std(wanted, axis=0)
    np.testing.assert_allclose(found.values / scale, wanted / scale, atol=2e-4)
    assert np.all(found.half_width > 0)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(
            ["--preset", "lieconv-SE3", "--lift-samples", "2", "--neighbours", "5", "--optimizer",
             "muon", "--precision", "bfloat16"], marks=pytest.mark.slow,
        ),
        ["--preset", "lietransformer-T3-aug", "--noise", "0.05", "--optimizer", "schedule_free",
         "--pooling", "by_property", "--atom-references", "--split", "dimenet"],
        ["--preset", "quick", "--group", "SE3", "--lift-method", "frame", "--train-frames", "1"],
    ],
    ids=["lieconv", "noise", "frames"],
)  # fmt: skip
def test_options_of_the_recipes_train(here, options):
    assert main(["train", "qm9", "--target", "U0", *options, *TINY]) == 0
    result = json.loads((the_run(here) / "test.json").read_text())
    assert np.isfinite(result["errors"][0]["mae"])
    log = (the_run(here) / "metrics.jsonl").read_text().splitlines()
    losses = [record["loss"] for record in map(json.loads, log) if "loss" in record]
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("drawn", [None, 1])
def test_frames_are_drawn_in_training_alone(here, drawn):
    recipe = Recipe(
        preset="quick", target="mu", group="SE3", lift_method="frame", train_frames=drawn,
        augment="none", train_size=16, validation_size=16, width=8, layers=1, heads=2,
    )  # fmt: skip
    run = Run(Task.load(recipe), training.RunFolder(here))
    data, batch = run.task.arrays("train"), next(iter(run.batches.epoch(0)))
    state, keys = run.state, jax.random.split(jax.random.key(0))
    loss = jax.jit(lambda key: run.loss(state.params, state.model_state, data, batch, key)[0])
    assert (loss(keys[0]) == loss(keys[1])) == (drawn is None)
    variables = (state.params, state.model_state)
    predict = jax.jit(lambda key: run.predict_batch(variables, data, batch, key))
    np.testing.assert_array_equal(predict(keys[0]), predict(keys[1]))


def test_study_stops_goes_on_and_makes_the_table(here, capsys):
    command = ["study", "qm9", "--rows", "distances", "--targets", "mu", "--scale", "small"]
    command += ["--width", "8", "--layers", "1", "--train-size", "130", "--epochs", "2"]
    command += ["--validation-size", "64"]
    assert main([*command, "--max-minutes", "1e-9"]) == 0
    assert "time is up" in capsys.readouterr().out
    assert main([*command, "--max-minutes", "10"]) == 0
    out = capsys.readouterr().out
    assert "lietransformer-T3, published | 0.179" in out
    assert "**distances, w8, 2 epochs of 130**" in out
    assert main(["table", "qm9", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    (row,) = content["ours"]
    (folder,) = (p for p in (here / "runs" / "qm9-study").iterdir() if p.name != "programs")
    result = json.loads((folder / "test.json").read_text())
    assert row["errors"] == {"mu": result["errors"][0]["mae"]}
    assert row["seeds"] == [0]
    assert row["hours_per_run"] > 0
    assert row["hardware"] != ["not recorded"]
    published = {r["row"]: r["errors"] for r in content["published"]}
    assert published["lieconv-SE3"]["homo"] == 27
    assert "lieconv-SE3-aug" not in published
    # Nothing is trained again.
    before = (folder / "test.json").stat().st_mtime_ns
    assert main(command) == 0
    assert (folder / "test.json").stat().st_mtime_ns == before


def test_rows_of_the_study_are_the_presets():
    assert set(get_args(RowName)) == set(PRESETS)


def test_ablations_make_their_table(here, monkeypatch, capsys):
    few = {"train_size": 64, "validation_size": 30, "epochs": 1, "layers": 1}
    monkeypatch.setattr("experiments.qm9.ablations.SMALL", SMALL | few)
    monkeypatch.setattr("experiments.qm9.ablations.SMALL_WIDTH", {"lietransformer": 8})
    assert main(["ablate", "qm9", "--only", "T3, 8 rotations in tests"]) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("| T3, 8")]
    (run,) = (here / "runs" / "qm9-ablations").iterdir()
    result = json.loads((run / "test.json").read_text())
    assert result["test_samples"] == 8
    assert result["spread"][0] > 0
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1] == "homo (meV)"
    assert cells[3] == f"{result['errors'][0]['mae']:.4g}"
    assert cells[4] == f"{result['spread'][0]:.3g}"
    with pytest.raises(SystemExit):
        main(["ablate", "qm9", "--only", "luck"])
    assert "only must name some of" in capsys.readouterr().err


def test_a_piece_on_an_accelerator_travels(here, capsys):
    command = ["accelerator", "qm9", "--rows", "quick", "--targets", "homo", "--width", "8"]
    command += ["--layers", "1", "--train-size", "64", "--epochs", "1", "--steps", "1"]
    assert main([*command, "--out", "out", "--throughput-rows", "distances"]) == 0
    (first, second) = json.loads((here / "out" / "throughput.json").read_text())
    assert (first["precision"], second["precision"]) == ("float32", "bfloat16")
    assert first["molecules_per_second"] > 0
    (archive,) = (here / "out").glob("*.tar.gz")
    assert archive.stat().st_size < LARGEST_ARCHIVE
    shutil.rmtree(here / "runs")
    capsys.readouterr()
    # Elsewhere, the archive is all there is: the run is finished and not trained again.
    assert main([*command, "--out", "out", "--throughput-rows"]) == 0
    assert "molecules to learn" not in capsys.readouterr().out
    assert main(["table", "qm9"]) == 0
    assert "**quick, w8, 1 epochs of 64**" in capsys.readouterr().out


def test_archives_leave_out_what_is_too_large(here, monkeypatch, capsys):
    folder = here / "run"
    for step in ("3", "12"):
        (folder / "checkpoints" / step).mkdir(parents=True)
        (folder / "checkpoints" / step / "data").write_bytes(bytes(range(256)) * 64)
    (folder / "test.json").write_text("{}")
    pack(folder, here)
    unpack(here, here / "there")
    assert [p.name for p in (here / "there" / "run" / "checkpoints").iterdir()] == ["12"]
    monkeypatch.setattr("experiments.qm9.accelerator.LARGEST_ARCHIVE", 250)
    pack(folder, here)
    assert "the checkpoint of run stays in" in capsys.readouterr().out
    unpack(here, here / "elsewhere")
    assert [p.name for p in (here / "elsewhere" / "run").iterdir()] == ["test.json"]
