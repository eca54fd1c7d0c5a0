"""Table, plot and fitted slopes of the rows that `benchmarks._attention_run` measured."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from benchmarks._markdown import row as markdown_row

STYLES = {
    "reference": ("tab:gray", "s"),
    "tiled": ("tab:blue", "o"),
    "pallas": ("tab:green", "D"),
    "pytorch": ("tab:red", "^"),
    "floor": ("black", "v"),
}
"""Colour and marker of each implementation."""

NOISE_MIB = 8.0
"""Less memory than that above the baseline says nothing about how memory grows."""

SMALLEST = 512
"""Time below that many tokens is mostly the cost of starting a step."""


def slope(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Exponent b of y = a x^b, by least squares on logarithms; None for fewer than 2 points."""
    if len(set(xs)) < 2:
        return None
    xs, ys = [math.log(x) for x in xs], [math.log(y) for y in ys]
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    covariance = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    return covariance / sum((x - x_mean) ** 2 for x in xs)


def slopes(rows: Sequence[dict]) -> dict[str, dict[str, float | None]]:
    """Per implementation, how memory above the baseline and time grow with n."""
    found = {}
    for name in _names(rows):
        good = _series(rows, name)
        large = [row for row in good if row["step_mib"] > NOISE_MIB]
        slow = [row for row in good if row["n"] >= SMALLEST]
        found[name] = {
            "memory": slope([r["n"] for r in large], [r["step_mib"] for r in large]),
            "time": slope([r["n"] for r in slow], [r["seconds"] for r in slow]),
        }
    return found


def line(row: dict) -> str:
    """A row in a few words, to show progress."""
    start = f"n = {row['n']}, {row['implementation']}: "
    if "failure" in row:
        return start + row["failure"].splitlines()[0]
    return start + f"{row['seconds']:.4g} s, {row['peak_mib']:.0f} MiB"


def _names(rows: Sequence[dict]) -> list[str]:
    return list(dict.fromkeys(row["implementation"] for row in rows))


def _series(rows: Sequence[dict], name: str) -> list[dict]:
    return [row for row in rows if row["implementation"] == name and "failure" not in row]


def title(rows: Sequence[dict]) -> str:
    """What was measured, in one line."""
    details = next((row["details"] for row in rows if "details" in row), None)
    first = rows[0]
    parts = [first["group"], "forward + backward" if first["backward"] else "forward"]
    if details:
        parts += [
            f"width {details['width']}, {details['heads']} heads",
            details["normalisation"],
            "all keys" if details["neighbours"] is None else f"{details['neighbours']} nearest",
            "float32",
            f"{details['machine']} ({details['device_kind']})",
            details["date"],
        ]
    return ", ".join(parts)


def markdown(rows: Sequence[dict]) -> str:
    """All rows as a table, reasons for missing figures below it, slopes at the end."""
    heads = ["n", "implementation", "s/step", "fastest", "peak MiB", "step MiB", "compile s"]
    heads += ["GFLOP/s", "of peak", "of roofline", "vs pytorch", "vs reference"]
    lines = [title(rows), "", markdown_row(heads), markdown_row(["---"] * len(heads))]
    seconds = {(r["n"], r["implementation"]): r["seconds"] for r in rows}
    reasons = []
    for row in rows:
        n, name = row["n"], row["implementation"]
        if "failure" in row:
            reasons.append(f"- n = {n}, {name}: {row['failure'].splitlines()[0]}")
            short = row["failure"].partition(":")[0].partition(" (")[0]
            lines.append(markdown_row([str(n), name, short, *[""] * (len(heads) - 3)]))
            continue
        shares = [row.get(key) for key in ("share_of_peak", "share_of_roofline")]
        ratios = [
            f"{seconds[n, other] / row['seconds']:.2f}x" if seconds.get((n, other)) else ""
            for other in ("pytorch", "reference")
        ]
        lines.append(
            markdown_row(
                [
                    str(n),
                    name,
                    *(_figure(row[key]) for key in ("seconds", "fastest_seconds")),
                    *(f"{row[key]:.0f}" for key in ("peak_mib", "step_mib")),
                    f"{row['compile_seconds']:.1f}",
                    _figure(row["gflops_per_second"]),
                    *("" if share is None else f"{share:.1%}" for share in shares),
                    *ratios,
                ]
            )
        )
    lines += ["", "Ratios above 1: faster than the named one.", *reasons]
    return "\n".join([*lines, "", *slope_lines(rows)]) + "\n"


def slope_lines(rows: Sequence[dict]) -> list[str]:
    """The fitted slopes in words."""

    def said(value: float | None) -> str:
        return "is not fitted (too few sizes)" if value is None else f"grows as n^{value:.2f}"

    return [
        f"- {name}: memory above the baseline {said(fit['memory'])} where it is above "
        f"{NOISE_MIB:g} MiB; time {said(fit['time'])} for n >= {SMALLEST}"
        for name, fit in slopes(rows).items()
        if _series(rows, name)
    ]


def _figure(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def plot(rows: Sequence[dict], path: Path) -> None:
    """Time and memory against n, on logarithmic axes, with lines of slope 1 and 2."""
    from matplotlib import ticker
    from matplotlib.figure import Figure  # needs no display

    figure = Figure(figsize=(11, 4.8), layout="constrained")
    figure.suptitle(title(rows), fontsize=9)
    panels = (
        ("seconds", "Time of one step", "time (s)"),
        ("step_mib", "Memory of one step", "peak memory above the process's baseline (MiB)"),
    )
    for axes, (key, name, label) in zip(figure.subplots(1, 2), panels, strict=True):
        shown = {}
        for implementation in _names(rows):
            points = [(r["n"], r[key]) for r in _series(rows, implementation) if r[key] > 0]
            if points:
                colour, marker = STYLES[implementation]
                shown[implementation] = points
                axes.plot(
                    *zip(*points, strict=True), label=implementation, color=colour, marker=marker
                )
        axes.set(xscale="log", yscale="log", title=name, xlabel="tokens n", ylabel=label)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda n, _: f"{n:,.0f}"))
        axes.tick_params(axis="x", labelrotation=45)
        axes.grid(alpha=0.3)
        if shown:
            _guides(axes, [point for points in shown.values() for point in points])
            axes.legend(fontsize=8)
    figure.savefig(path, dpi=150)


def _guides(axes, points: Sequence[tuple[float, float]]) -> None:
    """Lines of slope 1 and 2 that end at the upper right corner of the data."""
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    for power, style in ((1, ":"), (2, "--")):
        start = max(first, last * (low / high) ** (1 / power))
        ends = [start, last]
        axes.plot(
            ends,
            [high * (x / last) ** power for x in ends],
            color="0.6",
            linestyle=style,
            linewidth=1,
            label=f"slope {power}",
            zorder=0,
        )


def write_results(rows: Sequence[dict], folder: Path) -> None:
    """results.json in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    results = {"title": title(rows), "rows": rows, "slopes": slopes(rows)}
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")


def write(rows: Sequence[dict], folder: Path) -> None:
    """results.json, table.md and plot.png in the folder."""
    write_results(rows, folder)
    (folder / "table.md").write_text(markdown(rows))
    plot(rows, folder / "plot.png")
