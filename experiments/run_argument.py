"""The one argument of the commands that go on with a run or show it: its folder."""

import dataclasses
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
