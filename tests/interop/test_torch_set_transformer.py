"""The published SetTransformer, weight for weight: outputs to 1e-10 in float64.

Every recorded cloud has real points: one that has none would differ, since the published network
then attends to what stands at the absent ones.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj

DATA = np.load(Path(__file__).parents[1] / "data" / "set_transformer.npz")
PLAIN = lj.SetTransformerConfig(
    space_dim=2, outputs=12, seeds=4, width=16, heads=4, encoder_layers=2, decoder_layers=2,
    param_dtype=jnp.float64,
)  # fmt: skip
INDUCING = dataclasses.replace(PLAIN, inducing_points=3, layer_norm=True)
load = lj.interop.load_torch_set_transformer


def entries(case):
    prefix = f"{case}/w/"
    return {k[len(prefix) :]: DATA[k] for k in DATA.files if k.startswith(prefix)}


@pytest.mark.parametrize(
    ("case", "config"), [("lnFalse.ind0", PLAIN), ("lnTrue.ind3", INDUCING)], ids=["plain", "ind"]
)
def test_network(case, config):
    apply, own = lj.functional(lj.SetTransformer(config, rngs=nnx.Rngs(0)))
    params = load(entries(case), config)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, own)
    coords, real = jnp.asarray(DATA["X"]), jnp.asarray(DATA["presence"] == 1)
    assert jnp.any(real, axis=1).all()
    assert not real.all()
    for name, mask in (("out", real), ("out_nomask", jnp.ones_like(real))):
        out = jax.jit(apply)(params, lj.PointSet(coords, coords[..., :0], mask))
        wanted = DATA[f"{case}/{name}"]
        error = np.abs(np.asarray(out).reshape(3, 4, 3) - wanted).max()
        assert error <= 1e-10 * max(1, np.abs(wanted).max())


def test_no_decoder():
    weights = {k: v for k, v in entries("lnFalse.ind0").items() if not k.startswith("dec_layers")}
    weights |= {
        "dec_layers.0.module.weight": np.ones((3, 16)),
        "dec_layers.0.module.bias": np.ones(3),
    }
    config = dataclasses.replace(PLAIN, decoder_layers=0)
    _, own = lj.functional(lj.SetTransformer(config, rngs=nnx.Rngs(0)))
    assert jax.tree.map(jnp.shape, load(weights, config)) == jax.tree.map(jnp.shape, own)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_layers": 1}, "config must use every entry of state_dict, but it leaves"),
        ({"layer_norm": True}, r"must hold 'enc_layers\.0\.module\.mab\.ln0\.weight'"),
        ({"inducing_points": 3}, r"must hold 'enc_layers\.0\.module\.I'"),
        ({"decoder_layers": 3}, r"must hold 'dec_layers\.3\.module\.weight'"),
        (
            {"seeds": 2, "outputs": 6},
            r"params\['pooling'\]\['seeds'\] of shape \(2, 16\) .* got \(4, 16\)",
        ),
        ({"outputs": 4}, r"params\['head'\]\['bias'\] of shape \(1,\) .* got \(3,\)"),
        ({"space_dim": 3}, r"of shape \(3, 16\) for this config, got \(2, 16\)"),
    ],
)
def test_config_that_does_not_fit_is_named(changes, message):
    with pytest.raises(ValueError, match=f"load_torch_set_transformer: .*{message}"):
        load(entries("lnFalse.ind0"), dataclasses.replace(PLAIN, **changes))


def test_missing_bias_is_named():
    weights = entries("lnFalse.ind0")
    del weights["dec_layers.2.module.bias"]
    with pytest.raises(ValueError, match=r"params\['head'\]\['bias'\] of shape \(3,\) .* got none"):
        load(weights, PLAIN)
