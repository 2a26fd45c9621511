"""What the server knows of one request while it answers it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Scope

KEY = "context"
"""Where the scope's state has it."""


@dataclass(slots=True)
class RequestContext:
    """Created by `Observe`, filled in by the middleware and the route inside it, read when the answer begins.

    Attributes:
        request_id: in the answer, the logs and the audit log.
        key_name: of the API key; None without a valid one.
        refused_unknown: access was refused to a client that did not identify itself.
        problem: slug of the answer's problem.
        audit_fields: what the request's line in the audit log says besides.
        record: writes a further line to the audit log; None if the request is not audited.
        count_more: counts so many further requests of the same client; raises TooManyRequests.
    """

    request_id: str
    key_name: str | None = None
    refused_unknown: bool = False
    problem: str | None = None
    audit_fields: dict[str, Any] = field(default_factory=dict)
    record: Callable[[Mapping[str, Any]], Awaitable[None]] | None = None
    count_more: Callable[[int], Awaitable[None]] | None = None


def context_of(scope: Scope) -> RequestContext:
    """The context of the request with this scope."""
    context: RequestContext = scope["state"][KEY]
    return context
