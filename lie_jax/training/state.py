"""What training changes, as one pytree."""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from lie_jax.typing import Array, Int, PyTree, unchecked


@jax.tree_util.register_dataclass
@unchecked
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Everything a run needs to go on, but for its key, which is derived from the seed.

    Args:
        step: number of updates made.
        params: trained parameters.
        model_state: what the model changes besides, for instance batch statistics.
        opt_state: the optimiser's.
        ema: exponential moving average of the parameters; an empty dict if none is kept.
    """

    step: Int[Array, ""]
    params: PyTree
    model_state: PyTree
    opt_state: PyTree
    ema: PyTree

    @property
    def averaged(self) -> PyTree:
        """The parameters to evaluate with: the average where one is kept."""
        return self.ema if jax.tree.leaves(self.ema) else self.params


def create_state(
    params: PyTree,
    optimizer: optax.GradientTransformation,
    *,
    model_state: PyTree | None = None,
    ema: bool = True,
) -> TrainState:
    """The state before the first step.

    Args:
        params: initial parameters, for instance from `lie_jax.functional_with_state`.
        optimizer: optax's.
        model_state: from `lie_jax.functional_with_state`; empty if None.
        ema: whether an average of the parameters is kept.
    """
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state={} if model_state is None else model_state,
        opt_state=optimizer.init(params),
        # A copy: a donated state must not hold one buffer twice.
        ema=jax.tree.map(jnp.copy, params) if ema else {},
    )
