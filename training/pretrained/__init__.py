"""Pretrained weights: which there are, getting them, checking them, and handing them to a training."""

from training.pretrained.catalogue import CATALOGUE, PretrainedWeightsError, Weights, credit
from training.pretrained.fetch import cache_folder, fetch, verify
from training.pretrained.restore import FineTune, fine_tune_source

__all__ = [
    "CATALOGUE",
    "FineTune",
    "PretrainedWeightsError",
    "Weights",
    "cache_folder",
    "credit",
    "fetch",
    "fine_tune_source",
    "verify",
]
