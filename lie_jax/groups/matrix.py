"""Matrix groups from their generators: all that a group needs, but for how points lift.

Element: the matrix itself, (r, r). Algebra: coordinates a (a,), hat(a) = Σ a_i X_i with X_i the
generators. The action is x -> g x on R^r; of an affine group, (x, 1) -> g (x, 1) on R^(r-1).

A general semidirect product of two matrix groups needs no class of its own: it is
`from_generators` of both sets of generators.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from lie_jax.groups import _check
from lie_jax.groups._algebra import (
    TOLERANCE,
    Algebra,
    Matrices,
    Matrix,
    algebra,
    leaves_span,
    misses_elements,
    nested,
)
from lie_jax.groups.base import Group
from lie_jax.groups.matrix_functions import (
    apply,
    expm,
    expm1_and_phi,
    homogeneous,
    phi,
    product,
)
from lie_jax.groups.matrix_log import log, log_value
from lie_jax.numerics import safe_norm
from lie_jax.typing import Array, PRNGKey, Shape, Validated, unchecked


def from_generators(
    name: str,
    generators: Validated[ArrayLike],
    *,
    affine: bool = False,
    discrete: Validated[ArrayLike] = (),
    form: Validated[ArrayLike | None] = None,
    copies: int = 1,
    exp_is_surjective: bool | None = None,
) -> "MatrixGroup":
    """The Lie group that matrices generate; lifts are added by `lie_jax.groups.with_lift`.

    Args:
        name: how the group is called in messages.
        generators: (a, r, r), a basis of the Lie algebra.
        affine: whether the matrices are homogeneous, with last row 0.
        discrete: (k, r, r), elements that lead to the other components of the group: involutions
            that commute, so that there are 2^k components, labelled by k signs.
        form: (r, r), or (r - 1, r - 1) if affine, a matrix B with gᵀ B g = B for the linear part
            of every element (1 for rotations, the metric for Lorentz transformations). It makes
            the inverse exact and fast, B^-1 gᵀ B; without it a linear system is solved.
        copies: the group acts on R^d; with 2, on pairs of such vectors, and so on.
        exp_is_surjective: whether exp reaches every element of the identity component. None:
            looked for, by products of exponentials that have no real logarithm.

    Raises:
        ValueError: shapes do not fit, generators depend on each other or are not closed under
            the bracket, a discrete generator maps the algebra out of itself or lies in the
            identity component, the form is not kept.
        NotImplementedError: discrete generators of another kind, or of a group in which not
            every element has a logarithm.
    """
    where = f"from_generators({name!r})"
    frozen = nested(where, "generators", generators, 3)
    if not frozen or len(frozen[0]) != len(frozen[0][0]):
        raise ValueError(
            f"{where}: generators must have shape (a, r, r) with a >= 1, got {np.shape(generators)}"
        )
    if exp_is_surjective is None:
        exp_is_surjective = not misses_elements(algebra(where, frozen))
    return MatrixGroup(
        name=name,
        generators=frozen,
        affine=affine,
        discrete=nested(where, "discrete", discrete, 3) if np.size(discrete) else (),
        form=None if form is None else nested(where, "form", form, 2),
        copies=copies,
        exp_is_surjective=exp_is_surjective,
    )


@unchecked
@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class MatrixGroup(Group):
    """A group of matrices, made by `from_generators`.

    **log** is the principal logarithm: eigenvalues of hat(log g) have imaginary parts in
    [-π, π]. At π itself, and within rounding of it, it is one of the logarithms there. It is NaN
    where the principal logarithm does not exist or is not in the algebra: for elements that exp
    does not reach (SL(2) with trace below -2; see ``exp_is_surjective``), and for some elements
    of groups that turn planes at different speeds (diag(R(θ), R(2θ)) with θ > π/2).
    Its derivative is exact, in closed form: d log = J^-1 vee(g^-1 dg), J = φ(-ad_log) the right
    Jacobian. A change dg that leaves the group is projected.

    **component** finds the discrete element for which the rest has a logarithm, NaN if none.

    **Lifts** are known only for affine groups whose algebra is the translations and nothing else;
    if it holds them all, ``section`` is the translation. Everything else raises
    NotImplementedError and says to take `with_lift`.

    Args:
        name, generators, affine, discrete, form, copies, exp_is_surjective: see
            `from_generators`.
    """

    name: str
    generators: Matrices
    affine: bool = False
    discrete: Matrices = ()
    form: Matrix | None = None
    copies: int = 1
    exp_is_surjective: bool = True  # pyright: ignore[reportIncompatibleVariableOverride]

    def __post_init__(self):
        where = f"from_generators({self.name!r})"
        basis = self._algebra.basis
        if not isinstance(self.copies, int) or self.copies < 1:
            raise ValueError(f"{where}: copies must be an integer of at least 1, got {self.copies}")
        if self.affine and np.any(basis[:, -1]):
            raise ValueError(f"{where}: affine generators must have a last row of zeros")
        if self.form is not None:
            self._check_form(where, np.asarray(self.form))
        if self.discrete:
            self._check_discrete(where, np.asarray(self.discrete))

    def __repr__(self):
        return self.name

    def _check_form(self, where: str, form: np.ndarray):
        size = self.matrix_dim - self.affine
        if form.shape != (size, size) or np.linalg.matrix_rank(form) < size:
            raise ValueError(f"{where}: form must be invertible, ({size}, {size}), got {form}")
        linear = self._algebra.basis[:, :size, :size]
        kept = linear.swapaxes(1, 2) @ form + form @ linear
        signs = [m[:size, :size] for m in np.asarray(self.discrete)]
        changes = [kept, *(m.T @ form @ m - form for m in signs)]
        if max(np.abs(change).max() for change in changes) > TOLERANCE * np.abs(form).max():
            raise ValueError(f"{where}: form must be kept by the group, Xᵀ B + B X = 0 for each X")

    def _check_discrete(self, where: str, elements: np.ndarray):
        one, (basis, _, _) = np.eye(self.matrix_dim), self._algebra
        if elements.shape[1:] != one.shape:
            raise ValueError(
                f"{where}: discrete must have shape (k, {len(one)}, {len(one)}), "
                f"got {elements.shape}"
            )
        products = elements[:, None] @ elements
        commute = np.abs(products - products.swapaxes(0, 1)).max() < TOLERANCE
        squares = products[np.arange(len(elements)), np.arange(len(elements))]
        if not commute or np.abs(squares - one).max() > TOLERANCE:
            raise NotImplementedError(
                f"{where}: discrete generators must be involutions that commute: a component is "
                "labelled by one sign for each, which other groups of components have not got"
            )
        moved = elements[:, None] @ basis @ elements[:, None]
        if leaves_span(self._algebra, moved.reshape(-1, *one.shape)) > TOLERANCE:
            raise ValueError(
                f"{where}: discrete generators must normalise the algebra: P X P^-1 leaves it"
            )
        if not self.exp_is_surjective:
            raise NotImplementedError(
                f"{where}: discrete generators need a group in which every element of the "
                "identity component has a logarithm, by which the component is found"
            )
        with jax.ensure_compile_time_eval():
            logs = np.asarray(log_value(self, jnp.asarray(self._cosets[1:], float)))
        if np.isfinite(logs).any():
            raise ValueError(
                f"{where}: discrete generators and their products must lie outside of the "
                "identity component, where exp reaches one of them"
            )

    @property
    def _algebra(self) -> Algebra:
        return algebra(f"from_generators({self.name!r})", self.generators)

    @property
    def _cosets(self) -> np.ndarray:
        """One element of each component, (2^k, r, r), the identity first."""
        found = [np.eye(self.matrix_dim)]
        for p in np.asarray(self.discrete):
            found += [m @ p for m in found]
        return np.stack(found)

    # --- sizes -----------------------------------------------------------------------------

    @property
    def is_abelian(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return not self.discrete and not np.any(self._algebra.structure)

    @property
    def algebra_dim(self) -> int:
        return len(self.generators)

    @property
    def space_dim(self) -> int:
        return self.copies * (self.matrix_dim - self.affine)

    @property
    def orbit_dim(self) -> int:
        return 0

    @property
    def element_shape(self) -> Shape:
        return (self.matrix_dim, self.matrix_dim)

    @property
    def matrix_dim(self) -> int:
        return len(self.generators[0])

    @property
    def component_dim(self) -> int:
        return len(self.discrete)

    # --- the group -------------------------------------------------------------------------

    def identity(self, shape: Shape = (), dtype=None):
        one = jnp.eye(self.matrix_dim, dtype=_check.float_dtype(dtype))
        return jnp.broadcast_to(one, (*shape, *one.shape))

    def compose(self, g, h):
        return product(self._element("compose", "g", g), self._element("compose", "h", h))

    def inverse(self, g):
        g = self._element("inverse", "g", g)
        if not self.affine:
            return self._linear_inverse(g)
        inverse = self._linear_inverse(g[..., :-1, :-1])
        return homogeneous(inverse, -apply(inverse, g[..., :-1, -1]), 1)

    def _linear_inverse(self, linear: Array) -> Array:
        if self.form is None:
            return jnp.linalg.inv(linear)
        form = np.asarray(self.form)
        left, right = (jnp.asarray(m, linear.dtype) for m in (np.linalg.inv(form), form))
        return product(product(left, jnp.swapaxes(linear, -1, -2)), right)

    def exp(self, a):
        hat = self.hat(a)
        if not self.affine:
            return expm(hat)
        # The translation is linear in its generator, however long: it takes no part in scaling.
        rest, v = expm1_and_phi(hat[..., :-1, :-1])
        linear = jnp.eye(rest.shape[-1], dtype=hat.dtype) + rest
        return homogeneous(linear, apply(v, hat[..., :-1, -1]), 1)

    def log(self, g):
        """Principal logarithm of the part in the identity component; see the class."""
        g = self._element("log", "g", g)
        if self.discrete:
            cosets = jnp.asarray(self._cosets, g.dtype)
            g = product(g, cosets[self._coset(g)[0]])
        return log(self, g)

    def component(self, g):
        g = self._element("component", "g", g)
        if not self.discrete:
            return super().component(g)
        index, is_element = self._coset(g)
        bits = (index[..., None] >> jnp.arange(len(self.discrete))) & 1
        return jnp.where(is_element[..., None], 1 - 2 * bits.astype(g.dtype), jnp.nan)

    def _coset(self, g: Array) -> tuple[Array, Array]:
        """The index of g's component in ``_cosets``, and whether there is one."""
        cosets = jnp.asarray(self._cosets, g.dtype)
        rest = product(lax.stop_gradient(g)[..., None, :, :], cosets)
        is_here = jnp.all(jnp.isfinite(log_value(self, rest)), axis=-1)
        return jnp.argmax(is_here, axis=-1), jnp.any(is_here, axis=-1)

    def adjoint(self, g):
        g = self._element("adjoint", "g", g)
        basis = jnp.asarray(self._algebra.basis, g.dtype)
        moved = product(product(g[..., None, :, :], basis), self.inverse(g)[..., None, :, :])
        return jnp.swapaxes(self.vee(moved), -1, -2)

    # --- action ----------------------------------------------------------------------------

    def act(self, g, x):
        g = self._element("act", "g", g)
        x = _check.last_axes(f"{self}.act", "x", x, (self.space_dim,))
        size = self.matrix_dim - self.affine
        linear, x = g[..., None, :size, :size], x.reshape(*x.shape[:-1], self.copies, size)
        moved = apply(linear, x)
        if self.affine:
            moved = moved + g[..., None, :-1, -1]
        return moved.reshape(*moved.shape[:-2], self.space_dim)

    @property
    def has_lift(self) -> bool:
        return self._holds_translations and not self.has_stabiliser

    @property
    def has_stabiliser(self) -> bool:
        is_free = self._holds_translations and self.algebra_dim == self.space_dim
        return not is_free or bool(self.discrete)

    @property
    def _holds_translations(self) -> bool:
        if not self.affine or self.copies > 1:
            return False
        moves = np.zeros((self.space_dim, self.matrix_dim, self.matrix_dim))
        moves[np.arange(self.space_dim), np.arange(self.space_dim), -1] = 1
        return leaves_span(self._algebra, moves) < TOLERANCE

    def section(self, x):
        """The translation by x.

        Raises:
            NotImplementedError: the algebra does not hold the translations.
        """
        x = _check.last_axes(f"{self}.section", "x", x, (self.space_dim,))
        self._need_translations("section")
        one = jnp.eye(self.space_dim, dtype=x.dtype)
        return homogeneous(jnp.broadcast_to(one, (*x.shape, self.space_dim)), x, 1)

    def orbit(self, x):
        x = _check.last_axes(f"{self}.orbit", "x", x, (self.space_dim,))
        self._need_translations("orbit")
        return x[..., :0]

    def stabiliser(self, key: PRNGKey, shape: Shape = (), dtype=None):
        del key
        return self._stabiliser("stabiliser", shape, dtype)

    def stabiliser_grid(self, count: int, dtype=None):
        return self._stabiliser("stabiliser_grid", (count,), dtype)

    def _stabiliser(self, where: str, shape: Shape, dtype):
        if not self.has_lift:
            raise NotImplementedError(_check.no_lift(self, where))
        return self.identity(shape, dtype)

    def _need_translations(self, where: str):
        if not self._holds_translations:
            raise NotImplementedError(_check.no_lift(self, where))

    # --- matrices --------------------------------------------------------------------------

    def to_matrix(self, g):
        return self._element("to_matrix", "g", g)

    def from_matrix(self, matrix):
        return self._element("from_matrix", "matrix", matrix)

    def hat(self, a):
        a = _check.last_axes(f"{self}.hat", "a", a, (self.algebra_dim,))
        basis = jnp.asarray(self._algebra.basis, a.dtype)
        return jnp.einsum("...i,irc->...rc", a, basis, precision="highest")

    def vee(self, matrix):
        """Coordinates of the element of the algebra that is nearest to ``matrix``."""
        matrix = self._element("vee", "matrix", matrix)
        dual = jnp.asarray(self._algebra.dual, matrix.dtype)
        return jnp.einsum("...rc,irc->...i", matrix, dual, precision="highest")

    def distance(self, g, h):
        relative = self.compose(self.inverse(g), h)
        distance = safe_norm(self.log(relative))
        if self.discrete:
            distance = distance + jnp.sum(self.component(relative) != 1, axis=-1)
        return distance

    def right_jacobian(self, a: Array) -> Array:
        """J(a) = φ(-ad_a): exp(a + da) = exp(a) exp(J da) to first order, (..., a, a)."""
        structure = jnp.asarray(self._algebra.structure, a.dtype)
        return phi(-jnp.einsum("...i,ijk->...kj", a, structure, precision="highest"))

    def _element(self, where: str, name: str, value: Validated[Array]) -> Array:
        return _check.last_axes(f"{self}.{where}", name, value, self.element_shape)
