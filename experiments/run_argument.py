"""Arguments that several commands share: the folder of a run, and the preset."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import tyro

from lie_jax import training


def run_folder(arguments: list[str], command: str, description: str) -> training.RunFolder:
    """The run that the command line names.

    Args:
        arguments: after the command.
        command: ``"resume qm9"`` for instance; for the help text, as ``description``.
        description: what the command does.
    """

    @dataclasses.dataclass(frozen=True)
    class Arguments:
        run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="Folder of the run.")]

    parsed = tyro.cli(
        Arguments,
        args=arguments,
        prog=f"python -m experiments {command}",
        description=description,
    )
    return training.RunFolder(parsed.run)


def preset_of(arguments: list[str], presets: Iterable[str]) -> str:
    """The value of --preset, whose other values are the defaults of the command line."""
    for i, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name == "--preset":
            value = value or (arguments[i + 1] if i + 1 < len(arguments) else "")
            # An unknown name goes on to tyro, which says what is allowed.
            return value if value in presets else "quick"
    return "quick"
