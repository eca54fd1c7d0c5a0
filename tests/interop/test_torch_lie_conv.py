"""The published LieConv, weight for weight: values, statistics and forces to 1e-10 in float64.

Published batch norm raises small variances to epsilon instead of adding it, in weight nets too,
over the pairs of two real points; that is `MaskedBatchNorm(clamp=True)`, so all of it agrees.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax.geometry import PairSet

DATA = np.load(Path(__file__).parents[1] / "data" / "lieconv.npz")
T2 = lj.groups.T(2)
SMALL = lj.LieConvConfig(in_channels=8, width=16, layers=2, param_dtype=jnp.float64)


def entries(prefix):
    return {k[len(prefix) :]: DATA[k] for k in DATA.files if k.startswith(prefix)}


def close(got, wanted):
    wanted = np.asarray(wanted)
    assert np.abs(np.asarray(got) - wanted).max() <= 1e-10 * max(1, np.abs(wanted).max())


def points():
    return lj.PointSet(*(jnp.asarray(DATA[k]) for k in ("pos", "x", "mask")))


def network(prefix, config):
    model = lj.LieConv(config, group=T2, rngs=nnx.Rngs(0))
    apply, own, own_state = lj.functional_with_state(model)
    params, state = lj.interop.load_torch_lieconv(entries(f"{prefix}/w/"), config)
    shapes = jax.tree.map(jnp.shape, (own, own_state))
    assert jax.tree.map(jnp.shape, (params, state)) == shapes
    return apply, params, state


@pytest.mark.parametrize("mean", [True, False])
def test_layer(mean):
    layer = lj.nn.LieConvLayer(
        8, 12, pair_features=2, mean=mean, param_dtype=jnp.float64, rngs=nnx.Rngs(0)
    )
    apply, own = lj.functional(layer)
    params, state = lj.interop.load_torch_lieconv_layer(entries(f"lieconv.mean{mean}/w/"))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, own)
    assert state == {}
    features = -jnp.asarray(DATA["pairs"])  # ours are inverse(g_query) @ g_key
    pairs = PairSet(features, jnp.asarray(DATA["mask"])[:, None, :])
    out = jax.jit(apply)(params, jnp.asarray(DATA["x"]), pairs, jnp.asarray(DATA["mask"]))
    close(out, DATA[f"lieconv.mean{mean}/out"])
    np.testing.assert_array_equal(out[~DATA["mask"]], 0)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_network_at_evaluation(batch_norm):
    config = dataclasses.replace(SMALL, batch_norm=batch_norm)
    apply, params, state = network(f"lieresnet.bn{batch_norm}", config)
    out, _ = jax.jit(apply)(params, state, points())
    close(out, DATA[f"lieresnet.bn{batch_norm}/out_eval"])


def test_batch_norm_in_training():
    config = dataclasses.replace(SMALL, batch_norm=True)
    apply, params, state = network("lieresnet.bnTrue", config)
    out, moved = jax.jit(apply, static_argnames="train")(params, state, points(), train=True)
    close(out, DATA["lieresnet.bnTrue/out_train"])
    after = entries("lieresnet.bnTrue/w/") | entries("lieresnet.bnTrue/after/")
    wanted = lj.interop.load_torch_lieconv(after, config)[1]
    assert len(jax.tree.leaves(wanted)) == 26
    jax.tree.map(close, moved, wanted)


def test_hamiltonian_network():
    config = dataclasses.replace(SMALL, in_channels=2)
    apply, params, state = network("hlieresnet", config)
    z0, features = jnp.asarray(DATA["hlieresnet/z0"]), jnp.asarray(DATA["hlieresnet/sys_params"])

    def hamiltonian(q, p):
        potential = apply(params, state, lj.PointSet(q, features))[0][:, 0]
        return jnp.sum(p**2 / (2 * features[..., :1]), (1, 2)) + potential

    q, p = z0[:, :12].reshape(3, 6, 2), z0[:, 12:].reshape(3, 6, 2)
    # The published potential is that of q less its mean: the same, the network being invariant.
    dq, dp = jax.jit(jax.grad(lambda q, p: hamiltonian(q, p).sum(), (0, 1)))(q, p)
    close(jax.jit(hamiltonian)(q, p), DATA["hlieresnet/H"])
    close(jnp.concatenate([dp, -dq], 1).reshape(3, 24), DATA["hlieresnet/dzdt"])


def test_missing_and_left_over_entries():
    weights = entries("lieresnet.bnTrue/w/")
    batch_norm = dataclasses.replace(SMALL, batch_norm=True)
    with pytest.raises(ValueError, match=r"load_torch_lieconv: config must use .* leaves"):
        lj.interop.load_torch_lieconv(weights, SMALL)
    with pytest.raises(ValueError, match=r"must hold 'net\.3\.net\.5\.weightnet"):
        lj.interop.load_torch_lieconv(weights, dataclasses.replace(batch_norm, layers=3))
    del weights["net.1.net.3.running_var"]
    with pytest.raises(ValueError, match=r"must hold 'net\.1\.net\.3\.running_var'"):
        lj.interop.load_torch_lieconv(weights, batch_norm)
    layer = entries("lieconv.meanTrue/w/") | {"other": np.ones(1)}
    with pytest.raises(ValueError, match=r"load_torch_lieconv_layer: .* leaves \['other'\]"):
        lj.interop.load_torch_lieconv_layer(layer)


def test_algebra_coordinates_change_their_sign_and_orbits_keep_it():
    weights = entries("lieconv.meanTrue/w/") | {"weightnet.0.module.weight": np.ones((32, 3))}
    params, _ = lj.interop.load_torch_lieconv_layer(weights, group=lj.groups.SO2())
    first = params["weight_net"]["layers"][0]["kernel"]
    np.testing.assert_array_equal(first[:, 0], [-1, 1, 1])
