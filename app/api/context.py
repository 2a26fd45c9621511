"""What the server knows of one request while it answers it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.routing import Mount, Route
from starlette.types import Scope

from app.records.key_file import Role

KEY = "context"
"""Where the scope's state has it."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that are named; clients' inventions are all `other`, so that they fill neither memory nor logs."""


@dataclass(slots=True)
class RequestContext:
    """Created by `Observe`, filled in by the middleware and the route inside it, read when the answer begins.

    Attributes:
        request_id: in the answer, the logs and the audit log.
        key_name: of the API key; None without a valid one.
        key_id: of the API key.
        role: of the API key; a server without keys allows everything.
        refused_unknown: access was refused to a client that did not identify itself.
        problem: slug of the answer's problem.
        audit_fields: what the request's line in the audit log says besides.
        record: writes a further line to the audit log; None if the request is not audited.
        record_in_thread: the same for a thread that may wait for the disk.
        count_more: counts so many further requests of the same client; raises TooManyRequests.
    """

    request_id: str
    key_name: str | None = None
    key_id: str | None = None
    role: Role = Role.ADMIN
    refused_unknown: bool = False
    problem: str | None = None
    audit_fields: dict[str, Any] = field(default_factory=dict)
    record: Callable[[Mapping[str, Any]], Awaitable[None]] | None = None
    record_in_thread: Callable[[Mapping[str, Any]], None] | None = None
    count_more: Callable[[int], Awaitable[None]] | None = None


def context_of(scope: Scope) -> RequestContext:
    """The context of the request with this scope."""
    context: RequestContext = scope["state"][KEY]
    return context


def method_of(scope: Scope) -> str:
    """The request's method, or `other`."""
    method: str = scope["method"]
    return method if method in METHODS else "other"


def route_of(scope: Scope) -> str:
    """The pattern of the request's route, never its path; `unmatched` without a route."""
    route = scope.get("route")
    return route.path if isinstance(route, (Route, Mount)) else "unmatched"
