"""What a run is: every choice in one frozen dataclass, and the presets."""

import dataclasses
from typing import Literal, get_args

ModelName = Literal[
    "lietransformer-T2",
    "lietransformer-SE2",
    "lietransformer-SO2",
    "lietransformer-trivial",
    "lieconv-T2",
    "hfc",
    "fc",
    "hogn",
    "ogn",
]


SolverName = Literal["leapfrog", "yoshida4", "nystrom4", "rk38"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A training run on spring systems."""

    preset: Literal["quick", "full"]
    """Where the other values come from; each can be given by itself."""
    model: ModelName = "lietransformer-T2"
    """Network and symmetry; hfc, fc, hogn, ogn: MLPs and graph networks, h for Hamiltonian."""
    train_size: int = 1_000
    """Systems to train on, one chunk of each."""
    steps: int = 20_000
    """Updates."""
    batch_size: int = 100
    """Systems per update; all of them where there are fewer."""
    width: int | None = None
    """Features inside; None takes the published width of the model."""
    layers: int | None = None
    """Blocks; None takes the published number."""
    readout: Literal["particles", "cloud"] = "particles"
    """Of transformers: the energy is a sum over particles, or, as published, a function of the
    mean of their features, which learns from few systems less well."""
    block_norm: Literal["layer_pre", "none"] | None = None
    """Of transformers: the norm in their blocks. None takes none for SE2, whose seeds then
    differ less, and layer norms, as published, for the deeper others."""
    location: Literal["mlp", "raw"] | None = None
    """Of transformers: the score of a pair's place, an MLP as published or linear. None takes
    linear for SE2, which distances alone decide, MLPs for the others."""
    combination: Literal["sum", "product"] | None = None
    """Of transformers: of the scores of content and place. None takes the product for SE2, the
    sum, as published, for the others."""
    pair_embedding: Literal["distance", "log", "circle"] = "distance"
    """Of SE(2): what attention sees of a pair. Distances are the same for all lifts, so that one
    lift is exact; the others want frames."""
    lift_method: Literal["grid", "weighted_frame", "frame", "random"] = "grid"
    """Lifts of SE(2)."""
    lift_samples: int | None = None
    """Lifts of the grid, or random ones, per particle; or anchors of weighted frames."""
    solver: SolverName | None = None
    """Of trajectories. None takes leapfrog where the energy is separable, one force a step, and
    rk38 elsewhere, four, which the published runs take everywhere."""
    chunk: int = 5
    """Points of a trajectory that one loss spans, the first included."""
    learning_rate: float | None = None
    """Highest rate of Adam; it decays to 0 as a cosine. None takes 3e-3 for SE2, a smaller network,
    and 1e-3, as published, for the others."""
    weight_decay: float | None = None
    """Of AdamW, per rate. None takes 0.3 for SE2 and 0, as published, for the others."""
    warmup: int = 100
    """Steps over which the rate grows from 0."""
    clip: float | None = 1.0
    """Largest norm of the gradient."""
    ema_decay: float = 0.99
    """Of the average of the weights that is evaluated; 0 evaluates the weights themselves."""
    evaluate_every: int = 1_000
    """Steps between validations and checkpoints."""
    validation_size: int = 500
    """Systems to validate on."""
    test_size: int = 2_000
    """Systems to test chunks on."""
    rollout_systems: int = 200
    """Systems to test long rollouts on, of those."""
    rollout_length: int = 100
    """Steps of a long rollout."""
    seed: int = 0
    """Of initial weights, order and lifts; the systems are the same for all seeds but this one's
    training systems, which are its own."""

    def __post_init__(self):
        sizes = {
            "train_size", "steps", "batch_size", "evaluate_every", "validation_size", "test_size",
            "rollout_systems", "rollout_length",
        }  # fmt: skip
        for name in sizes | ({"width", "layers", "lift_samples"} & _given(self)):
            if getattr(self, name) < 1:
                raise ValueError(f"Recipe: {name} must be at least 1, got {getattr(self, name)}")
        if self.decay < 0:
            raise ValueError(f"Recipe: weight_decay must not be negative, got {self.decay}")
        if self.chunk < 2:
            raise ValueError(f"Recipe: chunk must be at least 2, got {self.chunk}")
        if self.model not in get_args(ModelName):
            raise ValueError(
                f"Recipe: model must be one of {get_args(ModelName)}, got {self.model}"
            )
        if self.solver not in (None, "rk38") and not self.is_separable:
            raise ValueError(
                f"Recipe: solver must be rk38 for {self.model}, whose energy is not the sum of a "
                f"kinetic and a potential one, got {self.solver}"
            )
        if self.rollout_systems > self.test_size:
            raise ValueError(
                f"Recipe: rollout_systems must be at most test_size, {self.test_size}, "
                f"got {self.rollout_systems}"
            )

    @property
    def highest_rate(self) -> float:
        """``learning_rate``, or what None stands for."""
        return self.learning_rate or (3e-3 if self.model == "lietransformer-SE2" else 1e-3)

    @property
    def decay(self) -> float:
        """``weight_decay``, or what None stands for."""
        if self.weight_decay is not None:
            return self.weight_decay
        return 0.3 if self.model == "lietransformer-SE2" else 0.0

    @property
    def is_separable(self) -> bool:
        """Whether the energy is the known kinetic one and a learned potential one."""
        return self.model.startswith(("lie", "hfc"))


def _given(recipe: Recipe) -> set[str]:
    return {name for name, value in dataclasses.asdict(recipe).items() if value is not None}


PRESETS: dict[str, Recipe] = {
    "quick": Recipe(
        preset="quick",
        train_size=400,
        steps=2_500,
        batch_size=32,
        width=32,
        layers=3,
        evaluate_every=500,
        learning_rate=3e-3,
        test_size=500,
        rollout_systems=100,
    ),
    # Sizes and batch as published.
    "full": Recipe(preset="full"),
}
