"""Groups of geometry and physics that are a product of simpler ones, by their names.

They take ``with_vector=True``: a point has a place and a vector that translations leave alone.
Without the vector, the stabiliser of a place is not compact and there is nothing to draw lifts
from; ``with_vector=False`` is for what needs no lift.
"""

from lie_jax.groups.base import Group
from lie_jax.groups.linear import GL2
from lie_jax.groups.lorentz import Lorentz
from lie_jax.groups.rxso2 import RxSO2
from lie_jax.groups.rxso3 import RxSO3
from lie_jax.groups.se3 import SE3
from lie_jax.groups.semidirect import SemidirectProduct
from lie_jax.groups.so2 import SO2
from lie_jax.groups.translation import T


def U1() -> Group:
    """Phases e^iθ on C = R^2: the same as SO(2)."""
    return SO2()


def Heisenberg() -> Group:
    """The Heisenberg group on itself, R^3: (c, b, a), where x goes to x + (c + a x_1, b, a).

    That is T(2) with the shears [[1, a], [0, 1]], which are the homogeneous matrices of T(1). A
    point has one lift.
    """
    return SemidirectProduct(T(1), with_vector=True)


def Galilei() -> Group:
    """The Galilei group on events with a velocity, (x, y, z, t, v_x, v_y, v_z).

    A rotation R, a boost b, a shift of place and time (s, s_t): x goes to R x + b t + s, t to
    t + s_t, v to R v + b. Rotation and boost act on (x, t) as the homogeneous matrix of SE(3),
    whose translation is the boost. Space is one orbit, the stabiliser SO(3).
    """
    return SemidirectProduct(SE3(), with_vector=True)


def Poincare(*, with_vector: bool = True) -> Group:
    """The Poincare group on events with a momentum, (t, x, y, z, E, p_x, p_y, p_z).

    A Lorentz transformation of both and a translation of the event. Orbits are named by the mass,
    the stabiliser is SO(3); see `Lorentz` for momenta that are not timelike.
    """
    return SemidirectProduct(Lorentz(), with_vector=with_vector)


def Similarity(n: int, *, with_vector: bool = True) -> Group:
    """Translations, rotations and scalings of the plane or of space, on places with a vector.

    Args:
        n: 2: (x, y, v_x, v_y), a point with v not 0 has one lift. 3: (x, y, z, v_x, v_y, v_z),
            its lifts are the rotations about v.
        with_vector: see the module.

    Raises:
        ValueError: n is neither 2 nor 3.
    """
    if n not in (2, 3):
        raise ValueError(f"Similarity: n must be 2 or 3, got {n!r}")
    return SemidirectProduct(RxSO2() if n == 2 else RxSO3(), with_vector=with_vector)


def Affine2(*, with_vector: bool = True) -> Group:
    """Affine maps of the plane of positive determinant, on places with two vectors (R^6).

    A point whose vectors are not parallel has one lift; orbits are their two orders. log is NaN
    for some elements, see `GL2`.
    """
    return SemidirectProduct(GL2(), with_vector=with_vector)
