"""Predictions for molecules, by one network or several."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lie_jax.data import Batches
from lie_jax.predict.checkpoint import Checkpoint, read_checkpoint, shipped
from lie_jax.predict.domain import Domain
from lie_jax.predict.molecules import Molecule, as_molecules
from lie_jax.predict.network import Network, pad, padded_sizes
from lie_jax.typing import Validated

_BATCHES = (1, 8, 64)
"""Molecules per batch: the least that holds all, else the last."""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Properties of n molecules.

    Args:
        names: of the t properties; where several checkpoints predict one, "name@checkpoint".
        units: of the properties.
        values: (n, t) float64.
        half_width: (n, t) of the interval that holds the true value with the ``coverage`` of the
            checkpoint's card, for molecules like those of its data; NaN where none was calibrated.
        spread: (n, t) standard deviation over rotations and lifts; 0 where there is one.
        samples: rotations that each property is averaged over.
        refused: why a molecule was refused, its row is then NaN; None where it was not.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    values: np.ndarray
    half_width: np.ndarray
    spread: np.ndarray
    samples: tuple[int, ...]
    refused: tuple[str | None, ...]

    def __getitem__(self, name: str) -> np.ndarray:
        """(n,) values of a property.

        Raises:
            KeyError: there is none of that name.
        """
        if name not in self.names:
            raise KeyError(f"Prediction: name must be one of {self.names}, got {name!r}")
        return self.values[:, self.names.index(name)]


class Predictor:
    """Predicts the properties of molecules; made by `load`.

    Args:
        checkpoints: whose properties stand beside each other.

    Raises:
        ValueError: there is no checkpoint, or two have one name.
    """

    def __init__(self, checkpoints: Sequence[Checkpoint]):
        names = [checkpoint.name for checkpoint in checkpoints]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"Predictor: checkpoints must have names of their own, got {names}")
        self.networks = tuple(Network(checkpoint) for checkpoint in checkpoints)
        targets = [(n.name, target) for n in self.networks for target in n.card.targets]
        plain = [target.name for _, target in targets]
        self.names = tuple(
            f"{target.name}@{name}" if plain.count(target.name) > 1 else target.name
            for name, target in targets
        )
        self.units = tuple(target.unit for _, target in targets)
        self._domains: list[Domain] = []
        for network in self.networks:
            if network.card.domain not in self._domains:  # most were trained on the same data
                self._domains.append(network.card.domain)

    def __call__(
        self,
        molecules: Any,
        *,
        progress: bool = False,
        samples: int | None = None,
        check: bool = True,
        refused: Validated[Literal["raise", "keep"]] = "raise",
    ) -> Prediction:
        """Properties of one molecule or several.

        Args:
            molecules: ``ase.Atoms``, a pair (numbers (n,), positions (n, 3) in angstrom), or a
                list of these.
            progress: show a bar on the terminal.
            samples: rotations to average over; that of each card if None.
            check: refuse molecules unlike those of the training data, see
                `lie_jax.predict.Domain`. Without it only those are refused for which there is
                no number at all: unknown elements, NaN, no atoms, periodic cells.
            refused: ``"raise"`` an error for the first molecule that is refused, or ``"keep"``
                the reason beside a row of NaN.

        Raises:
            ValueError: a molecule is refused, there is none, or shapes do not fit.
            FloatingPointError: a network's output is not finite.
        """
        if samples is not None and samples < 1:
            raise ValueError(f"Predictor: samples must be at least 1, got {samples}")
        if refused not in ("raise", "keep"):
            raise ValueError(f'Predictor: refused must be "raise" or "keep", got {refused!r}')
        given = as_molecules(molecules)
        reasons = tuple(self.reason(molecule, check=check) for molecule in given)
        for i, reason in enumerate(reasons):
            if reason and refused == "raise":
                raise ValueError(f"Predictor: molecule {i} is refused: {reason}")
        kept = [i for i, reason in enumerate(reasons) if not reason]
        counts = tuple(samples or n.card.augmentations for n in self.networks)
        found = self._run([given[i] for i in kept], counts, progress)
        values, half_width, spread = (_among(part, kept, len(given)) for part in found)
        per_name = [
            count for count, n in zip(counts, self.networks, strict=True) for _ in n.card.targets
        ]
        return Prediction(
            self.names, self.units, values, half_width, spread, tuple(per_name), reasons
        )

    def reason(self, molecule: Molecule, *, check: bool = True) -> str | None:
        """Why a molecule is refused; None if it is not.

        Args:
            molecule: see `lie_jax.predict.molecules.as_molecules`.
            check: as for the predictor itself.
        """
        for domain in self._domains:
            reason = domain.check(*molecule) if check else domain.impossible(*molecule)
            if reason:
                return reason
        return None

    def _run(
        self, molecules: list[Molecule], counts: tuple[int, ...], progress: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values, half-widths and spreads, (n, t) each."""
        shape = (len(molecules), len(self.names))
        values, widths, spreads = (np.full(shape, np.nan) for _ in range(3))
        if not molecules:
            return values, widths, spreads
        sizes = np.array([len(molecule.numbers) for molecule in molecules])
        batch_size = next((b for b in _BATCHES if b >= len(sizes)), _BATCHES[-1])
        batches = Batches(sizes, batch_size, padded_sizes(int(sizes.max()))).epoch()
        with _bar(progress, len(sizes) * len(self.networks)) as advance:
            start = 0
            for network, samples in zip(self.networks, counts, strict=True):
                part = slice(start, start + len(network.card.targets))
                start = part.stop
                if network.card.uncertainty:
                    widths[:, part] = network.card.uncertainty.of(sizes)
                for batch in batches:
                    rows = np.asarray(batch.indices)
                    charges, positions = pad([molecules[i] for i in rows], batch.size)
                    y = network(charges, positions.astype(np.float32), samples)
                    y = np.asarray(y, np.float64)[:, np.asarray(batch.mask)]
                    rows = rows[np.asarray(batch.mask)]
                    if not np.isfinite(y).all():
                        raise FloatingPointError(
                            f"Predictor: outputs must be finite, got NaN or infinity from "
                            f"{network.name}"
                        )
                    offsets = np.stack([network.offsets(molecules[i]) for i in rows])
                    values[rows, part] = y.mean(0) * network.stds + offsets
                    spreads[rows, part] = y.std(0) * network.stds
                    advance(len(rows))
        return values, widths, spreads


def load(*paths: str | Path) -> Predictor:
    """A predictor from checkpoint files.

    Args:
        paths: of files, or names of checkpoints that came with the package; all of these if none
            is given.

    Raises:
        FileNotFoundError: there is no such file or name, or the package has no checkpoints.
        ValueError: a file is not a checkpoint, or damaged.
    """
    wanted = paths or tuple(shipped())
    if not wanted:
        raise FileNotFoundError(
            "load: this package came without checkpoints: give the path of one, made by "
            "lie_jax.predict.save"
        )
    return Predictor([read_checkpoint(path) for path in wanted])


def _among(part: np.ndarray, kept: list[int], count: int) -> np.ndarray:
    """The rows of those that were kept, among rows of NaN."""
    whole = np.full((count, part.shape[1]), np.nan)
    whole[kept] = part
    return whole


@contextlib.contextmanager
def _bar(show: bool, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr, if there is a terminal."""
    if not show:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("molecules", total=total)
        yield lambda count: bar.advance(task, count)
