"""What a run leaves behind: metrics, configuration, environment; and what it shows meanwhile."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lie_jax import training


def test_metrics_log(tmp_path):
    log = training.MetricsLog(tmp_path / "metrics.jsonl")
    assert log.read() == []
    log.truncate(3)
    log.write(1, loss=jnp.float32(0.5), note="a")
    log.write(2, loss=np.float64(0.25))
    with log.path.open("a") as file:
        file.write('{"step": 3, "lo')  # a crash while writing
    assert log.read() == [{"step": 1, "loss": 0.5, "note": "a"}, {"step": 2, "loss": 0.25}]
    log.truncate(1)
    assert log.read() == [{"step": 1, "loss": 0.5, "note": "a"}]
    with pytest.raises(ValueError, match="values must be finite"):
        log.write(2, loss=float("nan"))


def test_logs_share_a_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    first, second = (training.MetricsLog(path, variant=name) for name in "ab")
    first.write(1, loss=0.5)
    second.write(1, loss=0.25)
    second.write(2, loss=0.125)
    assert [record["loss"] for record in second.read()] == [0.25, 0.125]
    second.truncate(0)
    assert second.read() == []
    assert training.MetricsLog(path).read() == [{"step": 1, "variant": "a", "loss": 0.5}]


def test_run_folder(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Config:
        width: int = 3

    run = training.RunFolder.create(tmp_path, "qm9", "r2", Config())
    assert run.config() == {"width": 3}
    assert run.path.parent == tmp_path / "qm9"
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["packages"]["jax"] == jax.__version__
    assert run.read("test") is None
    run.write("test", {"mae": 1.0})
    assert run.read("test") == {"mae": 1.0}
    assert run.checkpoints == run.path / "checkpoints"
    with pytest.raises(FileNotFoundError, match="holds no run"):
        training.RunFolder(tmp_path).config()


def test_environment_without_git(monkeypatch):
    from lie_jax.training import run_folder

    def missing(*_, **__):
        raise OSError("no git")

    monkeypatch.setattr(run_folder.subprocess, "run", missing)
    monkeypatch.setattr(run_folder, "_PACKAGES", ("not-a-package",))
    environment = run_folder.environment()
    assert environment["commit"] is None
    assert environment["packages"] == {"not-a-package": None}


def test_progress_without_a_terminal(capsys):
    with training.rich_progress("title", {"loss": "loss {:.2f}"}) as show:
        show(1, 2, {})
        show(2, 2, {"loss": 0.5, "other": 1.0})
    assert "title: step 2 of 2  loss 0.50" in capsys.readouterr().out


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    run = training.RunFolder(tmp_path)
    run.write("test", {"mae": 1.0})

    def killed(self, _text):
        self.write_bytes(b'{"mae": ')
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            run.write("test", {"mae": 2.0})
    assert run.read("test") == {"mae": 1.0}
