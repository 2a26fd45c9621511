"""Measuring detectors: metrics, calibration, cross-validation, review."""
