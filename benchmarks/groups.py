"""Every group in one table: how exact its maps, its lift and a whole model over it are, and what
a model costs.

    python -m benchmarks.groups                       # a Markdown table; rows on stderr, too
    python -m benchmarks.groups --json                # one JSON object on stdout
    python -m benchmarks.groups --group SL2 Lorentz
"""

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

import lie_jax as lj
from benchmarks import _markdown
from lie_jax import groups
from lie_jax.geometry import has_frames
from lie_jax.groups import Group
from lie_jax.testing import group_law_errors, lift_errors

SEED = 0
POINTS, CLOUDS = 12, 4
ATTEMPTS = 5


def timelike(key, shape, dtype):
    """Momenta of mass 1, rapidity about 1."""
    p = jax.random.normal(key, (*shape, 3), dtype)
    return jnp.concatenate([jnp.sqrt(1 + jnp.sum(p * p, axis=-1, keepdims=True)), p], axis=-1)


def event(key, shape, dtype):
    """Events with a timelike momentum."""
    momentum = timelike(key, shape, dtype)
    return jnp.concatenate([momentum[..., ::-1], momentum], axis=-1)


GROUPS: dict[str, Group] = {
    "T(3)": groups.T(3),
    "SO2 = U1": groups.U1(),
    "SE2": groups.SE2(),
    "SO3": groups.SO3(),
    "SE3": groups.SE3(),
    "O2": groups.O2(),
    "O3": groups.O3(),
    "E2": groups.E2(),
    "E3": groups.E3(),
    "Scaling(2)": groups.Scaling(2),
    "Squeeze": groups.Squeeze(),
    "RxSO2": groups.RxSO2(),
    "RxSO3": groups.RxSO3(),
    "Trivial(3)": groups.Trivial(3),
    "C8": groups.Discrete(groups.SO2(), "C8"),
    "Oh": groups.Discrete(groups.O3(), "Oh"),
    "T(2) x C8": groups.Discrete(groups.SE2(), "C8"),
    "T(3) x O": groups.Discrete(groups.SE3(), "O"),
    "T(3) x Td": groups.Discrete(groups.E3(), "Td"),
    "SU2": groups.SU2(),
    "SL2": groups.SL2(),
    "GL2": groups.GL2(),
    "Affine2": groups.Affine2(),
    "Similarity(2)": groups.Similarity(2),
    "Similarity(3)": groups.Similarity(3),
    "Heisenberg": groups.Heisenberg(),
    "Galilei": groups.Galilei(),
    "Lorentz": groups.Lorentz(),
    "Poincare": groups.Poincare(),
}
SAMPLERS = {"Lorentz": timelike, "Poincare": event}
DTYPES = {"float64": jnp.float64, "float32": jnp.float32}


def measure(name: str) -> list[dict]:
    """The rows of a group: one for each exact lift method, and one for random lifts."""
    group, sampler = GROUPS[name], SAMPLERS.get(name)
    rows: dict[str, dict] = {m: {"group": name, "lift": m} for m in _methods(group)}
    for dtype in DTYPES.values():
        suffix = jnp.dtype(dtype).name
        options = {"key": jax.random.key(SEED), "dtype": dtype, "points": sampler, "scale": 0.5}
        if isinstance(group, groups.Discrete):
            # Its parent's exp leaves it: elements of the point group are tried, without exp.
            options["scale"] = 0.0
        laws, lift = group_law_errors(group, **options), lift_errors(group, **options)
        round_trip = [laws.pop(law) for law in _ROUND_TRIP]
        for method, row in rows.items():
            row |= {
                f"round_trip_{suffix}": max(round_trip),
                f"law_{suffix}": max(laws.values()),
                f"lift_{suffix}": max(lift.values()),
                f"invariance_{suffix}": invariance(group, method, dtype, sampler),
            }
    for method, row in rows.items():
        row["milliseconds"] = 1000 * seconds(group, method, sampler)
    return list(rows.values())


_ROUND_TRIP = ("log(exp(a)) = a", "exp(log(g)) = g")


def _methods(group: Group) -> list[str]:
    if not group.has_stabiliser:
        return ["one"]
    return (
        (["all"] if group.stabiliser_order else [])
        + [method for method in ("frame", "weighted_frame") if has_frames(group, method)]
        + ["given", "random"]
    )


def _model(group: Group, method: str, dtype) -> lj.LieTransformer:
    lift_method: Any = "random" if method in ("one", "given") else method
    config = lj.LieTransformerConfig(
        in_channels=3,
        outputs=4,
        width=32,
        layers=2,
        heads=4,
        lift_method=lift_method,
        # 3 anchors: 9 weighted frames in space instead of 144.
        lift_samples={"given": 4, "random": 4, "weighted_frame": 3}.get(method),
        pair_embedding="log" if group.exp_is_surjective else "matrix",
        param_dtype=dtype,
    )
    return lj.LieTransformer(config, group=group, rngs=nnx.Rngs(SEED))


def _cloud(group: Group, dtype, sampler) -> lj.PointSet:
    keys = jax.random.split(jax.random.key(SEED + 1))
    shape = (CLOUDS, POINTS)
    if sampler is None:
        coords = jax.random.normal(keys[0], (*shape, group.space_dim), dtype)
    else:
        coords = sampler(keys[0], shape, dtype)
    return lj.PointSet(coords, jax.random.normal(keys[1], (*shape, 3), dtype))


def _motions(group: Group, dtype) -> jax.Array:
    """One element for each cloud, of the group itself."""
    keys = jax.random.split(jax.random.key(SEED + 2))
    shape = (CLOUDS, 1)
    if isinstance(group, groups.Discrete):
        h = group.stabiliser(keys[0], shape, dtype)
        shift = jax.random.normal(keys[1], (*shape, group.space_dim), dtype)
        return group.compose(group.section(shift), h)
    g = group.exp(0.5 * jax.random.normal(keys[0], (*shape, group.algebra_dim), dtype))
    return group.compose(g, group.stabiliser(keys[1], shape, dtype))


def invariance(group: Group, method: str, dtype, sampler) -> float:
    """How much outputs change when each cloud is moved, relative to the largest.

    With the method "given" the lifted elements are moved instead of the points: the same lift.
    """
    model, points = _model(group, method, dtype), _cloud(group, dtype, sampler)
    g, key = _motions(group, dtype), jax.random.key(SEED + 3)
    if method == "given":
        lifted = lj.lift(group, points, key=key, samples=4)
        moved = dataclasses.replace(lifted, elements=group.compose(g, lifted.elements))
        call, pair = nnx.jit(lambda model, x: model.from_lifted(x)), (lifted, moved)
    else:
        moved = dataclasses.replace(points, coords=group.act(g, points.coords))
        call, pair = nnx.jit(lambda model, x: model(x, key=key)), (points, moved)
    here, there = (call(model, x) for x in pair)
    return float(jnp.max(jnp.abs(here - there)) / jnp.max(jnp.abs(here)))


def seconds(group: Group, method: str, sampler) -> float:
    """Of a compiled forward pass in float32, lift included; the best of a few."""
    model, points = _model(group, method, jnp.float32), _cloud(group, jnp.float32, sampler)
    key = jax.random.key(SEED)
    apply, params = lj.functional(model)
    call = jax.jit(lambda params, points: apply(params, points, key=key))
    jax.block_until_ready(call(params, points))
    taken = []
    for _ in range(ATTEMPTS):
        started = time.perf_counter()
        jax.block_until_ready(call(params, points))
        taken.append(time.perf_counter() - started)
    return min(taken)


_COLUMNS = ("round_trip", "law", "lift", "invariance")
_HEADS = ("group", "lift", "exp and log", "worst law", "lift", "invariance", "ms")


def cells(row: dict) -> list[str]:
    """A row as text: float64, then float32 in each cell."""
    pairs = [[row[f"{column}_{dtype}"] for dtype in DTYPES] for column in _COLUMNS]
    figures = [" / ".join(map("{:.0e}".format, pair)) for pair in pairs]
    return [row["group"], row["lift"], *figures, f"{row['milliseconds']:.1f}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.groups", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--group", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    report = {
        "rows": [],
        "details": {
            "seed": SEED,
            "points": POINTS,
            "clouds": CLOUDS,
            "jax": importlib.metadata.version("jax"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "date": datetime.date.today().isoformat(),
        },
    }
    for name in options.group:
        for row in measure(name):
            print(_markdown.row(cells(row)), file=sys.stderr, flush=True)
            report["rows"].append(row)
        jax.clear_caches()  # gigabytes of programs, which no other group needs
    rows = [cells(row) for row in report["rows"]]
    print(json.dumps(report) if options.json else _markdown.table(_HEADS, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
