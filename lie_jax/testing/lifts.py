"""What a lift must obey: section, orbit and stabiliser of a group, and `lie_jax.lift` itself."""

import jax
import jax.numpy as jnp

from lie_jax.geometry import lift
from lie_jax.groups.base import Group
from lie_jax.groups.matrix_functions import product
from lie_jax.points import PointSet
from lie_jax.testing._compile import compiled_fast
from lie_jax.testing._errors import largest_error, raise_broken, size
from lie_jax.testing._points import PointSampler, normal_points
from lie_jax.testing.tolerances import tolerance
from lie_jax.typing import Array, PRNGKey, Shape

_SAMPLES = 5


def assert_lift(
    group: Group,
    *,
    key: PRNGKey,
    shape: Shape = (5,),
    dtype=None,
    scale: float = 1.0,
    points: PointSampler | None = None,
) -> None:
    """Points lift to the group as `Group` promises, at random points.

    Checked are: the section carries one and the same representative to all points of an orbit;
    the orbit's coordinates do not change; the stabiliser fixes the representative; its samples
    and the sections are elements of the group; its grid begins with the identity; section and
    orbit are finite at the origin and have finite first and second derivatives at the random
    points; by every method of `lie_jax.lift`, elements carry the representative to the point
    and orbits are repeated.

    Args:
        group: the group, with the lift in question.
        key: of points and elements.
        shape: batch shape, at least one axis.
        dtype: float32 or float64; the default float if None.
        scale: standard deviation of the algebra coordinates of what moves the points.
        points: draws points off the singular orbits, (key, shape, dtype) to (\\*shape, d); of a
            standard normal if None.

    Raises:
        AssertionError: names what is broken.
    """
    dtype = jnp.zeros((), dtype).dtype
    errors = lift_errors(group, key=key, shape=shape, dtype=dtype, scale=scale, points=points)
    where = f"assert_lift({group}, shape={shape}, dtype={dtype.name})"
    raise_broken(where, errors, tolerance("laws", dtype))


def lift_errors(
    group: Group,
    *,
    key: PRNGKey,
    shape: Shape = (5,),
    dtype=None,
    scale: float = 1.0,
    points: PointSampler | None = None,
) -> dict[str, float]:
    """The error of everything that `assert_lift` checks, relative to the size of its terms.

    Args:
        group, key, shape, dtype, scale, points: see `assert_lift`.

    Returns:
        Check to error. That of "finite" ones is 0 or NaN.
    """
    dtype = jnp.zeros((), dtype).dtype
    sampler = points or normal_points(group)
    errors = compiled_fast(_errors, (0, 2, 3, 5))(group, key, shape, dtype, scale, sampler)
    return {check: float(error) for check, error in errors.items()}


def _errors(group: Group, key, shape: Shape, dtype, scale, points: PointSampler):
    keys = jax.random.split(key, 5)
    x = points(keys[0], shape, dtype)
    a = scale * jax.random.normal(keys[1], (*shape, group.algebra_dim), dtype)
    h = group.stabiliser(keys[2], (2, *shape), dtype)
    g = group.compose(group.exp(a), h[0])
    gx = group.act(g, x)
    sections = group.section(jnp.stack([x, gx]))
    starts = group.act(group.inverse(sections), jnp.stack([x, gx]))
    orbits = group.orbit(jnp.stack([x, gx]))
    extent = _extent(group, sections[1]) * _extent(group, sections[0]) * (1 + size(gx, 1))
    start_size = 1 + size(starts[0], 1)
    one = group.identity((), dtype)
    errors = {
        "section starts at one point of the orbit": largest_error(starts[1], starts[0], extent, 1),
        "orbit is invariant": largest_error(
            orbits[1], orbits[0], _extent(group, g) ** 2 * (1 + size(x, 1) ** 2), 1
        ),
        "stabiliser fixes the representative": largest_error(
            group.act(h, starts[0]), starts[0], start_size, 1
        ),
        "section is in the group": _membership(group, sections),
        "stabiliser is in the group": _membership(group, h),
        "section and orbit have finite derivatives": _finiteness(group, keys[3], x),
        "section and orbit are finite at the origin": _zero_if_finite(
            group.section(jnp.zeros_like(x)), group.orbit(jnp.zeros_like(x))
        ),
    }
    if (grid := _grid(group, dtype)) is not None:
        on_grid = group.act(grid, starts[0][..., None, :])
        errors |= {
            "stabiliser_grid begins with the identity": largest_error(grid[0], one, 1),
            "stabiliser_grid fixes the representative": largest_error(
                on_grid, starts[0][..., None, :], start_size[..., None], 1
            ),
            "stabiliser_grid is in the group": _membership(group, grid),
        }
    return errors | _through_lift(group, keys[4], x, starts[0], orbits[0], grid is not None)


def _through_lift(group: Group, key, x: Array, start: Array, orbit: Array, has_grid: bool):
    errors = {}
    for method in ("random", "shared", "grid", "all"):
        if method in ("grid", "all") and not has_grid:
            continue
        if method == "all" and group.stabiliser_order is None:
            continue
        samples = _SAMPLES if group.has_stabiliser and method != "all" else 1
        cloud = PointSet(x, x[..., :1])
        lifted = lift(group, cloud, key=key, samples=samples, method=method)
        wanted, starts, orbits = (jnp.repeat(v, lifted.samples, axis=-2) for v in (x, start, orbit))
        back = group.act(lifted.elements, starts)
        scale = _extent(group, lifted.elements) * (1 + size(wanted, 1))
        errors |= {
            f'lift(method="{method}") carries the representative to x': largest_error(
                back, wanted, scale, 1
            ),
            f'lift(method="{method}") repeats the orbit': largest_error(lifted.orbit, orbits, 1),
        }
    return errors


def _grid(group: Group, dtype) -> Array | None:
    """None where the group has not got one."""
    try:
        return group.stabiliser_grid(_SAMPLES, dtype)
    except NotImplementedError:
        return None


def _extent(group: Group, g: Array) -> Array:
    """The size of an element and its inverse, by which rounding grows."""
    return jnp.maximum(size(group.to_matrix(g), 2), size(group.to_matrix(group.inverse(g)), 2))


def _membership(group: Group, g: Array) -> Array:
    """0 for elements: g^-1 g = 1, g X g^-1 = Ad_g X, and g = exp(log g) in the group's reach."""
    inverse, extent = group.inverse(g), _extent(group, g)
    matrix, one = group.to_matrix(g), group.to_matrix(group.identity((), g.dtype))
    error = largest_error(group.to_matrix(group.compose(inverse, g)), one, extent**2, 2)
    if group.algebra_dim:
        basis = jnp.eye(group.algebra_dim, dtype=g.dtype)
        left = product(matrix[..., None, :, :], group.hat(basis))
        right = product(group.hat(jnp.swapaxes(group.adjoint(g), -1, -2)), matrix[..., None, :, :])
        error = jnp.maximum(error, largest_error(left, right, extent**3, 3))
    if group.exp_is_surjective:
        again = group.to_matrix(group.exp(group.log(g)))
        is_connected = jnp.all(group.component(g) == 1, axis=-1)
        again = jnp.where(is_connected[..., None, None], again, matrix)
        error = jnp.maximum(error, largest_error(again, matrix, extent**2, 2))
    return error


def _finiteness(group: Group, key, x: Array) -> Array:
    """0 if section and orbit have finite first and second derivatives, along a direction."""
    along = jax.random.normal(key, x.shape, x.dtype)

    def total(x):
        return jnp.sum(jnp.sin(group.section(x))) + jnp.sum(jnp.sin(group.orbit(x)))

    slope = lambda x: jax.jvp(total, (x,), (along,))[1]  # noqa: E731
    return _zero_if_finite(*jax.value_and_grad(slope)(x))


def _zero_if_finite(*values: Array) -> Array:
    return jnp.sum(jnp.stack([jnp.sum(v * 0) for v in values]))
