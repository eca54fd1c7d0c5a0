"""The optimiser of all experiments that train one network per run."""

import optax


def warmup_cosine(highest_rate: float, steps: int, warmup: int) -> optax.Schedule:
    """The rate of `adam`."""
    return optax.warmup_cosine_decay_schedule(
        0.0 if warmup else highest_rate,
        highest_rate,
        warmup_steps=warmup,
        decay_steps=max(steps, warmup + 1),
    )


def adam(
    highest_rate: float,
    steps: int,
    *,
    warmup: int,
    clip: float | None,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
) -> optax.GradientTransformation:
    """Adam whose rate grows from 0, then decays to 0 as a cosine.

    Args:
        highest_rate: after the warm-up.
        steps: updates in all.
        warmup: updates over which the rate grows; with 0 it starts at its highest.
        clip: largest norm of the gradient.
        weight_decay: of AdamW, per rate.
        betas: decay of the moments.
    """
    schedule = warmup_cosine(highest_rate, steps, warmup)
    parts = [] if clip is None else [optax.clip_by_global_norm(clip)]
    if weight_decay:
        parts.append(optax.adamw(schedule, *betas, weight_decay=weight_decay))
    else:  # whose state is another tree: checkpoints of runs without decay stay readable
        parts.append(optax.adam(schedule, *betas))
    return optax.chain(*parts)
