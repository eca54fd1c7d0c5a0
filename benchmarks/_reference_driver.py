"""The worker that trains the published PyTorch code, imported from where the user has it.

``python -m benchmarks._reference_driver CASE MOLECULES PATH...`` runs in an environment with
PyTorch, NumPy and einops. It holds none of the published code.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import re
import sys
import types
from pathlib import Path

from benchmarks._cases import CASES
from benchmarks._protocol import serve

STUBS = ("forge", "oil", "torchvision")
"""Packages that the published code may import and that its networks do not need."""

CHARGES = (1, 6, 7, 8, 9)


class Stub(types.ModuleType):
    """A module that gives an empty class for whatever is imported from it."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class StubFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Last resort of the import system: a `Stub` for each of `STUBS`."""

    def find_spec(self, fullname, _path=None, _target=None):
        if fullname.partition(".")[0] in STUBS:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        return Stub(spec.name)

    def exec_module(self, module):
        pass


class RepairingLoader(importlib.machinery.SourceFileLoader):
    """Repairs, in memory, the one line that Python does not parse: ``f((*a))`` for ``f(*a)``."""

    def source_to_code(self, data, path, *, _optimize=-1):  # pyright: ignore
        try:
            return super().source_to_code(data, path)
        except SyntaxError:
            text = importlib.util.decode_source(data)  # pyright: ignore
            repaired = re.sub(r"\(\s*\((\*[\w.\[\]:]+)\)\s*\)", r"(\1)", text)
            if repaired == text:
                raise
            print(f"{path}: starred expression repaired in memory", file=sys.stderr)
            return super().source_to_code(repaired.encode(), path)

    def get_code(self, fullname):
        # Not from the byte-code cache, and not into it.
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class ReferenceFinder:
    """Finds the published packages in the given folders."""

    def __init__(self, folders):
        self.folders = folders

    def find_spec(self, name, path=None, _target=None):
        if name.partition(".")[0] not in ("eqv_transformer", "lie_conv"):
            return None
        for folder in self.folders if path is None else path:
            base = Path(folder) / name.rpartition(".")[2]
            for file, inside in (
                (base / "__init__.py", [str(base)]),
                (base.with_suffix(".py"), None),
            ):
                if file.is_file():
                    return importlib.util.spec_from_file_location(
                        name,
                        file,
                        loader=RepairingLoader(name, str(file)),
                        submodule_search_locations=inside,
                    )
        return None


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
    sys.meta_path.insert(0, ReferenceFinder(folders))
    sys.meta_path.append(StubFinder())
    case = CASES[name]

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
