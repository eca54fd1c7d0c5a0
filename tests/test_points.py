"""Point sets, masks and what importing the package costs."""

import ast
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lie_jax as lj
from lie_jax import attention, geometry, masking

X = jnp.ones((2, 3, 4))


def test_mask_defaults_to_all_real():
    assert lj.PointSet(X, X).mask.all()
    assert lj.PointSet(X, X).mask.shape == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X, X, jnp.ones((2, 3))), TypeError, "mask must have dtype bool"),
        ((X, X, jnp.ones((2, 4), bool)), ValueError, "must agree"),
        ((X, X[:, :2]), ValueError, "must agree"),
        ((X.astype(int), X), TypeError, "coords must be floating"),
        ((X[0, 0], X), ValueError, "coords must have shape"),
        ((X[:, :0], X[:, :0]), ValueError, "at least one point"),
    ],
)
def test_bad_points(arguments, error, message):
    with pytest.raises(error, match=message):
        lj.PointSet(*arguments)


def test_check_finite_looks_at_real_points_only():
    values = X.at[0, 1, 0].set(jnp.inf)
    mask = jnp.ones((2, 3), bool)
    with pytest.raises(ValueError, match=r"values must be finite .*\(0, 1\)"):
        lj.PointSet(X, values, mask).check_finite()
    lj.PointSet(X, values, mask.at[0, 1].set(False)).check_finite()


def test_points_are_pytrees():
    points = lj.PointSet(X, X)
    out = jax.vmap(lambda p: p)(points)
    assert isinstance(out, lj.PointSet)
    jax.tree.map(lambda _: None, points)  # placeholders must pass
    compiled = jax.jit(lambda p: p.coords).lower(points).compile()  # other placeholders
    np.testing.assert_array_equal(compiled(points), X)


def test_masked_reductions():
    x = jnp.array([[1.0, -5.0, 9.0], [2.0, 3.0, 4.0]])
    mask = jnp.array([[True, True, False], [False, False, False]])
    np.testing.assert_array_equal(masking.masked_sum(x, mask, -1), [-4, 0])
    np.testing.assert_array_equal(masking.masked_mean(x, mask, -1), [-2, 0])
    np.testing.assert_array_equal(masking.masked_max(x, mask, -1), [1, 0])
    soft = masking.masked_softmax(x, mask)
    np.testing.assert_allclose(soft[0, :2], jax.nn.softmax(x[0, :2]))
    np.testing.assert_array_equal(soft[1], 0)
    for reduce in (
        masking.masked_sum,
        masking.masked_mean,
        masking.masked_max,
        masking.masked_softmax,
    ):
        grad = jax.grad(lambda x, reduce=reduce: jnp.sum(reduce(x, mask, -1) ** 2))(x)
        np.testing.assert_array_equal(grad[~mask], 0)
        assert jnp.all(jnp.isfinite(grad))


def test_unknown_normalisation_and_wrong_location_layers():
    with pytest.raises(ValueError, match="normalisation must be one of"):
        attention.normalise(jnp.ones((1, 2, 2)), jnp.ones((2, 2), bool), "max")
    with pytest.raises(ValueError, match="must lead from 3 features to 1"):
        attention.location_mlp(
            jnp.ones((2, 2, 3)), [jnp.ones((1, 2, 1))], [jnp.ones((1, 1))], jnp.tanh
        )


def test_heads_must_divide_channels():
    from flax import nnx

    with pytest.raises(ValueError, match="out_channels must be a multiple"):
        lj.LieSelfAttention(4, 5, heads=2, pair_features=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="in_channels must be a multiple"):
        lj.LieSelfAttention(5, 4, heads=2, pair_features=3, rngs=nnx.Rngs(0))


def test_wrong_channels_are_named():
    from flax import nnx

    layer = lj.LieSelfAttention(4, 4, heads=2, pair_features=3, rngs=nnx.Rngs(0))
    pairs = geometry.PairSet(jnp.ones((3, 3, 3)), jnp.ones((1, 3), bool))
    with pytest.raises(ValueError, match=r"values must have shape \(\*b, m, 4\), got \(3, 5\)"):
        layer(jnp.ones((3, 5)), pairs)


def test_import_is_light():
    """Nothing beyond what jax, flax.nnx (which imports optax) and jaxtyping load themselves."""
    listing = "import sys{}; print(*{{name.split('.')[0] for name in sys.modules}})"
    ours, base = (
        set(
            subprocess.run(
                [sys.executable, "-c", listing.format(names)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()
        )
        for names in (", lie_jax", ", jax, flax.nnx, jaxtyping")
    )
    assert {name for name in ours - base if not name.startswith("_")} == {
        "lie_jax",
        "wadler_lindig",  # jaxtyping prints with it
    }


def test_import_takes_less_than_two_seconds():
    # The processor's time: beside other tests the clock tells how busy the machine is.
    code = "import time, sys, lie_jax; print(time.process_time()); assert 'flax' not in sys.modules"

    def seconds():
        run = [sys.executable, "-c", code]
        return float(subprocess.run(run, capture_output=True, text=True, check=True).stdout)

    assert min(seconds() for _ in range(3)) < 2


def test_names_that_are_imported_when_they_are_used():
    # What type checkers are told and what is found at run time are two lists.
    nodes = ast.walk(ast.parse(Path(lj.__file__).read_text()))
    told = {a.asname for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names} - {None}
    assert told <= set(dir(lj))
    assert all(hasattr(lj, name) for name in dir(lj))
    assert lj.LieTransformer is lj.models.LieTransformer
    with pytest.raises(AttributeError, match="'lie_jax' has no attribute 'LieTransform'"):
        lj.LieTransform  # noqa: B018


@pytest.mark.parametrize(
    ("where", "call"),
    [
        ("LiftedSet", lambda mask: lj.LiftedSet(X, X, X, mask)),
        ("masked_sum", lambda mask: masking.masked_sum(X[..., 0], mask, -1)),
        ("masked_mean", lambda mask: masking.masked_mean(X[..., 0], mask, -1)),
        ("masked_max", lambda mask: masking.masked_max(X[..., 0], mask, -1)),
        ("masked_softmax", lambda mask: masking.masked_softmax(X[..., 0], mask)),
        ("normalise", lambda mask: attention.normalise(X, mask, "mean")),
        ("nearest", lambda mask: geometry.nearest(X, mask, 1)),
        ("ball", lambda mask: geometry.ball(X, mask, 1.0, 1)),
        ("random_subset", lambda mask: geometry.random_subset(jax.random.key(0), mask, 1, 1)),
    ],
)
def test_masks_must_be_boolean(where, call):
    with pytest.raises(TypeError, match=rf"{where}: mask must have dtype bool .*, got int32"):
        call(jnp.ones(X.shape[:-1], jnp.int32))
