"""Hamiltonians with a network's potential: the published one, and every group's gradients."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax import dynamics
from lie_jax.groups import E2, O2, SE2, SE3, SO2, SO3, Lorentz, RxSO2, Scaling, T, Trivial

RECORD = np.load(Path(__file__).parents[1] / "data" / "dynamics.npz")


def entries(prefix):
    return {k[len(prefix) :]: RECORD[k] for k in RECORD.files if k.startswith(prefix)}


CONFIG = lj.LieTransformerConfig(
    in_channels=2,
    outputs=1,
    width=16,
    layers=2,
    heads=4,
    attention=lj.AttentionConfig(location_hidden=8, normalisation="mean"),
    param_dtype=jnp.float64,
)


def published():
    apply, _ = lj.functional(lj.LieTransformer(CONFIG, group=T(2), rngs=nnx.Rngs(0)))
    weights = lj.interop.load_torch_reference(entries("T2/w/"), CONFIG)
    system = jnp.asarray(RECORD["sys_params"])
    z = jnp.asarray(RECORD["z0"]).reshape(3, 2, 6, 2)
    return dynamics.learned_hamiltonian(apply), (z[:, 0], z[:, 1]), weights, system


def close(got, wanted):
    wanted = np.asarray(wanted)
    assert np.abs(np.asarray(got) - wanted).max() <= 1e-10 * max(1, np.abs(wanted).max())


def flat(q, p):
    return jnp.concatenate([q.reshape(*q.shape[:-2], -1), p.reshape(*p.shape[:-2], -1)], axis=-1)


# The loss and its gradient, below, come of them.
@pytest.mark.slow
def test_published_energy_and_field():
    H, (q, p), weights, system = published()
    params = dynamics.Learned(weights, system)
    close(H.potential(q, params), RECORD["T2/V"])
    close(H(q, p, params), RECORD["T2/H"])
    close(flat(*H.field(0.0, (q, p), params)), RECORD["T2/dzdt"])


@pytest.mark.parametrize(("times", "name"), [("ts", "pred_zs"), ("ts_coarse", "pred_zs_coarse")])
def test_published_rollout(times, name):
    H, state, weights, system = published()

    def roll(state, ts, system):
        return dynamics.rollout(
            H, state, ts, dynamics.Learned(weights, system), solver=dynamics.RK38()
        )

    ts = jnp.asarray(RECORD[times])
    for i in range(3):
        found = roll(jax.tree.map(lambda x, i=i: x[i], state), ts[i], system[i])
        close(flat(*found), RECORD[f"T2/{name}"][i])


def test_published_loss_and_gradient():
    H, state, weights, system = published()
    true = jnp.asarray(RECORD["true_zs"])

    def loss(weights):
        params = dynamics.Learned(weights, system)
        found = jax.vmap(
            lambda state, ts, system: dynamics.rollout(
                H, state, ts, params._replace(system=system), solver=dynamics.RK38()
            )
        )(state, jnp.asarray(RECORD["ts"]), system)
        return jnp.mean((flat(*found) - true) ** 2)

    value, gradient = jax.jit(jax.value_and_grad(loss))(weights)
    close(value, RECORD["T2/loss"])
    wanted = lj.interop.load_torch_reference(entries("T2/grad/"), CONFIG)
    jax.tree.map(close, gradient, wanted)


GROUPS = {
    "T2": (T(2), {}),
    "SE2": (SE2(), {"lift_method": "weighted_frame"}),
    "E2": (E2(), {"lift_method": "weighted_frame"}),
    "SO2": (SO2(), {}),
    "O2": (O2(), {"lift_method": "weighted_frame"}),
    "RxSO2": (RxSO2(), {}),
    "Scaling": (Scaling(2), {}),
    "Trivial": (Trivial(2), {}),
    "SE2-random": (SE2(), {"lift_samples": 2}),
    "SO3": (SO3(), {"lift_samples": 2}),
    "SE3": (SE3(), {"lift_method": "weighted_frame", "lift_samples": 2}),
    "Lorentz": (
        Lorentz(),
        {"lift_method": "weighted_frame", "lift_samples": 2, "pair_embedding": "matrix"},
    ),
}  # fmt: skip


_SLOW = {"SE3", "Lorentz", "E2", "O2"}  # SE2 and SO3 have the same code, and compile sooner


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in _SLOW else ()) for n in GROUPS]
)
@pytest.mark.no_cover
def test_field_and_its_gradient_are_finite_for_every_group(name, key):
    """Of separate and of coinciding particles; the gradient is that of a loss on the field."""
    group, options = GROUPS[name]
    config = lj.LieTransformerConfig(
        in_channels=2, outputs=1, width=8, layers=1, heads=2, param_dtype=jnp.float64, **options
    )
    apply, weights = lj.functional(lj.LieTransformer(config, group=group, rngs=nnx.Rngs(0)))
    H = dynamics.learned_hamiltonian(apply)
    keys = jax.random.split(key, 3)
    q, p = (jax.random.normal(k, (2, 4, group.space_dim)) for k in keys[:2])
    q = q.at[1].set(q[1, :1]).at[0, 1].set(q[0, 0])
    system = jax.random.uniform(keys[2], (2, 4, 2), minval=0.5, maxval=1.5)

    @jax.jit
    def gradient(weights, q):
        def loss(weights, q):
            params = dynamics.Learned(weights, system, None, keys[0])
            dq, dp = H.field(0.0, (q, p), params)
            return jnp.sum(dq**2) + jnp.sum(dp**2)

        return jax.value_and_grad(loss, argnums=(0, 1))(weights, q)

    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(gradient(weights, q)))


def test_absent_particles_change_nothing():
    H, (q, p), weights, system = published()
    pad = lambda x, fill: jnp.pad(x, ((0, 0), (0, 2), (0, 0)), constant_values=fill)  # noqa: E731
    mask = jnp.arange(8) < 6
    padded = dynamics.Learned(weights, pad(system, 0), jnp.broadcast_to(mask, (3, 8)))
    params = dynamics.Learned(weights, system)
    close(H(pad(q, 7.0), pad(p, 7.0), padded), H(q, p, params))
    for got, wanted in zip(
        H.field(0.0, (pad(q, 7.0), pad(p, 7.0)), padded), H.field(0.0, (q, p), params), strict=True
    ):
        close(got, pad(wanted, 0))


@pytest.mark.parametrize("centre", ["mean", "mass", "none"])
def test_momentum_is_conserved_where_the_network_sees_positions_from_the_centre(centre):
    config = lj.LieTransformerConfig(
        in_channels=2, outputs=1, width=8, layers=1, heads=2, param_dtype=jnp.float64
    )
    apply, weights = lj.functional(lj.LieTransformer(config, group=SO2(), rngs=nnx.Rngs(0)))
    H = dynamics.learned_hamiltonian(apply, centre=centre)
    _, (q, _p), _, system = published()
    force = H.force(0.0, q, dynamics.Learned(weights, system))
    total = jnp.abs(jnp.sum(force, axis=-2)).max()
    assert total > 1e-6 if centre == "none" else total < 1e-14


def test_unknown_centre_is_named():
    with pytest.raises(ValueError, match="centre must be one of"):
        dynamics.learned_hamiltonian(lambda *_: 0, centre="middle")


@pytest.mark.parametrize("call", [dynamics.rollout, dynamics.rollout_in_chunks])
def test_masses_that_are_not_positive_are_refused(call):
    H = dynamics.learned_hamiltonian(lambda *_, **__: jnp.zeros((3, 1)))
    _, state, _, system = published()
    ts = jnp.linspace(0, 1, 3)
    bad = system.at[1, 2, 0].set(-0.5)
    with pytest.raises(ValueError, match=r"masses.* must be positive, got -0.5"):
        call(H, state, ts, dynamics.Learned(None, bad))
    mask = jnp.ones((3, 6), bool).at[1, 2].set(False)
    call(H, state, ts, dynamics.Learned(None, bad, mask))  # nobody is there
    with pytest.raises(ValueError, match=r"masses.* must be positive, got nan"):
        call(H, state, ts, dynamics.Learned(None, system.at[0, 0, 0].set(jnp.nan)))
