"""Reading the entries of a PyTorch state dict, each of them once and none left over."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np

from lie_jax.typing import Array

StateDict = Mapping[str, Any]


_T = TypeVar("_T")


class Reader:
    """Reads entries of a state dict and remembers which were used.

    Args:
        where: who reads, for messages.
        state_dict: names to arrays (numpy, or torch tensors on the CPU).
    """

    def __init__(self, where: str, state_dict: StateDict):
        self.where = where
        self.entries = {name: np.asarray(value) for name, value in state_dict.items()}
        self.used: set[str] = set()

    def __call__(self, name: str) -> np.ndarray:
        if name not in self.entries:
            raise ValueError(
                f"{self.where}: state_dict must hold {name!r} for this config; it has "
                f"{sorted(self.entries)[:6]} ..."
            )
        self.used.add(name)
        return self.entries[name]

    def linear(self, name: str) -> dict[str, Array]:
        layer = {"kernel": jnp.asarray(self(f"{name}.weight").T)}
        if f"{name}.bias" in self.entries:
            layer["bias"] = jnp.asarray(self(f"{name}.bias"))
        return layer

    def norm(self, name: str) -> dict[str, Array]:
        return {
            "scale": jnp.asarray(self(f"{name}.weight")),
            "bias": jnp.asarray(self(f"{name}.bias")),
        }

    def per_head_mlp(self, name: str) -> dict[str, dict[int, Array]]:
        layers = [f"{name}.LinNormAct_{i}.linear.module" for i in (1, 2, 3)]
        return {
            "weights": {i: jnp.asarray(self(f"{x}.weight")) for i, x in enumerate(layers)},
            "biases": {i: jnp.asarray(self(f"{x}.bias")) for i, x in enumerate(layers)},
        }

    def finish(self, build: Callable[[], _T]) -> _T:
        """What ``build`` makes of the entries.

        Raises:
            ValueError: an entry is missing or left over.
        """
        built = build()
        left = sorted(set(self.entries) - self.used)
        if left:
            raise ValueError(
                f"{self.where}: config must use every entry of state_dict, but it leaves "
                f"{left[:6]} ({len(left)} entries): is an option of the config another one?"
            )
        return built


def flip(weight: Array, axis: int, start: int, stop: int) -> Array:
    """``weight`` with the sign of the inputs start..stop of ``axis`` changed."""
    sign = np.ones(weight.shape[axis])
    sign[start:stop] = -1
    shape = [1] * weight.ndim
    shape[axis] = -1
    return weight * jnp.asarray(sign.reshape(shape), weight.dtype)
