"""Clouds of triangles, squares, pentagons and Ls, which are to be counted: drawn, seeded.

``lie_jax.data.constellations.builder`` is the TFDS builder; it is imported by name, because it
imports tensorflow_datasets.

Source: Hutchinson et al., LieTransformer (2021), section 5.1; Kosiorek et al., Stacked Capsule
Autoencoders (2019), section 3.1.
"""

from lie_jax.data.constellations.features import FeatureName as FeatureName
from lie_jax.data.constellations.features import feature_count as feature_count
from lie_jax.data.constellations.features import point_set as point_set
from lie_jax.data.constellations.generate import PATTERNS as PATTERNS
from lie_jax.data.constellations.generate import Constellations as Constellations
from lie_jax.data.constellations.generate import MotionName as MotionName
from lie_jax.data.constellations.generate import SplitName as SplitName
from lie_jax.data.constellations.generate import constellations as constellations
