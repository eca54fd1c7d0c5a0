"""Runs cases of attention, each in a process of its own, and says what came out.

A *row* is a dictionary: the case's name and sizes, the figures, ``details``; or, where there are no
figures, ``failure``, the reason in words.
"""

import contextlib
import dataclasses
import datetime
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks._attention_case import AttentionCase
from benchmarks._attention_counts import count
from benchmarks._protocol import ROOT, Worker, WorkerError
from benchmarks.train_step import ALLOCATORS


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to measure.

    Args:
        rounds: of each implementation.
        budget: seconds. An implementation makes no more rounds at a size once its rounds took so
            long together, and is left out at larger sizes once a step took so long.
        memory_gib: larger sizes are left out where an implementation would need more, and the
            system refuses more to a process on a CPU.
        folders: of the published code; empty without.
        python: its interpreter.
        peaks: of the machine, see `benchmarks._machine`.
    """

    rounds: int = 5
    budget: float = 30.0
    memory_gib: float = 6.0
    folders: Sequence[Path] = ()
    python: str = sys.executable
    peaks: dict[str, float] = dataclasses.field(default_factory=dict)


def machine_peaks() -> dict[str, float]:
    """Peak arithmetic and memory bandwidth, measured in another process."""
    command = [sys.executable, "-m", "benchmarks._machine"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-15:])
        raise WorkerError(f"benchmark: measuring the machine failed:\n{tail}")
    return json.loads(done.stdout)


class _Run:
    """One process: a case with one allocator."""

    def __init__(self, case: AttentionCase, allocator: str, scratch: Path, settings: Settings):
        self.case, self.allocator = case, allocator
        self.rounds: list[dict] = []
        self.failure: str | None = None
        self._facts_file = scratch / f"{case.implementation}-{allocator}.json"
        is_theirs = case.implementation == "pytorch"
        module = "benchmarks._attention_reference" if is_theirs else "benchmarks._attention_ours"
        self._command = [
            settings.python if is_theirs else sys.executable,
            "-m",
            module,
            json.dumps(dataclasses.asdict(case)),
            str(self._facts_file),
            str(settings.memory_gib),
            *(map(str, settings.folders) if is_theirs else ()),
        ]

    def start(self, stack: contextlib.ExitStack) -> None:
        """Builds and compiles."""
        with self._noting_failure():
            log, name = self._facts_file.with_suffix(".log"), self.case.implementation
            environment = ALLOCATORS[self.allocator]
            self.worker = stack.enter_context(Worker(name, self._command, log, environment))

    def round(self, budget: float) -> None:
        """Measures once more unless that took long enough already."""
        if self.failure is None and sum(r["seconds"] for r in self.rounds) <= budget:
            with self._noting_failure():
                self.rounds.append(self.worker.round())

    @contextlib.contextmanager
    def _noting_failure(self):
        try:
            yield
        except (WorkerError, OSError, json.JSONDecodeError) as error:
            self.failure = self.facts.get("failure") or f"failed: {error}"

    @property
    def facts(self) -> dict:
        """What the process wrote beside its rounds."""
        with contextlib.suppress(OSError, json.JSONDecodeError):
            return json.loads(self._facts_file.read_text())
        return {}

    @property
    def seconds(self) -> float:
        """Median over rounds of a round's mean step."""
        return statistics.median(r["seconds"] / r["steps"] for r in self.rounds)


def measure(cases: Sequence[AttentionCase], settings: Settings) -> list[dict]:
    """Runs cases in turn, round by round, the others asleep; a row for each.

    The published code runs with each of `ALLOCATORS`; the faster run counts.

    Raises:
        WorkerError: two implementations have different numbers of parameters.
    """
    load = os.getloadavg()[0]
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lie_jax-")))
        runs = [
            _Run(case, allocator, scratch, settings)
            for case in cases
            for allocator in (ALLOCATORS if case.implementation == "pytorch" else ["default"])
        ]
        for run in runs:
            run.start(stack)
        sizes = {
            run.case.implementation: run.worker.parameters
            for run in runs
            if run.failure is None and run.case.implementation != "floor"
        }
        if len(set(sizes.values())) > 1:
            raise WorkerError(f"benchmark: the layers must be the same, got parameters {sizes}")
        for _ in range(settings.rounds):
            for run in runs:
                run.round(settings.budget)
        return [_row([run for run in runs if run.case is case], load, settings) for case in cases]


def failure_row(case: AttentionCase, reason: str) -> dict:
    """A row without figures."""
    return {
        "implementation": case.implementation,
        "group": case.group,
        "n": case.n,
        "backward": case.backward,
        "seconds": None,
        "failure": reason,
    }


def _row(runs: Sequence[_Run], load: float, settings: Settings) -> dict:
    good = [run for run in runs if run.failure is None]
    if not good:
        return failure_row(runs[0].case, str(runs[0].failure))
    best = min(good, key=lambda run: run.seconds)
    case, facts, counts = best.case, best.facts, count(best.case)
    in_steps = max(r["peak_mib"] for r in best.rounds)
    peak, step = max(in_steps, facts["prepare_peak_mib"]), in_steps - facts["baseline_mib"]
    if facts["device_peak_mib"] is not None:
        peak = step = facts["device_peak_mib"]
    rate = counts.flops / best.seconds / 1e9
    row = failure_row(case, "") | {
        "seconds": best.seconds,
        "fastest_seconds": min(r["seconds"] / r["steps"] for r in best.rounds),
        "peak_mib": peak,
        "step_mib": max(step, 0.0),
        "compile_seconds": best.worker.prepare_seconds,
        "flops": counts.flops,
        "bytes": counts.bytes,
        "gflops_per_second": rate,
        **_shares(rate, counts.bytes / best.seconds / 1e9, settings.peaks),
        "details": {
            **dataclasses.asdict(case),
            **{f"flops_{k}": getattr(counts, k) for k in ("forward", "recomputed", "backward")},
            **settings.peaks,
            **facts,
            "parameters": best.worker.parameters,
            "points": case.points,
            "lifts": case.lifts,
            "dtype": "float32",
            "allocator": best.allocator,
            "rounds": len(best.rounds),
            "steps_per_round": best.rounds[0]["steps"],
            "load_before": load,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "date": datetime.date.today().isoformat(),
        },
    }
    if len(runs) > 1:
        row["details"]["seconds_by_allocator"] = {
            run.allocator: run.failure or run.seconds for run in runs
        }
    del row["failure"]
    return row


def _shares(gflops: float, gbytes: float, peaks: dict[str, float]) -> dict[str, float]:
    """Shares of the peak arithmetic, and of what arithmetic and bandwidth allow together."""
    if not peaks:
        return {}
    arithmetic = gflops / peaks["peak_gflops_per_second"]
    movement = gbytes / peaks["peak_gbytes_per_second"]
    return {"share_of_peak": arithmetic, "share_of_roofline": max(arithmetic, movement)}


def sweep(
    sizes: Sequence[int],
    names: Sequence[str],
    case_of: Callable[[str, int], AttentionCase],
    settings: Settings,
) -> Iterator[list[dict]]:
    """Measures every implementation at every size until it takes too long or too much memory.

    Args:
        sizes: ascending.
        names: of implementations.
        case_of: the case of a name and size.
        settings: how.

    Yields:
        The rows of a size; the last one of an implementation that stops says why.
    """
    history: dict[str, list[dict]] = {name: [] for name in names}
    going = list(names)
    for n in sizes:
        cases = {name: case_of(name, n) for name in going}
        reasons = {name: _reason_to_stop(history[name], n, settings) for name in going}
        rows = {
            row["implementation"]: row
            for row in measure(
                [case for name, case in cases.items() if not reasons[name]], settings
            )
        }
        for name, reason in reasons.items():
            if reason:
                rows[name] = failure_row(cases[name], reason)
            history[name].append(rows[name])
        yield [rows[name] for name in going]
        going = [name for name in going if "failure" not in rows[name]]
        if not going:
            return


def _reason_to_stop(history: Sequence[dict], n: int, settings: Settings) -> str | None:
    if not history:
        return None
    last = history[-1]
    if last["seconds"] > settings.budget:
        return f"not run: a step of n = {last['n']} took {last['seconds']:.0f} s"
    predicted = predicted_mib(history, n) / 1024
    if predicted > settings.memory_gib:
        return f"not run: would need about {predicted:.1f} GiB"
    return None


def predicted_mib(history: Sequence[dict], n: int) -> float:
    """Peak memory at n: what a step needs grows as it did last, at most with n squared."""
    *before, last = history
    power = 2.0
    if before and before[-1]["step_mib"] > 0 < last["step_mib"]:
        growth = math.log(last["step_mib"] / before[-1]["step_mib"])
        power = min(2.0, max(0.0, growth / math.log(last["n"] / before[-1]["n"])))
    grown = last["step_mib"] * (n / last["n"]) ** power
    return last["peak_mib"] + grown - last["step_mib"]
