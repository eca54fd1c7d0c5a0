"""Markdown tables."""

from collections.abc import Sequence


def row(cells: Sequence[str]) -> str:
    """One line of a table."""
    return "| " + " | ".join(cells) + " |"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, without a last newline."""
    return "\n".join(map(row, [header, ["---"] * len(header), *rows]))
