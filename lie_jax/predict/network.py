"""The network of a checkpoint as one pure function of charges and positions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lie_jax.data.qm9.features import atom_features
from lie_jax.data.qm9.properties import SYMBOLS
from lie_jax.groups import SO3
from lie_jax.models.lifting import lift_as
from lie_jax.points import PointSet
from lie_jax.predict.checkpoint import Checkpoint
from lie_jax.predict.describe import build_model
from lie_jax.predict.molecules import Molecule
from lie_jax.typing import Array, Float, UInt8

_SIZES = (12, 16, 19, 22, 29)
"""Numbers of atoms that molecules are padded to; QM9 has 18 on average. Then every eighth."""


class Network:
    """A checkpoint, ready to run; a compiled function per padded size is kept.

    Args:
        checkpoint: as `lie_jax.predict.read_checkpoint` gives it.
    """

    def __init__(self, checkpoint: Checkpoint):
        self.name, self.card = checkpoint.name, checkpoint.card
        template = nnx.eval_shape(lambda: build_model(checkpoint.card.model))
        self._graph, *states = nnx.split(template, nnx.Param, ...)
        trees = (checkpoint.params, checkpoint.model_state)
        for state, tree in zip(states, trees, strict=True):
            nnx.replace_by_pure_dict(state, jax.tree.map(jnp.asarray, tree))
        self._states = tuple(states)
        self._run = jax.jit(self._outputs, static_argnames="samples")

    def __call__(self, charges: np.ndarray, positions: np.ndarray, samples: int) -> Array:
        """As `outputs`, compiled once per shape."""
        return self._run(self._states, charges, positions, samples=samples)

    def outputs(
        self, charges: UInt8[Array, "b n"], positions: Float[Array, "b n 3"], samples: int
    ) -> Float[Array, "s b t"]:
        """Standardised outputs for each of ``samples`` rotations; pure, to be differentiated.

        Every molecule is turned by the same rotations, about the mean of its atoms, and lifted
        with the same key: its prediction does not depend on its place in a batch.

        Args:
            charges: 0 where there is no atom.
            positions: in angstrom.
            samples: 1 takes the molecules as they stand.
        """
        return self._outputs(self._states, charges, positions, samples=samples)

    def _outputs(self, states: Any, charges: Array, positions: Array, *, samples: int) -> Array:
        model = nnx.merge(self._graph, *states)
        real = charges > 0
        mask = real[..., None]
        centre = jnp.sum(positions, 1, keepdims=True, where=mask) / jnp.sum(mask, 1, keepdims=True)
        positions = jnp.where(mask, positions - centre, 0)
        features = atom_features(charges).astype(positions.dtype)
        rotation_key, lift_key = jax.random.split(jax.random.key(self.card.seed))
        turn = SO3()
        # Draws depend on the dtype: these are the same in float32 and float64.
        rotations = turn.haar(rotation_key, (samples,), jnp.float32).astype(positions.dtype)
        rotations /= jnp.linalg.norm(rotations, axis=-1, keepdims=True)

        def one_sample(sample: tuple[Array, Array]) -> Array:
            rotation, key = sample
            coords = positions if samples == 1 else turn.act(rotation, positions)
            points = PointSet(coords, features, real)
            # One by one: a batch would draw lifts by the molecules' places in it.
            lifted = jax.vmap(lambda one: lift_as(model.config, model.group, one, key))(points)
            return self._pool(model.from_lifted(lifted, key=key), real)

        return jax.lax.map(one_sample, (rotations, jax.random.split(lift_key, samples)))

    def _pool(self, y: Array, real: Array) -> Array:
        """(b, t) of outputs (b, o), or of those of atoms (b, n, o), which are 0 where none is."""
        columns = []
        for i, target in enumerate(self.card.targets):
            column = y[..., i]
            if target.pooled:
                column = jnp.sum(column, axis=1)
            if target.pooled == "mean":
                column = column / jnp.sum(real, axis=1)
            columns.append(column)
        return jnp.stack(columns, axis=-1)

    def offsets(self, molecule: Molecule) -> np.ndarray:
        """(t,): what is added to outputs times standard deviations, in reported units."""
        return np.array(
            [
                target.mean
                + sum(
                    value * np.sum(molecule.numbers == SYMBOLS[symbol])
                    for symbol, value in target.references.items()
                )
                for target in self.card.targets
            ]
        )

    @property
    def stds(self) -> np.ndarray:
        """(t,) standard deviations, in reported units."""
        return np.array([target.std for target in self.card.targets])


def padded_sizes(largest: int) -> tuple[int, ...]:
    """The sizes to pad to for molecules of up to ``largest`` atoms."""
    last = next((size for size in _SIZES if size >= largest), -(-largest // 8) * 8)
    return (*(size for size in _SIZES if size < last), last)


def pad(molecules: list[Molecule], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Charges (b, size) uint8 and positions (b, size, 3) float64, from the mean of the atoms."""
    charges = np.zeros((len(molecules), size), np.uint8)
    positions = np.zeros((len(molecules), size, 3))
    for row, (numbers, places, _) in enumerate(molecules):
        charges[row, : len(numbers)] = numbers
        # In float64: far from the origin float32 would have few digits left.
        positions[row, : len(numbers)] = places - places.mean(0)
    return charges, positions
