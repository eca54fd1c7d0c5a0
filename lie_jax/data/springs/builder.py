"""Spring systems as a TensorFlow Datasets builder that needs neither TensorFlow nor a download.

builder = SpringSystems(config="default")
builder.download_and_prepare()
train = builder.as_data_source("train")
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar, get_args

import numpy as np
import tensorflow_datasets.public_api as tfds

from lie_jax.data.springs.simulate import PUBLISHED_DT, SplitName, simulate
from lie_jax.dynamics.systems import Springs


@dataclasses.dataclass(eq=False, kw_only=True)
class SpringsConfig(tfds.core.BuilderConfig):
    """What is simulated.

    Args:
        name: of the config, and of its folder: other data want another name.
        train, validation, test: number of systems.
        seed: of all splits.
        system: distribution of the systems.
        length: points in time of a trajectory.
        dt: between two points.
    """

    train: int = 10_000
    validation: int = 2_000
    test: int = 2_000
    seed: int = 0
    system: Springs = dataclasses.field(default_factory=Springs)
    length: int = 500
    dt: float = 0.01


class SpringSystems(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Whole trajectories: ``ts`` (t,), ``q`` and ``p`` (t, n, d), ``params`` (n, 2), float32.

    The same as `lie_jax.data.springs.load_springs` gives for the config's numbers, example i being
    system i. Ready are ``"default"`` and ``"published"``, which has the time step of the published
    data and their way to centre momenta, see `lie_jax.dynamics.systems.Springs`.

    Args:
        config: a name, or a `SpringsConfig` of one's own.
        **kwargs: as in every TFDS builder; ``file_format`` is array_record, which is read and
            written without TensorFlow.
    """

    name = "spring_systems"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Exact trajectories; array_record."}
    BUILDER_CONFIGS: ClassVar = [
        SpringsConfig(name="default", description="Centres of mass at rest, steps of 0.01."),
        SpringsConfig(
            name="published",
            description="Momenta centred over systems, steps of 5/499.",
            system=Springs(centre="systems"),
            dt=PUBLISHED_DT,
        ),
    ]

    def __init__(self, **kwargs: Any):
        kwargs.setdefault("file_format", "array_record")
        super().__init__(**kwargs)

    @property
    def _settings(self) -> SpringsConfig:
        config = self.builder_config
        assert isinstance(config, SpringsConfig)
        return config

    def _info(self) -> tfds.core.DatasetInfo:
        config = self._settings
        n, d = config.system.particles, config.system.dim
        shapes = {
            "ts": (config.length,),
            "q": (config.length, n, d),
            "p": (config.length, n, d),
            "params": (n, 2),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Particles of which every two are joined by a spring, along time.",
            homepage="https://arxiv.org/abs/2002.12880",
            citation="Finzi et al., Generalizing convolutional neural networks (2020)",
            disable_shuffling=True,
            features=tfds.features.FeaturesDict(
                {
                    name: tfds.features.Tensor(shape=shape, dtype=np.float32)
                    for name, shape in shapes.items()
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
        found = simulate(
            count, split, config.seed, system=config.system, length=config.length, dt=config.dt
        )
        for i in range(count):
            yield (
                i,
                {"ts": found.ts[i], "q": found.q[i], "p": found.p[i], "params": found.params[i]},
            )
