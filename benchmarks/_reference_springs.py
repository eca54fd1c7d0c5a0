"""The worker that trains the published PyTorch code on springs.

``python -m benchmarks._reference_springs CASE DATA PATH...`` runs in an environment with PyTorch,
NumPy and einops. Network and Hamiltonian field are the published ones; the 3/8 rule, which they
take from torchdiffeq, is written out.
"""

import sys

from benchmarks._cases import CASES, Springs
from benchmarks._protocol import serve
from benchmarks._published import make_importable


def build(case):
    """The published potential of the case.

    Its SE2 draws lifts, and its gradients are not a number; SE2_canonical, which the published
    commands name, turns each particle by multiples of 2 pi / lifts.
    """
    import torch  # pyright: ignore
    from eqv_transformer.eqv_attention import EquivariantTransformer  # pyright: ignore
    from lie_conv import lieGroups  # pyright: ignore

    torch.manual_seed(0)
    return EquivariantTransformer(
        dim_input=2,
        dim_output=1,
        dim_hidden=case.width,
        num_layers=case.layers,
        num_heads=case.heads,
        group=lieGroups.T(2) if case.group == "T2" else lieGroups.SE2_canonical(),
        liftsamples=case.lifts,
        global_pool=True,
        global_pool_mean=True,
        block_norm="layer_pre",
        output_norm="none",
        kernel_norm="none",
        kernel_type="mlp",
        kernel_dim=case.location_hidden,
        kernel_act="swish",
        attention_fn="dot_product",
        architecture="model_1",
    )


def rollout(field, z, dt, intervals):
    """States (b, t, 2 n d) at ``intervals`` + 1 times."""
    import torch  # pyright: ignore

    found = [z]
    for _ in range(intervals):
        k1 = field(None, z)
        k2 = field(None, z + dt / 3 * k1)
        k3 = field(None, z + dt * (k2 - k1 / 3))
        k4 = field(None, z + dt * (k1 - k2 + k3))
        z = z + dt / 8 * (k1 + 3 * (k2 + k3) + k4)
        found.append(z)
    return torch.stack(found, 1)


def main(name, path, *folders):
    make_importable(folders)
    case = CASES[name]
    assert isinstance(case, Springs)

    def prepare():
        import numpy as np
        import torch  # pyright: ignore
        from lie_conv.hamiltonian import EuclideanK, HamiltonianDynamics  # pyright: ignore

        with np.load(path) as file:
            dt = float(file["dt"])
            q, p, particles = (torch.from_numpy(file[k]) for k in ("q", "p", "particles"))
        z = torch.cat([q.flatten(2), p.flatten(2)], dim=-1)
        model = build(case)
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)

        def step(z, particles):
            mask = torch.ones(particles.shape[:2], dtype=torch.bool)

            def energy(_, z):
                q, p = (x.reshape(*mask.shape, -1) for x in z.chunk(2, dim=-1))
                q = q - q.mean(1, keepdims=True)
                potential = model((q, particles, mask)).squeeze(-1)
                return EuclideanK(p, particles[..., 0]) + potential

            field = HamiltonianDynamics(energy, wgrad=True)
            optimiser.zero_grad()
            loss = (rollout(field, z[:, 0], dt, case.intervals) - z).pow(2).mean()
            loss.backward()
            optimiser.step()
            return loss

        def run():
            loss = None
            for i in range(case.batches):
                rows = slice(i * case.batch, (i + 1) * case.batch)
                loss = step(z[rows], particles[rows])
            if loss is None or not torch.isfinite(loss):
                raise FloatingPointError(f"benchmark: the reference's loss became {loss}")
            return case.batches

        step(z[: case.batch], particles[: case.batch])
        return run, sum(p.numel() for p in model.parameters())

    serve(prepare)


if __name__ == "__main__":
    main(*sys.argv[1:])
