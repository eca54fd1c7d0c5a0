"""``train``, ``resume`` and ``report`` of an experiment that trains one network per run."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import tyro

from experiments.run_argument import run_folder
from lie_jax import training
from lie_jax.training import RunFolder


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What the commands need to know.

    Args:
        name: as on the command line.
        recipe: dataclass of everything that a run can choose.
        presets: recipes by name, ``"quick"`` among them.
        description: for the help text.
        title: (recipe) -> name of a run's folder.
        run: trains what is left of a run and tests it once, writing test.json. Where a grid of
            runs may have a deadline, it takes ``deadline=`` and stops there with a checkpoint.
        show: prints the table and draws the plots of a finished run, given test.json.
    """

    name: str
    recipe: type
    presets: Mapping[str, Any]
    description: str
    title: Callable[[Any], str]
    run: Callable[..., None]
    show: Callable[[RunFolder, dict[str, Any]], None]

    def train(self, arguments: list[str]) -> None:
        """Trains by a preset, each of whose values can be changed, then evaluates and reports."""
        recipe = tyro.cli(
            self.recipe,
            default=self.presets[self._preset(arguments)],
            args=arguments,
            prog=f"python -m experiments train {self.name}",
            description=self.description,
        )
        self.finish(RunFolder.create("runs", self.name, self.title(recipe), recipe), recipe)

    def resume(self, arguments: list[str]) -> None:
        """Goes on with an interrupted run from its last checkpoint."""
        what = "Go on with a run from its last checkpoint."
        folder = run_folder(arguments, f"resume {self.name}", what)
        self.finish(folder, self.recipe(**folder.config()))

    def report(self, arguments: list[str]) -> None:
        """Prints the table and draws the plots of a finished run."""
        what = "Show the table and draw the plots of a finished run."
        folder = run_folder(arguments, f"report {self.name}", what)
        folder.config()
        self._show(folder)

    def finish(
        self,
        folder: training.RunFolder,
        recipe: Any,
        *,
        show: bool = True,
        deadline: float | None = None,
    ) -> None:
        """Does what is left of a run, or of it what can be done before a deadline, and shows it
        unless it is told not to."""
        if folder.read("test") is None:
            start = time.perf_counter()
            print(
                "stop at any time, go on with: "
                f"python -m experiments resume {self.name} {folder.path}"
            )
            self.run(folder, recipe, **({} if deadline is None else {"deadline": deadline}))
            seconds = round(time.perf_counter() - start, 1)
            folder.write("duration", {"seconds_of_the_last_session": seconds})
        if show:
            self._show(folder)

    def _show(self, folder: RunFolder) -> None:
        result = folder.read("test")
        if result is None:
            raise FileNotFoundError(
                f"report: {folder.path} has no test.json, it is not finished: "
                f"python -m experiments resume {self.name} {folder.path}"
            )
        self.show(folder, result)

    def _preset(self, arguments: list[str]) -> str:
        """The value of --preset, whose other values are the defaults of the command line.

        Raises:
            ValueError: there is no such preset.
        """
        for i, argument in enumerate(arguments):
            name, _, value = argument.partition("=")
            if name == "--preset":
                value = value or (arguments[i + 1] if i + 1 < len(arguments) else "")
                if value not in self.presets:
                    raise ValueError(
                        f"train {self.name}: --preset must be one of {', '.join(self.presets)}, "
                        f"got {value!r}"
                    )
                return value
        return "quick"
