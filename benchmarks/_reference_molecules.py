"""Trains the published code: ``python -m benchmarks._reference_molecules CASE DATA PATH...``."""

import sys

from benchmarks._cases import CASES, Convolutions, Molecules
from benchmarks._reference import convolutional_network, network, serve_training

CHARGES = (1, 6, 7, 8, 9)


def batches(path, case):
    """Batches of the case, padded to the largest molecule, as torch tensors."""
    import numpy as np
    import torch  # pyright: ignore

    with np.load(path) as file:
        charges, positions, targets = (file[k] for k in ("charges", "positions", "targets"))
    scaled = charges[..., None].astype(np.float32) / max(CHARGES)
    powers = np.concatenate([np.ones_like(scaled), scaled, scaled**2], -1)
    one_hot = charges[..., None] == np.array(CHARGES)
    values = (one_hot[..., None] * powers[..., None, :]).reshape(*charges.shape, -1)
    arrays = (positions, values, charges > 0, targets)
    found = []
    for i in range(min(case.reference_steps, len(charges) // case.batch)):
        rows = slice(i * case.batch, (i + 1) * case.batch)
        coords, features, mask, target = (torch.from_numpy(a[rows].copy()) for a in arrays)
        found.append(((coords, features.float(), mask), target))
    return found


def main(name, path, *folders):
    case = CASES[name]
    assert isinstance(case, (Molecules, Convolutions))

    def build():
        inputs = 3 * len(CHARGES)
        if isinstance(case, Convolutions):
            model = convolutional_network(case, inputs, lambda groups: groups.T(3))
        else:
            name = case.group
            model = network(
                case, inputs, lambda groups: groups.T(3) if name == "T3" else groups.SE3(0.2)
            )

        def loss(points, target):
            return (model(points).squeeze(-1) - target).abs().mean()

        return model, loss, batches(path, case)

    serve_training(folders, build)


if __name__ == "__main__":
    main(*sys.argv[1:])
