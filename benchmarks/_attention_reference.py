"""The worker that runs the published PyTorch layer, imported from where the user has it.

``python -m benchmarks._attention_reference CASE FACTS GIB PATH...``; see `serve_case`.
"""

import sys

from benchmarks._attention_case import SPACE, AttentionCase, serve_case
from benchmarks._published import make_importable

NORMALISATIONS = {"softmax": "softmax", "mean": "dot_product", "exp_mean": "norm_exp"}
"""Ours by their names in the published code."""


def build(case: AttentionCase):
    """The step, its gradients those of ours but for coordinates, and the number of parameters."""
    import torch  # pyright: ignore
    from eqv_transformer.eqv_attention import EquivairantMultiheadAttention  # pyright: ignore
    from lie_conv import lieGroups  # pyright: ignore

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    groups = {"T3": lambda: lieGroups.T(3), "SE2": lieGroups.SE2, "SE3": lieGroups.SE3}
    group = groups[case.group]()
    layer = EquivairantMultiheadAttention(
        case.width,
        case.width,
        case.heads,
        group,
        kernel_type="mlp",
        kernel_dim=case.location_hidden,
        act="swish",
        attention_fn=NORMALISATIONS[case.normalisation],
        mc_samples=case.neighbours or 0,
    ).to(device)
    coordinates = torch.randn(1, case.points, SPACE[case.group], device=device)
    features = torch.randn(1, case.points, case.width, device=device, requires_grad=case.backward)
    mask = torch.ones(1, case.points, dtype=torch.bool, device=device)

    def forward():
        return layer(group.lift((coordinates, features, mask), case.lifts))[1]

    def step():
        if case.backward:
            layer.zero_grad()
            features.grad = None
            forward().square().sum().backward()
        else:
            with torch.no_grad():
                forward()
        if device == "cuda":
            torch.cuda.synchronize()

    return step, sum(p.numel() for p in layer.parameters())


def main(case: str, facts_file: str, memory_gib: str, *folders: str) -> None:
    make_importable(folders)
    import torch  # pyright: ignore

    on_gpu = torch.cuda.is_available()

    def device_peak_mib() -> float | None:
        return torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None

    serve_case(
        (case, facts_file, memory_gib),
        build,
        facts={
            "device": "gpu" if on_gpu else "cpu",
            "device_kind": torch.cuda.get_device_name() if on_gpu else "cpu",
            "versions": {"torch": torch.__version__},
        },
        device_peak_mib=device_peak_mib,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
