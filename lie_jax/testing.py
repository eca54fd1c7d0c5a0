"""Public checks of groups and models: the laws a group must obey, equivariance, padding.

Each check raises AssertionError that names what is broken, the error and what was allowed.
Nothing here needs a test framework.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import expm

from lie_jax.groups.base import Group
from lie_jax.typing import Array, PRNGKey, Shape

TOLERANCES: dict[str, dict[str, float]] = {
    # laws: of a group, relative to the size of the elements in the law.
    # equivariance: of a model, relative to the size of its outputs.
    # padding: the same, where padding, batch mates or the order of points change.
    "float64": {"laws": 1e-10, "equivariance": 1e-10, "padding": 1e-12},
    "float32": {"laws": 3e-5, "equivariance": 1e-3, "padding": 1e-5},
}
"""The one table of tolerances, by dtype and kind of check."""


def tolerance(kind: str, dtype) -> float:
    """The tolerance of a kind of check in a dtype.

    Raises:
        ValueError: no tolerance is known for the dtype.
    """
    name = jnp.dtype(dtype).name
    if name not in TOLERANCES:
        raise ValueError(
            f"testing.tolerance: dtype must be one of {', '.join(TOLERANCES)}, got {name}"
        )
    return TOLERANCES[name][kind]


# --- group laws ----------------------------------------------------------------------------


def assert_group_laws(
    group: Group,
    *,
    key: PRNGKey,
    shape: Shape = (5,),
    dtype=None,
    scale: float = 1.0,
    angle: float | None = None,
) -> None:
    """The group obeys the laws of a Lie group that acts on space, at random elements.

    Checked are: identity, inverse, associativity; that the action is one; exp and log as
    inverses, in both orders; log of a conjugate against the adjoint; matrices as a faithful
    representation whose generator is hat; vee; section, orbit and stabiliser; that distance is
    left-invariant; finite first and second derivatives at random elements, at coinciding
    elements, at the identity and at the origin of space; that jit equals eager, that vmap
    equals a batch, and that shapes and dtypes are as documented.

    Elements are exp(a), moved to another component where there is one, with a normal of
    standard deviation ``scale``, shortened to keep the rotation angle (the largest imaginary
    part of an eigenvalue of hat(a)) below pi.

    Args:
        group: the group; hashable, because it is a static argument of jit.
        key: of the random elements.
        shape: batch shape.
        dtype: float32 or float64; the default float if None.
        scale: 1e-7 tests next to the identity.
        angle: the rotation angle to stretch or shorten a to, where it rotates at all; pi minus
            a little tests the neighbourhood of log's branch. Within 1e-4 (float32, 1e-2) of pi
            only those laws are checked that hold on either branch.

    Raises:
        AssertionError: names every law that is broken.
    """
    dtype = jnp.zeros((), dtype).dtype
    where = f"assert_group_laws({group}, shape={shape}, dtype={dtype.name})"
    _check_shapes(group, shape, dtype, where)
    algebra_key, other_key = jax.random.split(key)
    a = _algebra_samples(group, algebra_key, (3, *shape), dtype, scale, angle)
    margin = 1e-4 if dtype == jnp.float64 else 1e-2
    on_branch = angle is not None and abs(angle) > math.pi - margin
    errors = _laws(group, a, other_key, shape)
    _raise_broken(where, errors, tolerance("laws", dtype), skip=_BRANCH_LAWS if on_branch else ())
    _check_eager(group, a, other_key, where)


# Laws that compare logarithms, which may stand on either branch when the angle is pi.
_BRANCH_LAWS = (
    "log(exp(a)) = a",
    "log of a conjugate = adjoint",
    "derivative of log(exp(a)) = 1",
    "distance is symmetric",
    "distance is left-invariant",
    "vmap = batch",
)


def _algebra_samples(group: Group, key, shape: Shape, dtype, scale, angle) -> Array:
    a = scale * jax.random.normal(key, (*shape, group.algebra_dim), dtype)
    if group.algebra_dim == 0:
        return a
    # The rotation angle of any matrix group is in its generator's spectrum.
    turn = np.abs(np.linalg.eigvals(np.asarray(group.hat(a), np.float64)).imag).max(-1)
    limit = math.pi - (1e-2 if dtype == jnp.float32 else 1e-4)
    wanted = np.minimum(turn, limit) if angle is None else np.full_like(turn, angle)
    factor = np.where(turn > 1e-300, wanted / np.where(turn > 1e-300, turn, 1), 1)
    return a * jnp.asarray(factor, dtype)[..., None]


def _other_samples(group: Group, key, shape: Shape, dtype) -> tuple[Array, Array]:
    stabiliser_key, point_key = jax.random.split(key)
    stabiliser = group.stabiliser(stabiliser_key, (4, *shape), dtype)
    point = jax.random.normal(point_key, (*shape, group.space_dim), dtype)
    return stabiliser, point


@partial(jax.jit, static_argnums=(0, 3))
def _laws(group: Group, a: Array, key: Array, shape: Shape) -> dict[str, Array]:
    """The error of every law, relative to the size of what is compared."""
    stabiliser, x = _other_samples(group, key, shape, a.dtype)
    errors = _group_errors(group, a, stabiliser[:3], x)
    errors |= _orbit_errors(group, a, stabiliser, x)
    errors |= _derivative_errors(group, a, stabiliser[:3], x)
    return errors


def _group_errors(group: Group, a: Array, component: Array, x: Array) -> dict[str, Array]:
    compose, inverse, log, matrix = group.compose, group.inverse, group.log, group.to_matrix
    all_three = compose(group.exp(a), component)
    g, h, k = all_three
    one = group.identity(g.shape[: g.ndim - len(group.element_shape)], a.dtype)
    product = partial(jnp.matmul, precision="highest")
    gh = compose(g, h)
    # Errors grow with the elements: by how much, their matrices tell.
    sizes = jnp.maximum(_size(matrix(all_three), 2), _size(matrix(inverse(all_three)), 2))
    size_g, size_h, size_k = sizes
    pair, triple = size_g * size_h, size_g * size_h * size_k
    conjugate = compose(gh, inverse(g))
    moved = _apply(group.adjoint(g), log(h))
    # Its own inverse in exp is wanted of exp(a) only: g may be in another component.
    plain = group.exp(a)
    labels = group.component(all_three)
    errors = {
        "identity": jnp.maximum(
            _error(matrix(compose(g, one)), matrix(g), size_g, 2),
            _error(matrix(compose(one, g)), matrix(g), size_g, 2),
        ),
        "inverse": jnp.maximum(
            _error(matrix(compose(g, inverse(g))), matrix(one), size_g**2, 2),
            _error(matrix(compose(inverse(g), g)), matrix(one), size_g**2, 2),
        ),
        "associativity": _error(
            matrix(compose(gh, k)), matrix(compose(g, compose(h, k))), triple, 2
        ),
        "action of the identity": _error(group.act(one, x), x, 1, 1),
        "action of a product": _error(
            group.act(gh, x), group.act(g, group.act(h, x)), pair * (1 + _size(x, 1)), 1
        ),
        "log(exp(a)) = a": _error(log(plain), a, 1 + _size(a, 1), 1),
        "exp(log(g)) = g": _error(matrix(group.exp(log(plain))), matrix(plain), sizes, 2),
        "log of a conjugate = adjoint": _log_error(group, log(conjugate), moved, pair**2),
        "exp of the adjoint = conjugate": _error(
            matrix(group.exp(_apply(group.adjoint(g), a[1]))),
            matrix(compose(compose(g, plain[1]), inverse(g))),
            size_g**2 * sizes.max(0),
            2,
        ),
        "matrix of a product": _error(matrix(gh), product(matrix(g), matrix(h)), pair, 2),
        "from_matrix inverts to_matrix": _error(
            matrix(group.from_matrix(matrix(all_three))), matrix(all_three), sizes, 2
        ),
        "matrix of exp = expm of hat": _error(matrix(plain), _expm(group.hat(a)), sizes**2, 2),
        "vee inverts hat": _error(group.vee(group.hat(a)), a, _size(a, 1), 1),
        "component of a product": _error(
            group.component(gh), group.component(g) * group.component(h), 1, 1
        ),
        "exp is in the identity component": _error(
            group.component(plain), jnp.ones_like(labels), 1, 1
        ),
    }
    distance = group.distance(g, h)
    farther = group.distance(compose(k, g), compose(k, h))
    errors |= {
        "distance is left-invariant": _error(farther, distance, triple**2, 0),
        "distance is symmetric": _error(group.distance(h, g), distance, pair**2, 0),
        "distance of equals is 0": _error(group.distance(g, g), 0 * distance, size_g**2, 0),
    }
    if a.ndim > 2:
        errors["vmap = batch"] = _vmap_error(group, a, all_three, x)
    return errors


def _orbit_errors(group: Group, a: Array, stabiliser: Array, x: Array) -> dict[str, Array]:
    g, h = group.compose(group.exp(a), stabiliser[:3])[:2]
    gx = group.act(g, x)
    size = jnp.maximum(_size(group.to_matrix(g), 2), _size(group.to_matrix(group.inverse(g)), 2))
    size = size**2 * (1 + _size(x, 1))

    def representative(x):
        return group.act(group.inverse(group.section(x)), x)

    origin = representative(x)
    lifted = group.compose(group.section(x), stabiliser[3])
    # An element of the stabiliser, found without `stabiliser`, if the section is right.
    loop = group.compose(group.inverse(group.section(gx)), group.compose(g, group.section(x)))
    del h
    return {
        "orbit is invariant": _error(group.orbit(gx), group.orbit(x), size, 1),
        "section starts at one point of the orbit": _error(representative(gx), origin, size, 1),
        "stabiliser fixes the representative": jnp.maximum(
            _error(group.act(stabiliser[3], origin), origin, 1 + _size(x, 1), 1),
            _error(group.act(loop, origin), origin, size, 1),
        ),
        "lift carries the representative to x": _error(
            group.act(lifted, origin), x, 1 + _size(x, 1), 1
        ),
        "stabiliser_grid fixes the representative": _grid_error(group, origin),
    }


def _grid_error(group: Group, origin: Array) -> Array:
    grid = group.stabiliser_grid(4, origin.dtype)
    one = group.identity((), origin.dtype)
    moved = group.act(grid, origin[..., None, :])
    first = _error(group.to_matrix(grid[0]), group.to_matrix(one), 1, 2)
    return jnp.maximum(first, _error(moved, origin[..., None, :], 1 + _size(moved, 1), 1))


def _derivative_errors(group: Group, a: Array, component: Array, x: Array) -> dict[str, Array]:
    """Derivatives of what a model differentiates: 0 where finite, NaN where not."""
    count = math.prod(x.shape[:-1])
    flat = a.reshape(3, count, group.algebra_dim)
    component = component.reshape(3, count, *group.element_shape)
    x = x.reshape(count, group.space_dim)

    def through_group(a, x, component):
        g, h = group.compose(group.exp(a), component)
        pair = group.compose(group.inverse(g), h)
        lifts = group.compose(group.section(x), h)
        matrices = group.to_matrix(group.from_matrix(group.to_matrix(h)))
        return jnp.concatenate(
            [
                group.log(pair),
                group.log(group.compose(group.inverse(g), lifts)),
                group.orbit(group.act(g, x)),
                group.distance(g, h)[None],
                group.adjoint(g).ravel(),
                matrices.ravel(),
            ]
        )

    def finiteness(a, x, component):
        def first(a, x):
            return jax.jacfwd(through_group, argnums=(0, 1))(a, x, component)

        second = jax.jacrev(lambda a, x: sum(jnp.sum(jnp.sin(v)) for v in first(a, x)), (0, 1))
        leaves = [*first(a, x), *second(a, x)]
        return sum(jnp.sum(v * 0) for v in leaves)

    def derivative_of_round_trip(a):
        return jax.jacfwd(lambda a: group.log(group.exp(a)))(a) - jnp.eye(
            a.shape[-1], dtype=a.dtype
        )

    pairs = jnp.swapaxes(flat[:2], 0, 1)
    twice = jnp.stack([flat[0], flat[0]], 1)
    zero = jnp.zeros_like(pairs)
    one = group.identity((flat.shape[1], 2), a.dtype)
    components = jnp.swapaxes(component[:2], 0, 1)
    at = [(pairs, x, components), (twice, x, one), (zero, x, one), (zero, 0 * x, one)]
    batch = [jnp.concatenate(v) for v in zip(*at, strict=True)]
    finite = jax.vmap(finiteness)(*batch).reshape(4, -1).sum(-1)
    jacobians = jax.vmap(derivative_of_round_trip)(flat.reshape(3 * count, group.algebra_dim))
    return {
        "derivatives are finite": finite[0],
        "derivatives are finite at coinciding elements": finite[1],
        "derivatives are finite at the identity": finite[2],
        "derivatives are finite at the origin of space": finite[3],
        "derivative of log(exp(a)) = 1": _error(
            jacobians, 0 * jacobians, 1 + _size(jacobians + 1, 2), 2
        ),
    }


def _maps(group: Group, a: Array, g: Array, x: Array) -> dict[str, Array]:
    """Every map of the group once, on one batch of arguments."""
    return {
        "exp": group.exp(a),
        "log": group.log(g),
        "compose": group.compose(g, g),
        "inverse": group.inverse(g),
        "adjoint": group.adjoint(g),
        "component": group.component(g),
        "act": group.act(g, x),
        "section": group.section(x),
        "orbit": group.orbit(x),
        "to_matrix": group.to_matrix(g),
        "from_matrix": group.from_matrix(group.to_matrix(g)),
        "hat": group.hat(a),
        "vee": group.vee(group.hat(a)),
        "distance": group.distance(g, group.section(x)),
    }


def _vmap_error(group: Group, a: Array, g: Array, x: Array) -> Array:
    batched = _maps(group, a[0], g[0], x)
    mapped = jax.vmap(partial(_maps, group))(a[0], g[0], x)
    errors = jax.tree.map(lambda u, v: _error(u, v, 1 + _size(u, u.ndim), u.ndim), batched, mapped)
    return jnp.max(jnp.stack(jax.tree.leaves(errors)))


def _check_shapes(group: Group, shape: Shape, dtype, where: str) -> None:
    """Shapes and dtypes of every map, traced but not run; arguments of other batch shapes."""
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
    got = jax.eval_shape(partial(_maps, group), struct(*algebra), struct(*e), struct(*space))
    others = {
        "identity": (partial(group.identity, shape, dtype), ()),
        "stabiliser": (lambda: group.stabiliser(key, shape, dtype), ()),
        "compose of a batch with one": (group.compose, (struct(*e), _one(*e, dtype=dtype))),
        "compose of one with a batch": (group.compose, (_one(*e, dtype=dtype), struct(*e))),
        "act on one point": (group.act, (struct(*e), _one(*space, dtype=dtype))),
        "act of one element": (group.act, (_one(*e, dtype=dtype), struct(*space))),
    }
    for name, (function, args) in others.items():
        got[name] = jax.eval_shape(function, *args)
        wanted[name] = struct(*(space if name.startswith("act") else e))
    got["stabiliser_grid"] = jax.eval_shape(lambda: group.stabiliser_grid(3, dtype))
    wanted["stabiliser_grid"] = jax.ShapeDtypeStruct((3, *e), dtype)
    for name, want in wanted.items():
        have = got[name]
        if have.shape != want.shape or have.dtype != want.dtype:
            raise AssertionError(
                f"{where}: {name} must give {want.dtype}{list(want.shape)}, "
                f"got {have.dtype}{list(have.shape)}"
            )


def _one(*last, dtype) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(last, dtype)


def _check_eager(group: Group, a: Array, key: Array, where: str) -> None:
    x = jax.random.normal(key, (*a.shape[1:-1], group.space_dim), a.dtype)
    eager = _maps(group, a[0], group.exp(a[1]), x)
    compiled = jax.jit(lambda a, x: _maps(group, a[0], group.exp(a[1]), x))(a, x)
    errors = {
        f"jit = eager ({name})": _error(compiled[name], value, 1 + _size(value, value.ndim))
        for name, value in eager.items()
    }
    _raise_broken(where, errors, tolerance("laws", a.dtype))


def _log_error(group: Group, u: Array, v: Array, scale) -> Array:
    del group
    return _error(u, v, scale * (1 + _size(v, 1)), 1)


def _expm(matrix: Array) -> Array:
    batch = matrix.reshape(-1, *matrix.shape[-2:])
    return jax.vmap(expm)(batch).reshape(matrix.shape)


def _apply(matrix: Array, vector: Array) -> Array:
    return jnp.sum(matrix * vector[..., None, :], axis=-1)


def _size(value: Array, axes: int) -> Array:
    """The largest magnitude over the last ``axes`` axes, at least 1."""
    last = tuple(range(value.ndim - axes, value.ndim))
    return jnp.max(jnp.abs(value), axis=last, initial=1)


def _error(got: Array, want: Array, scale, axes: int | None = None) -> Array:
    """The largest |got - want| / scale, ``scale`` having all but the last ``axes`` axes."""
    difference = jnp.abs(got - want)
    axes = difference.ndim if axes is None else axes
    last = tuple(range(difference.ndim - axes, difference.ndim))
    return jnp.max(jnp.max(difference, axis=last, initial=0) / scale, initial=0)


def _raise_broken(where: str, errors: dict, allowed: float, skip: tuple[str, ...] = ()) -> None:
    values = {name: float(error) for name, error in errors.items() if name not in skip}
    # Written so that NaN counts as broken.
    broken = {name: error for name, error in values.items() if not error <= allowed}
    if broken:
        lines = "".join(f"\n  {name}: error {error:.3g}" for name, error in broken.items())
        raise AssertionError(f"{where}: broken, with more than {allowed:.3g} allowed:{lines}")
