"""Time and memory of one attention layer, for every implementation of it.

python -m benchmarks.attention --group T3 --n 2048 --implementation tiled --backward --json
python -m benchmarks.attention --group T3 --backward --reference PATH --reference-python PYTHON
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import _attention_report
from benchmarks._attention_case import IMPLEMENTATIONS, LIFTS, NORMALISATIONS, AttentionCase
from benchmarks._attention_run import Settings, machine_peaks, measure, sweep
from benchmarks._protocol import ROOT, WorkerError
from benchmarks.train_step import BUSY, reference_folders

SIZES = tuple(2**i for i in range(5, 17))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; ends the program where it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.attention", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--group", choices=sorted(LIFTS), default="T3")
    parser.add_argument(
        "--n", type=int, nargs="+", help="tokens: lifted points (default: 32 to 65536)"
    )
    parser.add_argument(
        "--implementation",
        nargs="+",
        choices=IMPLEMENTATIONS,
        help="default: all, pytorch if --reference is given",
    )
    parser.add_argument(
        "--backward", action="store_true", help="gradients of parameters and input features"
    )
    parser.add_argument("--coordinates", action="store_true", help="... and of coordinates (ours)")
    parser.add_argument("--normalisation", choices=NORMALISATIONS, default="softmax")
    parser.add_argument("--neighbours", type=int, metavar="K", help="attend to the K nearest only")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each implementation")
    parser.add_argument(
        "--budget", type=float, default=30, metavar="SECONDS", help="of a step, to go on to more n"
    )
    parser.add_argument("--memory", type=float, default=6, metavar="GIB", help="of a process")
    parser.add_argument("--reference", metavar="PATH", help="copy of the published PyTorch code")
    parser.add_argument(
        "--reference-python",
        metavar="PYTHON",
        default=sys.executable,
        help="interpreter with torch, numpy and einops (default: this one)",
    )
    parser.add_argument("--json", action="store_true", help="JSON on stdout instead of a table")
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "runs" / "bench-attention",
        metavar="FOLDER",
        help="for table, plot and results of several cases",
    )
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"argument --rounds: must be at least 1, got {options.rounds}")
    if options.implementation is None:
        options.implementation = [
            name for name in IMPLEMENTATIONS if name != "pytorch" or options.reference
        ]
    if "pytorch" in options.implementation and not options.reference:
        parser.error("argument --implementation: pytorch needs --reference PATH")
    options.n = sorted(set(options.n or SIZES))
    try:
        for n in options.n:
            case_of(options, options.implementation[0], n)
    except ValueError as error:
        parser.error(str(error))
    return options


def case_of(options: argparse.Namespace, name: str, n: int) -> AttentionCase:
    """The case of the command line, for one implementation and size."""
    return AttentionCase(
        group=options.group,
        n=n,
        implementation=name,
        backward=options.backward,
        coordinates=options.coordinates and name not in ("pytorch", "floor"),
        neighbours=options.neighbours,
        normalisation=options.normalisation,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0, or 1 with a message on stderr."""
    options = parse(arguments)
    load = os.getloadavg()[0]
    if load > BUSY:
        print(
            f"benchmark: the machine is or just was busy (load {load:.1f}); times come out too "
            "long, PyTorch's most of all",
            file=sys.stderr,
        )
    try:
        settings = Settings(
            rounds=options.rounds,
            budget=options.budget,
            memory_gib=options.memory,
            folders=reference_folders(options.reference) if options.reference else (),
            python=options.reference_python,
            peaks=machine_peaks(),
        )
        if len(options.n) == len(options.implementation) == 1:
            case = case_of(options, options.implementation[0], options.n[0])
            return report_one(measure([case], settings)[0], as_json=options.json)
        rows = []
        cases = sweep(
            options.n, options.implementation, lambda name, n: case_of(options, name, n), settings
        )
        for found in cases:
            rows += found
            for row in found:
                print(_attention_report.line(row), file=sys.stderr, flush=True)
            _attention_report.write_results(rows, options.out)
        _attention_report.write(rows, options.out)
    except (WorkerError, OSError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(rows) if options.json else _attention_report.markdown(rows))
    print(f"written to {options.out}", file=sys.stderr)
    return 0


def report_one(row: dict, *, as_json: bool) -> int:
    """Prints the row of a single case; 1 where it has no figures."""
    if as_json:
        print(json.dumps(row))
    elif "failure" not in row:
        print(_attention_report.markdown([row]))
    if "failure" in row:
        print(f"{row['implementation']}: {row['failure']}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
