"""How exact lifts are, how they behave at degenerate clouds, and what they cost."""

import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

import lie_jax as lj
from lie_jax.groups import SE2, SE3, Discrete, Group

METHODS = ("frame", "weighted_frame", "local_frame", "canonical")
SAMPLES = {"SE2": (1, 2, 4, 8, 16, 32), "SE3": (1, 4, 12, 24, 60)}
GROUPS: dict[str, Group] = {"SE2": SE2(), "SE3": SE3()}


def build(group: Group, seed: int, dtype=jnp.float64, **changes) -> lj.LieTransformer:
    """An untrained model, small unless said otherwise."""
    sizes: dict[str, Any] = {"width": 16, "layers": 2, "heads": 4} | changes
    config = lj.LieTransformerConfig(in_channels=2, outputs=3, param_dtype=dtype, **sizes)
    return lj.LieTransformer(config, group=group, rngs=nnx.Rngs(seed))


def run(model: lj.LieTransformer, coords, seed: int):
    """Outputs of clouds that differ in their coordinates only."""
    keys = jax.random.split(jax.random.key(seed))
    values = jax.random.normal(keys[0], (coords.shape[-2], 2), coords.dtype)
    points = lj.PointSet(coords, jnp.broadcast_to(values, (*coords.shape[:-1], 2)))
    forward = nnx.jit(lambda model, points: model(points, key=keys[1]))
    return forward(model, points)


def invariance_error(
    group: Group, seed: int, *, motions: int = 4, n: int = 4, dtype=jnp.float64, **changes
) -> float:
    """The largest change of any output over motions of one cloud, relative to the largest."""
    keys = jax.random.split(jax.random.key(seed))
    parent = group.parent if isinstance(group, Discrete) else group
    a = jax.random.normal(keys[0], (motions, 1, parent.algebra_dim), dtype)
    x = parent.act(parent.exp(a), jax.random.normal(keys[1], (n, group.space_dim), dtype))
    y = run(build(group, seed, dtype, **changes), x, seed)
    return float(jnp.abs(y - y[:1]).max() / jnp.abs(y).max())


def error_curves(name: str, seed: int) -> list[dict]:
    """Error against the number of lift samples, per method and embedding."""
    rows = []
    for method, embedding in (
        ("random", "log"), ("random", "harmonics"), ("grid", "log"), ("grid", "harmonics"),
        ("grid", "matrix"),
    ):  # fmt: skip
        for samples in SAMPLES[name]:
            error = invariance_error(
                GROUPS[name], seed, lift_samples=samples, lift_method=method,
                pair_embedding=embedding, attention=lj.AttentionConfig(normalisation="mean"),
            )  # fmt: skip
            rows.append(
                {"group": name, "method": method, "embedding": embedding, "samples": samples,
                 "error": error}
            )  # fmt: skip
    return rows


def exact_methods(seed: int) -> list[dict]:
    """Error of the methods that claim to be exact, in both precisions."""
    cases: list[tuple[str, Group, dict]] = [
        (method, group, {"lift_method": method, "pair_embedding": "matrix"})
        for group in GROUPS.values()
        for method in METHODS
    ] + [
        ("distance, 1", group, {"lift_method": "grid", "pair_embedding": "distance"})
        for group in GROUPS.values()
    ]
    return [
        {"group": str(group), "method": method, "float64": invariance_error(group, seed, **changes),
         "float32": invariance_error(group, seed, dtype=jnp.float32, **changes)}
        for method, group, changes in cases
    ]  # fmt: skip


TETRAHEDRON = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1), (0, 0, 0))
STEPS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


def modulus(seed: int) -> list[dict]:
    """The largest change over one step of a path through a regular tetrahedron, per step."""
    bend = jax.random.normal(jax.random.key(seed), (5, 3), jnp.float64)
    rows = []
    for method in METHODS:
        model = build(SE3(), seed, lift_method=method, pair_embedding="matrix")
        for step in STEPS:
            t = step * jnp.arange(-20.0, 21)[:, None, None]
            y = run(model, jnp.asarray(TETRAHEDRON) + t * bend, seed)
            change = jnp.abs(jnp.diff(y, axis=0)).max() / jnp.abs(y).max()
            rows.append({"method": method, "step": step, "change": float(change)})
    return rows


def cost(rounds: int, seed: int) -> list[dict]:
    """Milliseconds of forward + backward at the size of the QM9 recipe, float32, in turns."""
    cases: dict[str, tuple[int, Group, dict]] = {
        "random, 4": (4, SE3(), {"lift_method": "random", "lift_samples": 4}),
        "all of D2": (4, Discrete(SE3(), "D2"), {"lift_method": "all"}),
        "frame": (4, SE3(), {"lift_method": "frame"}),
        "weighted_frame, 2 anchors": (
            4, SE3(), {"lift_method": "weighted_frame", "lift_samples": 2},
        ),
        "random, 1": (1, SE3(), {"lift_method": "random"}),
        "local_frame": (1, SE3(), {"lift_method": "local_frame"}),
        "canonical": (1, SE3(), {"lift_method": "canonical"}),
        "random, 12": (12, SE3(), {"lift_method": "random", "lift_samples": 12}),
        "all of T": (12, Discrete(SE3(), "T"), {"lift_method": "all"}),
    }  # fmt: skip
    x = jax.random.normal(jax.random.key(seed), (8, 18, 3), jnp.float32)
    points = lj.PointSet(x, x[..., :2])
    steps: dict[str, Callable] = {}
    for name, (_, group, changes) in cases.items():
        apply, params = lj.functional(
            build(group, seed, jnp.float32, width=64, layers=3, heads=8, **changes)
        )

        def loss(params, points, key, apply=apply):
            return jnp.sum(apply(params, points, key=key))

        steps[name] = functools.partial(jax.jit(jax.grad(loss)), params, points, jax.random.key(0))
        jax.block_until_ready(steps[name]())
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, step in steps.items():
            started = time.perf_counter()
            jax.block_until_ready(step())
            taken[name].append((time.perf_counter() - started) * 1e3)

    def ratio(name: str, count: int) -> float:
        """Of calls in the same round: the machine's speed drifts from round to round."""
        pairs = zip(taken[name], taken[f"random, {count}"], strict=True)
        return statistics.median(a / b for a, b in pairs)

    return [
        {"lifts": name, "count": count, "milliseconds": statistics.median(taken[name]),
         "ratio": ratio(name, count)}
        for name, (count, _, _) in cases.items()
    ]  # fmt: skip
