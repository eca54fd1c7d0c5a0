"""The table of a comparison: on the terminal and as Markdown."""

from collections.abc import Mapping

from rich import box
from rich.table import Table

from experiments.compare.comparison import Comparison, Result


def rows(comparison: Comparison, results: Mapping[str, Result]) -> list[list[str]]:
    """Cells of each variant that has a result, its name first."""
    return [
        [v.name, *(column.text(results[v.name]) for column in comparison.columns)]
        for v in comparison.variants
        if v.name in results
    ]


def terminal(comparison: Comparison, results: Mapping[str, Result]) -> Table:
    """For rich, so narrow that ten columns fit into 80 characters."""
    table = Table(
        title=comparison.title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column("symmetry", no_wrap=True)
    for column in comparison.columns:
        table.add_column(column.title, justify="right", no_wrap=True)
    for row in rows(comparison, results):
        table.add_row(*row)
    return table


def markdown(comparison: Comparison, results: Mapping[str, Result]) -> str:
    """With title and notes."""
    titles = ["symmetry", *(column.title.replace("\n", " ") for column in comparison.columns)]
    lines = [titles, ["---", *("---:" for _ in comparison.columns)], *rows(comparison, results)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{comparison.title}\n\n{table}\n\n{comparison.notes}\n"
