"""Checks of models: equivariance, and independence of padding, batch mates and order."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from lie_jax.groups.base import Group
from lie_jax.points import PointSet
from lie_jax.testing._errors import largest_error, raise_broken, size
from lie_jax.testing.tolerances import tolerance
from lie_jax.typing import Array, PRNGKey


def assert_equivariant(
    function: Callable[[PointSet], Array],
    group: Group,
    points: PointSet,
    *,
    key: PRNGKey,
    act_on_output: Callable[[Array, Array], Array] | None = None,
    scale: float = 1.0,
) -> None:
    """Moving the points by g moves the output by g, for a random g of the group.

    Args:
        function: points to an array; for a model whose lifts are random this holds in
            expectation only, so give it a function of ``model.from_lifted``.
        group: acts on the coordinates.
        points: where to try it.
        key: of g.
        act_on_output: (g, output) -> output; None for an output that does not change.
        scale: standard deviation of the algebra coordinates of g.

    Raises:
        AssertionError: tells the error, relative to the largest output.
    """
    algebra_key, component_key = jax.random.split(key)
    dtype = points.coords.dtype
    g = group.exp(scale * jax.random.normal(algebra_key, (group.algebra_dim,), dtype))
    g = group.compose(g, group.stabiliser(component_key, (), dtype))
    moved = dataclasses.replace(points, coords=group.act(g, points.coords))
    wanted = function(points)
    if act_on_output is not None:
        wanted = act_on_output(g, wanted)
    _compare("assert_equivariant", "equivariance", {f"{group}": (function(moved), wanted)})


def assert_padding_free(
    function: Callable[[PointSet], Array],
    points: PointSet,
    *,
    key: PRNGKey,
    per_point: bool = False,
    extra: int = 3,
) -> None:
    """Outputs of real points depend on neither padding, batch mates nor the order of points.

    Args:
        function: points (b, n, ...) to outputs (b, ...), or (b, n, ...) if ``per_point``.
        points: where to try it.
        key: of what stands in the padding, and of the order.
        per_point: whether outputs belong to points.
        extra: absent points to add.

    Raises:
        AssertionError: tells which of the three changes the outputs.
    """
    keys = jax.random.split(key, 3)
    b, n, _ = points.coords.shape

    def padded(x: Array, key) -> Array:
        junk = 10 * jax.random.normal(key, (b, extra, x.shape[-1]), x.dtype)
        return jnp.concatenate([x, junk], axis=1)

    larger = PointSet(
        padded(points.coords, keys[0]),
        padded(points.values, keys[1]),
        jnp.pad(points.mask, ((0, 0), (0, extra))),
    )
    order = jax.random.permutation(keys[2], n)
    mixed = jax.tree.map(lambda x: x[:, order], points)
    mates = jax.tree.map(lambda x: jnp.concatenate([x, x[::-1] * 2 if x.ndim > 2 else x]), points)

    whole, wide = function(points), function(larger)
    turned, among = function(mixed), function(mates)[:b]
    if per_point:
        real = points.mask.reshape(b, n, *[1] * (whole.ndim - 2))
        turned = turned[:, jnp.argsort(order)]
        whole, wide, turned, among = (
            jnp.where(real, x[:, :n], 0) for x in (whole, wide, turned, among)
        )
    _compare(
        "assert_padding_free",
        "padding",
        {"padding": (wide, whole), "order": (turned, whole), "batch mates": (among, whole)},
    )


def assert_gradients_finite(
    function: Callable[[PointSet], Array], points: PointSet, *, key: PRNGKey
) -> None:
    """First and second derivatives of the outputs are finite where networks tend to have none.

    At the points given, with all points of a cloud in one place, with all at the origin, and with
    no real point at all. Nothing depends on absent points.

    Args:
        function: points to an array.
        points: where to try it; coords (b, n, d).
        key: of the directions of the derivatives.

    Raises:
        AssertionError: tells where a derivative is not finite, or an absent point's is not 0.
    """
    keys = jax.random.split(key, 3)
    coords, values = points.coords, points.values
    places = {
        "": points,
        " with coinciding points": dataclasses.replace(
            points, coords=jnp.broadcast_to(coords[:, :1], coords.shape)
        ),
        " at the origin": dataclasses.replace(points, coords=jnp.zeros_like(coords)),
        " without real points": dataclasses.replace(points, mask=jnp.zeros_like(points.mask)),
    }
    along = (
        jax.random.normal(keys[0], coords.shape, coords.dtype),
        jax.random.normal(keys[1], values.shape, values.dtype),
    )

    @jax.jit
    def derivatives(coords, values, mask):
        def total(coords, values):
            outputs = function(PointSet(coords, values, mask))
            return jnp.sum(outputs * jax.random.normal(keys[2], outputs.shape, outputs.dtype))

        def slope(*at):
            return jax.jvp(total, at, along)[1]

        return jax.grad(total, (0, 1))(coords, values), jax.grad(slope, (0, 1))(coords, values)

    errors = {}
    for name, place in places.items():
        first, second = derivatives(place.coords, place.values, place.mask)
        for order, found in (("first", first), ("second", second)):
            finite = jnp.stack([jnp.sum(x * 0) for x in found])
            errors[f"{order} derivatives are finite{name}"] = jnp.sum(finite)
        absent = jnp.where(place.mask[..., None], 0, jnp.concatenate(first, axis=-1))
        errors[f"absent points have no gradient{name}"] = jnp.max(jnp.abs(absent))
    raise_broken("assert_gradients_finite", errors, 0.0)


def _compare(where: str, kind: str, pairs: dict[str, tuple[Array, Array]]) -> None:
    errors = {
        name: largest_error(got, want, size(want, want.ndim)) for name, (got, want) in pairs.items()
    }
    dtype = next(iter(pairs.values()))[1].dtype
    raise_broken(where, errors, tolerance(kind, dtype))
