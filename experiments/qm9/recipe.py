"""What a run is: every choice in one frozen dataclass, and the presets."""

import dataclasses
from typing import Literal

import jax.numpy as jnp
import optax
from flax import nnx

import lie_jax as lj
from experiments.optimizer import adam
from lie_jax.data import qm9

TargetName = Literal["alpha", "gap", "homo", "lumo", "mu", "Cv", "G", "H", "r2", "U", "U0", "zpve"]
GroupName = Literal["T3", "SE3", "SO3", "Trivial"]
AugmentName = Literal["none", "SO3", "SE3"]

GROUPS = {
    "T3": lj.groups.T(3),
    "SE3": lj.groups.SE3(),
    "SO3": lj.groups.SO3(),
    "Trivial": lj.groups.Trivial(3),
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A training run on QM9."""

    preset: Literal["quick", "full"]
    """Where the other values come from; each can be given by itself."""
    target: TargetName
    """Property to learn."""
    split: Literal["cormorant", "dimenet"] = "cormorant"
    """Whose division into train, validation and test."""
    train_size: int = 100_000
    """Molecules to train on, the first of the train split."""
    validation_size: int = 17_748
    """Molecules to validate on, the first of the validation split."""
    group: GroupName = "T3"
    """Symmetry of the network."""
    lift_samples: int = 1
    """Lifts per atom, for groups with a stabiliser."""
    width: int = 512
    """Features inside."""
    layers: int = 6
    """Attention blocks."""
    heads: int = 8
    """Attention heads."""
    normalisation: Literal["softmax", "mean", "exp_mean"] = "mean"
    """Of the attention scores."""
    pooling: Literal["mean", "sum"] = "mean"
    """Over the atoms."""
    augment: AugmentName = "SO3"
    """Random motions of the training molecules."""
    epochs: int = 500
    """Passes over the training molecules."""
    batch_size: int = 100
    """Molecules per step."""
    learning_rate: float = 1e-3
    """Highest rate of Adam; it decays to 0 as a cosine."""
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
    buckets: int = 5
    """Sizes that molecules are padded to."""
    evaluate_every: int = 5
    """Epochs between validations."""
    seed: int = 0
    """Of initial weights, order, augmentation and lifts."""

    def __post_init__(self):
        for name in ("train_size", "validation_size", "epochs", "batch_size", "buckets"):
            if getattr(self, name) < 1:
                raise ValueError(f"Recipe: {name} must be at least 1, got {getattr(self, name)}")
        choice = qm9.CONFIGS[self.split]
        for name, limit in (("train_size", choice.train), ("validation_size", choice.validation)):
            if getattr(self, name) > limit:
                raise ValueError(
                    f"Recipe: {name} must be at most {limit} (split {self.split}), "
                    f"got {getattr(self, name)}"
                )


PRESETS: dict[str, Recipe] = {
    "quick": Recipe(
        preset="quick",
        target="r2",
        train_size=20_000,
        validation_size=2_000,
        width=64,
        layers=3,
        epochs=8,
        batch_size=64,
        learning_rate=2e-3,
        warmup=100,
        clip=1.0,
        ema_decay=0.995,
        buckets=3,
        evaluate_every=1,
    ),
    # The published recipe; rate and betas are those of its training script.
    "full": Recipe(preset="full", target="homo", beta1=0.5, beta2=0.9),
}


def build_model(recipe: Recipe) -> lj.LieTransformer:
    """The network of a recipe."""
    config = lj.LieTransformerConfig(
        in_channels=qm9.CHANNELS,
        width=recipe.width,
        layers=recipe.layers,
        heads=recipe.heads,
        attention=lj.AttentionConfig(normalisation=recipe.normalisation),
        pooling=recipe.pooling,
        lift_samples=recipe.lift_samples,
        param_dtype=jnp.float32,
    )
    return lj.LieTransformer(config, group=GROUPS[recipe.group], rngs=nnx.Rngs(recipe.seed))


def build_optimizer(recipe: Recipe, steps: int) -> optax.GradientTransformation:
    """Adam with warm-up and cosine decay over ``steps``."""
    return adam(
        recipe.learning_rate, steps, warmup=recipe.warmup, clip=recipe.clip,
        betas=(recipe.beta1, recipe.beta2),
    )  # fmt: skip
