"""LieConv on the translations, with and without random rotations in training.

Published: Finzi et al., Generalizing Convolutional Neural Networks for Equivariance to Lie Groups
on Arbitrary Continuous Data (ICML 2020), as given in the LieTransformer's table 2, Cormorant
split: HOMO 36 meV, with rotations 30; U0 35 and 19 meV (all twelve below). Recipe: L1 loss, Adam
at 3e-3 with a cosine and a warm-up of a hundredth of 500 epochs, batch 75, 1,536 channels, every
atom a neighbour of every other.
Parameters: 21,315,553.
Cost: 51 molecules/s on 2 cores (accelerator qm9, 3 steps), 11 days a property.
Command: python -m experiments train qm9 --preset lieconv-T3-aug --target homo
"""

import dataclasses

from experiments.qm9.recipe import Recipe
from experiments.qm9.recipes.row import Row, scores

CITATION = "Finzi et al., LieConv (2020), as given by Hutchinson et al. (2021)"
WARMUP = 5 * 1334
"""Steps of 5 epochs."""

PLAIN = Row(
    Recipe(
        preset="lieconv-T3", target="homo", model="lieconv", width=1536, augment="none",
        learning_rate=3e-3, batch_size=75, warmup=WARMUP,
    ),
    CITATION,
    scores(0.125, 60, 36, 32, 0.057, 0.046, 35, 37, 1.54, 36, 35, 3.62),
)  # fmt: skip
AUGMENTED = Row(
    dataclasses.replace(PLAIN.recipe, preset="lieconv-T3-aug", augment="SO3"),
    CITATION,
    scores(0.084, 49, 30, 25, 0.032, 0.038, 22, 24, 0.800, 19, 19, 2.28),
)  # fmt: skip
