"""Access control: the role that each path needs, and the check of keys, sessions and rate limits before a body is read.

A server without keys only listens on its own machine, but browsers run there too. Any site's page can make a browser
send requests to this machine, and by pointing its own host name to 127.0.0.1 (DNS rebinding) even read the answers. A
key keeps such pages out; without keys, their requests are recognised by the headers that browsers add.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.answers import inference_error_responses, problem_responses
from app.api.context import context_of
from app.api.identities import COOKIE, Identities
from app.api.origins import SAFE_METHODS, refuse_foreign_page
from app.api.problems import speaks_open_inference
from app.api.rate_limits import MinuteLimit, address_of
from app.errors import CariesError, RoleNeeded
from app.records.key_file import Role

ROLES: dict[str, Role | None] = {
    "/": None,
    "/page/*": None,
    "/docs": None,
    "/docs-static/*": None,
    "/openapi.json": None,
    "/health/live": None,
    "/health/ready": None,
    "/v2/health/live": None,
    "/v2/health/ready": None,
    "/problems/*": None,
    "GET /session": None,
    "/models/reload": Role.ADMIN,
    "/reviews": Role.REVIEW,
    "/reviews/*": Role.REVIEW,
}
"""The role that a path needs, or a method there; None if it needs no key. `*` matches the rest. All other paths need
`Role.DETECT`."""

SIGN_IN = "POST /session"
"""The request that has its key in its body. It is audited like those that send one in a header."""

SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer KEY"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "Set by POST /session; over HTTPS its name begins with __Host-.",
    },
}
"""The ways to send a key or a session, as OpenAPI describes them."""

REFUSALS = {
    401: "The API key is missing or invalid.",
    403: "The API key's role is not sufficient, or another page sent the session's cookie.",
    429: "Too many requests per minute; retry after the seconds in Retry-After.",
}
"""The refusals of a server with keys, as OpenAPI describes them."""

REFUSALS_WITHOUT_KEYS = {403: "The request comes from another site's page.", 429: REFUSALS[429]}


def needed_role(method: str, path: str) -> Role | None:
    """The role that a method needs at a path or a route's pattern; None if it needs no key."""
    for exact in (f"{method} {path}", path):
        if exact in ROLES:
            return ROLES[exact]
    first, slash, _ = path[1:].partition("/")
    return ROLES.get(f"/{first}/*" if slash else path, Role.DETECT)


class CheckAccess:
    """ASGI middleware that passes a request on, or raises the error that refuses it, before its body is read.

    It fills in `key_name`, `key_id`, `role`, `count_more` and `refused_unknown` of the request's context. A refused
    request gets its route into the scope too, for the log, the metrics and the audit log.
    """

    def __init__(
        self, app: ASGIApp, *, identities: Identities | None, requests: MinuteLimit, routes: Sequence[BaseRoute]
    ) -> None:
        """Check `identities`, of which None admits all clients; `requests` is the limit of each address then."""
        self._app = app
        self._identities = identities
        self._requests = requests
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            role = needed_role(scope["method"], scope["path"])
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
        identities, context = self._identities, context_of(scope)
        if identities is None:
            # Before it is counted: a foreign page must not use up this machine's limit.
            refuse_foreign_page(scope["method"], Headers(scope=scope))
            address = address_of(scope)
            context.count_more = lambda times: self._requests.count(address, times=times)
            await self._requests.count(address)
            return
        if f"{scope['method']} {scope['path']}" == SIGN_IN:
            return
        key = await identities.sender(scope)
        context.key_name, context.key_id, context.role = key.name, key.id, key.role
        context.count_more = lambda times: identities.count(key, times)
        await identities.count(key)
        if not key.role.includes(role):
            raise RoleNeeded(f"the API key has the role {key.role}; this path needs {role}")


def declare_access(app: FastAPI, *, with_keys: bool) -> None:
    """Add the refusals, and the ways to send a key if keys are in use, to the application's OpenAPI description."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        description = describe()
        if with_keys:
            description.setdefault("components", {})["securitySchemes"] = SCHEMES
        for path, operations in description["paths"].items():
            for method, operation in operations.items():
                role = needed_role(method.upper(), path)
                if role is None:
                    continue
                described = inference_error_responses if speaks_open_inference(path) else problem_responses
                can_be_refused = role is not Role.DETECT or method.upper() not in SAFE_METHODS
                statuses = {429, 401, 403} if can_be_refused else {429, 401}
                if with_keys and f"{method.upper()} {path}" != SIGN_IN:
                    operation["security"] = [{name: []} for name in SCHEMES]
                for parameter in operation.get("parameters", ()):
                    parameter["required"] |= parameter["name"] == "reader" and not with_keys
                operation["responses"] |= {
                    str(status): answer
                    for status, answer in described(REFUSALS if with_keys else REFUSALS_WITHOUT_KEYS).items()
                    if status in statuses or not with_keys
                }
        return description

    app.openapi = openapi  # type: ignore[method-assign]
