"""What a run is: every choice in one frozen dataclass, and the presets."""

import dataclasses
from typing import Literal, NamedTuple, get_args

from lie_jax.data.constellations import FeatureName, MotionName
from lie_jax.geometry import EmbeddingName, LiftMethod

ModelName = Literal[
    "set-transformer",
    "lietransformer-T2",
    "lietransformer-SE2",
    "lietransformer-C4",
    "lietransformer-trivial",
]
DataName = Literal["D", "D_T2", "D_SE2"]
MOTIONS: dict[str, MotionName] = {
    "D": "none",
    "D_T2": "translation",
    "D_SE2": "rotation_translation",
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A training run on constellations."""

    preset: Literal["quick", "full"]
    """Where the other values come from; each can be given by itself."""
    model: ModelName = "lietransformer-SE2"
    """Network and symmetry. C4: translations and quarter turns."""
    data: DataName = "D"
    """Training clouds: as they are, translated, or turned and translated. Tests are on all."""
    augment: Literal["none", "T2", "SE2"] = "none"
    """Random motions of the training clouds, drawn anew at every step."""
    features: FeatureName = "distances"
    """Of a point: its sorted distances to the others, as published, which tell much by
    themselves; or nothing, so that coordinates alone tell. SetTransformer sees coordinates too."""
    lift_method: LiftMethod | None = None
    """Of SE2 and C4. None takes one lift for SE2 and all four for C4."""
    lift_samples: int | None = None
    """Lifts of a point, or anchors of weighted frames."""
    pair_embedding: EmbeddingName | None = None
    """What attention sees of a pair. None takes distances in bumps for SE2, which are the same
    for all lifts, so that one lift is exact; and logarithms, as published, for the others."""
    scores: Literal["published", "product"] | None = None
    """Of LieTransformer's attention: softmax of the sum of content and location, as published, or
    their product, divided by the number of points. None takes the product for pairs in bumps and
    for constant features, of which softmax, a mean of equal values, learns nothing."""
    train_size: int = 10_000
    """Clouds to train on."""
    validation_size: int = 1_000
    """Clouds to validate on, of the training data's kind."""
    test_size: int = 1_000
    """Clouds to test on, of each kind."""
    epochs: int = 200
    """Passes over the training clouds."""
    batch_size: int = 64
    """Clouds per step."""
    width: int = 512
    """Features inside."""
    layers: int = 6
    """Attention blocks; of SetTransformer, so many in the encoder and as many in the decoder."""
    heads: int = 8
    """Attention heads."""
    zoom: float = 10.0
    """Coordinates are multiplied by it, so that a pattern is about 1 large, not a twelfth."""
    learning_rate: float = 1e-3
    """Highest rate of Adam; it decays to 0 as a cosine."""
    warmup: int = 200
    """Steps over which the rate grows from 0."""
    clip: float | None = 1.0
    """Largest norm of the gradient."""
    ema_decay: float = 0.99
    """Of the average of the weights that is evaluated; 0 evaluates the weights themselves."""
    evaluate_every: int = 1
    """Epochs between validations."""
    buckets: int = 4
    """Sizes that clouds are padded to."""
    seed: int = 0
    """Of training clouds, initial weights, order, motions and lifts; the clouds of validation
    and test are the same for all."""

    def __post_init__(self):
        sizes = (
            "train_size", "validation_size", "test_size", "epochs", "batch_size", "width",
            "layers", "heads", "evaluate_every", "buckets",
        )  # fmt: skip
        for name in sizes:
            if getattr(self, name) < 1:
                raise ValueError(f"Recipe: {name} must be at least 1, got {getattr(self, name)}")
        if self.model not in get_args(ModelName):
            raise ValueError(
                f"Recipe: model must be one of {get_args(ModelName)}, got {self.model}"
            )
        if not self.zoom > 0:
            raise ValueError(f"Recipe: zoom must be positive, got {self.zoom}")
        lifts = self.lift_method, self.lift_samples
        if lifts != (None, None) and self.model not in ("lietransformer-SE2", "lietransformer-C4"):
            raise ValueError(
                f"Recipe: lift_method and lift_samples must be left out for {self.model}, whose "
                f"points have one lift or none, got {lifts}"
            )

    @property
    def lifts(self) -> "Lifts":
        """Method, samples and embedding of pairs, or what None stands for."""
        is_se2 = self.model == "lietransformer-SE2"
        method = "grid" if is_se2 else "all" if self.model == "lietransformer-C4" else "random"
        embedding = self.pair_embedding or ("radial" if is_se2 else "log")
        return Lifts(self.lift_method or method, self.lift_samples, embedding)

    @property
    def attention(self) -> Literal["published", "product"]:
        """``scores``, or what None stands for."""
        is_product = self.lifts.pair_embedding == "radial" or self.features == "constant"
        return self.scores or ("product" if is_product else "published")


class Lifts(NamedTuple):
    """How points are lifted, and what attention sees of a pair."""

    method: LiftMethod
    samples: int | None
    pair_embedding: EmbeddingName


PRESETS: dict[str, Recipe] = {
    "quick": Recipe(
        preset="quick", epochs=12, width=64, layers=3, heads=4, learning_rate=3e-3,
    ),
    # Width, depth and heads as published, and its number of epochs.
    "full": Recipe(preset="full", learning_rate=1e-4),
}  # fmt: skip
