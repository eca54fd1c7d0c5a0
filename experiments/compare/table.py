"""The table of a comparison: on the terminal and as Markdown."""

from collections.abc import Mapping

from rich import box
from rich.table import Table

from experiments.compare.comparison import Comparison, Result
from experiments.markdown import table


def rows(comparison: Comparison, results: Mapping[str, Result]) -> list[list[str]]:
    """Cells of each variant that has a result, its name first."""
    return [
        [v.name, *(column.text(results[v.name]) for column in comparison.columns)]
        for v in comparison.variants
        if v.name in results
    ]


def terminal(comparison: Comparison, results: Mapping[str, Result]) -> Table:
    """For rich, so narrow that ten columns fit into 80 characters."""
    out = Table(
        title=comparison.title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    out.add_column("symmetry", no_wrap=True)
    for column in comparison.columns:
        out.add_column(column.title, justify="right", no_wrap=True)
    for row in rows(comparison, results):
        out.add_row(*row)
    return out


def markdown(comparison: Comparison, results: Mapping[str, Result]) -> str:
    """With title and notes."""
    titles = ["symmetry", *(column.title.replace("\n", " ") for column in comparison.columns)]
    body = table(titles, rows(comparison, results))
    return f"{comparison.title}\n\n{body}\n\n{comparison.notes}\n"
