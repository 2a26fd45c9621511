"""The HTTP interface: routes, middleware, answers and the table of problems. It knows no pixels."""

from app.api.application import create_app

__all__ = ["create_app"]
