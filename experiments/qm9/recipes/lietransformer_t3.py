"""LieTransformer on the translations, with and without random rotations in training.

Published: Hutchinson et al., LieTransformer: Equivariant self-attention for Lie groups (ICML
2021), table 2, Cormorant split: HOMO 47 meV, with rotations 33; U0 28 and 17 meV (all twelve
below). Recipe: L1 loss of the standardised property, Adam, cosine, 500 epochs, batch 100. Betas
are those of the published script; the rate is ours, the paper's is not known.
Parameters: 10,018,865.
Cost: 76 molecules/s on 2 cores (accelerator qm9, 3 steps), 7.6 days a property.
Command: python -m experiments train qm9 --preset lietransformer-T3-aug --target homo
"""

import dataclasses

from experiments.qm9.recipe import Recipe
from experiments.qm9.recipes.row import Row, scores

CITATION = "Hutchinson et al., LieTransformer (2021), table 2"

PLAIN = Row(
    Recipe(preset="lietransformer-T3", target="homo", augment="none", beta1=0.5, beta2=0.9),
    CITATION,
    scores(0.179, 67, 47, 37, 0.063, 0.046, 27, 29, 0.717, 27, 28, 2.75),
)
AUGMENTED = Row(
    dataclasses.replace(PLAIN.recipe, preset="lietransformer-T3-aug", augment="SO3"),
    CITATION,
    scores(0.082, 51, 33, 27, 0.041, 0.035, 19, 17, 0.448, 16, 17, 2.10),
)
