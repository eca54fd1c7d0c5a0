"""Predicting the properties of molecules with trained networks. Needs the extra ``predict``."""

from lie_jax.predict.calculator import Calculator as Calculator
from lie_jax.predict.calculator import ForcesWarning as ForcesWarning
from lie_jax.predict.card import Card as Card
from lie_jax.predict.card import Target as Target
from lie_jax.predict.checkpoint import Checkpoint as Checkpoint
from lie_jax.predict.checkpoint import read_checkpoint as read_checkpoint
from lie_jax.predict.checkpoint import save as save
from lie_jax.predict.checkpoint import shipped as shipped
from lie_jax.predict.describe import build_model as build_model
from lie_jax.predict.describe import describe_model as describe_model
from lie_jax.predict.domain import Domain as Domain
from lie_jax.predict.predictor import Prediction as Prediction
from lie_jax.predict.predictor import Predictor as Predictor
from lie_jax.predict.predictor import load as load
from lie_jax.predict.uncertainty import Uncertainty as Uncertainty
from lie_jax.predict.uncertainty import calibrate as calibrate
