"""From a Flax NNX module to pure functions of its parameters."""

from collections.abc import Callable
from typing import Any

from flax import nnx

from lie_jax.typing import PyTree


def functional(model: nnx.Module) -> tuple[Callable[..., Any], PyTree]:
    """The model as ``apply, params``, in evaluation.

    Args:
        model: any module of this library.

    Returns:
        ``apply(params, *args, **kwargs)``, pure, and ``params``, nested dicts of arrays.
        Batch statistics, if there are any, are those the model has now; to train a model with
        batch norm take `functional_with_state`.

    Example:
        >>> apply, params = lj.functional(model)
        >>> y = jax.jit(apply)(params, points, key=key)
    """
    apply_with_state, params, state = functional_with_state(model)

    def apply(params: PyTree, *args: Any, **kwargs: Any) -> Any:
        return apply_with_state(params, state, *args, **kwargs)[0]

    return apply, params


def functional_with_state(model: nnx.Module) -> tuple[Callable[..., Any], PyTree, PyTree]:
    """The model as ``apply, params, state``, where state is what training changes besides.

    Returns:
        ``apply(params, state, *args, **kwargs) -> (output, state)``, pure; ``params``; and
        ``state``, nested dicts of arrays (empty without batch norm).
    """
    graph, params, state = nnx.split(model, nnx.Param, ...)

    def apply(pure_params: PyTree, pure_state: PyTree, *args: Any, **kwargs: Any) -> Any:
        module = nnx.merge(graph, _restore(params, pure_params), _restore(state, pure_state))
        output = module(*args, **kwargs)
        return output, nnx.to_pure_dict(nnx.state(module, nnx.Not(nnx.Param)))

    return apply, nnx.to_pure_dict(params), nnx.to_pure_dict(state)


def _restore(template: nnx.State, pure: PyTree) -> nnx.State:
    """A copy of ``template`` that holds the arrays of ``pure``."""
    flat = nnx.to_flat_state(template)
    values = _flatten(pure)
    if set(values) != {path for path, _ in flat}:
        raise ValueError(
            "functional: params and state must have the model's own structure, got other keys: "
            f"{sorted(set(values) ^ {path for path, _ in flat}, key=str)[:4]}"
        )
    return nnx.from_flat_state([(path, leaf.replace(values[path])) for path, leaf in flat])


def _flatten(tree: PyTree, path: tuple = ()) -> dict[tuple, Any]:
    if not isinstance(tree, dict):
        return {path: tree}
    return {k: v for name, sub in tree.items() for k, v in _flatten(sub, (*path, name)).items()}
