"""What a run is: every choice in one frozen dataclass."""

import dataclasses
from typing import Literal, get_args

from lie_jax.data import qm9

TargetName = Literal[
    "alpha", "gap", "homo", "lumo", "mu", "Cv", "G", "H", "r2", "U", "U0", "zpve", "all"
]
ModelName = Literal["lietransformer", "lieconv"]
GroupName = Literal["T3", "SE3", "SO3", "Trivial"]
AugmentName = Literal["none", "SO3", "SE3"]
OptimizerName = Literal["adam", "muon", "schedule_free"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A training run on QM9."""

    preset: str
    """Where the other values come from; each can be given by itself."""
    target: TargetName
    """Property to learn; "all" learns the twelve in one network."""
    split: Literal["cormorant", "dimenet"] = "cormorant"
    """Whose division into train, validation and test: 100,000 or 110,000 to train on."""
    train_size: int | None = None
    """Molecules to train on, the first of the train split; None takes all."""
    validation_size: int | None = None
    """Molecules to validate on, the first of the validation split; None takes all."""
    model: ModelName = "lietransformer"
    """Network."""
    group: GroupName = "T3"
    """Symmetry of the network."""
    lift_method: Literal["random", "grid", "frame", "weighted_frame"] = "random"
    """How atoms are lifted, for groups with a stabiliser."""
    lift_samples: int = 1
    """Lifts per atom, for groups with a stabiliser."""
    train_frames: int | None = None
    """Frames of a molecule that each training step draws; tests, and None, take all. Weighted
    frames are the square of lift_samples in number."""
    pair_embedding: str = "log"
    """What is seen of a pair: logarithm as published, "radial(32, 8.0)", "log+radial"..."""
    neighbours: int | None = None
    """Nearest lifted atoms that each sees; None sees all."""
    width: int = 512
    """Features inside."""
    layers: int = 6
    """Blocks."""
    heads: int = 8
    """Attention heads."""
    location: Literal["mlp", "raw"] = "mlp"
    """Score of a pair's location: a network, or a linear map."""
    combination: Literal["sum", "product"] = "sum"
    """Of the scores of content and location."""
    normalisation: Literal["softmax", "mean", "exp_mean"] = "mean"
    """Of the attention scores."""
    head: Literal["pool_mlp", "linear_pool"] = "pool_mlp"
    """Pool, then three layers; or one layer for each atom, then pool."""
    pooling: Literal["mean", "sum", "by_property"] = "mean"
    """Over the atoms; by property: sums for properties that grow with the molecule."""
    atom_references: bool = False
    """Learn what ridge regression on the numbers of atoms leaves of a property."""
    augment: AugmentName = "SO3"
    """Random motions of the training molecules."""
    noise: float = 0.0
    """Noisy Nodes: standard deviation, in angstrom, of noise on the training positions that the
    network also learns to tell; 0 is without."""
    noise_weight: float = 0.1
    """Weight of that second task."""
    epochs: int = 500
    """Passes over the training molecules."""
    batch_size: int = 100
    """Molecules per step."""
    optimizer: OptimizerName = "adam"
    """Adam; Muon for matrices, with Adam for the rest; or schedule-free Adam."""
    learning_rate: float = 1e-3
    """Highest rate; it decays to 0 as a cosine (schedule-free: it stays)."""
    beta1: float = 0.9
    """Adam's decay of the gradient's average."""
    beta2: float = 0.999
    """Adam's decay of the squared gradient's average."""
    warmup: int = 0
    """Steps over which the rate grows from 0."""
    clip: float | None = None
    """Largest norm of the gradient."""
    ema_decay: float = 0.0
    """Of the average of the weights that is evaluated; 0 evaluates the weights themselves."""
    test_samples: int = 1
    """Random rotations and lifts that test predictions are averaged over."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of what dense layers multiply; sums, features and group elements are always float32."""
    buckets: int = 5
    """Sizes that molecules are padded to."""
    evaluate_every: int = 5
    """Epochs between validations."""
    seed: int = 0
    """Of initial weights, order, augmentation and lifts."""

    def __post_init__(self):
        choice = qm9.CONFIGS[self.split]
        for name, limit in (("train_size", choice.train), ("validation_size", choice.validation)):
            if (getattr(self, name) or 1) > limit:
                raise ValueError(
                    f"Recipe: {name} must be at most {limit} (split {self.split}), "
                    f"got {getattr(self, name)}"
                )
        sizes = ("train_size", "validation_size", "epochs", "batch_size", "buckets", "test_samples")
        for name in sizes:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"Recipe: {name} must be at least 1, got {value}")
        if self.train_frames is not None:
            if self.train_frames < 1:
                raise ValueError(
                    f"Recipe: train_frames must be at least 1, got {self.train_frames}"
                )
            if "frame" not in self.lift_method or self.group in ("T3", "Trivial"):
                raise ValueError(
                    'Recipe: train_frames needs lift_method "frame" or "weighted_frame" and a '
                    f"group of several lifts, got {self.lift_method!r} and {self.group}"
                )
        for name in ("noise", "noise_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"Recipe: {name} must not be negative, got {getattr(self, name)}")
        if self.noise and (self.model, self.group) != ("lietransformer", "T3"):
            raise ValueError(
                "Recipe: noise must be 0 but for the LieTransformer on T3, whose outputs may have "
                f"directions, got {self.noise} for {self.model} on {self.group}"
            )

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the properties to learn."""
        if self.target == "all":
            return tuple(t for t in get_args(TargetName) if t != "all")
        return (self.target,)
