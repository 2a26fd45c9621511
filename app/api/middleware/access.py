"""Access control: the role that each path needs, and the check of keys and rate limits before a body is read.

A server without keys only listens on its own machine, but browsers run there too. Any site's page can make a browser
send requests to this machine, and by pointing its own host name to 127.0.0.1 (DNS rebinding) even read the answers. A
key keeps such pages out; without keys, their requests are recognised by the headers that browsers add.
"""

import ipaddress
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.answers import problem_responses
from app.api.context import context_of
from app.api.middleware.rate_limits import MinuteLimit, address_of
from app.api.problems import quoted
from app.errors import CariesError, ForeignPage, KeyNeeded, RoleNeeded
from app.records.key_file import Key, Role
from app.records.keys_in_force import KeysInForce

ROLES: dict[str, Role | None] = {
    "/": None,
    "/page/*": None,
    "/docs": None,
    "/docs-static/*": None,
    "/openapi.json": None,
    "/health/live": None,
    "/health/ready": None,
    "/problems/*": None,
    "/models/reload": Role.ADMIN,
    "/reviews": Role.REVIEW,
    "/reviews/*": Role.REVIEW,
}
"""The role that a path needs, None if it needs no key; `*` matches the rest. All other paths need `Role.DETECT`."""

MAX_WRONG_KEYS_PER_MINUTE = 20
"""Wrong keys from one address that are answered 401; further ones are answered 429."""

MAX_MISSING_KEYS_PER_MINUTE = 60
"""Requests without a key from one address that are answered 401; further ones are answered 429."""

SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer KEY"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
"""The two ways to send a key, as OpenAPI describes them."""

REFUSALS = {
    401: "The API key is missing or invalid.",
    403: "The API key's role is not sufficient.",
    429: "Too many requests per minute; retry after the seconds in Retry-After.",
}
"""The refusals of a server with keys, as OpenAPI describes them."""

REFUSALS_WITHOUT_KEYS = {403: "The request comes from another site's page.", 429: REFUSALS[429]}

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing: a page that cannot read their answers gains nothing from them (RFC 9110, 9.2.1)."""


def needed_role(path: str) -> Role | None:
    """The role that a path or a route's pattern needs; None if it needs no key."""
    if path in ROLES:
        return ROLES[path]
    first, slash, _ = path[1:].partition("/")
    return ROLES.get(f"/{first}/*" if slash else path, Role.DETECT)


def sent_key(headers: Headers) -> str | None:
    """The key in Authorization or else X-API-Key; None without either."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else headers.get("x-api-key")


def refuse_foreign_page(method: str, headers: Headers) -> None:
    """Refuse a request of another site's page; only browsers send Origin and Sec-Fetch-Site.

    Raises:
        ForeignPage: the request comes from such a page, or its Host may be a public name that points here.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if not _is_local(host):
        raise ForeignPage(f"the host is {quoted(host)}; without API keys, use 127.0.0.1 or localhost")
    foreign = origin is not None and method not in SAFE_METHODS and origin.partition("://")[2].lower() != host.lower()
    if foreign or headers.get("sec-fetch-site") == "cross-site":
        raise ForeignPage("the request comes from another site's page; without API keys, such requests are refused")


def _is_local(host: str) -> bool:
    """Whether no public name server can have given the machine this name: it is an address or has no dot."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if "." not in name or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class CheckAccess:
    """ASGI middleware that passes a request on, or raises the error that refuses it, before its body is read.

    It fills in `key_name`, `count_more` and `refused_unknown` of the request's context. A refused request gets its
    route into the scope too, for the log, the metrics and the audit log.
    """

    def __init__(
        self, app: ASGIApp, *, keys: KeysInForce | None, requests_per_minute: int, routes: Sequence[BaseRoute]
    ) -> None:
        """Check `keys`, of which None admits all clients, and `requests_per_minute` of a key, or else of an address."""
        self._app = app
        self._routes = routes
        self._keys = keys
        self._requests = MinuteLimit(requests_per_minute, "requests")
        self._wrong_keys = MinuteLimit(MAX_WRONG_KEYS_PER_MINUTE, "wrong API keys")
        self._missing_keys = MinuteLimit(MAX_MISSING_KEYS_PER_MINUTE, "requests without an API key")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            role = needed_role(scope["path"])
            if role is not None:
                try:
                    await self._check(scope, role)
                except CariesError:
                    for route in self._routes:
                        if route.matches(scope)[0] is not Match.NONE:
                            scope["route"] = route
                            break
                    context = context_of(scope)
                    context.refused_unknown = context.key_name is None
                    raise
        await self._app(scope, receive, send)

    async def _check(self, scope: Scope, role: Role) -> None:
        address = address_of(scope)
        context = context_of(scope)
        if self._keys is None:
            # Before it is counted: a foreign page must not use up this machine's limit.
            refuse_foreign_page(scope["method"], Headers(scope=scope))
            context.count_more = lambda times: self._requests.count(address, times=times)
            await self._requests.count(address)
            return
        text = sent_key(Headers(scope=scope))
        if not text:
            await self._missing_keys.count(address)
            raise KeyNeeded("this path needs an API key; send the header Authorization: Bearer KEY or X-API-Key: KEY")
        key = self._keys.remembered(text) or await self._verify(self._keys, text, address)
        context.key_name, context.role = key.name, key.role
        context.count_more = lambda times: self._requests.count(key.id, times=times)
        await self._requests.count(key.id)
        if not key.role.includes(role):
            raise RoleNeeded(f"the API key has the role {key.role}; this path needs {role}")

    async def _verify(self, keys: KeysInForce, text: str, address: str) -> Key:
        # Behind a proxy all clients share an address. Wrong keys sent there must not lock out the holders of other
        # keys, so the limit on the costly check is counted by key as well.
        claimed = keys.claimed(text)
        if claimed is not None:
            await self._wrong_keys.check(address, claimed.id)
        key = await keys.verify(text)
        if key is not None:
            return key
        if claimed is not None:
            await self._wrong_keys.count(address, claimed.id)
        await self._wrong_keys.count(address)
        raise KeyNeeded("the API key is wrong or was revoked")


def declare_access(app: FastAPI, *, with_keys: bool) -> None:
    """Add the refusals, and the ways to send a key if keys are in use, to the application's OpenAPI description."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        description = describe()
        if with_keys:
            description.setdefault("components", {})["securitySchemes"] = SCHEMES
        for path, operations in description["paths"].items():
            role = needed_role(path)
            statuses = {429, 401} if role is Role.DETECT else {429, 401, 403}
            for operation in operations.values() if role is not None else ():
                if with_keys:
                    operation["security"] = [{name: []} for name in SCHEMES]
                for parameter in operation.get("parameters", ()):
                    parameter["required"] |= parameter["name"] == "reader" and not with_keys
                operation["responses"] |= {
                    str(status): answer
                    for status, answer in problem_responses(REFUSALS if with_keys else REFUSALS_WITHOUT_KEYS).items()
                    if status in statuses or not with_keys
                }
        return description

    app.openapi = openapi  # type: ignore[method-assign]
