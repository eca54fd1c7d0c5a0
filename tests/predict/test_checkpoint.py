"""A checkpoint file holds the network and its card; what is wrong with one is said."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax.predict import build_model, describe_model, read_checkpoint

MODELS = {
    "transformer": lambda: lj.LieTransformer(
        lj.LieTransformerConfig(
            in_channels=15, width=8, layers=1, heads=2, lift_samples=2, dtype=jnp.bfloat16,
            attention=lj.AttentionConfig(content="none", combination="none", activation="gelu"),
            pair_embedding=lj.geometry.radial_basis(8, 3.0),
            neighbours=lj.NeighbourConfig("nearest", 4, algebra_weights=(1.0,) * 6),
        ),
        group=lj.groups.SE3(), rngs=nnx.Rngs(0),
    ),
    "lie_conv": lambda: lj.LieConv(
        lj.LieConvConfig(in_channels=15, width=8, layers=1, batch_norm=True, pooling="none",
                         matmul_dtype=jnp.bfloat16),
        group=lj.groups.T(3), rngs=nnx.Rngs(0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_descriptions_lead_back_to_the_model(name):
    model = nnx.eval_shape(MODELS[name])
    text = json.dumps(describe_model(model))
    again = nnx.eval_shape(lambda: build_model(json.loads(text)))
    assert type(again) is type(model)
    assert again.group == model.group
    assert json.dumps(describe_model(again)) == text
    same = dataclasses.replace(again.config, pair_embedding=model.config.pair_embedding)
    dtypes = {name: getattr(model.config, name) for name in ("dtype", "matmul_dtype")}
    same = dataclasses.replace(same, **dtypes, param_dtype=jnp.float32)
    assert same == model.config
    size = [x.shape for x in jax.tree.leaves(lj.functional_with_state(model)[1:])]
    assert [x.shape for x in jax.tree.leaves(lj.functional_with_state(again)[1:])] == size


def test_what_has_no_description():
    config = lj.LieTransformerConfig(in_channels=15, width=8, layers=1, heads=2)

    def model(config, group):
        build = lambda: lj.LieTransformer(config, group=group, rngs=nnx.Rngs(0))  # noqa: E731
        return nnx.eval_shape(build)

    with pytest.raises(ValueError, match="describe_model: the model's group must be one of"):
        describe_model(model(config, group=lj.groups.T(2)))
    own = lj.geometry.PairEmbedding("mine", lambda _: 3, lambda _, g: g)
    mine = dataclasses.replace(config, pair_embedding=own)
    with pytest.raises(ValueError, match="pair_embedding must be one that has a name, got 'mine'"):
        describe_model(model(mine, group=lj.groups.T(3)))
    with pytest.raises(ValueError, match="kind must be one of"):
        build_model({"kind": "Oracle", "group": "T3", "config": {}})
    with pytest.raises(ValueError, match="got \\['colour'\\]: a newer one"):
        build_model({"kind": "LieConv", "group": "T3", "config": {"colour": 1}})


def test_the_file_holds_card_and_arrays(tiny):
    path, _ = tiny
    checkpoint = read_checkpoint(path)
    model = nnx.eval_shape(lambda: build_model(checkpoint.card.model))
    _, params, _ = lj.functional_with_state(model)
    assert jax.tree.structure(checkpoint.params) == jax.tree.structure(params)
    assert checkpoint.name == "tiny"
    assert checkpoint.card.targets[1].references == {"C": -7000, "H": -2500}
    again = lj.predict.Card.from_json(checkpoint.card.to_json())
    assert again == checkpoint.card
    with np.load(path) as file:
        assert {file[name].dtype.name for name in file.files if name != "card"} == {"float32"}
        assert json.loads(file["card"].item())["model"]["kind"] == "LieTransformer"


def test_errors_of_reading(tiny, tmp_path):
    path, _ = tiny
    with pytest.raises(FileNotFoundError, match="nowhere is neither a file nor a checkpoint of th"):
        read_checkpoint("nowhere")
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"damaged\.npz is not a checkpoint, or damaged"):
        read_checkpoint(damaged)
    np.savez(damaged, x=np.ones(3))
    with pytest.raises(ValueError, match="is not a checkpoint"):
        read_checkpoint(damaged)
    arrays = dict(np.load(path))
    card = json.loads(arrays["card"].item())
    for change in ({"version": 99}, {"domain": {}}, {"targets": [{"nam": "x"}]}):
        np.savez(damaged, card=json.dumps(card | change))
        with pytest.raises(ValueError, match=r"is not a checkpoint.*Card.from_json"):
            read_checkpoint(damaged)
    np.savez(damaged, **arrays, extra=np.ones(2))
    with pytest.raises(ValueError, match="has no array extra"):
        read_checkpoint(damaged)


def test_errors_of_saving(tiny, tmp_path):
    path, _ = tiny
    checkpoint = read_checkpoint(path)
    card, params = checkpoint.card, checkpoint.params

    def save(match, card=card, params=params):
        with pytest.raises(ValueError, match=match):
            lj.predict.save(tmp_path / "new", card, params)
        assert not list(tmp_path.iterdir())

    def with_config(**options):
        config = card.model["config"] | options
        return dataclasses.replace(card, model={**card.model, "config": config})

    save("arrays must be finite", params=jax.tree.map(lambda x: x * np.nan, params))
    save("needs an array params/.* of shape .*, got none", params={})
    save("needs an array params/.* of shape .*, got \\(", card=with_config(width=16))
    save("must have in_channels=15", card=with_config(in_channels=5))
    save("must give 2 scalars", card=with_config(outputs=1))
    save('pooled must be "mean" or "sum"', card=with_config(pooling="none"))


def test_errors_of_cards(tiny):
    card = read_checkpoint(tiny[0]).card
    with pytest.raises(ValueError, match="augmentations must be at least 1"):
        dataclasses.replace(card, augmentations=0)
    with pytest.raises(ValueError, match="targets must have names of their own"):
        dataclasses.replace(card, targets=card.targets[:1] * 2)
    with pytest.raises(ValueError, match="uncertainty must be that of 1 targets, got 2"):
        dataclasses.replace(card, targets=card.targets[:1])
    with pytest.raises(ValueError, match="references must be of H, C, N, O, F, got"):
        lj.predict.Target("x", "eV", "", references={"Cl": 1.0})
    with pytest.raises(ValueError, match="pooled must be one of"):
        lj.predict.Target("x", "eV", "", pooled="max")
