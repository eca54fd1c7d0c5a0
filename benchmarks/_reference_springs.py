"""Trains the published code: ``python -m benchmarks._reference_springs CASE DATA PATH...``.

Network and Hamiltonian field are the published ones; the 3/8 rule, which they take from
torchdiffeq, is written out.
"""

import sys

from benchmarks._cases import CASES, Springs
from benchmarks._reference import network, serve_training


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
    case = CASES[name]
    assert isinstance(case, Springs)

    def build():
        import numpy as np
        import torch  # pyright: ignore
        from lie_conv.hamiltonian import EuclideanK, HamiltonianDynamics  # pyright: ignore

        with np.load(path) as file:
            dt = float(file["dt"])
            q, p, particles = (torch.from_numpy(file[k]) for k in ("q", "p", "particles"))
        z = torch.cat([q.flatten(2), p.flatten(2)], dim=-1)
        # The published SE2 draws lifts, and its gradients are not a number; SE2_canonical, which
        # the published commands name, turns each particle by multiples of 2 pi / lifts.
        model = network(
            case, 2, lambda groups: groups.T(2) if case.group == "T2" else groups.SE2_canonical()
        )

        def loss(z, particles):
            mask = torch.ones(particles.shape[:2], dtype=torch.bool)

            def energy(_, z):
                q, p = (x.reshape(*mask.shape, -1) for x in z.chunk(2, dim=-1))
                q = q - q.mean(1, keepdims=True)
                potential = model((q, particles, mask)).squeeze(-1)
                return EuclideanK(p, particles[..., 0]) + potential

            field = HamiltonianDynamics(energy, wgrad=True)
            return (rollout(field, z[:, 0], dt, case.intervals) - z).pow(2).mean()

        return model, loss, list(zip(z.split(case.batch), particles.split(case.batch), strict=True))

    serve_training(folders, build)


if __name__ == "__main__":
    main(*sys.argv[1:])
