"""Pretrained weights: the catalogue, fetching, checking, and restoring them for a training."""

from training.model.pretrained.catalogue import CATALOGUE, PretrainedWeightsError, Weights, credit
from training.model.pretrained.fetch import cache_folder, fetch, verify
from training.model.pretrained.restore import FineTune, fine_tune_source

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
