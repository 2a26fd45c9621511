"""Who may ask for what, and how often; the headers that keep browsers from doing more than they should."""

from __future__ import annotations

import asyncio
import logging

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import Answer, Forbidden, TooManyRequests, Unauthorized
from app.errors import CariesError, Overloaded
from app.keys import Key, KeyRing, Role

logger = logging.getLogger(__name__)

OPEN = frozenset({"/", "/health/live", "/health/ready"})
OPEN_BELOW = ("/problems/",)
DOCS = frozenset({"/docs", "/openapi.json"})
DOCS_BELOW = ("/docs-static/", "/docs/")
"""What is answered without a key."""

ADMIN = frozenset({("POST", "/models/reload")})
"""What needs the role `admin`; everything else needs any key."""

WRONG_KEYS_PER_MINUTE = 20
"""From one address; more are refused without a look at the key."""

VERIFICATIONS_AT_ONCE = 1
VERIFICATIONS_WAITING = 8
"""A hash costs 50 ms and 16 MB: wrong keys must not take the machine away from right ones."""

API_POLICY = "default-src 'none'; frame-ancestors 'none'"
DOCS_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


KEY_SCHEMES = [
    Security(HTTPBearer(auto_error=False, description="A key, `caries_...`.")),
    Security(APIKeyHeader(name="X-API-Key", auto_error=False, description="The same key.")),
]
"""What the OpenAPI description says of keys; `Access` does the work."""


def is_open(path: str) -> bool:
    """Whether a path is answered without a key."""
    return path in OPEN or path in DOCS or path.startswith((*OPEN_BELOW, *DOCS_BELOW))


class Access:
    """ASGI middleware that lets a request through with a key of the role it needs, before its body is read.

    The name of the key is left in the scope's state as `key_name`.
    """

    def __init__(self, app: ASGIApp, *, keys: KeyRing | None, requests_per_minute: int, answer: Answer) -> None:
        """Args: keys in force, None where the server is open; requests a key, or an address, may make; see `Answer`."""
        self._app = app
        self._keys = keys
        self._answer = answer
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._limit = RateLimitItemPerMinute(requests_per_minute) if requests_per_minute else None
        self._wrong_keys = RateLimitItemPerMinute(WRONG_KEYS_PER_MINUTE)
        self._verifying = asyncio.Semaphore(VERIFICATIONS_AT_ONCE)
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or refuses it."""
        if scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            caller = await self._caller(request)
            if self._limit is not None and not self._limiter.hit(self._limit, "requests", caller):
                raise TooManyRequests(f"more than {self._limit.amount} requests in a minute; try again shortly")
        except CariesError as error:
            response = await self._answer(request, error)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _caller(self, request: Request) -> str:
        """Whose requests are counted together: a key's, or where there are no keys, an address's."""
        address = request.client.host if request.client else "unknown"
        if self._keys is None:
            return f"address {address}"
        key = await self._find(self._keys, _presented(request), address)
        needed = Role.ADMIN if (request.method, request.url.path) in ADMIN else Role.DETECT
        if not key.role.allows(needed):
            raise Forbidden(f"this needs a key of the role {needed}, and this one has the role {key.role}")
        request.scope.setdefault("state", {})["key_name"] = key.name
        return f"key {key.id}"

    async def _find(self, keys: KeyRing, presented: str | None, address: str) -> Key:
        if presented is None:
            raise Unauthorized("send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`")
        key = keys.known(presented)
        if key is not None:
            return key
        if not self._limiter.test(self._wrong_keys, "wrong keys", address):
            raise TooManyRequests("too many wrong keys from this address; try again in a minute")
        if self._waiting >= VERIFICATIONS_WAITING:
            raise Overloaded("too many keys are being verified; try again shortly")
        self._waiting += 1
        try:
            async with self._verifying:
                key = await asyncio.to_thread(keys.verify, presented)
        finally:
            self._waiting -= 1
        if key is None:
            self._limiter.hit(self._wrong_keys, "wrong keys", address)
            logger.warning("a wrong key was presented")
            raise Unauthorized("the key is not known, or was revoked")
        return key


def _presented(request: Request) -> str | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return request.headers.get("x-api-key", "").strip() or None


class SecurityHeaders:
    """ASGI middleware that adds what browsers need to be told; other sites are never allowed in (no CORS)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_docs = scope["path"] in DOCS or scope["path"].startswith(DOCS_BELOW)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers["Content-Security-Policy"] = DOCS_POLICY if is_docs else API_POLICY
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)
