"""Grids of runs: each in a folder that is found again, so that a study may stop and grow."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from experiments.experiment import Experiment
from lie_jax import training


def finish(
    experiment: Experiment, root: Path, runs: Mapping[str, Any], *, deadline: float | None = None
) -> None:
    """Does what is not finished of some runs, one after the other, without their pictures.

    Args:
        experiment: of all runs.
        root: folder of the study.
        runs: recipes, by the names of their folders.
        deadline: time of `time.monotonic` at which training stops, with a checkpoint.

    Raises:
        ValueError: a folder holds a run of another recipe.
    """
    for name, recipe in runs.items():
        folder = _folder(experiment, root / name, recipe)
        if folder.read("test") is None:
            if deadline is not None and time.monotonic() > deadline:
                print(f"study {experiment.name}: time is up; the same command goes on")
                return
            try:
                experiment.finish(folder, recipe, show=False, deadline=deadline)
            except FloatingPointError as error:
                # The others go on; the table shows the run as missing, the next call tries again.
                print(f"study {experiment.name}: {folder.path}: {error}")


@contextlib.contextmanager
def kept_programs(folder: Path) -> Iterator[None]:
    """Compiled programs are kept in a folder, and taken from it by runs that need the same."""
    before = jax.config.jax_compilation_cache_dir  # pyright: ignore (made at run time)
    _keep_in(str(folder.resolve()))
    try:
        yield
    finally:
        _keep_in(before)


def _keep_in(folder: str | None) -> None:
    compilation_cache.reset_cache()  # it has opened the folder that was set before
    jax.config.update("jax_compilation_cache_dir", folder)


def _folder(experiment: Experiment, path: Path, recipe: Any) -> training.RunFolder:
    folder = training.RunFolder(path)
    if folder.read("config") is None:
        path.mkdir(parents=True, exist_ok=True)
        folder.write("config", dataclasses.asdict(recipe))
        folder.write("environment", training.environment())
    elif folder.config() != json.loads(json.dumps(dataclasses.asdict(recipe))):
        raise ValueError(
            f"study {experiment.name}: {path} holds a run of other settings; give another --root"
        )
    return folder


def results(experiment: Experiment, root: Path) -> list[dict[str, Any]]:
    """test.json of all finished runs, with their ``config`` and their ``folder``.

    Raises:
        FileNotFoundError: no run is finished.
    """
    found = []
    for path in sorted(root.glob("*/test.json")):
        extra = {"config": training.RunFolder(path.parent).config(), "folder": path.parent}
        found.append(json.loads(path.read_text()) | extra)
    if not found:
        raise FileNotFoundError(f"study {experiment.name}: {root} holds no finished run")
    return found
