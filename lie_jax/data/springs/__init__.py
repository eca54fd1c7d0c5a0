"""Trajectories of spring systems, simulated: exact, seeded, and kept on disk.

Needs the extra ``dynamics``. ``lie_jax.data.springs.builder`` is the TFDS builder; it is imported
by name, because it imports tensorflow_datasets.

Source: Finzi et al., Generalizing convolutional neural networks for equivariance to Lie groups
(2020), section 6.4; Hutchinson et al., LieTransformer (2021), section 5.4.
"""

from lie_jax.data.springs.simulate import PUBLISHED_DT as PUBLISHED_DT
from lie_jax.data.springs.simulate import SplitName as SplitName
from lie_jax.data.springs.simulate import load_springs as load_springs
from lie_jax.data.springs.simulate import simulate as simulate
from lie_jax.data.springs.trajectories import Trajectories as Trajectories
from lie_jax.data.springs.trajectories import chunk_starts as chunk_starts
from lie_jax.data.springs.trajectories import chunks as chunks
