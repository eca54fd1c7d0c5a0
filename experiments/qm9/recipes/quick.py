"""What ``make run`` trains: a property that atom counts cannot tell, in minutes on 2 cores.

Nothing was published for it. Parameters: 93,529. Cost: 1 min 23 s on 2 cores.
Command: python -m experiments train qm9 --preset quick
"""

from experiments.qm9.recipe import Recipe

QUICK = Recipe(
    preset="quick",
    target="r2",
    train_size=20_000,
    validation_size=2_000,
    width=64,
    layers=3,
    pooling="sum",
    atom_references=True,
    epochs=4,
    batch_size=64,
    learning_rate=3e-3,
    warmup=100,
    clip=1.0,
    ema_decay=0.995,
    buckets=3,
    evaluate_every=1,
)
