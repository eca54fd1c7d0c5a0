"""Checkpoint files: one npz with the card and the arrays of a network.

``card`` is the card as JSON; ``params/...`` and ``state/...`` are parameters and batch statistics
under their paths in the model, float32.
"""

import dataclasses
import zipfile
from importlib import resources
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from lie_jax.data.cache import write_arrays
from lie_jax.data.qm9 import CHANNELS
from lie_jax.models import LieConv, LieTransformer, functional_with_state
from lie_jax.predict.card import Card
from lie_jax.predict.describe import build_model
from lie_jax.typing import PyTree

_PARTS = ("params", "state")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A trained network as it was saved.

    Args:
        name: the file's name without its ending.
        card: how it is built and what is known of it.
        params, model_state: nested dicts of arrays, as `lie_jax.functional_with_state` has them.
    """

    name: str
    card: Card
    params: PyTree
    model_state: PyTree


def save(path: str | Path, card: Card, params: PyTree, model_state: PyTree = None) -> Path:
    """Writes a checkpoint file.

    Args:
        path: of the file; ".npz" is added where it is missing.
        card: of the checkpoint.
        params, model_state: as `lie_jax.functional_with_state` gives them; a model state of None
            is an empty one.

    Returns:
        The file's path.

    Raises:
        ValueError: the arrays are not those of the card's model, or not finite.
    """
    path = Path(path)
    if path.suffix != ".npz":
        path = path.with_name(path.name + ".npz")
    arrays = {}
    for part, tree in zip(_PARTS, (params, model_state or {}), strict=True):
        flat, _ = jax.tree_util.tree_flatten_with_path(tree)
        arrays |= {_name(part, keys): np.asarray(leaf, np.float32) for keys, leaf in flat}
    _fill("save", card, arrays)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"save: arrays must be finite, got NaN or infinity in {name}")
    write_arrays(path, {"card": np.array(card.to_json()), **arrays})
    return path


def read_checkpoint(path: str | Path) -> Checkpoint:
    """What `save` wrote.

    Args:
        path: of a file, or the name of a checkpoint that came with the package, see `shipped`.

    Raises:
        FileNotFoundError: there is no such file, and no such name.
        ValueError: it is not a checkpoint, or damaged.
    """
    file = _find(path)
    try:
        with np.load(file) as found:
            arrays = {name: found[name] for name in found.files}
            card = Card.from_json(arrays.pop("card").item())
    except (OSError, EOFError, KeyError, AttributeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"load: {file} is not a checkpoint, or damaged: {error}") from error
    params, model_state = _fill(f"load: {file}", card, arrays)
    return Checkpoint(file.stem, card, params, model_state)


def shipped() -> dict[str, Path]:
    """The checkpoints that came with the package, by name."""
    folder = Path(str(resources.files("lie_jax.predict"))) / "models"
    return {file.stem: file for file in sorted(folder.glob("*.npz"))}


def _find(path: str | Path) -> Path:
    names = shipped()
    if str(path) in names and not Path(path).is_file():
        return names[str(path)]
    if not Path(path).is_file():
        known = ", ".join(names) if names else "none"
        raise FileNotFoundError(
            f"load: {path} is neither a file nor a checkpoint of this package, which has: {known}"
        )
    return Path(path)


def _fill(where: str, card: Card, arrays: dict[str, np.ndarray]) -> tuple[PyTree, PyTree]:
    """Parameters and state of the card's model, with these arrays.

    Raises:
        ValueError: one is missing, too many, or of another shape.
    """
    # Nothing is drawn or computed for parameters that are replaced at once.
    model = nnx.eval_shape(lambda: build_model(card.model))
    _check_model(where, card, model)
    _, *trees = functional_with_state(model)
    left, filled = dict(arrays), []
    for part, tree in zip(_PARTS, trees, strict=True):
        flat, structure = jax.tree_util.tree_flatten_with_path(tree)
        leaves = []
        for keys, leaf in flat:
            name = _name(part, keys)
            array = left.pop(name, None)
            if array is None or array.shape != leaf.shape:
                raise ValueError(
                    f"{where}: the card's model needs an array {name} of shape {leaf.shape}, got "
                    f"{'none' if array is None else array.shape}"
                )
            leaves.append(array)
        filled.append(jax.tree.unflatten(structure, leaves))
    if left:
        raise ValueError(f"{where}: the card's model has no array {sorted(left)[0]}")
    return filled[0], filled[1]


def _check_model(where: str, card: Card, model: LieTransformer | LieConv) -> None:
    """Raises ValueError unless the model takes atoms and gives the card's targets."""
    config, per_atom = model.config, [target.pooled is not None for target in card.targets]
    if config.in_channels != CHANNELS:
        raise ValueError(
            f"{where}: the card's model must have in_channels={CHANNELS}, see "
            f"lie_jax.data.qm9.features.atom_features, got {config.in_channels}"
        )
    if config.outputs < len(card.targets) or getattr(config, "output", "scalar") != "scalar":
        raise ValueError(
            f"{where}: the card's model must give {len(card.targets)} scalars, one per target"
        )
    if any(pooled != (config.pooling == "none") for pooled in per_atom):
        raise ValueError(
            f'{where}: pooled must be "mean" or "sum" for every target of a model with '
            f'pooling="none", and None with any other, got {[t.pooled for t in card.targets]} '
            f"with pooling={config.pooling!r}"
        )


def _name(part: str, keys: tuple) -> str:
    return "/".join([part, *(str(key.key) for key in keys)])
