"""Constellations as a TensorFlow Datasets builder that needs neither TensorFlow nor a download.

builder = ConstellationClouds(config="D_SE2")
builder.download_and_prepare()
train = builder.as_data_source("train")
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar, get_args

import numpy as np
import tensorflow_datasets.public_api as tfds

from lie_jax.data.constellations.generate import PATTERNS, MotionName, SplitName, constellations


@dataclasses.dataclass(eq=False, kw_only=True)
class ConstellationsConfig(tfds.core.BuilderConfig):
    """What is drawn.

    Args:
        name: of the config, and of its folder: other data want another name.
        train, validation, test: number of clouds.
        seed: of all splits.
        motion, repeats, probability, noise, largest_turn, shift: see
            `lie_jax.data.constellations.constellations`.
    """

    train: int = 10_000
    validation: int = 1_000
    test: int = 1_000
    seed: int = 0
    motion: MotionName = "none"
    repeats: int = 2
    probability: float = 0.5
    noise: float = 0.1
    largest_turn: float = 0.33
    shift: float = 1.0


class ConstellationClouds(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Clouds: ``coords`` (n, 2) float32, ``mask`` (n,) bool, ``counts`` (4,) int32.

    The same as `lie_jax.data.constellations.constellations` gives for the config's numbers, example
    i being cloud i. Ready are ``"D"``, ``"D_T2"``, whose clouds are translated, and ``"D_SE2"``,
    whose clouds are turned and translated.

    Args:
        config: a name, or a `ConstellationsConfig` of one's own.
        **kwargs: as in every TFDS builder; ``file_format`` is array_record, which is read and
            written without TensorFlow.
    """

    name = "constellation_clouds"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Real points first; array_record."}
    BUILDER_CONFIGS: ClassVar = [
        ConstellationsConfig(name="D", description="Clouds in [-1, 1]."),
        ConstellationsConfig(name="D_T2", description="Translated.", motion="translation"),
        ConstellationsConfig(
            name="D_SE2",
            description="Turned about 0, then translated.",
            motion="rotation_translation",
        ),
    ]

    def __init__(self, **kwargs: Any):
        kwargs.setdefault("file_format", "array_record")
        super().__init__(**kwargs)

    @property
    def _settings(self) -> ConstellationsConfig:
        config = self.builder_config
        assert isinstance(config, ConstellationsConfig)
        return config

    def _info(self) -> tfds.core.DatasetInfo:
        n = self._settings.repeats * sum(map(len, PATTERNS.values()))
        tensors = {
            "coords": ((n, 2), np.float32),
            "mask": ((n,), np.bool_),
            "counts": ((len(PATTERNS),), np.int32),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Triangles, squares, pentagons and Ls in the plane, to be counted.",
            homepage="https://arxiv.org/abs/2012.10885",
            citation="Hutchinson et al., LieTransformer (2021)",
            disable_shuffling=True,
            features=tfds.features.FeaturesDict(
                {
                    name: tfds.features.Tensor(shape=shape, dtype=dtype)
                    for name, (shape, dtype) in tensors.items()
                }
            ),
        )

    def _split_generators(self, dl_manager) -> dict[str, Iterator[tuple[int, dict]]]:
        del dl_manager
        config = self._settings
        counts = {name: getattr(config, name) for name in get_args(SplitName)}
        return {
            name: self._generate_examples(name, count) for name, count in counts.items() if count
        }

    def _generate_examples(self, split, count) -> Iterator[tuple[int, dict[str, Any]]]:
        config = self._settings
        found = constellations(
            count,
            split,
            config.seed,
            motion=config.motion,
            repeats=config.repeats,
            probability=config.probability,
            noise=config.noise,
            largest_turn=config.largest_turn,
            shift=config.shift,
        )
        for i in range(count):
            yield (
                i,
                {"coords": found.coords[i], "mask": found.mask[i], "counts": found.counts[i]},
            )
