"""Point clouds and lifted point clouds, as pytrees."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from lie_jax.typing import Array, Bool, Float, Validated, unchecked


def check_mask(where: str, mask: Validated[Array]) -> None:
    """Masks are never inferred from numbers.

    Raises:
        TypeError: ``mask`` is not boolean.
    """
    dtype = getattr(mask, "dtype", type(mask).__name__)
    if dtype != jnp.bool_:
        raise TypeError(f"{where}: mask must have dtype bool (True = real), got {dtype}")


@jax.tree_util.register_dataclass
@unchecked
@dataclasses.dataclass(frozen=True)
class PointSet:
    """A batch of point clouds of one static size, the absent points marked by a mask.

    What stands in ``coords`` and ``values`` where ``mask`` is False is never used: no output
    and no gradient of a real point depends on it, as long as it is finite.

    Args:
        coords: positions, (\\*b, n, d).
        values: features, (\\*b, n, c).
        mask: (\\*b, n) bool, True = real; None says that every point is real.

    Raises:
        ValueError: shapes disagree, or there are no points. Values are not looked at here,
            because that would read device arrays back: see `check_finite`.
        TypeError: mask is not boolean, or coords or values are not floating.
    """

    coords: Float[Array, "*b n d"]
    values: Float[Array, "*b n c"]
    mask: Bool[Array, "*b n"] = None  # pyright: ignore (filled in below)

    def __post_init__(self):
        coords, values, mask = self.coords, self.values, self.mask
        # Transformations rebuild pytrees with placeholders that have no shape, and `jax.jit`'s
        # ``lower`` with ones that have nothing else: let them pass.
        if not all(hasattr(x, "ndim") and hasattr(x, "dtype") for x in (coords, values)):
            return
        if mask is None:
            mask = jnp.ones(coords.shape[:-1], bool)
            object.__setattr__(self, "mask", mask)
        if not hasattr(mask, "ndim"):
            return
        check_mask("PointSet", mask)
        for name, x in (("coords", coords), ("values", values)):
            if not jnp.issubdtype(x.dtype, jnp.floating) and x.dtype != jax.dtypes.float0:
                raise TypeError(f"PointSet: {name} must be floating, got dtype {x.dtype}")
            if x.ndim < 2:
                raise ValueError(f"PointSet: {name} must have shape (*b, n, ...), got {x.shape}")
        if coords.shape[:-1] != values.shape[:-1] or coords.shape[:-1] != mask.shape:
            raise ValueError(
                "PointSet: coords (*b, n, d), values (*b, n, c) and mask (*b, n) must agree in "
                f"(*b, n), got {coords.shape}, {values.shape} and {mask.shape}"
            )
        if coords.shape[-2] == 0:
            raise ValueError(
                f"PointSet: coords must hold at least one point, got shape {coords.shape}"
            )

    def check_finite(self) -> "PointSet":
        """Self, after a look at the values.

        A host-side check for the place where data enters a program; it reads the arrays back
        from the device, so it is not made on every construction.

        Raises:
            ValueError: a real point has a coordinate or value that is NaN or infinite.
        """
        mask = np.asarray(self.mask)
        for name, x in (("coords", self.coords), ("values", self.values)):
            bad = ~np.isfinite(np.asarray(x)).all(-1) & mask
            if bad.any():
                where = tuple(int(i) for i in np.argwhere(bad)[0])
                raise ValueError(
                    f"PointSet: {name} must be finite at real points, got {np.asarray(x)[where]} "
                    f"at index {where} ({int(bad.sum())} such points)"
                )
        return self


@jax.tree_util.register_dataclass
@unchecked
@dataclasses.dataclass(frozen=True)
class LiftedSet:
    """Point clouds lifted to a group: m = n * samples elements, point-major, sample-minor.

    Args:
        elements: group elements in the group's raw representation, (\\*b, m, g).
        orbit: orbit coordinates, (\\*b, m, q); q = 0 where the action is transitive.
        values: features, (\\*b, m, c).
        mask: (\\*b, m) bool, True = real.
        samples: lifts per point, static.
        frame_weights: (\\*b) where the last batch axis runs over frames of one cloud: outputs
            are averaged over it with these weights. None where it does not.

    Raises:
        TypeError: mask is not boolean.
    """

    elements: Float[Array, "*b m g"]
    orbit: Float[Array, "*b m q"]
    values: Float[Array, "*b m c"]
    mask: Bool[Array, "*b m"]
    samples: int = dataclasses.field(default=1, metadata={"static": True})
    frame_weights: Float[Array, "*b"] | None = None

    def __post_init__(self):
        if hasattr(self.mask, "dtype"):  # not a placeholder of a transformation
            check_mask("LiftedSet", self.mask)
