"""Unit quaternions (w, x, y, z), shared by SO(3) and SE(3).

q and -q are the same rotation. All products are written out: no dot product, so no reduced
matmul precision (TF32, bfloat16) on an accelerator. Arguments are not checked here but by the
functions of so3 and se3.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from lie_jax.groups.point_groups import point_group
from lie_jax.numerics import atanc, cos_theta, safe_norm, sinc, unit_vector
from lie_jax.typing import Array, Float, PRNGKey, Shape


def cross(a: Float[Array, "*#b 3"], b: Float[Array, "*#b 3"]) -> Float[Array, "*#b 3"]:
    """The vector product a × b."""
    a0, a1, a2 = a[..., 0], a[..., 1], a[..., 2]
    b0, b1, b2 = b[..., 0], b[..., 1], b[..., 2]
    return jnp.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=-1)


def exp(omega: Float[Array, "*b 3"]) -> Float[Array, "*b 4"]:
    """(cos θ/2, ω/2 · sinc θ/2), θ = |ω|."""
    half = omega / 2
    theta2 = jnp.sum(half * half, axis=-1, keepdims=True)
    return jnp.concatenate([cos_theta(theta2), sinc(theta2) * half], axis=-1)


def log(q: Float[Array, "*b 4"], one_side: bool = False) -> Float[Array, "*b 3"]:
    """Axis times angle, the angle in [0, π]; the length of q does not matter.

    With the sign of q that has w >= 0 and t = |v| / (|q| + w) = tan θ/4, which is in [0, 1] and
    well conditioned at both ends,  ω = 4 atan(t)/t · v / (|q| + w).

    Branch: at angle π (w = 0) both signs of q have w >= 0, and the one stored decides whether
    it is ω or -ω. With ``one_side``, see `to_one_side`, it is the same for both, and the angle
    may be above π by rounding.
    """
    q = to_one_side(q) if one_side else jnp.where(q[..., :1] < 0, -q, q)
    w, v = q[..., :1], q[..., 1:]
    v2 = jnp.sum(v * v, axis=-1, keepdims=True)
    scale = jnp.sqrt(v2 + w * w) + w
    return 4 * atanc(v2 / (scale * scale)) / scale * v


# No element of a point group keeps this direction, and no plane of reflection holds it.
DIRECTION = (0.8412, 0.2391, 0.4850)


def to_one_side(q: Float[Array, "*b 4"]) -> Float[Array, "*b 4"]:
    """The one of q and -q with w >= 0; where w is 0 but for rounding, with v towards one side.

    So half turns that differ by rounding have the same axis. It jumps at half turns about axes
    across `DIRECTION`.
    """
    w = q[..., :1]
    rounding = 1e3 * float(jnp.finfo(q.dtype).eps)
    # Written out: a tile computes it component by component.
    side = sum(q[..., 1 + i : 2 + i] * d for i, d in enumerate(DIRECTION))
    return jnp.where((w < -rounding) | ((w < rounding) & (side < 0)), -q, q)


def compose(p: Float[Array, "*#b 4"], q: Float[Array, "*#b 4"]) -> Float[Array, "*#b 4"]:
    """Hamilton's product p q."""
    pw, px, py, pz = p[..., 0], p[..., 1], p[..., 2], p[..., 3]
    qw, qx, qy, qz = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    return jnp.stack(
        [
            pw * qw - px * qx - py * qy - pz * qz,
            pw * qx + px * qw + py * qz - pz * qy,
            pw * qy - px * qz + py * qw + pz * qx,
            pw * qz + px * qy - py * qx + pz * qw,
        ],
        axis=-1,
    )


def inverse(q: Float[Array, "*b 4"]) -> Float[Array, "*b 4"]:
    """The conjugate (w, -v)."""
    return jnp.concatenate([q[..., :1], -q[..., 1:]], axis=-1)


def act(q: Float[Array, "*#b 4"], x: Float[Array, "*#b 3"]) -> Float[Array, "*#b 3"]:
    """The rotated vector x + 2w (v × x) + 2 v × (v × x)."""
    w, v = q[..., :1], q[..., 1:]
    turned = 2 * cross(v, x)
    return x + w * turned + cross(v, turned)


def from_z_axis(u: Float[Array, "*b 3"]) -> Float[Array, "*b 4"]:
    """A rotation that carries (0, 0, 1) to the unit vector u: the shortest one.

    It is (1 + u_z, -u_y, u_x, 0) normalised. Where u_z < 0 that cancels, and is rewritten with
    ρ = |(u_x, u_y)| and 1 + u_z = ρ²/(1 - u_z). No choice is continuous at u = (0, 0, -1); there
    it is the half turn about x, also for the neighbours within rounding (ρ < eps), so that the
    derivatives, of size 1/ρ, stay finite.
    """
    ux, uy, uz = u[..., :1], u[..., 1:2], u[..., 2:]
    is_up = uz >= 0
    up = jnp.concatenate([1 + uz, -uy, ux, jnp.zeros_like(ux)], axis=-1)
    up = up / jnp.sqrt(2 * jnp.where(is_up, 1 + uz, 1))
    across = u[..., :2]
    eps = jnp.finfo(u.dtype).eps
    is_pole = jnp.sum(across * across, axis=-1, keepdims=True) < eps * eps
    across = jnp.where(is_pole, 0, across)
    axis = unit_vector(jnp.concatenate([-across[..., 1:], across[..., :1]], axis=-1), (1.0, 0.0))
    below = jnp.where(is_up, 1, 1 - uz)
    down = jnp.concatenate([safe_norm(across, keepdims=True), below * axis], axis=-1)
    down = jnp.concatenate([down, jnp.zeros_like(ux)], axis=-1) / jnp.sqrt(2 * below)
    return jnp.where(is_up, up, down)


def to_matrix(q: Float[Array, "*b 4"]) -> Float[Array, "*b 3 3"]:
    """The rotation matrix of a unit quaternion."""
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def from_matrix(matrix: Float[Array, "*b 3 3"]) -> Float[Array, "*b 4"]:
    """The quaternion, w >= 0, of a rotation matrix.

    The matrix 4 q qᵀ is linear in R. Its row with the largest diagonal entry (at least 1) is q
    times a number that is far from 0, so that normalising it is stable for every rotation.

    Source: Shepperd, "Quaternion from rotation matrix", 1978.
    """
    m = [[matrix[..., i, j] for j in range(3)] for i in range(3)]
    wx, wy, wz = m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]
    xy, xz, yz = m[1][0] + m[0][1], m[0][2] + m[2][0], m[2][1] + m[1][2]
    ww = 1 + m[0][0] + m[1][1] + m[2][2]
    xx = 1 + m[0][0] - m[1][1] - m[2][2]
    yy = 1 - m[0][0] + m[1][1] - m[2][2]
    zz = 1 - m[0][0] - m[1][1] + m[2][2]
    rows = [[ww, wx, wy, wz], [wx, xx, xy, xz], [wy, xy, yy, yz], [wz, xz, yz, zz]]
    best, largest = jnp.stack(rows[0], axis=-1), ww[..., None]
    for row, diagonal in zip(rows[1:], (xx, yy, zz), strict=True):
        is_larger = diagonal[..., None] > largest
        best = jnp.where(is_larger, jnp.stack(row, axis=-1), best)
        largest = jnp.where(is_larger, diagonal[..., None], largest)
    q = best / jnp.sqrt(jnp.sum(best * best, axis=-1, keepdims=True))
    return jnp.where(q[..., :1] < 0, -q, q)


def hat(omega: Float[Array, "*b 3"]) -> Float[Array, "*b 3 3"]:
    """The skew matrix with hat(ω) x = ω × x."""
    x, y, z = omega[..., 0], omega[..., 1], omega[..., 2]
    o = jnp.zeros_like(x)
    rows = [[o, -z, y], [z, o, -x], [-y, x, o]]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def vee(matrix: Float[Array, "*b 3 3"]) -> Float[Array, "*b 3"]:
    """ω of hat(ω)."""
    return jnp.stack([matrix[..., 2, 1], matrix[..., 0, 2], matrix[..., 1, 0]], axis=-1)


def haar(key: PRNGKey, shape: Shape, dtype) -> Float[Array, "*b 4"]:
    """Rotations of the uniform (Haar) distribution: directions of a Gaussian in R⁴."""
    return unit_vector(jax.random.normal(key, (*shape, 4), dtype), (1.0, 0.0, 0.0, 0.0))


# The real root of ψ⁴ = ψ + 4, the second ratio of the super-Fibonacci spiral.
_PSI = 1.533751168755204288118041


_GROUP_OF_ORDER = {4: "D2", 12: "T", 24: "O", 60: "I"}


def grid(count: int, dtype) -> Float[Array, "s 4"]:
    """``count`` rotations spread nearly evenly over SO(3), the identity first.

    For 4, 12, 24 and 60 the rotations of a regular body: their mean of a smooth function comes
    nearer to its integral than that of any other rotations as many (the harmonics of degree 1, 2,
    3 and 5 or less average to 0 exactly). Else super-Fibonacci spirals on the 3-sphere, turned as
    a whole so that the first is the identity.

    Source: Alexa, "Super-Fibonacci spirals", CVPR 2022.
    """
    if count in _GROUP_OF_ORDER:
        return from_matrix(jnp.asarray(point_group(_GROUP_OF_ORDER[count], 3), dtype))
    s = np.arange(count) + 0.5
    r, R = np.sqrt(s / count), np.sqrt(1 - s / count)
    alpha, beta = 2 * math.pi * s / math.sqrt(2), 2 * math.pi * s / _PSI
    points = np.stack([R * np.cos(beta), R * np.sin(beta), r * np.cos(alpha), r * np.sin(alpha)])
    q = jnp.asarray(points.T, dtype)
    # By construction q₀⁻¹ q₀ is the identity up to rounding; make it exactly so.
    one = jnp.asarray([[1, 0, 0, 0]], dtype)
    return jnp.concatenate([one, compose(inverse(q[:1]), q[1:])])[:count]
