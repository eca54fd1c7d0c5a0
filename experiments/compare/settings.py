"""How long, on how much and how large: what all variants of a comparison share."""

import dataclasses
from typing import Any

import lie_jax as lj


@dataclasses.dataclass(frozen=True)
class Settings:
    """Sizes of a comparison."""

    variants: tuple[str, ...]
    """Which symmetries to compare."""
    train_size: int
    """Examples to train on."""
    test_size: int
    """Examples to test on."""
    steps: int
    """Updates of each variant."""
    batch_size: int = 64
    """Examples per step."""
    buckets: int = 2
    """Sizes that clouds are padded to."""
    width: int = 32
    """Features inside."""
    layers: int = 2
    """Attention blocks."""
    heads: int = 4
    """Attention heads."""
    learning_rate: float = 3e-3
    """Highest rate of Adam, after a warm-up; it decays to 0 as a cosine."""
    ema_decay: float = 0.99
    """Of the average of the weights that is tested."""
    seed: int = 0
    """Of data, initial weights, order, augmentation and lifts."""
    quick: bool = False
    """A minute or two instead of ten, to see it run: few steps, poor results."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is int and field.name != "seed" and value < 1:
                raise ValueError(f"Settings: {field.name} must be at least 1, got {value}")
        if not self.variants or len(set(self.variants)) < len(self.variants):
            raise ValueError(
                f"Settings: variants must be named once each, at least one, got {self.variants}"
            )

    def network(self, **options: Any) -> lj.LieTransformerConfig:
        """The network of all variants, of these sizes; ``options`` are the recipe's."""
        return lj.LieTransformerConfig(
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            attention=lj.AttentionConfig(normalisation="mean"),
            **options,
        )
