"""What is measured of attention, and the part of a worker that both implementations share.

Standard library only: the reference runs in another environment.
"""

import dataclasses
import json
import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks._protocol import serve

LIFTS = {"T3": 1, "SE2": 4, "SE3": 4}
"""Lifts per point of each group."""

SPACE = {"T3": 3, "SE2": 2, "SE3": 3}
"""Dimension of the points."""

IMPLEMENTATIONS = ("reference", "tiled", "pallas", "pytorch", "floor")
"""Ours by the names of ``lie_attention``; the published code; attention without location."""

NORMALISATIONS = ("softmax", "mean", "exp_mean")

ROUND_SECONDS = 1.0
"""A round repeats the step until it takes about so long."""

MOST_STEPS = 50

FAILED = 3
"""Exit status of a worker that has written why into its facts."""


@dataclasses.dataclass(frozen=True)
class AttentionCase:
    """One layer on one cloud.

    Args:
        group: T3, SE2 or SE3.
        n: tokens, that is lifted points: n / lifts points.
        implementation: one of `IMPLEMENTATIONS`.
        backward: gradients with respect to parameters and input features, not the output alone.
        coordinates: ... and with respect to coordinates (ours only).
        neighbours: each query attends to so many nearest keys; None for all.
        normalisation: of the scores; the floor is always softmax.
        width, heads, location_hidden: sizes of the layer.

    Raises:
        ValueError: an argument is out of range.
    """

    group: str
    n: int
    implementation: str = "tiled"
    backward: bool = False
    coordinates: bool = False
    neighbours: int | None = None
    normalisation: str = "softmax"
    width: int = 64
    heads: int = 8
    location_hidden: int = 16

    def __post_init__(self):
        for name, options in (
            ("group", tuple(LIFTS)),
            ("implementation", IMPLEMENTATIONS),
            ("normalisation", NORMALISATIONS),
        ):
            value = getattr(self, name)
            if value not in options:
                raise ValueError(f"attention: {name} must be one of {options}, got {value!r}")
        if self.n < 1 or self.n % self.lifts:
            raise ValueError(
                f"attention: n must be a positive multiple of {self.lifts}, the lifts per point "
                f"of {self.group}, got {self.n}"
            )
        if self.neighbours is not None and self.neighbours < 1:
            raise ValueError(f"attention: neighbours must be at least 1, got {self.neighbours}")
        if self.coordinates and not self.backward:
            raise ValueError("attention: coordinates needs backward, whose gradients it adds to")

    @property
    def lifts(self) -> int:
        """Lifts per point."""
        return LIFTS[self.group]

    @property
    def points(self) -> int:
        """Points of the cloud."""
        return self.n // self.lifts

    @property
    def keys(self) -> int:
        """Keys of each query."""
        return min(self.neighbours or self.n, self.n)


def resident_mib() -> float:
    """Memory of this process that is in use now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return _peak_mib()
    return pages * resource.getpagesize() / 2**20


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _reset_peak() -> bool:
    """Lets the peak start again from what is in use now, where the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def is_out_of_memory(error: BaseException) -> bool:
    """Whether that is what the error of JAX, PyTorch or Python says."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(
        words in said for words in ("resource_exhausted", "out of memory", "can't allocate memory")
    )


def serve_case(
    arguments: Sequence[str],
    build: Callable[[AttentionCase], tuple[Callable[[], object], int]],
    *,
    facts: dict,
    device_peak_mib: Callable[[], float | None],
) -> None:
    """A worker's life: builds the layer, then runs its step for as many rounds as it is asked.

    Ends with status `FAILED` where the implementation has not got the case or memory is out, the
    reason in the facts as ``failure``. Other errors are raised.

    Args:
        arguments: CASE FACTS GIB of the command line. CASE is an `AttentionCase` as JSON. FACTS is
            a JSON file for what the rounds do not tell: ``facts``, ``baseline_mib`` (in use when
            everything is built and compiled), ``prepare_peak_mib`` (up to and with the first
            steps), ``peak_was_reset``, ``device_peak_mib``. GIB is how much memory the system
            grants to a process that computes on a CPU.
        build: gives the step, compiled, which ends when its result is there, and the number of
            parameters.
        facts: versions and device.
        device_peak_mib: largest memory in use on an accelerator so far; None on a CPU.
    """
    case_json, facts_path, memory_gib = arguments
    case, facts_file = AttentionCase(**json.loads(case_json)), Path(facts_path)
    facts = dict(facts)

    def note(**more) -> None:
        facts.update(more)
        facts_file.write_text(json.dumps(facts))

    def prepare():
        step, parameters = build(case)
        note(baseline_mib=resident_mib())
        seconds = 0.0
        for _ in range(2):
            started = time.perf_counter()
            step()
            seconds = time.perf_counter() - started
            if seconds > 1:
                break
        steps = min(MOST_STEPS, max(1, math.ceil(ROUND_SECONDS / seconds)))
        note(
            prepare_peak_mib=_peak_mib(),
            device_peak_mib=device_peak_mib(),
            peak_was_reset=_reset_peak(),
        )

        def run() -> int:
            for _ in range(steps):
                step()
            return steps

        return run, parameters

    note()
    if facts["device"] == "cpu":
        bound = int(float(memory_gib) * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
    try:
        serve(prepare)
    except NotImplementedError as error:
        note(failure=f"not available: {error}")
        sys.exit(FAILED)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        said = (str(error) or type(error).__name__).splitlines()[0]
        limit = f" (limit {memory_gib} GiB)" if facts["device"] == "cpu" else ""
        note(failure=f"out of memory{limit}: {said}")
        sys.exit(FAILED)
