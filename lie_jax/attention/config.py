"""Options of attention: how a pair becomes a score, and scores become weights."""

import dataclasses
from typing import Literal, get_args

from lie_jax.attention.normalise import Normalisation
from lie_jax.typing import unchecked

ContentName = Literal[
    "dot_product", "linear_concat", "linear_concat_linear", "relative_position", "none"
]
LocationName = Literal["mlp", "raw", "none"]
CombinationName = Literal["sum", "product", "mlp", "none"]
ActivationName = Literal["swish", "exact_swish", "relu", "softplus", "gelu", "tanh"]


def check_option(where: str, name: str, value: object, options: object) -> None:
    """Raises ValueError unless ``value`` is one of the ``Literal``'s options."""
    if value not in get_args(options):
        raise ValueError(f"{where}: {name} must be one of {get_args(options)}, got {value!r}")


def check_positive(where: str, **values: int) -> None:
    """Raises ValueError unless every value is an integer of at least 1."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{where}: {name} must be an integer of at least 1, got {value!r}")


@unchecked
@dataclasses.dataclass(frozen=True)
class AttentionConfig:
    """How a layer turns a pair into a score, and scores into weights.

    Args:
        content: score of the features of query and key. ``"dot_product"`` gives one number,
            ``"linear_concat"`` the two projections beside each other,
            ``"linear_concat_linear"`` a linear map of these that all heads share,
            ``"relative_position"`` the dot product and linear terms of the pair's features.
        location: score of the pair. ``"mlp"``: one MLP per head; ``"raw"``: the features
            themselves; ``"none"``.
        combination: ``"sum"`` or ``"product"`` of the two scores (a vector is first read out by
            one linear map per head), ``"mlp"`` of both per head, or ``"none"`` where only one
            of them is there (``"relative_position"`` is both already).
        normalisation: see `lie_jax.attention.normalise`.
        location_hidden: hidden features of location and combination MLPs.
        content_features: size per head of the content vector of the linear-concat scores, even.
        activation: of the MLPs. ``"swish"``, in float32 on a CPU, takes a logistic function that is
            off by at most 1.1e-7 and quick, ``"exact_swish"`` that of JAX, off by 0.9e-7.

    Raises:
        ValueError: unknown option, or a combination that does not fit.
    """

    content: ContentName = "dot_product"
    location: LocationName = "mlp"
    combination: CombinationName = "sum"
    normalisation: Normalisation = "softmax"
    location_hidden: int = 16
    content_features: int = 4
    activation: ActivationName = "swish"

    def __post_init__(self):
        where = "AttentionConfig"
        check_option(where, "content", self.content, ContentName)
        check_option(where, "location", self.location, LocationName)
        check_option(where, "combination", self.combination, CombinationName)
        check_option(where, "normalisation", self.normalisation, Normalisation)
        check_option(where, "activation", self.activation, ActivationName)
        check_positive(
            where, location_hidden=self.location_hidden, content_features=self.content_features
        )
        if self.content == "linear_concat" and self.content_features % 2:
            raise ValueError(
                f'{where}: content_features must be even for content="linear_concat", half for '
                f"the query and half for the key, got {self.content_features}"
            )
        present = (self.content != "none") + (self.location != "none")
        if present == 0:
            raise ValueError(f'{where}: content and location must not both be "none"')
        if (self.combination == "none") != (present == 1):
            wanted = '"none"' if present == 1 else '"sum", "product" or "mlp"'
            raise ValueError(
                f"{where}: combination must be {wanted} for content={self.content!r} and "
                f"location={self.location!r}, got {self.combination!r}"
            )
