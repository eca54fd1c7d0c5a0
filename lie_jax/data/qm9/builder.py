"""QM9 as a TensorFlow Datasets builder that needs neither TensorFlow nor a download.

builder = Qm9(config="cormorant")
builder.download_and_prepare()
train = builder.as_data_source("train")
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets.public_api as tfds

from lie_jax.data.qm9 import source as _source
from lie_jax.data.qm9.properties import ATOM_ENERGIES, LABELS, MAX_ATOMS
from lie_jax.data.qm9.source import SourceName
from lie_jax.data.qm9.splits import CONFIGS, split_rows

_TEXTS = ("tag", "SMILES", "SMILES_relaxed", "InChI", "InChI_relaxed")
_NUMBERS = (*LABELS, *(f"{name}_atomization" for name in ATOM_ENERGIES))


# Not registered: TFDS has a `qm9` of its own, whose download addresses are dead.
class Qm9(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """130,831 molecules; fields and configs are named as in TFDS's own builder.

    Args:
        config: ``"original"``, ``"cormorant"`` or ``"dimenet"``.
        source: ``"qm9pack"`` reads the installed package, ``"download"`` the original files
            in the manual directory of the download config.
        **kwargs: as in every TFDS builder; ``file_format`` is array_record, which is read and
            written without TensorFlow.
    """

    name = "qm9"
    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES: ClassVar = {"2.0.0": "From qm9pack; array_record."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = f'With source="download": {_source.DOWNLOAD_HELP}.'
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name=name, description=f"Split: {config.source}")
        for name, config in CONFIGS.items()
    ]

    def __init__(self, *, source: SourceName = "qm9pack", **kwargs: Any):
        self._source: SourceName = source
        kwargs.setdefault("file_format", "array_record")
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        def tensor(shape, dtype):
            return tfds.features.Tensor(shape=shape, dtype=dtype)

        return tfds.core.DatasetInfo(
            builder=self,
            description="Small organic molecules with properties from density functional theory.",
            homepage="https://doi.org/10.6084/m9.figshare.c.978904.v5",
            citation="Ramakrishnan et al., Scientific Data 1, 140022 (2014)",
            disable_shuffling=True,
            features=tfds.features.FeaturesDict(
                {
                    "num_atoms": tensor((), np.int64),
                    "index": tensor((), np.int64),
                    "charges": tensor((MAX_ATOMS,), np.int64),
                    "Mulliken_charges": tensor((MAX_ATOMS,), np.float32),
                    "positions": tensor((MAX_ATOMS, 3), np.float32),
                    "frequencies": tensor((None,), np.float32),
                    **{name: tensor((), np.float32) for name in _NUMBERS},
                    **{name: tensor((), np.str_) for name in _TEXTS},
                }
            ),
        )

    def _split_generators(self, dl_manager) -> dict[str, Iterator[tuple[int, dict]]]:
        manual_dir = str(dl_manager.manual_dir) if self._source == "download" else None
        columns = _source.read(self._source, manual_dir)
        config = self.builder_config
        assert config is not None
        assert config.name is not None
        rows = split_rows(config.name, len(columns["index"]))
        return {name: self._generate_examples(columns, part) for name, part in rows.items()}

    def _generate_examples(self, columns, rows) -> Iterator[tuple[int, dict[str, Any]]]:
        for place, row in enumerate(rows):
            yield place, {"tag": "gdb", **{name: column[row] for name, column in columns.items()}}
