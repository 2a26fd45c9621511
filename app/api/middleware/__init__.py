"""ASGI middleware, one module each; `app.api.application` has their order."""
