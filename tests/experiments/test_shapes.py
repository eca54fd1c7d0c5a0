"""Shape counting from end to end, on a handful of clouds."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from experiments.__main__ import main
from experiments.shapes.commands import title
from experiments.shapes.models import build
from experiments.shapes.recipe import PRESETS, Recipe
from experiments.shapes.run import Run, load
from experiments.shapes.study import COLUMNS, PUBLISHED, ROWS, Cell, Study, cells, row_of
from lie_jax import training

TINY = {
    "train_size": 12, "validation_size": 5, "test_size": 6, "epochs": 2, "batch_size": 8,
    "width": 8, "layers": 1, "heads": 2, "buckets": 1,
}  # fmt: skip
FLAGS = [x for k, v in TINY.items() for x in (f"--{k.replace('_', '-')}", str(v))]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(**changes):
    return Recipe(preset="quick", **(TINY | changes))


def new_run(folder, **changes):
    choice = recipe(**changes)
    return Run(choice, training.RunFolder.create(folder, "shapes", title(choice), choice))


def test_train_report_and_files(here, capsys):
    assert main(["train", "shapes", *FLAGS]) == 0
    (run,) = (here / "runs" / "shapes").iterdir()
    result = json.loads((run / "test.json").read_text())
    assert result["step"] == 4
    assert result["test_clouds"] == 6
    # Exactly invariant: the clouds of D, T2 and SE2 are the same but for their motion.
    assert len({*result["accuracy"].values()}) == 1
    names = ("learning_curve.png", "examples.png", "attention.png", "metrics.jsonl")
    assert all((run / name).stat().st_size > 0 for name in names)
    capsys.readouterr()
    assert main(["report", "shapes", str(run)]) == 0
    assert "6 test clouds" in capsys.readouterr().out


def test_resumed_run_is_the_uninterrupted_one(here):
    options = {"model": "set-transformer", "augment": "SE2", "features": "constant"}
    whole = new_run(here, **options)
    whole.train()
    stopped = new_run(here, **options, evaluate_every=2)
    stopped.train(stop_after=3)
    resumed = Run(stopped.recipe, stopped.folder)
    resumed.train()
    jax.tree.map(np.testing.assert_array_equal, whole.state.params, resumed.state.params)
    assert [r["step"] for r in whole.folder.log.read()] == [2, 2, 4, 4]


def test_network_has_the_weights_that_are_tested(here):
    run = new_run(here, model="set-transformer", epochs=1)
    run.train()
    clouds = load(run.recipe, "test", "D", 4)
    points = run.points(clouds, 1)
    assert points.mask.shape == (clouds.sizes[1],)
    network = run.network()
    assert isinstance(network, nnx.Module)
    found = int(jnp.argmax(network(points).reshape(4, 3)[2]))  # pyright: ignore
    assert found == run.predict(run.state.averaged, clouds)[1, 2]


@pytest.mark.parametrize(
    ("changes", "lifts", "embedding", "normalisation"),
    [
        ({"model": "lietransformer-T2"}, "random", "log", "softmax"),
        ({"model": "lietransformer-T2", "features": "constant"}, "random", "log", "mean"),
        ({"model": "lietransformer-SE2"}, "grid", "radial", "mean"),
        ({"model": "lietransformer-C4"}, "all", "log", "softmax"),
        ({**ROWS["SE2-random4"]}, "random", "log", "softmax"),
        ({**ROWS["SE2-frames"], "features": "constant"}, "weighted_frame", "circle", "mean"),
        ({**ROWS["trivial"], "scores": "product"}, "random", "log", "mean"),
    ],
)
def test_networks(changes, lifts, embedding, normalisation):
    model = build(recipe(**changes))
    assert isinstance(model, lj.LieTransformer)
    assert model.config.lift_method == lifts
    assert model.config.pair_embedding == embedding
    assert model.config.attention.normalisation == normalisation
    assert model.config.in_channels == (1 if changes.get("features") == "constant" else 33)


@pytest.mark.parametrize("row", ["T2", "SE2-random2", "SE2-frames", "C4", "trivial"])
@pytest.mark.no_cover
@pytest.mark.slow
def test_every_row_trains(row, here):
    run = new_run(here, **ROWS[row])
    run.train()
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(run.state.params))


def test_study_goes_on_where_it_stopped(here, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "quick", recipe(epochs=1))
        small = {"model": "set-transformer", "features": "constant"}
        patch.setitem(ROWS, "SetTransformer", small)
        flags = ["--rows", "SetTransformer", "--features", "constant", "--seeds", "0"]
        assert main(["study", "shapes", *flags, "--data", "D"]) == 0
        root = here / "runs" / "shapes-study"
        first = next(root.glob("*/test.json"))
        written = first.stat().st_mtime_ns
        assert main(["study", "shapes", *flags, "--data", "D", "D_T2"]) == 0
        assert first.stat().st_mtime_ns == written
        assert len(list(root.glob("*/test.json"))) == 2
        other = ["--data", "D", "--epochs", "2"]
        assert main(["study", "shapes", *flags, *other]) == 1  # a cell of two kinds of runs
        assert "differ in epochs: give another --root" in capsys.readouterr().err
        assert all((root / name).stat().st_size > 0 for name in ("table.png", "examples.png"))
        (line,) = (x for x in (root / "table.md").read_text().splitlines() if "SetT" in x)
    filled = [bool(cell.strip()) for cell in line.split("|")[2:-1]]
    assert filled == [train != "D_SE2" for train, _ in COLUMNS]


def test_rows_are_told_by_their_recipes():
    study = Study(rows=tuple(ROWS), seeds=(0,))  # pyright: ignore
    recipes = study.recipes().values()
    # SetTransformers have one kind of features, and with augmentation only D.
    assert len(recipes) == 2 * 3 * (len(ROWS) - 4) + 3 + 1 + 1 + 3
    assert {row_of(dataclasses.asdict(r)) for r in recipes} == set(ROWS)
    assert row_of(dataclasses.asdict(recipe(lift_samples=3))) is None
    assert all(len(values) == len(COLUMNS) for values in PUBLISHED.values())


def test_cells_are_means_over_seeds():
    def result(seed, accuracy):
        config = dataclasses.asdict(recipe(**ROWS["T2"], seed=seed))
        accuracies = dict.fromkeys(("D", "D_T2", "D_SE2"), accuracy)
        return {"features": "constant", "data": "D", "config": config, "accuracy": accuracies}

    table = cells([result(0, 0.5), result(1, 0.7)], "constant")
    assert list(table) == ["T2"]
    assert str(table["T2"][0]) == "60.0±10.0"
    assert str(table["T2"][3]) == ""
    assert str(Cell((0.5,))) == "50.0"


def test_what_sees_coordinates_alone_stands_in_every_table():
    def result(row, features):
        config = dataclasses.asdict(recipe(**({"features": features} | ROWS[row])))
        accuracies = dict.fromkeys(("D", "D_T2", "D_SE2"), 0.5)
        return {"data": "D", "accuracy": accuracies, "config": config} | {"features": features}

    found = [
        result("SetTransformer", "constant"), result("SetTransformer-distances", "distances"),
        result("SE2", "distances"),
    ]  # fmt: skip
    assert list(cells(found, "constant")) == ["SetTransformer"]
    wanted = ["SetTransformer", "SetTransformer-distances", "SE2"]
    assert list(cells(found, "distances")) == wanted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"zoom": 0.0}, "zoom must be positive, got 0.0"),
        ({"model": "pointnet"}, "model must be one of .*, got pointnet"),
        ({"model": "lietransformer-T2", "lift_samples": 2}, "lift_samples must be left out for"),
    ],
)
def test_bad_recipes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        recipe(**change)
