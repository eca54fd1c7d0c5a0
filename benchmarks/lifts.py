"""Lift methods compared: invariance error, continuity at degenerate clouds, cost.

python -m benchmarks.lifts
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import jax

from benchmarks import _lift_study as study
from benchmarks._markdown import table
from benchmarks._protocol import ROOT


def markdown(results: dict) -> str:
    """The tables."""
    parts = []
    for name, counts in study.SAMPLES.items():
        rows = [row for row in results["error"] if row["group"] == name]
        curves = dict.fromkeys((row["method"], row["embedding"]) for row in rows)
        body = [
            [*curve, *(f"{r['error']:.0e}" for r in rows if (r["method"], r["embedding"]) == curve)]
            for curve in curves
        ]
        head = ["lifts", "embedding", *(f"{count} samples" for count in counts)]
        parts.append(f"Invariance error, {name}:\n\n{table(head, body)}")
    body = [
        [r["group"], r["method"], f"{r['float64']:.0e}", f"{r['float32']:.0e}"]
        for r in results["exact"]
    ]
    head = ["group", "lifts", "float64", "float32"]
    parts.append("Invariance error of exact lifts:\n\n" + table(head, body))
    body = [
        [method, *(f"{r['change']:.0e}" for r in results["modulus"] if r["method"] == method)]
        for method in study.METHODS
    ]
    head = ["lifts", *(f"step {step:.0e}" for step in study.STEPS)]
    parts.append(
        "Largest change over one step of a path through a regular tetrahedron, SE3:\n\n"
        + table(head, body)
    )
    body = [
        [r["lifts"], str(r["count"]), f"{r['milliseconds']:.1f}", f"{r['ratio']:.2f}"]
        for r in results["cost"]
    ]
    head = ["lifts", "number", "ms, forward + backward", "of as many random ones"]
    parts.append("Cost, 8 clouds of 18 points, SE3:\n\n" + table(head, body))
    return "\n\n".join(parts) + "\n"


def plot(results: dict, path: Path) -> None:
    """Error against samples, and change against step."""
    from matplotlib.figure import Figure  # needs no display

    figure = Figure(figsize=(13, 4.4), layout="constrained")
    panels = figure.subplots(1, 3)
    colours = {"random": "tab:gray", "grid": "tab:blue"}
    styles = {"log": ":", "harmonics": "-", "matrix": "--"}
    for axes, name in zip(panels, study.SAMPLES, strict=False):
        rows = [row for row in results["error"] if row["group"] == name]
        for method, embedding in dict.fromkeys((r["method"], r["embedding"]) for r in rows):
            curve = [
                (r["samples"], max(r["error"], 1e-16))
                for r in rows
                if (r["method"], r["embedding"]) == (method, embedding)
            ]
            axes.plot(
                *zip(*curve, strict=True), color=colours[method], linestyle=styles[embedding],
                marker="o", markersize=4, label=f"{method} lifts, {embedding}",
            )  # fmt: skip
        axes.set(
            xscale="log", yscale="log", xlabel="lift samples per point",
            ylabel="invariance error (relative)", title=f"{name}, untrained, float64",
        )  # fmt: skip
        counts = study.SAMPLES[name]
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="lower left")
    axes = panels[2]
    for method in study.METHODS:
        curve = [(r["step"], r["change"]) for r in results["modulus"] if r["method"] == method]
        axes.plot(*zip(*curve, strict=True), marker="o", markersize=4, label=method)
    axes.set(
        xscale="log", yscale="log", xlabel="length of a step",
        ylabel="largest change of the output (relative)",
        title="SE3, path through a regular tetrahedron",
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=150)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.lifts", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=41, help="rounds of the cost")
    parser.add_argument("--json", action="store_true", help="JSON on stdout instead of tables")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "runs" / "bench-lifts", metavar="FOLDER",
        help="for tables, plot and results",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    with jax.enable_x64(True):
        results = {
            "error": [r for name in study.SAMPLES for r in study.error_curves(name, options.seed)],
            "exact": study.exact_methods(options.seed),
            "modulus": study.modulus(options.seed),
        }
    results["cost"] = study.cost(options.rounds, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / "table.md").write_text(markdown(results))
    plot(results, options.out / "plot.png")
    print(json.dumps(results) if options.json else markdown(results))
    print(f"written to {options.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
