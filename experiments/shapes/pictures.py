"""Pictures of shape counting: clouds, how networks attend to them, and invariance errors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import matplotlib as mpl
import numpy as np

from experiments.shapes.invariance import BAR, BAR_SAMPLES, Curve, heading
from experiments.style import BLUE, GREEN, GREY, ORANGE, RED, STYLE
from lie_jax.data.constellations import PATTERNS, MotionName, constellations

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

_SETS: dict[str, str] = {
    "none": "D",
    "translation": r"D$^\mathrm{T2}$",
    "rotation_translation": r"D$^\mathrm{SE2}$",
}


# --- examples ----------------------------------------------------------------------------------


def examples(path: Path, *, clouds: int = 8, seed: int = 0, repeats: int = 2) -> None:
    """Draws the same clouds in D, D^T2 and D^SE2, a row each; their counts stand above.

    Args:
        path: where to.
        clouds: how many, the first of the test set.
        seed, repeats: of the data.
    """
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(_SETS), clouds, figsize=(1.45 * clouds + 0.4, 5), layout="constrained",
            subplot_kw={"aspect": "equal"}, squeeze=False,
        )  # fmt: skip
        for row, motion in zip(panels, get_args(MotionName), strict=True):
            drawn = constellations(clouds, "test", seed, motion=motion, repeats=repeats)
            reach = np.abs(drawn.coords).max() + 0.1
            for i, axes in enumerate(row):
                x, y = drawn.coords[i, drawn.mask[i]].T
                axes.axhline(0, color=GREY, linewidth=0.5, alpha=0.6)
                axes.axvline(0, color=GREY, linewidth=0.5, alpha=0.6)
                axes.scatter(x, y, s=7, color=BLUE, linewidth=0, zorder=3)
                _bare(axes, reach)
                axes.spines[:].set_visible(True)
                axes.spines[:].set_color("#cccccc")
                if motion == "none":
                    axes.set_title(_counts(np.asarray(drawn.counts[i])), fontsize=7.5)
            row[0].set_ylabel(f"{_SETS[motion]}\n±{reach:.1f}", rotation=0, ha="right", va="center")
        figure.savefig(path)
        plt.close(figure)


def _counts(counts: np.ndarray) -> str:
    """At most two patterns a line, as "2 squares, 1 L"."""
    there = [
        f"{count} {name}" + ("s" if count > 1 else "")
        for name, count in zip(PATTERNS, counts, strict=True)
        if count
    ]
    lines = [", ".join(there[i : i + 2]) for i in range(0, len(there), 2)]
    return "\n".join(lines)


def _bare(axes: Axes, reach: float) -> None:
    """A square panel about the origin, without ticks."""
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
    axes.grid(False)


# --- attention ---------------------------------------------------------------------------------


def attention_maps(
    path: Path,
    maps: Mapping[str, np.ndarray],
    coords: np.ndarray,
    mask: np.ndarray,
    angles: Sequence[float],
    *,
    query: int = 0,
) -> None:
    """Draws whom one point attends to, under rotation: a row for each model, a column each angle.

    Colours run over what the row's query gives to others at any angle, so that the rows of an
    invariant network look alike but for the turn. Under each panel: by how much the query's
    weights differ from those of the first angle, as a share of the largest.

    Args:
        path: where to.
        maps: by model, (angles, n, n), see `experiments.shapes.attention.turned_maps`.
        coords: of the turned cloud, (angles, n, 2).
        mask: True where there is a point, (n).
        angles: radians.
        query: the point.

    Raises:
        ValueError: maps of another shape, or an absent query.
    """
    wanted = (len(angles), len(mask), len(mask))
    for name, found in maps.items():
        if found.shape != wanted:
            raise ValueError(
                f"attention_maps: maps must have shape {wanted}, got {found.shape} for {name}"
            )
    if not mask[query]:
        raise ValueError(f"attention_maps: query must be a point that is there, got {query}")
    others = np.flatnonzero(mask & (np.arange(len(mask)) != query))
    reach = np.linalg.norm(coords[:, mask], axis=-1).max() + 0.15
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(maps), len(angles), figsize=(2.2 * len(angles) + 1.9, 2.35 * len(maps) + 0.3),
            layout="constrained", subplot_kw={"aspect": "equal"}, squeeze=False,
        )  # fmt: skip
        for row, (name, found) in zip(panels, maps.items(), strict=True):
            given = found[:, query][:, others]
            scale = Normalize(given.min(), given.max())
            for axes, weights, places in zip(row, given, coords, strict=True):
                _star(axes, places[query], places[others], weights, scale)
                _bare(axes, reach)
                change = np.abs(weights - given[0]).max() / np.abs(given).max()
                axes.set_xlabel(_said(change), fontsize=8)
            row[0].set_xlabel("compared with:", fontsize=8)
            row[0].set_ylabel(name, fontsize=9)
            bar = figure.colorbar(
                ScalarMappable(scale, cmap=_COLOURS), ax=list(row), shrink=0.85, pad=0.01
            )
            bar.ax.tick_params(labelsize=7)
            bar.outline.set_visible(False)  # pyright: ignore (a spine)
        for axes, angle in zip(panels[0], angles, strict=True):
            axes.set_title(f"{np.degrees(angle):.0f}°", fontsize=10)
        figure.savefig(path)
        plt.close(figure)


_COLOURS = mpl.colormaps["YlGnBu"]


def _star(
    axes: Axes, query: np.ndarray, others: np.ndarray, weights: np.ndarray, scale: Normalize
) -> None:
    """Lines from the query to the others, the wider and darker the more it attends to them."""
    order = np.argsort(weights)  # the heaviest on top
    others, weights = others[order], weights[order]
    share = np.asarray(scale(weights))
    axes.add_collection(
        LineCollection(
            [np.stack([query, other]) for other in others],
            colors=_COLOURS(0.15 + 0.85 * share), linewidths=0.3 + 2.2 * share, zorder=2,
        )
    )  # fmt: skip
    axes.scatter(
        *others.T, s=10 + 26 * share, c=weights, norm=scale, cmap=_COLOURS, zorder=3,
        edgecolor="#555555", linewidth=0.4,
    )  # fmt: skip
    axes.scatter(*query, s=70, marker="*", color=ORANGE, zorder=4, linewidth=0)
    axes.plot(0, 0, "+", color=GREY, markersize=6)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("#dddddd")


def _said(change: float) -> str:
    if change < 1e-12:
        return "the same, up to rounding"
    return f"changes by {100 * change:.1f} %" if change >= 5e-4 else f"changes by {change:.0e}"


# --- invariance --------------------------------------------------------------------------------

_LIFTS = {"random": RED, "turned_grid": ORANGE, "shared": GREY, "grid": BLUE}
_LINES: dict[str, tuple[str, Any]] = {
    "log": ("o", "--"),
    "circle": ("s", "-"),
    "harmonics": ("^", ":"),
}
_FLOOR = 1e-17
"""Where 0 is drawn."""


def error_curves(path: Path, curves: Sequence[Curve], published: Mapping[int, float]) -> None:
    """Draws errors against lifts, a panel for each kind of features and attention.

    Args:
        path: where to.
        curves: see `experiments.shapes.invariance.measure`.
        published: error by lifts.
    """
    features = list(dict.fromkeys(c.features for c in curves))
    normalisations = list(dict.fromkeys(c.normalisation for c in curves))
    size = (4.1 * len(normalisations) + 2, 3.3 * len(features) + 0.4)
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(features), len(normalisations), figsize=size, layout="constrained", squeeze=False,
            sharex=True, sharey=True,
        )  # fmt: skip
        for row, feature in zip(panels, features, strict=True):
            for axes, normalisation in zip(row, normalisations, strict=True):
                own = [
                    c for c in curves
                    if (c.features, c.normalisation) == (feature, normalisation)
                ]  # fmt: skip
                _errors(axes, own)
                if normalisation == "mean":
                    axes.plot(*zip(*published.items(), strict=True), color="black", linewidth=1.2)
                control = " (control: always 0)" if own[0].is_vacuous else ""
                axes.set_title(heading(own[0]) + control, fontsize=9.5)
        for axes in panels[:, 0]:
            axes.set_ylabel("change of a logit, median")
        for axes in panels[-1]:
            axes.set_xlabel("lifts per point")
        figure.legend(handles=_legend(curves), loc="outside right upper", frameon=False, fontsize=9)
        figure.savefig(path)
        plt.close(figure)


def _errors(axes: Axes, curves: Sequence[Curve]) -> None:
    for curve in curves:
        marker, line = _LINES[curve.embedding]
        axes.plot(
            curve.samples, np.maximum(curve.median, _FLOOR), line, marker=marker, markersize=4,
            color=_LIFTS[curve.lift], linewidth=1.4,
        )  # fmt: skip
    if not curves[0].is_vacuous:
        axes.plot(BAR_SAMPLES, BAR, "v", color=GREEN, markersize=8, zorder=5)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    samples = sorted({s for curve in curves for s in curve.samples})
    axes.set_xticks(samples, map(str, samples))
    axes.set_ylim(_FLOOR / 3, 1e-3)


def _legend(curves: Sequence[Curve]) -> list[Line2D]:
    """Colours for lifts, lines for what is seen of pairs, then what else is drawn."""
    lifts = dict.fromkeys(c.lift for c in curves)
    embeddings = dict.fromkeys(c.embedding for c in curves)
    names = {
        "random": "random: drawn for each point",
        "turned_grid": "turned grid: a grid for each point,\nturned at random",
        "shared": "shared: drawn for each cloud",
        "grid": "grid: the same for all",
    }
    pairs = {"log": "logarithm, cut at π", "circle": "sine and cosine", "harmonics": "harmonics"}
    handles = [Line2D([], [], linestyle="none", label=r"$\bf{Lifts}$")]
    handles += [Line2D([], [], color=_LIFTS[n], linewidth=3, label=names[n]) for n in lifts]
    handles += [
        Line2D([], [], linestyle="none", label=text)
        for text in ("", r"$\bf{What\ is\ seen\ of\ a\ pair's\ rotation}$")
    ]
    for name in embeddings:
        marker, line = _LINES[name]
        handles.append(
            Line2D([], [], color="#555555", marker=marker, linestyle=line, label=pairs[name])
        )
    handles += [
        Line2D([], [], linestyle="none", label=""),
        Line2D(
            [], [], color="black", linewidth=1.2,
            label="published: turned grid, logarithm,\nunnormalised, constant features",
        ),
        Line2D(
            [], [], color=GREEN, marker="v", linestyle="none",
            label="to be reached by the grid\nwith sine and cosine",
        ),
    ]  # fmt: skip
    return handles
