"""The HTTP interface: routes, request and response models, the one table of errors. It knows no pixels or models."""

from app.api.application import create_app

__all__ = ["create_app"]
