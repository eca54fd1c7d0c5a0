"""A progress bar for `fit`, by the package rich."""

import contextlib
import time
from collections.abc import Iterator, Mapping

from lie_jax.training.loop import Progress


@contextlib.contextmanager
def rich_progress(title: str, columns: Mapping[str, str]) -> Iterator[Progress]:
    """A progress bar of the package rich as `Progress`.

    Args:
        title: stands before the bar.
        columns: metric name to format, for instance ``{"loss": "loss {:.3f}"}``.

    Yields:
        The function to hand to `fit`.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    console = Console()
    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
        console=console,
        disable=not console.is_terminal,
    )
    printed = time.monotonic()
    with bar:
        task = bar.add_task(title, total=None, text="")

        def show(step: int, total: int, latest: Mapping[str, float]) -> None:
            nonlocal printed
            parts = [f.format(latest[name]) for name, f in columns.items() if name in latest]
            bar.update(task, completed=step, total=total, text="  ".join(parts))
            # A log file gets a line a minute instead of a bar.
            if not console.is_terminal and (time.monotonic() - printed > 30 or step == total):
                printed = time.monotonic()
                console.print(f"{title}: step {step} of {total}  {'  '.join(parts)}")

        yield show
