"""`GET /docs`: Swagger UI, under a policy that lets it run its own scripts only."""

import base64
import hashlib
import re

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

STATIC = "/docs-static"
"""Path of Swagger UI's files."""


def install(app: FastAPI) -> None:
    """Add the page to an application that serves Swagger UI's files at `STATIC`."""
    page = bytes(
        get_swagger_ui_html(
            openapi_url=app.openapi_url or "",
            title=app.title,
            swagger_js_url=f"{STATIC}/swagger-ui-bundle.js",
            swagger_css_url=f"{STATIC}/swagger-ui.css",
            swagger_favicon_url=f"{STATIC}/favicon.png",
        ).body
    )
    headers = {"Content-Security-Policy": _policy(page)}

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        """Swagger UI."""
        return HTMLResponse(page, headers=headers)


def _policy(page: bytes) -> str:
    """The page's Content-Security-Policy, which allows its inline script by hash."""
    scripts = [hashlib.sha256(script).digest() for script in re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)]
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in scripts)
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {hashes}",
            "style-src 'self' 'unsafe-inline'",  # Swagger UI styles its elements inline
            "img-src 'self' data: blob:",  # icons, and annotated photos
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
