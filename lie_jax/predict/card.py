"""The card of a checkpoint: how its network is built, what it predicts, and what is known of it."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal, get_args

from lie_jax.data.qm9.properties import SYMBOLS
from lie_jax.predict.domain import Domain
from lie_jax.predict.uncertainty import Uncertainty
from lie_jax.typing import unchecked

PooledName = Literal["mean", "sum"]

_VERSION = 1
"""Of the file; it changes with the meaning of what is there."""


@unchecked
@dataclasses.dataclass(frozen=True)
class Target:
    """One property, from the network's output of the same place.

    prediction = output * std + mean + sum over atoms of references[element]

    Args:
        name, unit, meaning: as in `lie_jax.data.qm9.Property`.
        mean, std: of the training targets less references, in reported units.
        references: what an atom of each element adds, by symbol, in reported units; 0 for others.
        pooled: where the network gives one output per atom, the ``"mean"`` or ``"sum"`` over atoms
            is taken; None where it gives one per molecule.
        test_mae: mean absolute error on test molecules; None if it is not known.
        scale_note: what a reader should know about the scale, for instance from where an energy
            is counted.

    Raises:
        ValueError: an unknown element or ``pooled``.
    """

    name: str
    unit: str
    meaning: str
    mean: float = 0.0
    std: float = 1.0
    references: Mapping[str, float] = dataclasses.field(default_factory=dict)
    pooled: PooledName | None = None
    test_mae: float | None = None
    scale_note: str = ""

    def __post_init__(self):
        options = (None, *get_args(PooledName))
        if self.pooled not in options:
            raise ValueError(f"Target: pooled must be one of {options}, got {self.pooled!r}")
        unknown = set(self.references) - set(SYMBOLS)
        if unknown:
            raise ValueError(
                f"Target: references must be of {', '.join(SYMBOLS)}, got {sorted(unknown)}"
            )


@unchecked
@dataclasses.dataclass(frozen=True)
class Card:
    """Everything about a checkpoint but its arrays; goes to JSON and back.

    Args:
        model: see `lie_jax.predict.describe_model`.
        targets: output i of the network belongs to target i; further outputs are ignored.
        domain: what the training molecules look like.
        uncertainty: half-widths of intervals; None where nothing was calibrated.
        augmentations: random rotations that predictions are averaged over, and with them lifts;
            1 takes molecules as they stand.
        seed: of rotations and lifts.
        data, recipe, licence, limits: in words.
        commit: of the repository that trained it.
        trained: plain values by name: steps, epochs, seconds, machine.

    Raises:
        ValueError: there is no target, two have the same name, or numbers do not fit.
    """

    model: Mapping[str, Any]
    targets: tuple[Target, ...]
    domain: Domain
    uncertainty: Uncertainty | None = None
    augmentations: int = 1
    seed: int = 0
    data: str = ""
    recipe: str = ""
    licence: str = ""
    limits: str = ""
    commit: str = ""
    trained: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        names = [target.name for target in self.targets]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"Card: targets must have names of their own, got {names}")
        if self.augmentations < 1:
            raise ValueError(f"Card: augmentations must be at least 1, got {self.augmentations}")
        if self.uncertainty and len(self.uncertainty.half_width) != len(names):
            raise ValueError(
                f"Card: uncertainty must be that of {len(names)} targets, got "
                f"{len(self.uncertainty.half_width)}"
            )

    def to_json(self) -> str:
        """As JSON."""
        content = {"version": _VERSION, **dataclasses.asdict(self)}
        return json.dumps(content, indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Card":
        """The card that `to_json` wrote.

        Raises:
            ValueError: the text is no card, or that of another version.
        """
        content = json.loads(text)
        if content.pop("version", None) != _VERSION:
            raise ValueError(f"Card.from_json: the card must be of version {_VERSION}")
        try:
            domain, uncertainty = content.pop("domain"), content.pop("uncertainty")
            targets = tuple(Target(**target) for target in content.pop("targets"))
            return cls(
                targets=targets,
                domain=Domain(**_tuples(domain)),
                uncertainty=Uncertainty(**_tuples(uncertainty)) if uncertainty else None,
                **content,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"Card.from_json: the card is not complete: {error}") from error


def _tuples(value: Any) -> Any:
    """With tuples for the lists of JSON."""
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
