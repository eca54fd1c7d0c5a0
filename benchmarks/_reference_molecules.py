"""The worker that trains the published PyTorch code on molecules.

``python -m benchmarks._reference_molecules CASE DATA PATH...`` runs in an environment with
PyTorch, NumPy and einops.
"""

import sys

from benchmarks._cases import CASES, Molecules
from benchmarks._protocol import serve
from benchmarks._published import make_importable

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


def build(case):
    """The published network of the case."""
    import torch  # pyright: ignore
    from eqv_transformer.eqv_attention import EquivariantTransformer  # pyright: ignore
    from lie_conv import lieGroups  # pyright: ignore

    torch.manual_seed(0)
    return EquivariantTransformer(
        dim_input=3 * len(CHARGES),
        dim_output=1,
        dim_hidden=case.width,
        num_layers=case.layers,
        num_heads=case.heads,
        group=lieGroups.T(3) if case.group == "T3" else lieGroups.SE3(0.2),
        liftsamples=case.lifts,
        block_norm="layer_pre",
        kernel_type="mlp",
        kernel_dim=case.location_hidden,
        kernel_act="swish",
        attention_fn="dot_product",
        architecture="model_1",
    )


def main(name, path, *folders):
    make_importable(folders)
    case = CASES[name]
    assert isinstance(case, Molecules)

    def prepare():
        import torch  # pyright: ignore

        model = build(case)
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
        data = batches(path, case)

        def step(points, target):
            optimiser.zero_grad()
            loss = (model(points).squeeze(-1) - target).abs().mean()
            loss.backward()
            optimiser.step()
            return loss

        def run():
            loss = None
            for points, target in data:
                loss = step(points, target)
            if loss is None or not torch.isfinite(loss):
                raise FloatingPointError(f"benchmark: the reference's loss became {loss}")
            return len(data)

        for _ in range(2):
            step(*data[0])
        return run, sum(p.numel() for p in model.parameters())

    serve(prepare)


if __name__ == "__main__":
    main(*sys.argv[1:])
