"""Ours: LieTransformer on rigid motions whose pairs are distances, exact with one lift.

Nothing was published for it. Attention sees a pair as 24 bumps of its distance, the same for all
lifts, so that one lift per atom makes the network exactly invariant to rotations, translations
and reflections at the cost of T(3), without random rotations. Scores are the product of content
and a linear function of the bumps, divided by the number of atoms. What ridge regression on the
numbers of atoms tells is taken off first; sums over atoms for properties that grow with them.
Parameters: 435,756 (twelve properties in one network).
Cost: 55 minutes on one core; HOMO 58.6 meV, U0 25.4 meV on test molecules (docs/qm9.md).
Command: python -m experiments train qm9 --preset distances --target all
"""

from experiments.qm9.recipe import Recipe

DISTANCES = Recipe(
    preset="distances",
    target="all",
    group="SE3",
    lift_method="grid",
    pair_embedding="radial(24, 6.0)",
    width=128,
    layers=4,
    location="raw",
    combination="product",
    pooling="by_property",
    atom_references=True,
    augment="none",
    epochs=14,
    batch_size=64,
    learning_rate=2e-3,
    warmup=500,
    clip=1.0,
    ema_decay=0.999,
    evaluate_every=1,
)
