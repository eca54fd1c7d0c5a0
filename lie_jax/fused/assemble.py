"""The terms of a score put together, in whatever form a tile holds its numbers."""

from typing import Any, Protocol, runtime_checkable

from lie_jax.fused.terms import Affine, ScoreTerms

Hidden = Any
"""Hidden features of a tile's pairs: an array, or a list of tiles."""


@runtime_checkable
class Form(Protocol):
    """How a tile does arithmetic."""

    def affine(self, affine: Affine, features: Any) -> Hidden:
        """Its outputs for all pairs."""
        ...

    def layers(self, terms: ScoreTerms, x: Hidden, layers: Any) -> Hidden:
        """An activation, and each of the layers (kernel, bias) of one head with one behind it."""
        ...

    def weigh(self, weights: Any, features: Any) -> Any:
        """Per pair, the sum of a query's weights times the pair's features."""
        ...

    def output(self, x: Hidden) -> Any:
        """The first feature of each pair, as a score."""
        ...

    def enter(self, x: Hidden, score: Any, kernel: Any) -> Hidden:
        """``x`` plus the score times ``kernel``."""
        ...


def assemble(
    terms: ScoreTerms,
    form: Form,
    content: Any | None,
    features: Any | None,
    location: Any | None = None,
) -> Any:
    """The scores of a tile's pairs.

    Args:
        terms: of one head, cut to the tile.
        form: how the tile does arithmetic.
        content: the dot products of queries and keys; None where there are none.
        features: the embedded pair elements; None where no term needs them.
        location: the scores of ``terms.location_mlp``, where that is there.
    """
    if terms.seen is not None:
        content = _sum(content, form.weigh(terms.seen, features))
    if terms.content is not None:
        content = _sum(content, form.output(form.affine(terms.content, features)))
    if terms.location is not None:
        x = form.affine(terms.location, features)
        if terms.has_location_mlp:
            x = form.layers(terms, x, terms.location_layers)
        location = form.output(x)
    if terms.combine is not None:
        x = form.affine(terms.combine, features)
        for score, kernel in (
            (content, terms.combine_content),
            (location, terms.combine_location),
        ):
            if kernel is not None:
                assert score is not None
                x = form.enter(x, score, kernel)
        return form.output(form.layers(terms, x, terms.combine_layers))
    if content is None or location is None:
        found = location if content is None else content
        assert found is not None
        return found
    return content + location if terms.combination == "sum" else content * location


def _sum(x: Any | None, y: Any) -> Any:
    return y if x is None else x + y
