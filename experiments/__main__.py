"""The command line: ``python -m experiments train qm9 --preset quick``."""

import functools
import sys

from experiments.compare import commands as compare
from experiments.digits.recipe import DIGITS
from experiments.jets.recipe import JETS
from experiments.qm9.ablations import ablate as ablate_qm9
from experiments.qm9.accelerator import accelerator as accelerator_qm9
from experiments.qm9.commands import QM9
from experiments.qm9.export import export as export_qm9
from experiments.qm9.study import study as study_qm9
from experiments.qm9.table import table as table_qm9
from experiments.qm9_lifts.recipe import QM9_LIFTS
from experiments.shapes.commands import SHAPES
from experiments.shapes.invariance import invariance as shapes_invariance
from experiments.shapes.study import study as study_shapes
from experiments.springs.commands import SPRINGS
from experiments.springs.drift import drift as drift_springs
from experiments.springs.study import study as study_springs
from lie_jax import training

USAGE = """\
usage: python -m experiments COMMAND EXPERIMENT [options]

commands:
  train qm9      train on molecules, then evaluate and report          (--preset quick, ...)
  train springs  learn the energy of spring systems, from trajectories (--preset quick | full)
  train shapes   count the shapes in clouds of points, still and moved           (likewise)
  compare NAME   train one network under several symmetries, show table and picture
                 (up to 10 minutes on 2 cores; a minute or two with --quick):
      digits     handwritten digits, rotated and scaled in tests
      jets       jets of pions, boosted in tests
      qm9-lifts  molecules, by frames, discrete rotations and random lifts
  study qm9      rows of the published table, by property and seed, in pieces of bounded time
  table qm9      the published table beside what was trained here  (--json)
  ablate qm9     what each option is worth, at one small budget
  export qm9     a finished run as one file for lie-jax predict  (the run's folder, --to FILE)
  accelerator qm9
                 throughput, then training, in one piece of some minutes on a GPU or TPU
  study springs  a grid of runs: data efficiency beside the published curves
  study shapes   the published table: SetTransformer and LieTransformers, by symmetry
  invariance shapes
                 how far from invariant sampled lifts are, by their number
  drift springs  how a trained model's energy drifts, by solver  (the run's folder)
  resume NAME    go on with a run that was interrupted           (the run's folder)
  report NAME    show a finished run again: table and plots      (the run's folder)

Each command takes --help.
"""

_COMMANDS = (
    {
        (command.__name__, experiment.name): command
        for experiment in (QM9, SPRINGS, SHAPES)
        for command in (experiment.train, experiment.resume, experiment.report)
    }
    | {
        ("study", "qm9"): study_qm9,
        ("table", "qm9"): table_qm9,
        ("ablate", "qm9"): ablate_qm9,
        ("accelerator", "qm9"): accelerator_qm9,
        ("export", "qm9"): export_qm9,
        ("study", "springs"): study_springs,
        ("drift", "springs"): drift_springs,
        ("study", "shapes"): study_shapes,
        ("invariance", "shapes"): shapes_invariance,
    }
    | {
        (command.__name__, comparison.name): functools.partial(command, comparison)
        for comparison in (DIGITS, JETS, QM9_LIFTS)
        for command in (compare.compare, compare.resume, compare.report)
    }
)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    command = _COMMANDS.get(tuple(arguments[:2]))  # pyright: ignore (a tuple of another length)
    if command is None:
        known = ", ".join(" ".join(names) for names in _COMMANDS)
        print(f"experiments: unknown command {' '.join(arguments[:2])!r}, known: {known}\n")
        print(USAGE, end="")
        return 2
    try:
        command(arguments[2:])
    except (
        FileNotFoundError, FloatingPointError, ModuleNotFoundError, ValueError, RuntimeError
    ) as error:  # fmt: skip
        if isinstance(error, NotImplementedError):
            raise
        print(f"experiments: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # The run has said at its start how to go on from the last checkpoint.
        print("\nexperiments: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    training.keep_freed_memory()
    sys.exit(main())
