"""Grids of runs: each in a folder that is found again, so that a study may stop and grow."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.experiment import Experiment
from lie_jax import training


def finish(experiment: Experiment, root: Path, runs: Mapping[str, Any]) -> None:
    """Does what is not finished of some runs, one after the other, without their pictures.

    Args:
        experiment: of all runs.
        root: folder of the study.
        runs: recipes, by the names of their folders.

    Raises:
        ValueError: a folder holds a run of another recipe.
    """
    for name, recipe in runs.items():
        folder = _folder(experiment, root / name, recipe)
        if folder.read("test") is None:
            try:
                experiment.finish(folder, recipe, show=False)
            except FloatingPointError as error:
                # The others go on; the table shows the run as missing, the next call tries again.
                print(f"study {experiment.name}: {folder.path}: {error}")


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
