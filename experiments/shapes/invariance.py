"""``invariance shapes``: how much the logits of untrained networks change when clouds turn.

Networks of SE(2) that lift every point to finitely many poses are invariant up to what the sum
over these poses misses. Measured against their number: the largest change of a logit under a
rotation about the origin, in float64. Random lifts are drawn anew for the turned cloud, for that
is what a user sees who gives it as another input; a grid is the same for every cloud. Features,
too, are computed anew.

Where rotations of pairs are seen smoothly, sums over a grid miss exponentially little. Logarithms
have a cut at the half turn, which random turns of the grid move about; in one grid of an even
number of lifts there are exact half turns, and rounding says on which side of the cut each lies.

With constant features and softmax all values that are mixed agree, and so do their means under
any weights: the coordinates cannot reach the output. That panel is a control.

Source: Hutchinson et al., LieTransformer (2021), the diagnosis of its published code.
"""

import dataclasses
import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import nnx
from rich import box
from rich.console import Console, Group
from rich.table import Table

import lie_jax as lj
from experiments import markdown as md
from lie_jax import training
from lie_jax.attention import Normalisation
from lie_jax.data.constellations import FeatureName, constellations, point_set
from lie_jax.nn.block import BlockNorm
from lie_jax.typing import Array, PRNGKey

LiftName = Literal["random", "turned_grid", "shared", "grid"]
"""Those of `lie_jax.lift`, and a grid that is turned at random at each point."""
EmbeddingName = Literal["log", "circle", "harmonics"]
SMOOTH = ("circle", "harmonics")
BAR, BAR_SAMPLES = 1e-9, 16
"""What a grid with smooth features of the pairs is to reach, and with how many lifts."""
PUBLISHED = {1: 5e-5, 2: 3e-6, 4: 2e-7, 8: 2e-7, 16: 2e-8, 32: 2e-8, 64: 1e-9}
"""By lifts: the median of the published code, for mean attention and constant features.

Its lifts are LieConv's for SE(2), which are ``"turned_grid"``, and its pairs logarithms.
"""
SE2 = lj.groups.SE2()
_HERE = "invariance"


@dataclasses.dataclass(frozen=True)
class Invariance:
    """The networks and what is measured; sizes of the network are the published diagnosis's."""

    samples: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    """Lifts per point."""
    lifts: tuple[LiftName, ...] = get_args(LiftName)
    """How they are found: drawn for each point, one randomly turned grid for each point, drawn for
    each cloud, or one grid for all."""
    embeddings: tuple[EmbeddingName, ...] = ("log", "circle")
    """What is seen of a pair; all but the logarithm are smooth at the half turn."""
    normalisations: tuple[Normalisation, ...] = ("mean", "softmax")
    """Of attention; "mean" is the published unnormalised one."""
    features: tuple[FeatureName, ...] = ("distances", "constant")
    """Of a point."""
    models: int = 4
    """Networks, each with other weights and another cloud."""
    angles: int = 2
    """Rotations of each cloud."""
    repeats: int = 1
    """How often each pattern is there; 17 points times that."""
    width: int = 8
    """Of the network."""
    layers: int = 1
    """Of the network."""
    heads: int = 2
    """Of the network."""
    location_hidden: int = 2
    """Hidden features of the location MLPs."""
    block_norm: BlockNorm = "none"
    """Of the network's blocks."""
    seed: int = 0
    """Of weights, clouds, angles and lifts."""
    root: Path = Path("runs/shapes-invariance")
    """Folder of the results; those of an earlier study there are replaced."""

    def check(self) -> None:
        """Raises ValueError for an option that is out of range."""
        for name in ("models", "angles", "repeats", "width", "layers", "heads", "location_hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{_HERE}: {name} must be at least 1, got {getattr(self, name)}")
        for name in ("samples", "lifts", "embeddings", "normalisations", "features"):
            if not (value := getattr(self, name)) or len(set(value)) < len(value):
                raise ValueError(
                    f"{_HERE}: {name} must be given once each, at least one, got {value}"
                )
        if min(self.samples) < 1:
            raise ValueError(f"{_HERE}: samples must be at least 1, got {self.samples}")
        if self.width % self.heads:
            raise ValueError(
                f"{_HERE}: width must be a multiple of heads = {self.heads}, got {self.width}"
            )
        if self.seed < 0:
            raise ValueError(f"{_HERE}: seed must not be negative, got {self.seed}")


@dataclasses.dataclass(frozen=True)
class Curve:
    """The error of one kind of network against its lifts.

    Args:
        normalisation, features, lift, embedding: which kind.
        samples: lifts per point.
        median, largest: of the error, over models and angles.
    """

    normalisation: Normalisation
    features: FeatureName
    lift: LiftName
    embedding: EmbeddingName
    samples: tuple[int, ...]
    median: tuple[float, ...]
    largest: tuple[float, ...]

    @property
    def is_vacuous(self) -> bool:
        """Whether the output cannot depend on the coordinates."""
        return self.features == "constant" and self.normalisation == "softmax"

    @property
    def is_judged(self) -> bool:
        """Whether the bar is about this curve."""
        return self.lift == "grid" and self.embedding in SMOOTH and not self.is_vacuous


def invariance(arguments: list[str]) -> None:
    """Measures, then writes invariance.json, .md and .png into a folder and prints the table."""
    choice = tyro.cli(
        Invariance, args=arguments, prog="python -m experiments invariance shapes",
        description=__doc__,
    )  # fmt: skip
    choice.check()
    # Here, as matplotlib is slow to import for those who ask for help.
    from experiments.shapes import pictures

    choice.root.mkdir(parents=True, exist_ok=True)
    console = Console()
    with console.status("measuring") as status:
        curves = measure(choice, lambda done: status.update(f"measured {done}"))
    folder = training.RunFolder(choice.root)
    folder.write(
        "invariance",
        {
            "options": dataclasses.asdict(choice) | {"root": str(choice.root)},
            "environment": training.environment(),
            "curves": [dataclasses.asdict(curve) for curve in curves],
            "published": {str(samples): error for samples, error in PUBLISHED.items()},
        },
    )
    (choice.root / "invariance.md").write_text(markdown(choice, curves))
    pictures.error_curves(choice.root / "invariance.png", curves, PUBLISHED)
    console.print(terminal(choice, curves))
    console.print(verdict(curves), highlight=False)
    for what, name in (("table", "invariance.md"), ("picture", "invariance.png")):
        console.print(f"{what:<10}{choice.root / name}", soft_wrap=True)


# --- measuring ---------------------------------------------------------------------------------


def measure(choice: Invariance, say: Callable[[str], None] = lambda _: None) -> list[Curve]:
    """The curves of all kinds of networks; ``say`` is told which is finished.

    Raises:
        ValueError: an option is out of range.
    """
    choice.check()
    kinds = itertools.product(choice.features, choice.normalisations, choice.embeddings)
    # XLA compiles and goes through tiles on one core: kinds share no program, so each has a thread.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda kind: _curves(choice, kind, say), kinds)
        return [curve for curves in found for curve in curves]


def _curves(
    choice: Invariance,
    kind: tuple[FeatureName, Normalisation, EmbeddingName],
    say: Callable[[str], None],
) -> list[Curve]:
    """Those of all lifts."""
    features, normalisation, embedding = kind
    curves = []
    with jax.enable_x64(True):
        points = point_set(*turned_clouds(choice), features)
        models = [_model(choice, points, normalisation, embedding, i) for i in range(choice.models)]
        for lift in choice.lifts:
            errors = [
                [_errors(choice, model, points, lift, s, i) for i, model in enumerate(models)]
                for s in choice.samples
            ]
            curve = Curve(
                normalisation, features, lift, embedding, choice.samples,
                median=tuple(float(np.median(e)) for e in errors),
                largest=tuple(float(np.max(e)) for e in errors),
            )  # fmt: skip
            curves.append(curve)
            say(f"{features}, {normalisation}, {embedding}, {lift}")
    return curves


def turned_clouds(choice: Invariance) -> tuple[Array, Array]:
    """A cloud for each model as it is, then turned by random angles about the origin.

    Returns:
        coords (models, 1 + angles, n, 2) and mask (models, 1 + angles, n), all True.
    """
    drawn = constellations(
        choice.models, "test", choice.seed, repeats=choice.repeats, probability=1.0
    )
    draw = np.random.default_rng((choice.seed, 1))
    angles = draw.uniform(0, 2 * np.pi, (choice.models, 1 + choice.angles))
    angles[:, 0] = 0
    c, s = np.cos(angles)[..., None], np.sin(angles)[..., None]
    x, y = np.moveaxis(np.asarray(drawn.coords, np.float64), -1, 0)[:, :, None]
    coords = jnp.asarray(np.stack([c * x - s * y, s * x + c * y], axis=-1))
    return coords, jnp.ones(coords.shape[:-1], bool)


def _model(
    choice: Invariance, points: lj.PointSet, normalisation: Any, embedding: Any, number: int
) -> lj.LieTransformer:
    config = lj.LieTransformerConfig(
        points.values.shape[-1],
        outputs=12,
        width=choice.width,
        layers=choice.layers,
        heads=choice.heads,
        attention=lj.AttentionConfig(
            normalisation=normalisation, location_hidden=choice.location_hidden
        ),
        block_norm=choice.block_norm,
        pair_embedding=embedding,
        param_dtype=jnp.float64,
    )
    rngs = nnx.Rngs(jax.random.fold_in(jax.random.key(choice.seed), number))
    return lj.LieTransformer(config, group=SE2, rngs=rngs)


def _errors(
    choice: Invariance, model: lj.LieTransformer, points: lj.PointSet, lift: LiftName,
    samples: int, number: int,
) -> np.ndarray:  # fmt: skip
    """Largest change of a logit of the model's cloud, for each angle."""
    own = jax.tree.map(lambda x: x[number], points)
    key = jax.random.fold_in(jax.random.key(choice.seed), choice.models + number)
    logits = np.asarray(_logits(model, lifted(own, lift, samples, key)))
    return np.abs(logits[1:] - logits[0]).max(axis=-1)


# The lift stays outside: one compiled network serves all of them.
@nnx.jit
def _logits(model: lj.LieTransformer, lifted: lj.LiftedSet) -> Array:
    return model.from_lifted(lifted)


def lifted(points: lj.PointSet, lift: LiftName, samples: int, key: PRNGKey) -> lj.LiftedSet:
    """The points' lifts to SE(2); each cloud of a batch has draws of its own.

    ``"turned_grid"`` is a grid that a Haar sample of each point turns, as in LieConv's lift.
    """
    return _lifted(points, key, lift=lift, samples=samples)


def _compute_lifted(
    points: lj.PointSet, key: PRNGKey, *, lift: LiftName, samples: int
) -> lj.LiftedSet:
    if lift != "turned_grid":
        return lj.lift(SE2, points, key=key, samples=samples, method=lift)
    found = lj.lift(SE2, points, samples=samples, method="grid")
    turns = SE2.stabiliser(key, (*points.mask.shape, 1), points.coords.dtype)
    elements = found.elements.reshape(*points.mask.shape, samples, -1)
    elements = SE2.compose(elements, turns).reshape(found.elements.shape)
    return dataclasses.replace(found, elements=elements)


_lifted = jax.jit(_compute_lifted, static_argnames=("lift", "samples"))


# --- showing -----------------------------------------------------------------------------------


def verdict(curves: Sequence[Curve]) -> str:
    """Whether the bar is met, by the largest median of the networks that it is about."""
    found = [
        curve.median[curve.samples.index(BAR_SAMPLES)]
        for curve in curves
        if curve.is_judged and BAR_SAMPLES in curve.samples
    ]
    bar = f"grid with smooth features of pairs, {BAR_SAMPLES} lifts: at most {BAR:.0e} wanted"
    if not found:
        return f"{bar}, not measured"
    return f"{bar}, {max(found):.1e} found: {'met' if max(found) <= BAR else 'MISSED'}"


def heading(curve: Curve) -> str:
    """Which features and attention it is about."""
    what = {"distances": "distances as features", "constant": "constant features"}
    how = {"mean": "unnormalised", "softmax": "softmax", "exp_mean": "exponential"}
    return f"{what[curve.features]}, {how[curve.normalisation]}"


def _title(choice: Invariance) -> str:
    return (
        "Largest change of a logit when a cloud turns, by lifts per point\n"
        f"(median over {choice.models} networks and clouds, {choice.angles} angles each)"
    )


def _row(curve: Curve) -> list[str]:
    numbers = (f"{error:.0e}" if error else "0" for error in curve.median)
    return [curve.embedding, curve.lift.replace("_", " "), *numbers]


def _by_heading(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    found: dict[str, list[Curve]] = {}
    for curve in curves:
        found.setdefault(heading(curve), []).append(curve)
    return found


def terminal(choice: Invariance, curves: Sequence[Curve]) -> Group:
    """For rich: a table for each kind of features and attention, 80 characters wide."""
    tables = []
    for title, own in _by_heading(curves).items():
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("pairs", no_wrap=True)
        table.add_column("lift", no_wrap=True)
        for samples in choice.samples:
            table.add_column(str(samples), justify="right", no_wrap=True)
        for curve in own:
            table.add_row(*_row(curve))
        tables.append(table)
    return Group(_title(choice), "", *tables)


def markdown(choice: Invariance, curves: Sequence[Curve]) -> str:
    """With title, the published row and the verdict."""
    published = (f"{PUBLISHED[s]:.0e}" if s in PUBLISHED else "" for s in choice.samples)
    head = ["features and attention", "pairs", "lift", *map(str, choice.samples)]
    rows = [
        *([title, *_row(curve)] for title, own in _by_heading(curves).items() for curve in own),
        ["constant features, unnormalised", "log", "turned grid, published", *published],
    ]
    return f"{_title(choice)}\n\n{md.table(head, rows, names=3)}\n\n{verdict(curves)}\n"
