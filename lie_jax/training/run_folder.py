"""The folder of a run: what was run, with what, and what came out."""

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

from lie_jax.training.metrics import MetricsLog

_PACKAGES = ("lie_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "qm9pack")


class RunFolder:
    """``<root>/<recipe>/<id>/`` with config.json, environment.json, metrics.jsonl, checkpoints/.

    Args:
        path: the folder.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @classmethod
    def create(cls, root: str | Path, recipe: str, name: str, config: Any) -> "RunFolder":
        """A new folder; the id is ``name`` with the time of day.

        Args:
            root: usually ``runs``.
            recipe: which experiment.
            name: tells runs apart by eye.
            config: a dataclass of plain values.
        """
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]
        run = cls(Path(root) / recipe / f"{name}-{stamp}")
        run.path.mkdir(parents=True)
        run.write("config", dataclasses.asdict(config))
        run.write("environment", environment())
        return run

    def config(self) -> dict[str, Any]:
        """What config.json holds.

        Raises:
            FileNotFoundError: the folder is not that of a run.
        """
        path = self.path / "config.json"
        if not path.is_file():
            raise FileNotFoundError(f"RunFolder: {self.path} holds no run, config.json is missing")
        return json.loads(path.read_text())

    @property
    def log(self) -> MetricsLog:
        """metrics.jsonl."""
        return MetricsLog(self.path / "metrics.jsonl")

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    def write(self, name: str, content: object) -> None:
        """Writes ``<name>.json``, whole or not at all."""
        path = self.path / f"{name}.json"
        # Replaced in one go: what a run killed meanwhile leaves must be readable.
        new = path.with_suffix(".new")
        new.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        new.replace(path)

    def read(self, name: str) -> Any | None:
        """What ``<name>.json`` holds; None if it is not there."""
        path = self.path / f"{name}.json"
        return json.loads(path.read_text()) if path.is_file() else None


def environment() -> dict[str, Any]:
    """Commit, package versions, machine and devices."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "machine": platform.platform(),
        "hardware": _hardware(),
        "devices": [str(device) for device in jax.devices()],
        "packages": versions,
    }


def _hardware() -> str:
    """The accelerators, or the processor and how many of its cores there are."""
    devices = jax.devices()
    if devices[0].platform != "cpu":
        return f"{len(devices)} x {devices[0].device_kind}"
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} x {names[0] if names else platform.processor() or platform.machine()}"


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
