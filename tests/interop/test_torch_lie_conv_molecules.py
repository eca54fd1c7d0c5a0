"""The published LieConv on molecules, in T(3) and SE(3): to 1e-10 in float64, weight for weight.

tests/data/lieconv_molecules.npz was recorded from the published code: three molecules, width 16,
1 layer, masked batch norm, weights and statistics moved away from their initial values. SE(3) has
2 lifts per atom, whose pairs turn by less than 2.5, far from where the published log is inaccurate.
Published neighbourhoods are drawn at random from a ball that moves in training; here every
neighbour of the ball is drawn, so that only its radius counts.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax.groups import SE3, Group, T
from lie_jax.points import LiftedSet

DATA = np.load(Path(__file__).parents[1] / "data" / "lieconv_molecules.npz")
CONFIG = lj.LieConvConfig(
    in_channels=15, width=16, layers=1, batch_norm=True, param_dtype=jnp.float64
)
# The published distance is alpha times the length of the whole log in T(3), with alpha 0.2, and of
# its rotation in SE(3), where it was recorded with alpha 0: the length of the translation alone.
BALLS = {
    "T3": {"radius": 0.5, "algebra_weights": (0.2, 0.2, 0.2)},
    "SE3": {"radius": 2.0, "algebra_weights": (0, 0, 0, 1, 1, 1)},
}
GROUPS: dict[str, Group] = {"T3": T(3), "SE3": SE3()}


def entries(prefix):
    return {k[len(prefix) :]: DATA[k] for k in DATA.files if k.startswith(prefix)}


def close(got, wanted):
    wanted = np.asarray(wanted)
    assert np.abs(np.asarray(got) - wanted).max() <= 1e-10 * max(1, np.abs(wanted).max())


def lifted(name):
    points = lj.PointSet(*(jnp.asarray(DATA[k]) for k in ("pos", "x", "mask")))
    if name == "T3":
        return lj.lift(T(3), points)
    repeated = (jnp.repeat(x, 2, axis=1) for x in (points.values, points.mask))
    elements = SE3().from_matrix(jnp.asarray(DATA["SE3/elements"]))
    return LiftedSet(elements, elements[..., :0], *repeated, samples=2)


class OfLifted(lj.LieConv):
    """A `LieConv` whose input is lifted already."""

    def __call__(self, lifted, *, train=False):  # pyright: ignore
        return self.from_lifted(lifted, train=train)


def network(name, **changes):
    """The model's pure function, and the recorded parameters and statistics."""
    config = dataclasses.replace(CONFIG, **changes)
    model = nnx.eval_shape(lambda: OfLifted(config, group=GROUPS[name], rngs=nnx.Rngs(0)))
    apply, own, own_state = lj.functional_with_state(model)
    params, state = lj.interop.load_torch_lieconv(entries(f"{name}/w/"), config)
    shapes = jax.tree.map(jnp.shape, (own, own_state))
    assert jax.tree.map(jnp.shape, (params, state)) == shapes
    return jax.jit(apply, static_argnames="train"), params, state


def ball(name):
    every = lifted(name).mask.shape[-1]
    return lj.NeighbourConfig("ball", count=every, **BALLS[name])


@pytest.mark.parametrize("name", GROUPS)
def test_all_neighbours_at_evaluation(name):
    apply, params, state = network(name)
    close(apply(params, state, lifted(name))[0], DATA[f"{name}/out_eval"])


@pytest.mark.parametrize("name", GROUPS)
def test_neighbourhoods_in_evaluation_and_training(name):
    apply, params, state = network(name, neighbours=ball(name))
    close(apply(params, state, lifted(name))[0], DATA[f"{name}/out_ball"])
    out, moved = apply(params, state, lifted(name), train=True)
    close(out, DATA[f"{name}/out_train"])
    after = entries(f"{name}/w/") | entries(f"{name}/after/")
    wanted = lj.interop.load_torch_lieconv(after, CONFIG)[1]
    assert len(jax.tree.leaves(wanted)) == 14
    jax.tree.map(close, moved, wanted)
    # The comparison could fail: the ball leaves neighbours out.
    assert np.abs(DATA[f"{name}/out_ball"] - DATA[f"{name}/out_eval"]).max() > 1e-4
