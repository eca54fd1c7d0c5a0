"""Shapes and dtypes of a group's maps, and that jit, eager and vmap agree."""

from functools import cache, partial

import jax

from lie_jax.groups.base import Group
from lie_jax.testing._compile import compiled_fast
from lie_jax.testing._errors import largest_error, size
from lie_jax.typing import Array, PRNGKey, Shape


def stabiliser_samples(group: Group, key: PRNGKey, shape: Shape, dtype) -> Array:
    """Of a group whose lifts are not known, the identity."""
    if group.has_lift:
        return group.stabiliser(key, shape, dtype)
    return group.identity(shape, dtype)


def _maps(group: Group, a: Array, g: Array, x: Array) -> dict[str, Array]:
    """Every map of the group once, on one batch of arguments."""
    lift = {"section": group.section(x), "orbit": group.orbit(x)} if group.has_lift else {}
    return lift | {
        "exp": group.exp(a),
        "log": group.log(g),
        "compose": group.compose(g, g),
        "inverse": group.inverse(g),
        "adjoint": group.adjoint(g),
        "component": group.component(g),
        "act": group.act(g, x),
        "to_matrix": group.to_matrix(g),
        "from_matrix": group.from_matrix(group.to_matrix(g)),
        "hat": group.hat(a),
        "vee": group.vee(group.hat(a)),
        "distance": group.distance(group.identity((), g.dtype), g),
    }


@cache
def wrong_shape(group: Group, shape: Shape, dtype) -> str | None:
    """The first map whose result has not got the shape and dtype documented; None if all have.

    The maps are traced but not run, with arguments of other batch shapes too. Kept per group,
    shape and dtype: tracing takes longer than trying the laws.
    """
    key = jax.random.key(0)

    def struct(*last):
        return jax.ShapeDtypeStruct((*shape, *last), dtype)

    e, r = group.element_shape, (group.matrix_dim, group.matrix_dim)
    algebra, space = (group.algebra_dim,), (group.space_dim,)
    lasts = {
        "exp": e,
        "log": algebra,
        "compose": e,
        "inverse": e,
        "adjoint": algebra * 2,
        "component": (group.component_dim,),
        "act": space,
        "section": e,
        "orbit": (group.orbit_dim,),
        "to_matrix": r,
        "from_matrix": e,
        "hat": r,
        "vee": algebra,
        "distance": (),
    }
    wanted = {name: struct(*last) for name, last in lasts.items()}
    if not group.has_lift:
        del wanted["section"], wanted["orbit"]
    got = jax.eval_shape(partial(_maps, group), struct(*algebra), struct(*e), struct(*space))
    others = {
        "identity": (partial(group.identity, shape, dtype), ()),
        "stabiliser": (lambda: stabiliser_samples(group, key, shape, dtype), ()),
        "compose of a batch with one": (group.compose, (struct(*e), _one(*e, dtype=dtype))),
        "compose of one with a batch": (group.compose, (_one(*e, dtype=dtype), struct(*e))),
        "act on one point": (group.act, (struct(*e), _one(*space, dtype=dtype))),
        "act of one element": (group.act, (_one(*e, dtype=dtype), struct(*space))),
    }
    for name, (function, args) in others.items():
        got[name] = jax.eval_shape(function, *args)
        wanted[name] = struct(*(space if name.startswith("act") else e))
    if group.has_lift:
        got["stabiliser_grid"] = jax.eval_shape(lambda: group.stabiliser_grid(3, dtype))
        wanted["stabiliser_grid"] = jax.ShapeDtypeStruct((3, *e), dtype)
    for name, want in wanted.items():
        have = got[name]
        if have.shape != want.shape or have.dtype != want.dtype:
            return (
                f"{name} must give {want.dtype}{list(want.shape)}, "
                f"got {have.dtype}{list(have.shape)}"
            )
    return None


def _one(*last, dtype) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(last, dtype)


def _arguments(group: Group, shape: Shape, dtype) -> tuple[Array, Array, Array]:
    """Random ones of `_maps`."""
    keys = jax.random.split(jax.random.key(0), 3)
    a, b = jax.random.normal(keys[0], (2, *shape, group.algebra_dim), dtype)
    g = group.compose(group.exp(a), stabiliser_samples(group, keys[1], shape, dtype))
    return b, g, jax.random.normal(keys[2], (*shape, group.space_dim), dtype)


@partial(jax.jit, static_argnums=(0,))
def _compiled_maps(group: Group, a: Array, g: Array, x: Array) -> dict[str, Array]:
    return _maps(group, a, g, x)


def _mapped(group: Group, a: Array, g: Array, x: Array) -> dict[str, Array]:
    return jax.vmap(partial(_maps, group))(a, g, x)


@cache
def transform_errors(group: Group, shape: Shape, dtype) -> dict[str, Array]:
    """Differences of every map between jit, eager and vmap; kept, as `wrong_shape` is."""
    b, g, x = compiled_fast(_arguments, (0, 1, 2))(group, shape, dtype)
    batched = _compiled_maps(group, b, g, x)
    others = {"jit = eager": partial(_maps, group)}
    if x.ndim > 1:
        others["vmap = batch"] = partial(compiled_fast(_mapped), group)
    return {
        f"{law} ({name})": largest_error(batched[name], value, size(value, value.ndim))
        for law, function in others.items()
        for name, value in function(b, g, x).items()
    }
