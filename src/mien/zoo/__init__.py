"""The models: a card and a weight file each, shipped inside the package or given as files."""

from mien.zoo.card import Head, InputSpec, ModelCard, TrainingData
from mien.zoo.store import StoredModel, find_model, list_models

__all__ = ["Head", "InputSpec", "ModelCard", "StoredModel", "TrainingData", "find_model", "list_models"]
