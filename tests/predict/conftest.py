"""A tiny untrained network, and molecules of ASE's G2 set that are like those of QM9."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import molecule
from flax import nnx

import lie_jax as lj
from lie_jax.data import qm9
from lie_jax.data.qm9.features import atom_features

NAMES = (
    "CH4", "C2H6", "CH3OH", "CH3CH2OH", "CH3CN", "C2H2", "H2CO", "CH3COCH3",
    "C3H8", "H2O", "C6H6", "isobutane", "CH3NO2", "HCF3", "CH3CONH2", "NH3", "CH3OCH3",
    "CH3CHO", "cyclobutene",
)  # fmt: skip
TARGETS = (
    lj.predict.Target("homo", "meV", "orbital energy", -6000, 500, test_mae=120.0),
    lj.predict.Target("U0", "meV", "atomisation", -100, 2000, {"C": -7000, "H": -2500}),
)


@pytest.fixture(scope="session")
def molecules():
    return [molecule(name) for name in NAMES]


@pytest.fixture(scope="session")
def domain(molecules):
    return lj.predict.Domain.of(molecules)


@pytest.fixture(scope="session")
def make(domain, tmp_path_factory):
    """Writes a checkpoint of a model and some other choices; returns its path and the model."""

    def make(name, *, kind="LieTransformer", group=None, targets=TARGETS, card=(), **options):
        options = {"in_channels": qm9.CHANNELS, "outputs": 3, "width": 8, "layers": 1} | options
        if kind == "LieTransformer":
            options = {"heads": 2, "pair_embedding": "radial"} | options
        config = getattr(lj, f"{kind}Config")(**options)
        group = group or lj.groups.T(3)
        model = nnx.eval_shape(lambda: getattr(lj, kind)(config, group=group, rngs=nnx.Rngs(0)))
        apply, params, state = lj.functional_with_state(model)
        # Drawn here: to compile the initialisers would take longer than the tests.
        rng = np.random.default_rng(0)
        params, state = jax.tree.map(
            lambda x: jnp.asarray(0.4 * np.abs(rng.normal(size=x.shape)), jnp.float32),
            (params, state),
        )
        content = lj.predict.Card(lj.predict.describe_model(model), targets, domain)
        content = dataclasses.replace(content, **dict(card))
        path = lj.predict.save(tmp_path_factory.mktemp("models") / name, content, params, state)
        return path, jax.jit(lambda points, key: apply(params, state, points, key=key)[0])

    return make


@pytest.fixture(scope="session")
def tiny(make):
    """Path and network; two bins of intervals."""
    uncertainty = lj.predict.Uncertainty(0.9, (6, 14), ((10.0, 20.0), (3.0, 40.0)))
    return make("tiny", card={"uncertainty": uncertainty})


@pytest.fixture(scope="session")
def predictor(tiny):
    return lj.predict.load(tiny[0])


@pytest.fixture
def direct():
    """A network's outputs for one molecule, without padding or batch, as it is or turned."""

    def direct(apply, atoms, *, key=None, turn=None):
        coords = atoms.positions - atoms.positions.mean(0)
        coords = coords if turn is None else coords @ turn.T
        features = atom_features(jnp.asarray(atoms.numbers, jnp.uint8))
        points = lj.PointSet(jnp.asarray(coords, jnp.float32), features, None)
        return np.asarray(apply(points, key), np.float64)

    return direct
