"""Imports the published PyTorch packages from where the user has them; holds none of their code."""

import importlib.abc
import importlib.machinery
import importlib.util
import re
import sys
import types
from collections.abc import Sequence
from pathlib import Path

STUBS = ("forge", "matplotlib", "oil", "torchvision")
"""Packages that the published code may import and that its networks do not need."""


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


def make_importable(folders: Sequence[str]) -> None:
    """Lets ``eqv_transformer`` and ``lie_conv`` be imported from these folders."""
    sys.meta_path.insert(0, ReferenceFinder(folders))
    sys.meta_path.append(StubFinder())
