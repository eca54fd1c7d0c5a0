"""QM9: 130,831 small organic molecules with 12 properties from density functional theory.

Source: Ramakrishnan et al., Quantum chemistry structures and properties of 134 kilo molecules
(2014). ``lie_jax.data.qm9.builder`` is the TFDS builder; it is imported by name, because it
imports tensorflow_datasets.
"""

from lie_jax.data.qm9.features import CHANNELS as CHANNELS
from lie_jax.data.qm9.features import MoleculeArrays as MoleculeArrays
from lie_jax.data.qm9.features import atom_counts as atom_counts
from lie_jax.data.qm9.features import gather as gather
from lie_jax.data.qm9.features import to_device as to_device
from lie_jax.data.qm9.molecules import Molecules as Molecules
from lie_jax.data.qm9.molecules import load as load
from lie_jax.data.qm9.properties import CHARGES as CHARGES
from lie_jax.data.qm9.properties import PROPERTIES as PROPERTIES
from lie_jax.data.qm9.properties import SYMBOLS as SYMBOLS
from lie_jax.data.qm9.properties import Property as Property
from lie_jax.data.qm9.splits import CONFIGS as CONFIGS
from lie_jax.data.qm9.splits import split_rows as split_rows
