"""Training throughput on molecules, springs or shapes, alone or beside the published PyTorch code.

python -m benchmarks.train_step --case t3-128 --json
python -m benchmarks.train_step --case t3-128 --reference PATH --reference-python PYTHON
"""

import argparse
import contextlib
import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import _molecules, _shapes, _springs
from benchmarks._cases import (
    CASES,
    LARGEST,
    LARGEST_SHAPES,
    Case,
    Convolutions,
    Molecules,
    Springs,
)
from benchmarks._protocol import Worker, WorkerError

ALLOCATORS = {
    "default": {},
    # glibc hands large blocks back to the system at once and fetches them anew in every step;
    # these settings let it keep them, which is worth up to 4x to PyTorch.
    "tuned": {
        "MALLOC_TOP_PAD_": str(256 * 2**20),
        "MALLOC_TRIM_THRESHOLD_": str(2**33),
        "MALLOC_MMAP_THRESHOLD_": str(2**33),
    },
}

BUSY = 1.0
"""Load of the machine beyond which a comparison deserves a warning."""


def reference_folders(path: str) -> list[Path]:
    """Folders that hold the published packages eqv_transformer and lie_conv.

    Args:
        path: one or more folders, separated as in PATH. lie_conv is also looked for in their
            subfolders and beside them.

    Raises:
        FileNotFoundError: a folder or a package is missing.
    """
    given = [Path(part).expanduser().resolve() for part in path.split(os.pathsep)]
    for folder in given:
        if not folder.is_dir():
            raise FileNotFoundError(f"--reference: {folder} must be a folder, and there is none")
    near = [f for folder in given for f in (*_subfolders(folder), *_subfolders(folder.parent))]
    folders = []
    for package, places in (("eqv_transformer", given), ("lie_conv", given + near)):
        place = next((f for f in places if (f / package / "__init__.py").is_file()), None)
        if place is None:
            raise FileNotFoundError(
                f"--reference: {path} must hold the published package {package}, and it does "
                "not; name several folders with " + repr(os.pathsep) + " between them"
            )
        folders.append(place)
    return folders


def _subfolders(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.is_dir())


def summary(rounds: Sequence[dict], case: Case, prepare_seconds: float) -> dict:
    """Medians over rounds."""
    seconds = statistics.median(r["seconds"] / r["steps"] for r in rounds)
    return {
        "examples_per_second": case.batch / seconds,
        "seconds_per_step": seconds,
        "fastest_seconds_per_step": min(r["seconds"] / r["steps"] for r in rounds),
        "peak_mib": max(r["peak_mib"] for r in rounds),
        "compile_seconds": prepare_seconds,
    }


def measure(name: str, *, rounds: int, folders: Sequence[Path], python: str) -> dict:
    """Runs the case in rounds: ours, theirs, ours, theirs; one at a time.

    Args:
        name: of the case.
        rounds: how many of each; of ours, so many beside each allocator of theirs.
        folders: of the reference; empty without.
        python: interpreter of the reference.
    """
    case = CASES[name]
    load = os.getloadavg()[0]
    if load > BUSY:
        print(
            f"benchmark: the machine is or just was busy (load {load:.1f}); PyTorch suffers from "
            "that more than lie_jax, so the ratio comes out too good",
            file=sys.stderr,
        )
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lie_jax-")))
        data = scratch / "data.npz"
        _write(case, data)
        ours = [sys.executable, "-m", f"benchmarks._ours_{case.examples}", name, data]
        worker = stack.enter_context(Worker("lie_jax", ours, scratch / "ours.log"))
        workers, taken = {"ours": worker}, {"ours": []}
        if not folders:
            taken["ours"] = [worker.round() for _ in range(rounds)]
        # One of the reference's workers at a time: two may not fit into memory.
        for allocator, environment in ALLOCATORS.items() if folders else ():
            module = f"benchmarks._reference_{case.examples}"
            command = [python, "-m", module, name, data, *folders]
            label = f"reference ({allocator} allocator)"
            with Worker(label, command, scratch / f"{allocator}.log", environment) as theirs:
                if theirs.parameters != worker.parameters:
                    raise WorkerError(
                        "benchmark: the networks must be the same, got parameters "
                        f"{worker.parameters} and {theirs.parameters}"
                    )
                workers[allocator], taken[allocator] = theirs, []
                for _ in range(rounds):
                    taken["ours"].append(worker.round())
                    taken[allocator].append(theirs.round())
        results = {
            label: summary(taken[label], case, worker.prepare_seconds)
            for label, worker in workers.items()
        }
    report = {"case": name, **results.pop("ours")}
    report["details"] = {
        "examples": case.examples,
        **dataclasses.asdict(case),
        "parameters": worker.parameters,
        "rounds": rounds,
        "load_before": load,
        "jax": importlib.metadata.version("jax"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "date": datetime.date.today().isoformat(),
    }
    if results:
        best = min(results, key=lambda label: results[label]["seconds_per_step"])
        report["reference"] = {
            **results[best],
            "allocator": best,
            "seconds_per_step_by_allocator": {
                label: result["seconds_per_step"] for label, result in results.items()
            },
        }
        report["speedup"] = report["examples_per_second"] / results[best]["examples_per_second"]
    return report


def _write(case: Case, path: Path) -> None:
    if isinstance(case, Molecules | Convolutions):
        _molecules.write(case, path)
    elif isinstance(case, Springs):
        _springs.write(case, path)
    else:
        _shapes.write(case, path)


def table(report: dict) -> str:
    """The report as text for a terminal."""
    keys = ("examples_per_second", "seconds_per_step", "peak_mib", "compile_seconds")
    heads = (f"{_examples(report)}/s", "s/step", "peak MiB", "warm-up s")
    rows = [("", *heads), ("lie_jax", *(_figure(report[key]) for key in keys))]
    if "reference" in report:
        theirs = report["reference"]
        rows.append((f"PyTorch ({theirs['allocator']})", *(_figure(theirs[key]) for key in keys)))
        ratios = [theirs[key] / report[key] for key in keys]
        rows.append(("ratio", f"{1 / ratios[0]:.2f}x", *(f"{r:.2f}x" for r in ratios[1:])))
    details = report["details"]
    title = (
        f"{report['case']}: batch {details['batch']}, {details['rounds']} rounds, "
        f"{details['machine']}, {details['date']}"
    )
    if "reference" in report:
        padded = {"molecules": f"{LARGEST} atoms", "clouds": f"{LARGEST_SHAPES} points"}
        if _examples(report) in padded:
            title += f"; PyTorch padded to {padded[_examples(report)]}"
        title += "; ratio > 1: lie_jax is better"
    return "\n".join([title, *("".join(f"{cell:>18}" for cell in row) for row in rows)])


def _examples(report: dict) -> str:
    names = {"molecules": "molecules", "springs": "systems", "shapes": "clouds"}
    return names[CASES[report["case"]].examples]


def _figure(value: float) -> str:
    return f"{value:.4f}" if value < 10 else f"{value:.0f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0, or 1 with a message on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train_step", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--case", choices=sorted(CASES), default="t3-128")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each implementation")
    parser.add_argument("--reference", metavar="PATH", help="copy of the published PyTorch code")
    parser.add_argument(
        "--reference-python",
        metavar="PYTHON",
        default=sys.executable,
        help="interpreter with torch, numpy and einops (default: this one)",
    )
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"argument --rounds: must be at least 1, got {options.rounds}")
    try:
        folders = reference_folders(options.reference) if options.reference else []
        report = measure(
            options.case,
            rounds=options.rounds,
            folders=folders,
            python=options.reference_python,
        )
    except (WorkerError, OSError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(report) if options.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
