"""Predictions as a table, as JSON and as CSV; refused molecules are left out but in JSON."""

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any, Literal

from lie_jax.predict.predictor import Prediction
from lie_jax.predict.read import Entry

FormatName = Literal["table", "json", "csv"]


def write(
    form: FormatName, entries: Sequence[Entry], prediction: Prediction | None, reasons: Sequence
) -> str:
    """The predictions of some molecules as text.

    Args:
        form: which format.
        entries: all molecules, in order.
        prediction: one row for each of them that could be read; None if there was none.
        reasons: why each was refused; None where it was not.
    """
    rows = _rows(entries, prediction, reasons)
    return {"table": _table, "json": _json, "csv": _csv}[form](rows)


def _rows(
    entries: Sequence[Entry], prediction: Prediction | None, reasons: Sequence
) -> list[dict[str, Any]]:
    """As in JSON: numbers that are not known are None."""
    rows, place = [], 0
    for entry, reason in zip(entries, reasons, strict=True):
        row: dict[str, Any] = {"file": entry.source, "frame": entry.frame}
        rows.append(row)
        if reason is not None or prediction is None or entry.atoms is None:
            row["refused"] = reason
        else:
            row |= {"formula": entry.formula, "atoms": len(entry.atoms)}
            row["properties"] = _properties(prediction, place)
        place += entry.atoms is not None
    return rows


def _properties(prediction: Prediction, place: int) -> dict[str, dict[str, Any]]:
    found = {}
    for i, name in enumerate(prediction.names):
        width = float(prediction.half_width[place, i])
        averaged = prediction.samples[i] > 1
        found[name] = {
            "value": float(prediction.values[place, i]),
            "unit": prediction.units[i],
            "half_width": width if math.isfinite(width) else None,
            "spread": float(prediction.spread[place, i]) if averaged else None,
        }
    return found


def _json(rows: list[dict[str, Any]]) -> str:
    return json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(rows: list[dict[str, Any]]) -> str:
    rows = [row for row in rows if "refused" not in row]
    text = io.StringIO()
    names = {name: p["unit"] for row in rows[:1] for name, p in row["properties"].items()}
    header = ["file", "frame", "formula", "atoms"]
    for name, unit in names.items():
        header += [f"{name} [{unit}]", f"{name} half_width", f"{name} spread"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        numbers = [
            "" if p[key] is None else f"{p[key]:.8g}"
            for p in row["properties"].values()
            for key in ("value", "half_width", "spread")
        ]
        writer.writerow([row["file"], row["frame"], row["formula"], row["atoms"], *numbers])
    return text.getvalue()


def _table(rows: list[dict[str, Any]]) -> str:
    """Columns that grow with their content, so that nothing is cut off in a pipe."""
    rows = [row for row in rows if "refused" not in row]
    if not rows:
        return ""
    several = {row["file"] for row in rows if row["frame"]}
    lines = [["molecule", "formula"]]
    lines[0] += [f"{name} [{p['unit']}]" for name, p in rows[0]["properties"].items()]
    for row in rows:
        label = f"{row['file']}#{row['frame']}" if row["file"] in several else row["file"]
        lines.append([label, row["formula"], *map(_cell, row["properties"].values())])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = []
    for line in lines:
        cells = [
            c.ljust(w) if i < 2 else c.rjust(w)
            for i, (c, w) in enumerate(zip(line, widths, strict=True))
        ]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text) + "\n"


def _cell(number: dict[str, Any]) -> str:
    """Value ± half-width (spread); two digits of the half-width are shown."""
    width, spread = number["half_width"], number["spread"]
    if width is None:
        text = f"{number['value']:.5g}"
    else:
        digits = 1 - math.floor(math.log10(width)) if width > 0 else 3
        digits = min(max(digits, 0), 8)
        text = f"{number['value']:.{digits}f} ± {width:.{digits}f}"
    return text if spread is None else f"{text} ({spread:.2g})"
