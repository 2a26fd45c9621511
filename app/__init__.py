"""Caries screening: the service that loads a trained tooth detector and answers questions about photos."""
