"""The benchmark runs, says what it promises to say, and names what is wrong."""

import importlib
import json
import sys

import numpy as np
import pytest

from benchmarks import _molecules, _published, train_step
from benchmarks._protocol import Worker, WorkerError

KEYS = {"examples_per_second", "seconds_per_step", "peak_mib", "compile_seconds"}


def some_molecules(count):
    rng = np.random.default_rng(0)
    size = rng.integers(3, 10, count)
    real = np.arange(29) < size[:, None]
    charges = np.where(real, rng.choice([1, 6, 7, 8, 9], (count, 29)), 0).astype(np.uint8)
    positions = np.where(real[..., None], rng.normal(size=(count, 29, 3)), 0).astype(np.float32)
    return {
        "charges": charges,
        "positions": positions,
        "targets": rng.normal(size=count).astype(np.float32),
    }


@pytest.fixture
def _molecules_at_hand(monkeypatch):
    monkeypatch.setattr(_molecules, "sample", some_molecules)


def folder_with(path, *packages, source=""):
    for package in packages:
        (path / package).mkdir(parents=True)
        (path / package / "__init__.py").write_text(source)
    return path


@pytest.mark.usefixtures("_molecules_at_hand")
@pytest.mark.parametrize(
    ("case", "examples"),
    [
        ("tiny", "molecules/s"),
        pytest.param("tiny-lieconv", "molecules/s", marks=pytest.mark.slow),
        pytest.param("tiny-springs", "systems/s", marks=pytest.mark.slow),
        pytest.param("tiny-shapes", "clouds/s", marks=pytest.mark.slow),
    ],
)
def test_json(case, examples, capsys):
    assert train_step.main(["--case", case, "--rounds", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) >= KEYS
    assert all(report[key] > 0 for key in KEYS)
    assert report["case"] == case
    assert "reference" not in report
    batch = report["details"]["batch"]
    assert report["examples_per_second"] * report["seconds_per_step"] == pytest.approx(batch)
    assert examples in train_step.table(report)


class FakeWorker:
    """Stands in for a process; the reference takes 2 s a step, or 1 s with a tuned allocator."""

    prepare_seconds, parameters = 1.0, 10

    def __init__(self, name, _command, _log, environment=None):
        self.name, self.seconds = name, 0.5
        if "reference" in name:
            self.seconds = 1.0 if environment else 2.0

    def round(self):
        return {"seconds": 4 * self.seconds, "steps": 4, "peak_mib": 100.0}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.mark.usefixtures("_molecules_at_hand")
def test_reference_is_its_best_allocator(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(train_step, "Worker", FakeWorker)
    folder_with(tmp_path / "code", "eqv_transformer")
    folder_with(tmp_path / "beside", "lie_conv")
    arguments = ["--case", "t3-128", "--rounds", "1", "--reference", str(tmp_path / "code")]
    assert train_step.main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["reference"]) >= KEYS
    assert report["reference"]["allocator"] == "tuned"
    assert report["speedup"] == pytest.approx(2)
    assert train_step.main(arguments) == 0
    assert "2.00x" in capsys.readouterr().out
    for case, padded in (
        ("tiny", "29 atoms"),
        ("tiny-lieconv", "29 atoms"),
        ("tiny-shapes", "34 points"),
    ):
        assert train_step.main(["--case", case, *arguments[2:]]) == 0
        assert f"PyTorch padded to {padded};" in capsys.readouterr().out
    monkeypatch.setattr(FakeWorker, "parameters", property(lambda self: len(self.name)))
    assert train_step.main(arguments) == 1
    assert "networks must be the same" in capsys.readouterr().err


def test_bad_arguments_are_named(capsys, tmp_path):
    with pytest.raises(SystemExit):
        train_step.main(["--case", "t3-129"])
    assert "t3-128" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        train_step.main(["--rounds", "0"])
    assert "--rounds: must be at least 1, got 0" in capsys.readouterr().err
    assert train_step.main(["--reference", str(tmp_path / "nowhere")]) == 1
    assert "nowhere must be a folder" in capsys.readouterr().err
    folder_with(tmp_path / "some" / "code", "eqv_transformer")
    assert train_step.main(["--reference", str(tmp_path / "some")]) == 1
    assert "must hold the published package eqv_transformer" in capsys.readouterr().err
    assert train_step.main(["--reference", str(tmp_path / "some" / "code")]) == 1
    assert "must hold the published package lie_conv" in capsys.readouterr().err


def test_a_process_that_ends_is_reported(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no torch here')"]
    with pytest.raises(WorkerError, match=r"the reference process ended with 1:\nno torch here"):
        Worker("reference", command, tmp_path / "log")


def test_published_code_is_repaired_and_its_extras_stubbed(tmp_path, monkeypatch):
    source = (
        "from oil.utils.utils import Eval\nimport forge\n\ndef pair(a):\n    return max((*a))\n"
    )
    folder_with(tmp_path, "lie_conv", source=source)
    monkeypatch.setattr(
        sys,
        "meta_path",
        [
            _published.ReferenceFinder([tmp_path]),
            *sys.meta_path,
            _published.StubFinder(),
        ],
    )
    before = set(sys.modules)
    try:
        assert importlib.import_module("lie_conv").pair([1, 2]) == 2
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]
    assert (tmp_path / "lie_conv" / "__init__.py").read_text() == source
