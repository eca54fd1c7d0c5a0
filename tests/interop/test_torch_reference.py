"""The published networks, weight for weight: values and gradients to 1e-10 in float64."""

import dataclasses
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax import geometry
from lie_jax.geometry import PairSet

DATA = Path(__file__).parents[1] / "data"
LAYERS = np.load(DATA / "attention_layers.npz")
NETWORKS = np.load(DATA / "transformer_T3_qm9.npz")

BASE = lj.AttentionConfig(location_hidden=8)
CASES = {
    "mlp.softmax": BASE,
    "mlp.dot_product": dataclasses.replace(BASE, normalisation="mean"),
    "mlp.norm_exp": dataclasses.replace(BASE, normalisation="exp_mean"),
    "relative_position.softmax": dataclasses.replace(
        BASE, content="relative_position", location="none", combination="none"
    ),
    "dot_product_only.softmax": dataclasses.replace(BASE, location="none", combination="none"),
    "location_only.dot_product": dataclasses.replace(
        BASE, content="none", combination="none", normalisation="mean"
    ),
    "1212.softmax": dataclasses.replace(BASE, location="raw", combination="mlp"),
    "2232.dot_product": dataclasses.replace(
        BASE,
        content="linear_concat_linear",
        location="raw",
        combination="mlp",
        normalisation="mean",
    ),
    "mlp.softmax.mc4": BASE,
}


def test_no_recorded_case_is_left_out():
    assert {k.split("/")[0] for k in LAYERS.files if "/" in k} == set(CASES)
    assert len(NAMES) == len({k.split("/")[0] for k in NETWORKS.files if "/" in k}) > 0


def entries(archive, prefix):
    return {k[len(prefix) :]: archive[k] for k in archive.files if k.startswith(prefix)}


def layer(config):
    module = lj.LieSelfAttention(
        16, 16, heads=4, pair_features=3, config=config, param_dtype=jnp.float64, rngs=nnx.Rngs(0)
    )
    return lj.functional(module)


def close(got, wanted):
    wanted = np.asarray(wanted)
    assert np.abs(np.asarray(got) - wanted).max() <= 1e-10 * max(1, np.abs(wanted).max())


@pytest.mark.parametrize("name", CASES)
def test_attention_layer(name):
    config = CASES[name]
    apply, own = layer(config)
    params = lj.interop.load_torch_attention(entries(LAYERS, f"{name}/w/"), config)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, own)
    x, mask = jnp.asarray(LAYERS["x"]), jnp.asarray(LAYERS["mask"])
    features = -jnp.asarray(LAYERS["pairs"])  # ours are inverse(g_query) @ g_key
    if name.endswith("mc4"):
        chosen = geometry.nearest(jnp.linalg.norm(features, axis=-1), mask, 4)
        near = jnp.take_along_axis(features, chosen.indices[..., None], axis=-2)
        close(apply(params, x, PairSet(near, chosen.mask, chosen.indices)), LAYERS[f"{name}/out"])
        return

    def contracted(x, features):
        out = apply(params, x, PairSet(features, mask[:, None, :]))
        return jnp.sum(out * LAYERS["cotangent"]), out

    (_, out), (dx, dfeatures) = jax.jit(jax.value_and_grad(contracted, (0, 1), has_aux=True))(
        x, features
    )
    close(out, LAYERS[f"{name}/out"])
    close(dx, LAYERS[f"{name}/dx"])
    close(-dfeatures, LAYERS[f"{name}/dpairs"])
    module = nnx.merge(*nnx.split(build_with(config, params)))
    scores = module.scores(x, PairSet(features, mask[:, None, :]))
    close(jnp.moveaxis(scores, -3, -1), LAYERS[f"{name}/logits"])


def build_with(config, params):
    module = lj.LieSelfAttention(
        16, 16, heads=4, pair_features=3, config=config, param_dtype=jnp.float64, rngs=nnx.Rngs(0)
    )
    state = nnx.state(module)
    nnx.replace_by_pure_dict(state, params)
    nnx.update(module, state)
    return module


def network_config(prefix):
    options = dict(item.split("=") for item in prefix.split(","))
    return lj.LieTransformerConfig(
        in_channels=15,
        width=32,
        layers=2,
        heads=4,
        attention=dataclasses.replace(
            BASE,
            normalisation={"softmax": "softmax", "dot_product": "mean"}[options["attention_fn"]],
        ),
        block_norm=options.get("block_norm", "layer_pre"),
        head={"model_1": "pool_mlp", "lieconv": "linear_pool"}[options["architecture"]],
        pooling="max" if options.get("global_pool_mean") == "False" else "mean",
        param_dtype=jnp.float64,
    )


NAMES = sorted({k.split("/")[0] for k in NETWORKS.files if "=" in k})


@pytest.mark.parametrize("name", NAMES)
def test_network_on_molecules(name):
    config = network_config(name)
    model = lj.LieTransformer(config, group=lj.groups.T(3), rngs=nnx.Rngs(0))
    apply, _ = lj.functional(model)
    params = lj.interop.load_torch_reference(entries(NETWORKS, f"{name}/w/"), config)
    points = lj.PointSet(*(jnp.asarray(NETWORKS[k]) for k in ("positions", "features", "mask")))

    def total(params):
        out = apply(params, points)[:, 0]
        return out.sum(), out

    (_, out), grads = jax.jit(jax.value_and_grad(total, has_aux=True))(params)
    close(out, NETWORKS[f"{name}/out"])
    wanted = lj.interop.load_torch_reference(entries(NETWORKS, f"{name}/grad/"), config)
    jax.tree.map(close, grads, wanted)


def test_missing_and_left_over_entries():
    weights = entries(NETWORKS, f"{NAMES[0]}/w/")
    config = network_config(NAMES[0])
    with pytest.raises(ValueError, match="leaves"):
        lj.interop.load_torch_reference(weights, dataclasses.replace(config, block_norm="none"))
    del weights["net.0.module.bias"], weights["net.0.module.weight"]
    with pytest.raises(ValueError, match=r"must hold 'net\.0\.module\.weight'"):
        lj.interop.load_torch_reference(weights, config)
    with pytest.raises(ValueError, match="block_norm"):
        lj.interop.load_torch_reference(
            weights, dataclasses.replace(config, block_norm="batch_pre")
        )


def test_orbit_coordinates_keep_their_sign():
    config = lj.AttentionConfig(location_hidden=2, content="none", combination="none")
    names = ["input_linear", "output_linear"]
    weights = {
        f"{n}.{w}": np.ones((4, 4) if w == "weight" else 4)
        for n in names
        for w in ("weight", "bias")
    }
    for i, size in enumerate([(2, 3, 2), (2, 2, 2), (2, 2, 1)], 1):
        stem = f"kernel.location_kernel.LinNormAct_{i}.linear.module"
        weights |= {f"{stem}.weight": np.ones(size), f"{stem}.bias": np.ones((2, size[2]))}
    params = lj.interop.load_torch_attention(weights, config, group=lj.groups.SO2())
    np.testing.assert_array_equal(params["location_mlp"]["weights"][0][0, :, 0], [-1, 1, 1])


def named_as_published(params):
    """Our parameters of a layer with location "mlp" and combination "mlp", named as in PyTorch."""
    weights = {}
    for ours, theirs in {
        "value": "input_linear",
        "output": "output_linear",
        "query": "kernel.feature_featurisation.fc_q",
        "key": "kernel.feature_featurisation.fc_k",
    }.items():
        weights[f"{theirs}.weight"] = params[ours]["kernel"].T
        weights[f"{theirs}.bias"] = params[ours]["bias"]
    for ours, theirs in {
        "location_mlp": "kernel.location_featurisation.1",
        "combine_mlp": "kernel.location_feature_combination.1",
    }.items():
        for i, (weight, bias) in enumerate(
            zip(params[ours]["weights"].values(), params[ours]["biases"].values(), strict=True)
        ):
            stem = f"{theirs}.LinNormAct_{i + 1}.linear.module"
            flipped = -weight if (ours, i) == ("location_mlp", 0) else weight
            weights |= {f"{stem}.weight": flipped, f"{stem}.bias": bias}
    return weights


def test_location_mlp_combined_by_an_mlp():
    config = dataclasses.replace(BASE, combination="mlp")
    params = layer(config)[1]
    loaded = lj.interop.load_torch_attention(named_as_published(params), config)
    chex.assert_trees_all_equal(loaded, params)
