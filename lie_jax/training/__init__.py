"""Training: state, step, loop, checkpoints, metrics. It receives objects and builds none."""

from lie_jax.training.augment import random_rotation as random_rotation
from lie_jax.training.augment import random_rotation_translation as random_rotation_translation
from lie_jax.training.augment import random_translation as random_translation
from lie_jax.training.checkpoint import CheckpointError as CheckpointError
from lie_jax.training.checkpoint import Checkpoints as Checkpoints
from lie_jax.training.evaluate import average_predictions as average_predictions
from lie_jax.training.evaluate import mean_absolute_error as mean_absolute_error
from lie_jax.training.evaluate import predict as predict
from lie_jax.training.loop import Progress as Progress
from lie_jax.training.loop import fit as fit
from lie_jax.training.losses import absolute_error as absolute_error
from lie_jax.training.losses import masked_mean_loss as masked_mean_loss
from lie_jax.training.losses import squared_error as squared_error
from lie_jax.training.memory import keep_freed_memory as keep_freed_memory
from lie_jax.training.metrics import MetricsLog as MetricsLog
from lie_jax.training.progress import rich_progress as rich_progress
from lie_jax.training.run_folder import RunFolder as RunFolder
from lie_jax.training.run_folder import environment as environment
from lie_jax.training.scan import StackedBatches as StackedBatches
from lie_jax.training.scan import TrainScan as TrainScan
from lie_jax.training.scan import make_train_scan as make_train_scan
from lie_jax.training.scan import stack_batches as stack_batches
from lie_jax.training.state import TrainState as TrainState
from lie_jax.training.state import create_state as create_state
from lie_jax.training.step import make_train_step as make_train_step
