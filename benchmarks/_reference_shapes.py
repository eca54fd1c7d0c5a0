"""Trains the published code: ``python -m benchmarks._reference_shapes CASE DATA PATH...``."""

import sys

from benchmarks._cases import CASES, Shapes
from benchmarks._reference import network, serve_training


def batches(path, case):
    """Batches of the case, padded to the largest cloud, as torch tensors."""
    import numpy as np
    import torch  # pyright: ignore

    with np.load(path) as file:
        arrays = [torch.from_numpy(file[k]) for k in ("coords", "values", "mask", "counts")]
    parts = zip(*(x.split(case.batch) for x in arrays), strict=True)
    return [((coords, values, mask), counts.long()) for coords, values, mask, counts in parts][
        : case.reference_steps
    ]


def main(name, path, *folders):
    case = CASES[name]
    assert isinstance(case, Shapes)

    def build():
        from torch.nn.functional import cross_entropy  # pyright: ignore

        found = batches(path, case)
        (_, values, _), counts = found[0]
        classes = 3
        model = network(
            case,
            values.shape[-1],
            lambda groups: groups.SE2(alpha=0.2, nsamples=case.lifts),
            outputs=counts.shape[-1] * classes,
            attention_fn="softmax",
        )

        def loss(points, counts):
            logits = model(points).reshape(-1, classes)
            return cross_entropy(logits, counts.flatten())

        return model, loss, found

    serve_training(folders, build)


if __name__ == "__main__":
    main(*sys.argv[1:])
