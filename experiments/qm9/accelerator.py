"""``accelerator qm9``: throughput at the published sizes, then training, in one bounded piece.

Given an accelerator for some minutes it measures molecules per second of the rows of the table,
each in float32 and bfloat16, then trains the rows and properties that are asked for until its
time is up. What is finished or begun lies in --out as one archive per run (weights, optimiser,
log, test errors), from which the next piece goes on, there or elsewhere.
"""

import dataclasses
import io
import json
import statistics
import tarfile
import time
from pathlib import Path
from typing import Literal

import jax
import tyro

from experiments import grid
from experiments.qm9.commands import QM9
from experiments.qm9.recipe import TargetName
from experiments.qm9.run import Run, Task
from experiments.qm9.study import ROOT, RowName, Study
from lie_jax import training

LARGEST_ARCHIVE = 16 * 2**20
"""Bytes; what may travel back from a lent machine as one file."""
PRECISIONS: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """One piece of work on an accelerator."""

    out: Path
    """Folder for throughput.json and the runs' archives; archives that lie there are gone on
    with."""
    max_minutes: float = 9.0
    """Time of the piece, throughput included."""
    throughput_rows: tuple[RowName, ...] = (
        "lietransformer-T3-aug", "lietransformer-SE3", "lieconv-T3", "distances",
    )  # fmt: skip
    """Rows whose speed is measured; none skips it."""
    lifts: int = 4
    """Lifts per atom of the SE3 transformer whose speed is measured."""
    steps: int = 100
    """Updates of a measurement; three are taken."""
    rows: tuple[RowName, ...] = ("distances",)
    """Rows to train."""
    targets: tuple[TargetName, ...] = ("all",)
    """Properties to train."""
    seeds: tuple[int, ...] = (0,)
    """Of the runs."""
    epochs: int | None = None
    """None takes the row's."""
    train_size: int | None = None
    """None takes all molecules; of the measurement too."""
    width: int | None = None
    """None takes the row's; a small one tries the script out."""
    layers: int | None = None
    """None takes the row's."""
    root: Path = ROOT
    """Folder of the study that the runs belong to."""

    @property
    def study(self) -> Study:
        """The runs."""
        return Study(
            rows=self.rows, targets=self.targets, seeds=self.seeds, epochs=self.epochs,
            train_size=self.train_size, width=self.width, layers=self.layers, root=self.root,
        )  # fmt: skip


def accelerator(arguments: list[str]) -> None:
    """Measures, then trains."""
    choice = tyro.cli(
        Accelerator,
        args=arguments,
        prog="python -m experiments accelerator qm9",
        description=__doc__,
    )
    deadline = time.monotonic() + 60 * choice.max_minutes
    choice.out.mkdir(parents=True, exist_ok=True)
    print(jax.__version__, jax.devices(), flush=True)
    if choice.throughput_rows:
        measured = throughput(choice, deadline)
        (choice.out / "throughput.json").write_text(json.dumps(measured, indent=2) + "\n")
    unpack(choice.out, choice.root)
    runs = choice.study.runs
    grid.finish(QM9, choice.root, runs, deadline=deadline)
    for name in runs:
        if (choice.root / name).is_dir():
            print(f"packed {pack(choice.root / name, choice.out)}", flush=True)


def throughput(choice: Accelerator, deadline: float) -> list[dict[str, object]]:
    """Molecules per second of training, warm, medians of three; stops at half of the time."""
    stop = time.monotonic() + (deadline - time.monotonic()) / 2
    found: list[dict[str, object]] = []
    for row in choice.throughput_rows:
        for precision in PRECISIONS:
            if time.monotonic() > stop:
                return found
            found.append(_speed(choice, row, precision))
            print(json.dumps(found[-1]), flush=True)
    return found


def _speed(choice: Accelerator, row: str, precision: str) -> dict[str, object]:
    base = choice.study.recipe(row, "homo", 0)
    lifts = choice.lifts if row.startswith("lietransformer-SE3") else base.lift_samples
    recipe = dataclasses.replace(
        base, precision=precision, lift_samples=lifts, epochs=1, validation_size=1
    )
    run = Run(Task.load(recipe), training.RunFolder(choice.out))
    scan = run.step
    data = run.task.arrays("train")
    batches = run.batches.epoch(0)[: choice.steps]
    stacked = jax.device_put(training.stack_batches(batches))
    started = time.monotonic()
    state, metrics = scan(run.state, data, stacked, 0, 0, run.key)  # compiles
    jax.block_until_ready(metrics)
    compiled = time.monotonic() - started
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        state, metrics = scan(state, data, stacked, 0, len(batches), run.key)
        jax.block_until_ready(metrics)
        seconds.append(time.monotonic() - started)
    molecules = sum(int(batch.mask.sum()) for batch in batches)
    return {
        "row": row,
        "width": recipe.width,
        "layers": recipe.layers,
        "lifts": lifts,
        "batch": recipe.batch_size,
        "precision": precision,
        "molecules_per_second": molecules / statistics.median(seconds),
        "compile_seconds": compiled,
        "loss": float(metrics["loss"][len(batches) - 1]),
        "device": str(jax.devices()[0].device_kind),
    }


def pack(folder: Path, out: Path) -> Path:
    """One archive of a run's folder, with its last checkpoint if that is small enough.

    A checkpoint that is not stays where it is, which is said: the log and the test's errors do
    not depend on it.
    """
    steps = [int(p.name) for p in (folder / "checkpoints").glob("*") if p.name.isdecimal()]
    content = _archive(folder, str(max(steps)) if steps else None)
    if len(content) > LARGEST_ARCHIVE:
        print(
            f"accelerator qm9: the checkpoint of {folder.name} stays in {folder}, with it the "
            f"archive would have {len(content):,} bytes, more than {LARGEST_ARCHIVE:,}"
        )
        content = _archive(folder, None)
    path = out / f"{folder.name}.tar.gz"
    path.write_bytes(content)
    return path


def _archive(folder: Path, checkpoint: str | None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".png"):
            inside = path.relative_to(folder).parts
            if inside[0] != "checkpoints" or inside[1:2] == (checkpoint,):
                tar.add(path, arcname=str(Path(folder.name, *inside)))
    return buffer.getvalue()


def unpack(source: Path, root: Path) -> None:
    """Puts the runs of archives into a study's folder, unless they are there already."""
    for path in sorted(source.glob("*.tar.gz")):
        if not (root / path.name.removesuffix(".tar.gz")).exists():
            root.mkdir(parents=True, exist_ok=True)
            with tarfile.open(path) as tar:
                tar.extractall(root, filter="data")
