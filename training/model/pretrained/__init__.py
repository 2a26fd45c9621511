"""Pretrained weights: the catalogue, fetching, checking, and restoring them for a training."""
