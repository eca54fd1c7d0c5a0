"""The laws that a group must obey, at random elements."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from lie_jax.groups.base import Group
from lie_jax.testing._compile import compiled_fast
from lie_jax.testing._errors import apply_matrix, expm, largest_error, raise_broken, size
from lie_jax.testing._points import PointSampler, normal_points
from lie_jax.testing.signatures import stabiliser_samples, transform_errors, wrong_shape
from lie_jax.testing.tolerances import tolerance
from lie_jax.typing import Array, PRNGKey, Shape


def assert_group_laws(
    group: Group,
    *,
    key: PRNGKey,
    shape: Shape = (5,),
    dtype=None,
    scale: float = 1.0,
    angle: float | None = None,
    points: PointSampler | None = None,
) -> None:
    """The group obeys the laws of a Lie group that acts on space, at random elements.

    Checked are: identity, inverse, associativity; that the action is one; exp and log as
    inverses, in both orders; log of a conjugate against the adjoint; matrices as a faithful
    representation whose generator is hat; vee; section, orbit and stabiliser (not where
    ``group.has_lift`` is False); that distance is left-invariant; finite first and second
    derivatives at random elements, at coinciding elements, at the identity and at the origin of
    space; that jit equals eager, that vmap equals a batch, and that shapes and dtypes are as
    documented.

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
        points: draws points of space off the singular orbits, (key, shape, dtype) to
            (\\*shape, d); of a standard normal if None.

    Raises:
        AssertionError: names every law that is broken.
    """
    dtype = jnp.zeros((), dtype).dtype
    where = f"assert_group_laws({group}, shape={shape}, dtype={dtype.name})"
    if complaint := wrong_shape(group, shape, dtype):
        raise AssertionError(f"{where}: {complaint}")
    errors = group_law_errors(
        group, key=key, shape=shape, dtype=dtype, scale=scale, angle=angle, points=points
    )
    raise_broken(where, errors, tolerance("laws", dtype))


def group_law_errors(
    group: Group,
    *,
    key: PRNGKey,
    shape: Shape = (5,),
    dtype=None,
    scale: float = 1.0,
    angle: float | None = None,
    points: PointSampler | None = None,
) -> dict[str, float]:
    """The error of every law that `assert_group_laws` checks, relative to the law's terms.

    Args:
        group, key, shape, dtype, scale, angle, points: see `assert_group_laws`.

    Returns:
        Law to error. That of "derivatives are finite" is 0 or NaN.
    """
    dtype = jnp.zeros((), dtype).dtype
    keys = jax.random.split(key, 4)
    # To stretch a nearly pure translation to a given angle would make it huge, so each sample
    # is the best of a few.
    tries = 1 if angle is None else 16
    many, hats, stabiliser, x = compiled_fast(_samples, (0, 2, 3, 4, 6))(
        group, keys, shape, dtype, tries, scale, points or normal_points(group)
    )
    a = _with_angle(group, many, hats, angle)
    errors = dict(compiled_fast(_laws)(group, a, stabiliser, x))
    errors |= compiled_fast(_derivative_laws)(group, keys[3], a, stabiliser, x)
    errors |= transform_errors(group, shape, dtype)
    on_branch = angle is not None and abs(angle) > math.pi - _margin(dtype)
    skip = _BRANCH_LAWS if on_branch else ()
    return {law: float(error) for law, error in errors.items() if law not in skip}


def _margin(dtype) -> float:
    """How far from pi a rotation angle must be for rounding not to reach log's branch."""
    return 1e-4 if dtype == jnp.float64 else 1e-2


# Laws that compare logarithms, which may stand on either branch when the angle is pi.
_BRANCH_LAWS = (
    "log(exp(a)) = a",
    "log of a conjugate = adjoint",
    "derivative of log(exp(a)) = 1",
    "distance is symmetric",
    "distance is left-invariant",
)


def _samples(
    group: Group, keys, shape: Shape, dtype, tries: int, scale, points: PointSampler
) -> tuple[Array, ...]:
    """Normal elements of the algebra, their matrices, stabilisers and points of space."""
    a = scale * jax.random.normal(keys[0], (tries, 3, *shape, group.algebra_dim), dtype)
    stabiliser = stabiliser_samples(group, keys[1], (4, *shape), dtype)
    x = points(keys[2], shape, dtype)
    return a, group.hat(a), stabiliser, x


def _with_angle(group: Group, a: Array, hats: Array, angle: float | None) -> Array:
    """One of the samples along the first axis, changed in length to the rotation angle wanted."""
    dtype = a.dtype
    if group.algebra_dim == 0:
        return a[0]
    # The rotation angle of any matrix group is in its generator's spectrum.
    turn = np.abs(np.linalg.eigvals(np.asarray(hats, np.float64)).imag).max(-1)
    wanted = np.minimum(turn, math.pi - _margin(dtype)) if angle is None else abs(angle)
    factor = np.where(turn > 1e-300, wanted / np.maximum(turn, 1e-300), 1)
    samples = np.asarray(a)
    length = np.linalg.norm(samples.astype(np.float64), axis=-1)
    best = np.argmax(turn / np.maximum(length, 1e-300), axis=0)[None]
    chosen, factor = (
        np.take_along_axis(v, best.reshape(best.shape + (1,) * k), 0)[0]
        for v, k in ((samples, 1), (factor, 0))
    )
    return jnp.asarray(chosen * factor[..., None], dtype)


def _laws(group: Group, a: Array, stabiliser: Array, x: Array) -> dict[str, Array]:
    """The error of every law that needs no derivative, relative to the size of its terms."""
    errors = _group_errors(group, a, stabiliser[:3], x)
    return errors | (_orbit_errors(group, a, stabiliser, x) if group.has_lift else {})


def _group_errors(group: Group, a: Array, component: Array, x: Array) -> dict[str, Array]:
    # Maps are applied to stacks of arguments, because each application is compiled anew.
    e = group.element_shape
    one = jnp.broadcast_to(group.identity((), a.dtype), (*a.shape[1:-1], *e))
    # exp reaches the identity component only: g, h and k may lie in another.
    plain = group.exp(a)
    all_three = group.compose(plain, component)
    g, h, k = all_three
    inverses = group.inverse(all_three)
    pairs = [
        (g, h), (h, k), (g, one), (one, g), (g, inverses[0]), (inverses[0], g),
        (g, plain[1]), (k, g), (k, h),
    ]  # fmt: skip
    gh, hk, g1, one_g, right, left, g_plain, kg, kh = group.compose(
        *map(jnp.stack, zip(*pairs, strict=True))
    )
    ghk, g_hk, conjugate = group.compose(
        jnp.stack([gh, g, g_plain]), jnp.stack([k, hk, inverses[0]])
    )
    adjoint = group.adjoint(g)
    moved = apply_matrix(adjoint, a[1])
    logs = group.log(jnp.stack([*plain, conjugate]))
    again = group.exp(jnp.concatenate([logs[:3], moved[None]]))
    elements = {
        "g": g, "h": h, "k": k, "g-1": inverses[0], "h-1": inverses[1], "k-1": inverses[2],
        "1": one, "gh": gh, "g1": g1, "1g": one_g, "gg-1": right, "g-1g": left, "ghk": ghk,
        "g(hk)": g_hk, "conjugate": conjugate, "moved": again[3],
        "exp0": plain[0], "exp1": plain[1], "exp2": plain[2],
        "again0": again[0], "again1": again[1], "again2": again[2],
    }  # fmt: skip
    m = dict(zip(elements, group.to_matrix(jnp.stack(list(elements.values()))), strict=True))
    back = group.to_matrix(group.from_matrix(jnp.stack([m["g"], m["h"], m["k"]])))
    # Where exp does not reach all elements, the distance of two random ones may be NaN.
    other, k_other = (h, kh) if group.exp_is_surjective else (g_plain, group.compose(k, g_plain))
    near, far, mirrored, equal = group.distance(
        jnp.stack([g, kg, other, g]), jnp.stack([other, k_other, g, g])
    )
    act_one, act_gh, act_h = group.act(jnp.stack([one, gh, h]), x)
    labels = group.component(jnp.stack([g, h, gh, *plain]))

    # Errors grow with the elements: by how much, their matrices tell.
    sizes = [jnp.maximum(size(m[n], 2), size(m[n + "-1"], 2)) for n in "ghk"]
    size_g = sizes[0]
    pair, triple = size_g * sizes[1], size_g * sizes[1] * sizes[2]
    largest = jnp.maximum(jnp.maximum(size_g, sizes[1]), sizes[2])
    plain_sizes = size(jnp.stack([m["exp0"], m["exp1"], m["exp2"]]), 2)
    product = jnp.matmul(m["g"], m["h"], precision="highest")

    def matrices(u: str, v: str, scale) -> Array:
        return largest_error(m[u], m[v], scale, 2)

    return {
        "identity": jnp.maximum(matrices("g1", "g", size_g), matrices("1g", "g", size_g)),
        "inverse": jnp.maximum(
            matrices("gg-1", "1", size_g**2), matrices("g-1g", "1", size_g**2)
        ),
        "associativity": matrices("ghk", "g(hk)", triple),
        "action of the identity": largest_error(act_one, x, size(x, 1), 1),
        "action of a product": largest_error(
            act_gh, group.act(g, act_h), pair * (1 + size(x, 1)), 1
        ),
        "log(exp(a)) = a": largest_error(logs[:3], a, plain_sizes * size(a, 1), 1),
        "exp(log(g)) = g": jnp.max(jnp.stack([
            matrices(f"again{i}", f"exp{i}", plain_sizes[i] * size(a[i], 1)) for i in range(3)
        ])),
        "log of a conjugate = adjoint": largest_error(
            logs[3], moved, size_g**2 * plain_sizes[1] * size(moved, 1), 1
        ),
        "exp of the adjoint = conjugate": matrices(
            "moved", "conjugate", size_g**2 * plain_sizes[1] * size(moved, 1)
        ),
        "matrix of a product": largest_error(m["gh"], product, pair, 2),
        "from_matrix inverts to_matrix": largest_error(
            back, jnp.stack([m["g"], m["h"], m["k"]]), largest, 2
        ),
        "matrix of exp = expm of hat": largest_error(
            jnp.stack([m["exp0"], m["exp1"], m["exp2"]]), expm(group.hat(a)), plain_sizes**2, 2
        ),
        "vee inverts hat": largest_error(group.vee(group.hat(a)), a, size(a, 1), 1),
        "component of a product": largest_error(labels[2], labels[0] * labels[1], 1, 1),
        "exp is in the identity component": largest_error(labels[3:], 1, 1, 1),
        "distance is left-invariant": largest_error(far, near, triple**2, 0),
        "distance is symmetric": largest_error(mirrored, near, pair**2, 0),
        "distance of equals is 0": largest_error(equal, 0, size_g**2, 0),
        "distance is |log|, plus 1 per component": largest_error(
            group.distance(one, plain[0]), jnp.linalg.norm(logs[0], axis=-1), plain_sizes[0], 0
        ),
    }  # fmt: skip


def _orbit_errors(group: Group, a: Array, stabiliser: Array, x: Array) -> dict[str, Array]:
    g = group.compose(group.exp(a[0]), stabiliser[0])
    gx = group.act(g, x)
    size_x = 1 + size(x, 1)
    extent = jnp.maximum(size(group.to_matrix(g), 2), size(group.to_matrix(group.inverse(g)), 2))
    extent = extent**2 * size_x
    points = jnp.stack([x, gx])
    orbits, sections = group.orbit(points), group.section(points)
    to_start = group.inverse(sections)
    starts = group.act(to_start, points)
    start = starts[0]
    # s(gx)^-1 g s(x) lies in the stabiliser, and is found without it.
    lift, loop = group.compose(
        jnp.stack([sections[0], to_start[1]]),
        jnp.stack([stabiliser[3], group.compose(g, sections[0])]),
    )
    fixed, looped, lifted = group.act(jnp.stack([stabiliser[3], loop, lift]), start)
    grid = group.stabiliser_grid(4, x.dtype)
    on_grid = group.act(grid, start[..., None, :])
    return {
        "orbit is invariant": largest_error(orbits[1], orbits[0], extent, 1),
        "section starts at one point of the orbit": largest_error(starts[1], start, extent, 1),
        "stabiliser fixes the representative": jnp.maximum(
            largest_error(fixed, start, size_x, 1), largest_error(looped, start, extent, 1)
        ),
        "lift carries the representative to x": largest_error(lifted, x, size_x, 1),
        "stabiliser_grid starts at 1 and fixes the representative": jnp.maximum(
            largest_error(
                group.to_matrix(grid[0]), group.to_matrix(group.identity((), x.dtype)), 1
            ),
            largest_error(on_grid, start[..., None, :], 1 + size(on_grid, 1), 1),
        ),
    }


def _derivative_laws(
    group: Group, key: Array, a: Array, component: Array, x: Array
) -> dict[str, Array]:
    """Derivatives of every map: error 0 where finite, NaN where not.

    First and second derivatives are taken along random directions, which a NaN in any entry
    of a Jacobian or Hessian turns into NaN.
    """

    def total(a, g, h, x):
        values = [
            group.exp(a),
            group.log(group.compose(group.inverse(g), h)),
            group.distance(g, h),
            group.adjoint(g),
            group.from_matrix(group.to_matrix(h)),
            group.act(g, x),
        ]
        if group.has_lift:
            values += [group.section(x), group.orbit(x)]
        return jnp.sum(jnp.stack([jnp.sum(jnp.sin(v)) for v in values]))

    def slope(at, along):
        return jax.jvp(total, at, along)[1]

    def finiteness(at, along):
        first, second = jax.value_and_grad(slope)(at, along)
        return jnp.sum(jnp.stack([jnp.sum(v * 0) for v in (first, *second)]))

    g, h = group.compose(group.exp(a[:2]), component[:2])
    if not group.exp_is_surjective:
        h = group.compose(g, group.exp(a[1]))
    one = jnp.broadcast_to(group.identity((), a.dtype), g.shape)
    at = {
        "": (a[0], g, h, x),
        " at coinciding elements": (a[0], g, g, x),
        " at the identity": (jnp.zeros_like(a[0]), one, one, x),
        " at the origin of space": (jnp.zeros_like(a[0]), one, one, jnp.zeros_like(x)),
    }
    stacked = [jnp.stack(v) for v in zip(*at.values(), strict=True)]
    count = len(at) * math.prod(x.shape[:-1])
    points = tuple(v.reshape(count, *v.shape[x.ndim :]) for v in stacked)
    keys = jax.random.split(key, len(points))
    along = tuple(
        jax.random.normal(k, v.shape[1:], v.dtype) for k, v in zip(keys, points, strict=True)
    )
    finite = jax.vmap(finiteness, in_axes=(0, None))(points, along)
    errors = {
        f"derivatives are finite{name}": jnp.sum(value)
        for name, value in zip(at, finite.reshape(len(at), -1), strict=True)
    }
    v = jnp.broadcast_to(along[0], a.shape)
    moved = jax.jvp(lambda a: group.log(group.exp(a)), (a,), (v,))[1]
    return errors | {
        "derivative of log(exp(a)) = 1": largest_error(
            moved, v, size(v, 1) * size(group.to_matrix(group.exp(a)), 2) ** 2, 1
        )
    }
