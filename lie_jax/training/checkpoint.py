"""Checkpoints by orbax, with errors that say which one is broken and what to do."""

from pathlib import Path

import jax
import orbax.checkpoint as ocp

from lie_jax.training.state import TrainState


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read, or that belongs to another model."""


class Checkpoints:
    """The last few states of a run.

    Args:
        folder: where they lie, one folder per step.
        keep: how many are kept.
    """

    def __init__(self, folder: str | Path, *, keep: int = 2):
        self.folder = Path(folder).resolve()
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    @property
    def steps(self) -> list[int]:
        """Steps that can be restored, increasing."""
        return sorted(self._manager.all_steps())

    def save(self, state: TrainState) -> None:
        """Writes the state under its step; does nothing if that step is there."""
        step = int(state.step)
        if step not in self.steps:
            self._manager.save(step, args=ocp.args.StandardSave(_numbered(state)))

    def restore(self, template: TrainState, step: int | None = None) -> TrainState:
        """The state of a step.

        Args:
            template: a state of the same model and optimiser; gives structure, shapes, dtypes.
            step: which; the last if None.

        Raises:
            FileNotFoundError: there is no checkpoint, or none of that step.
            CheckpointError: it is damaged, or not of this model.
        """
        step = self._manager.latest_step() if step is None else step
        if step is None or step not in self.steps:
            raise FileNotFoundError(
                f"Checkpoints.restore: no checkpoint of step {step} in {self.folder}, "
                f"there are {self.steps}"
            )
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, _numbered(template))
        try:
            leaves = self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
        # Orbax has no error of its own: damage shows as whatever its storage raises.
        except Exception as error:
            older = [s for s in self.steps if s < step]
            advice = f"resume from step {older[-1]}" if older else "start the run anew"
            raise CheckpointError(
                f"Checkpoints.restore: {self.folder / str(step)} cannot be read; it is damaged or "
                f"belongs to another model; delete that folder to {advice} "
                f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
            ) from error
        values = [leaves[name] for name in sorted(leaves)]
        return jax.tree.unflatten(jax.tree.structure(template), values)

    def close(self) -> None:
        """Waits for what is being written."""
        self._manager.close()


def _numbered(state: TrainState) -> dict[str, jax.Array]:
    """The leaves under names that sort in the tree's order.

    Orbax keeps dicts and lists but not dataclasses, and turns integer keys into strings; a
    flat dict with the path in the name survives as it is and can be read by eye.
    """
    flat, _ = jax.tree_util.tree_flatten_with_path(state)
    return {f"{i:05d}{jax.tree_util.keystr(path)}": leaf for i, (path, leaf) in enumerate(flat)}
