"""LieTransformer on rigid motions, with one random lift per atom.

Published: Hutchinson et al., LieTransformer: Equivariant self-attention for Lie groups (ICML
2021), table 2, Cormorant split: HOMO 33 meV, with rotations 33; U0 26 and 25 meV (all twelve
below). Recipe as for the translations.
Parameters: 10,021,169.
Cost: 103 molecules/s on 2 cores (accelerator qm9, 3 steps), 5.6 days a property.
Command: python -m experiments train qm9 --preset lietransformer-SE3 --target homo
"""

import dataclasses

from experiments.qm9.recipe import Recipe
from experiments.qm9.recipes.row import Row, scores

CITATION = "Hutchinson et al., LieTransformer (2021), table 2"

PLAIN = Row(
    Recipe(
        preset="lietransformer-SE3", target="homo", group="SE3", augment="none",
        beta1=0.5, beta2=0.9,
    ),
    CITATION,
    scores(0.104, 52, 33, 29, 0.061, 0.041, 23, 27, 2.29, 26, 26, 3.55),
)  # fmt: skip
AUGMENTED = Row(
    dataclasses.replace(PLAIN.recipe, preset="lietransformer-SE3-aug", augment="SO3"),
    CITATION,
    scores(0.105, 52, 33, 29, 0.062, 0.041, 22, 25, 2.31, 24, 25, 3.67),
)  # fmt: skip
