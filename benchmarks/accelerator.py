"""Attention on an accelerator: is it right, how fast is which size of tile.

python -m benchmarks.accelerator kernels         machine code of location MLPs: errors, times
python -m benchmarks.accelerator check           errors against float64, for several groups
python -m benchmarks.accelerator tiles --n 4096  seconds of each size of tile
python -m benchmarks.accelerator peak            of large matrix products
python -m benchmarks.accelerator steps           of training, networks of the published sizes

LIE_JAX_CUDA=1 takes the machine code for NVIDIA GPUs, which is off otherwise.
"""

import argparse
import dataclasses
import functools
import statistics
import sys
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import lie_jax as lj
from lie_jax import geometry, native
from lie_jax.attention import location
from lie_jax.fused import api, pallas_vjp
from lie_jax.fused.tiled import Tiling

Config = lj.AttentionConfig
CHECKS = {
    "T3": (lj.groups.T(3), Config()),
    "T3 exp_mean, combined by MLP": (
        lj.groups.T(3),
        Config("linear_concat_linear", "mlp", "mlp", normalisation="exp_mean"),
    ),
    "SE2 relative position": (
        lj.groups.SE2(),
        Config("relative_position", "mlp", "sum", activation="tanh"),
    ),
    "SE3 mean": (lj.groups.SE3(), Config(normalisation="mean")),
}
"""Group and options of each check."""

PALLAS = ("16x16x8", "16x16")
LARGEST_ERROR = 1e-5
"""Of float32, relative to the largest number."""

TILED = ("64x256", "128x512", "256x512", "512x1024", "1024x2048", "2048x4096")


def make_tiling(text: str) -> Tiling:
    """The tiling of ROWSxLANES or ROWSxLANESxWARPS."""
    queries, keys, *warps = map(int, text.split("x"))
    return Tiling(1, queries, keys, True, *warps)


def make_layer(group, config, points: int, width: int = 64, heads: int = 8, clouds: int = 2):
    """The layer as a function of (parameters, features, lifted elements), with these; float32."""
    module = lj.LieSelfAttention(
        width, width, heads=heads, pair_features=geometry.feature_dim(group), config=config,
        rngs=nnx.Rngs(0),
    )  # fmt: skip
    graph, parameters = nnx.split(module)
    keys = jax.random.split(jax.random.key(1))
    mask = jnp.arange(points) < points - jnp.arange(clouds)[:, None] * (points // 3)
    features = jax.random.normal(keys[0], (clouds, points, width))
    coordinates = jax.random.normal(keys[1], (clouds, points, group.space_dim))
    key = jax.random.key(2) if group.has_stabiliser else None
    cloud = lj.PointSet(coordinates, features, mask)
    lifted = geometry.lazy_pairs(group, lj.lift(group, cloud, key=key, samples=1))

    def layer(parameters, features, elements, **options):
        pairs = dataclasses.replace(lifted, elements=elements)
        out = nnx.merge(graph, parameters)(features, pairs, **options)
        return jnp.where(mask[..., None], out, 0)

    return layer, (parameters, features, lifted.elements)


def check(implementations: Sequence[str]) -> bool:
    """Prints how far values and gradients are from the float64 reference.

    Gives whether every one ran and, with the highest precision, is within `LARGEST_ERROR`.
    """
    is_good = True
    for name, (group, config) in CHECKS.items():
        layer, arguments = make_layer(group, config, points=100)

        def results(*arguments, layer=layer, **options):
            def loss(*arguments):
                out = layer(*arguments, **options)
                return jnp.sum(jnp.sin(out)), out

            return jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))(*arguments)

        with jax.enable_x64(True):
            wide = jax.tree.map(lambda x: x.astype(jnp.float64), arguments)
            exact = results(*wide, implementation="reference")
        for implementation in implementations:
            for precision in (None, "highest"):
                label = f"{name}: {implementation}, matrix products {precision or 'by default'}"
                started = time.perf_counter()
                try:
                    with jax.default_matmul_precision(precision):
                        found = jax.block_until_ready(
                            results(*arguments, implementation=implementation)
                        )
                except Exception as error:
                    print(f"{label}: {type(error).__name__}: {str(error)[:300]}", flush=True)
                    is_good = False
                    continue
                errors = [_error(x, y) for x, y in zip(found, exact, strict=True)]
                seconds = time.perf_counter() - started
                print(f"{label}: {errors[0]:.1e} and {errors[1]:.1e} ({seconds:.0f} s)", flush=True)
                if precision and not np.max(errors) <= LARGEST_ERROR:  # NaN neither
                    is_good = False
    return is_good


def _error(got, want) -> float:
    """The largest error, relative to the largest number."""
    pairs = [*zip(*(map(np.asarray, jax.tree.leaves(x)) for x in (got, want)), strict=True)]
    largest = np.max([np.max(np.abs(y)) for _, y in pairs])
    # Not Python's max, which passes over NaN.
    return float(np.max([np.max(np.abs(x - y)) for x, y in pairs]) / largest)


KERNELS = ((1, 1, 1), (3, 2, 1000), (16, 3, 777), (6, 8, 300_000))
"""Features, heads and pairs of each check of machine code; the last takes a GPU's blocks several
rounds."""


def kernels(pairs: int) -> bool:
    """Prints errors of the location MLPs' machine code, and its times for that many pairs.

    Gives whether it is there and within `LARGEST_ERROR` of float64.
    """
    platform = "cuda" if jax.default_backend() == "gpu" else jax.default_backend()
    code = native.LOCATION_SCORES.get(platform)
    print(f"machine code: {native.status()}", flush=True)
    if code is None or not code.is_there(*_location(3, 1, 1)):
        return False
    is_good = True

    def results(function, *arguments):
        *given, cotangent = arguments
        values, pull = jax.vjp(lambda *x: function(*x)[0], *given)
        return values, pull(cotangent)

    fast = native.Accelerated(location._swish_scores, **{platform: code})
    for features, heads, points in KERNELS:
        arguments = _location(features, heads, points)
        found = jax.jit(functools.partial(results, fast))(*arguments)
        with jax.enable_x64(True), jax.default_matmul_precision("highest"):
            wide = [x.astype(jnp.float64) for x in arguments]
            exact = jax.jit(functools.partial(results, location._swish_scores))(*wide)
        each = [_error(x, y) for x, y in zip(*map(jax.tree.leaves, (found, exact)), strict=True)]
        error = np.max(each)  # NaN if one is
        print(f"{features} features, {heads} heads, {points} pairs: {error:.1e}", flush=True)
        is_good &= bool(error <= LARGEST_ERROR)
    *given, cotangent = _location(3, 8, pairs)
    for name, function, arguments in (
        ("scores", code, given),
        ("gradients of weights", code.pullback(tuple(range(1, 7)), (0,)), [*given, cotangent]),
        ("gradients of features", code.pullback((0,), (0,)), [*given, cotangent]),
    ):
        seconds = seconds_of(jax.jit(function), arguments)
        print(f"{name}, 8 heads, {pairs:,} pairs: {seconds * 1e3:.2f} ms", flush=True)
    return is_good


def _location(features: int, heads: int, pairs: int) -> list[jax.Array]:
    """Features, three layers' weights and biases, cotangents of the scores."""
    shapes = [(features, pairs), (heads, features, 16), (heads, 16), (heads, 16, 16), (heads, 16)]
    shapes += [(heads, 16, 1), (heads, 1), (heads, pairs)]
    keys = jax.random.split(jax.random.key(features), len(shapes))
    return [0.6 * jax.random.normal(k, x, jnp.float32) for k, x in zip(keys, shapes, strict=True)]


def peak(sizes: Sequence[int] = (2048, 4096, 8192)) -> None:
    """Prints what the largest matrix products reach, by precision."""
    for size in sizes:
        x = jax.random.normal(jax.random.key(0), (size, size))
        for name in ("default", "highest", "bfloat16"):
            y = x.astype(jnp.bfloat16) if name == "bfloat16" else x
            precision = None if name == "bfloat16" else name
            product = jax.jit(functools.partial(jnp.matmul, precision=precision))
            rate = 2 * size**3 / seconds_of(product, (y, y), rounds=9) / 1e12
            print(f"{size} x {size}, {name}: {rate:.1f} TFLOP/s", flush=True)


def steps(width: int = 512, layers: int = 6, batch: int = 100, count: int = 20) -> None:
    """Prints molecules per second in training; molecules of 16 to 19 atoms, made up."""
    rng = np.random.default_rng(0)
    atoms = 19
    mask = np.arange(atoms) < rng.integers(16, atoms + 1, (batch, 1))
    coordinates, features = (
        jnp.asarray(rng.normal(size=(batch, atoms, d)), jnp.float32) for d in (3, 15)
    )
    points = lj.PointSet(2 * coordinates, features, jnp.asarray(mask))
    targets = jnp.asarray(rng.normal(size=batch), jnp.float32)
    optimiser = optax.adam(1e-4)
    for group, lifts in ((lj.groups.T(3), 1), (lj.groups.SE3(), 4)):
        for factors in (None, jnp.bfloat16):
            config = lj.LieTransformerConfig(
                in_channels=15, width=width, layers=layers, heads=8, lift_samples=lifts,
                attention=lj.AttentionConfig(normalisation="mean"), matmul_dtype=factors,
            )  # fmt: skip
            apply, weights = lj.functional(lj.LieTransformer(config, group=group, rngs=nnx.Rngs(0)))

            def step(state, key, apply=apply):
                weights, moments = state

                def loss(weights):
                    return jnp.mean(jnp.abs(apply(weights, points, key=key)[:, 0] - targets))

                value, gradients = jax.value_and_grad(loss)(weights)
                updates, moments = optimiser.update(gradients, moments)
                return (optax.apply_updates(weights, updates), moments), value

            train = jax.jit(lambda state, keys, step=step: jax.lax.scan(step, state, keys))
            arguments = (
                (weights, optimiser.init(weights)),
                jax.random.split(jax.random.key(0), count),
            )
            seconds = seconds_of(train, arguments, rounds=3) / count
            print(
                f"{type(group).__name__}, {lifts} lifts, width {width}, {layers} layers, batch "
                f"{batch}, products in {'bfloat16' if factors else 'float32'}: "
                f"{seconds * 1e3:.2f} ms/step, {batch / seconds:,.0f} molecules/s",
                flush=True,
            )


def seconds_of(function, arguments, rounds: int = 5) -> float:
    """Median seconds of a jitted function, warm."""
    jax.block_until_ready(function(*arguments))
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def tiles(n: int, variants: Sequence[tuple[str, Tiling]]) -> None:
    """Prints forward and forward + backward seconds of one T(3) layer on one cloud."""
    layer, arguments = make_layer(lj.groups.T(3), Config(), points=n, clouds=1)
    for implementation, tiling in variants:
        run = functools.partial(layer, implementation=implementation)
        # The layer does not take a tiling.
        pallas_vjp.pallas_tiling = lambda _backend, tiling=tiling: tiling
        api.choose_tiling = lambda _pairs, tiling=tiling: tiling

        def loss(*arguments, run=run):
            return jnp.sum(jnp.square(run(*arguments)))

        label = f"{implementation} {tiling.queries}x{tiling.keys}, {tiling.warps} warps"
        started = time.perf_counter()
        try:
            forward = seconds_of(jax.jit(run), arguments)
            compiled = time.perf_counter() - started
            both = seconds_of(jax.jit(jax.grad(loss, (0, 1))), arguments)
        except Exception as error:
            print(f"{label}: {type(error).__name__}: {str(error)[:200]}", flush=True)
            continue
        total = time.perf_counter() - started
        print(
            f"{label}: forward {forward * 1e3:.2f} ms, with backward {both * 1e3:.2f} ms "
            f"(compiled in {compiled:.0f} and {total - compiled:.0f} s)",
            flush=True,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accelerator", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("what", choices=("kernels", "check", "tiles", "peak", "steps"))
    parser.add_argument("--implementations", nargs="+", default=("reference", "tiled", "pallas"))
    parser.add_argument("--n", type=int, default=4096, help="points; kernels take n^2 pairs")
    parser.add_argument(
        "--pallas", nargs="*", default=PALLAS, metavar="ROWSxLANES[xWARPS]", help="tiles to time"
    )
    parser.add_argument("--batch", type=int, default=100, help="molecules of a step")
    parser.add_argument("--tiled", nargs="*", default=TILED, metavar="QUERIESxKEYS")
    options = parser.parse_args(arguments)
    print(jax.__version__, jax.devices(), flush=True)
    if options.what == "kernels":
        return 0 if kernels(options.n**2) else 1
    if options.what == "steps":
        steps(batch=options.batch)
        return 0
    if options.what == "peak":
        peak()
        return 0
    if options.what == "check":
        return 0 if check(options.implementations) else 1
    variants = [
        (name, make_tiling(size)) for name in ("pallas", "tiled") for size in getattr(options, name)
    ]
    tiles(options.n, variants)
    return 0


if __name__ == "__main__":
    sys.exit(main())
