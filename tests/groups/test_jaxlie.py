"""jaxlie, an independent library, agrees."""

import jax
import jax.numpy as jnp
import jaxlie
import numpy as np
import pytest

import lie_jax as lj

# (ours, jaxlie's, where jaxlie's tangent entries stand in our algebra)
CASES = [
    (lj.groups.SO2(), jaxlie.SO2, [0]),
    (lj.groups.SE2(), jaxlie.SE2, [1, 2, 0]),
    (lj.groups.SO3(), jaxlie.SO3, [0, 1, 2]),
    (lj.groups.SE3(), jaxlie.SE3, [3, 4, 5, 0, 1, 2]),
]


@pytest.mark.parametrize(("group", "other", "order"), CASES, ids=["SO2", "SE2", "SO3", "SE3"])
def test_same_maps(group, other, order, key):
    a = 0.8 * jax.random.normal(key, (2, 20, group.algebra_dim), jnp.float64)
    x = jax.random.normal(jax.random.key(1), (20, group.space_dim), jnp.float64)
    order = jnp.array(order)
    g, h = group.exp(a)

    def theirs(a, b, x):
        g, h = other.exp(a[order]), other.exp(b[order])
        return {
            "exp": g.as_matrix(),
            "log": g.log(),
            "compose": (g @ h).as_matrix(),
            "inverse": g.inverse().as_matrix(),
            "act": g @ x,
            "adjoint": jnp.atleast_2d(g.adjoint()),
        }

    wanted = jax.vmap(theirs)(a[0], a[1], x)
    ours = {
        "exp": group.to_matrix(g),
        "log": group.log(g)[..., order],
        "compose": group.to_matrix(group.compose(g, h)),
        "inverse": group.to_matrix(group.inverse(g)),
        "act": group.act(g, x),
        "adjoint": group.adjoint(g)[..., order[:, None], order],
    }
    for name, value in ours.items():
        np.testing.assert_allclose(value, wanted[name], atol=1e-12, err_msg=name)
