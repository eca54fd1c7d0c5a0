"""From molecules to point sets: device arrays, features, and the gather of a batch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from lie_jax.data.batching import Batch
from lie_jax.data.qm9.molecules import Molecules
from lie_jax.data.qm9.properties import CHARGES
from lie_jax.points import PointSet
from lie_jax.typing import Array, Float, UInt8, unchecked

CHANNELS = 3 * len(CHARGES)
"""Features of an atom."""


@jax.tree_util.register_dataclass
@unchecked
@dataclasses.dataclass(frozen=True)
class MoleculeArrays:
    """Molecules on the device.

    Args:
        charges: (n, 29) uint8, 0 where there is no atom.
        positions: (n, 29, 3) float32 in angstrom, from the molecule's centre.
        targets: (n, t) float32.
    """

    charges: UInt8[Array, "n 29"]
    positions: Float[Array, "n 29 3"]
    targets: Float[Array, "n t"]


def to_device(molecules: Molecules, targets: np.ndarray) -> MoleculeArrays:
    """Moves molecules and their targets (n,) or (n, t) to the default device.

    Positions are moved to the mean of the atoms, which no group that holds the translations
    notices and which float32 likes better.
    """
    mask = molecules.charges > 0
    centre = molecules.positions.sum(1, dtype=np.float64) / molecules.num_atoms[:, None]
    positions = np.where(mask[..., None], molecules.positions - centre[:, None], 0)
    targets = np.asarray(targets, np.float32).reshape(len(molecules), -1)
    if not np.isfinite(targets).all():
        raise ValueError("qm9.to_device: targets must be finite")
    return MoleculeArrays(
        jnp.asarray(molecules.charges, jnp.uint8),
        jnp.asarray(positions, jnp.float32),
        jnp.asarray(targets),
    )


def atom_features(charges: UInt8[Array, "*b n"]) -> Float[Array, "*b n 15"]:
    """one_hot(element) * [1, c, c²] with c = charge / 9; channel 3 * element + power."""
    c = charges.astype(jnp.float32)[..., None] / max(CHARGES)
    one_hot = charges[..., None] == jnp.asarray(CHARGES, charges.dtype)
    powers = jnp.concatenate([jnp.ones_like(c), c, c * c], axis=-1)
    features = one_hot[..., :, None] * powers[..., None, :]
    return features.reshape(*charges.shape, CHANNELS)


def gather(arrays: MoleculeArrays, batch: Batch) -> tuple[PointSet, Float[Array, "b t"]]:
    """Points and targets of a batch, cut to its padded size; runs on the device, under jit."""
    charges = arrays.charges[batch.indices, : batch.size]
    points = PointSet(
        arrays.positions[batch.indices, : batch.size], atom_features(charges), charges > 0
    )
    return points, arrays.targets[batch.indices]


def atom_counts(molecules: Molecules) -> np.ndarray:
    """(n, 5): atoms of each element, the inputs of the ridge regression baseline."""
    return np.stack([(molecules.charges == z).sum(1) for z in CHARGES], axis=1)
