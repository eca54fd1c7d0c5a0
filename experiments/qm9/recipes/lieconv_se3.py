"""LieConv on rigid motions, with 4 random lifts per atom and 25 neighbours.

Published: Finzi et al., Generalizing Convolutional Neural Networks for Equivariance to Lie Groups
on Arbitrary Continuous Data (ICML 2020), as given in the LieTransformer's table 2, Cormorant
split: HOMO 27 meV, U0 48 meV (all twelve below); with rotations nothing was published. Recipe as
for the translations. The neighbours are the 25 nearest lifted atoms; published are 25 drawn from
the nearest half.
Parameters: 21,316,129.
Cost: 11 molecules/s on 2 cores (accelerator qm9, 3 steps), 53 days a property.
Command: python -m experiments train qm9 --preset lieconv-SE3 --target homo
"""

import dataclasses

from experiments.qm9.recipes import lieconv_t3
from experiments.qm9.recipes.row import Row, scores

_SE3 = {"group": "SE3", "lift_samples": 4, "neighbours": 25}
PLAIN = Row(
    dataclasses.replace(lieconv_t3.PLAIN.recipe, preset="lieconv-SE3", **_SE3),
    lieconv_t3.CITATION,
    scores(0.097, 45, 27, 25, 0.039, 0.041, 39, 46, 2.18, 49, 48, 3.27),
)
AUGMENTED = Row(
    dataclasses.replace(lieconv_t3.AUGMENTED.recipe, preset="lieconv-SE3-aug", **_SE3),
    lieconv_t3.CITATION,
    {},
)
