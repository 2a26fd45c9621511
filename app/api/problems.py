"""The one table of errors, and the RFC 9457 `application/problem+json` answers made from it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import errors
from app.process.metrics import Metrics

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
ECHO_LENGTH = 60
"""Longest part of a client's value that a problem repeats."""


class BadForm(errors.CariesError):
    """The multipart form is malformed, or does not hold the photo or photos asked for."""


class UnsupportedMediaType(errors.CariesError):
    """The body's Content-Type or Content-Encoding is not accepted."""


class NotAcceptable(errors.CariesError):
    """Nothing that Accept allows can be answered."""


class InvalidParameter(errors.CariesError):
    """A query parameter is unknown, repeated or out of range."""


class UploadTooSlow(errors.CariesError):
    """The body did not arrive in time."""


class ShuttingDown(errors.CariesError):
    """The server takes no more requests."""


class KeyNeeded(errors.CariesError):
    """The request holds no API key, or one that is not in force."""


class RoleNeeded(errors.CariesError):
    """The API key's role does not reach."""


class ForeignPage(errors.CariesError):
    """A page of another site asked through somebody's browser, where no key would keep it out."""


class TooManyRequests(errors.CariesError):
    """A limit of requests in a minute is passed.

    Attributes:
        retry_after_s: seconds until requests are taken again.
    """

    def __init__(self, message: str, retry_after_s: int = 60) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotReady(errors.CariesError):
    """The detector is being loaded, or could not be loaded."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of error as clients see it.

    Attributes:
        status: of the HTTP answer.
        slug: last part of the problem's `type`, stable across releases.
        title: the same for every occurrence.
        retry_after_s: seconds after which trying again is sensible, None where it is not; an error may know better.
    """

    status: int
    slug: str
    title: str
    retry_after_s: int | None = None

    @property
    def type(self) -> str:
        """The problem's `type`: an address of this server that describes it."""
        return f"/problems/{self.slug}"

    def as_dict(self) -> dict[str, Any]:
        """What every answer of this kind says."""
        return {"type": self.type, "title": self.title, "status": self.status}


PROBLEMS: Mapping[type[Exception], Problem] = {
    BadForm: Problem(400, "bad-form", "The form does not hold what is asked for"),
    errors.BadArchive: Problem(400, "bad-archive", "The zip archive cannot be read"),
    KeyNeeded: Problem(401, "key-needed", "An API key in force is needed"),
    RoleNeeded: Problem(403, "role-needed", "The API key's role does not allow this"),
    ForeignPage: Problem(403, "foreign-page", "Pages of other sites are not answered"),
    UploadTooSlow: Problem(408, "upload-too-slow", "The photo took too long to arrive"),
    errors.UnknownModel: Problem(404, "unknown-model", "There is no such model"),
    NotAcceptable: Problem(406, "not-acceptable", "No acceptable answer format"),
    errors.ReloadRefused: Problem(409, "reload-refused", "The live model stays as it is"),
    errors.ReloadRunning: Problem(409, "reload-running", "Another reload is running"),
    errors.PhotoTooLarge: Problem(413, "photo-too-large", "The photo is too large"),
    errors.BatchTooLarge: Problem(413, "batch-too-large", "The batch is too large"),
    UnsupportedMediaType: Problem(415, "unsupported-media-type", "The body's type is not accepted"),
    errors.UnsupportedPhoto: Problem(415, "unsupported-photo", "The picture format is not accepted"),
    errors.UnreadablePhoto: Problem(422, "unreadable-photo", "The photo cannot be read"),
    InvalidParameter: Problem(422, "invalid-parameter", "A parameter is not allowed"),
    RequestValidationError: Problem(422, "invalid-parameter", "A parameter is not allowed"),
    TooManyRequests: Problem(429, "too-many-requests", "Too many requests in a minute", retry_after_s=60),
    errors.Overloaded: Problem(503, "overloaded", "The server is busy", retry_after_s=1),
    errors.DeadlineExceeded: Problem(504, "deadline-exceeded", "The answer would have come too late", retry_after_s=2),
    ShuttingDown: Problem(503, "shutting-down", "The server is shutting down", retry_after_s=1),
    NotReady: Problem(503, "not-ready", "The detector is not ready", retry_after_s=1),
    errors.RuntimeUnavailable: Problem(503, "runtime-unavailable", "The detector is not running", retry_after_s=5),
    errors.WorkerDied: Problem(503, "worker-died", "The detector crashed on this photo", retry_after_s=1),
    errors.AuditError: Problem(503, "audit-failed", "The answer could not be put on record", retry_after_s=5),
    errors.BundleError: Problem(503, "bundle-error", "The model's files cannot be used", retry_after_s=60),
    Exception: Problem(500, "internal-error", "The server made a mistake"),
}
"""What each error is answered with; a class without a row has that of its nearest base."""

HTTP_PROBLEMS = {
    404: Problem(404, "not-found", "Nothing is served at this address"),
    405: Problem(405, "method-not-allowed", "The method is not allowed at this address"),
}
"""What the router's own errors are answered with."""

MALFORMED = Problem(400, "malformed-request", "The request is not HTTP")
"""What the protocol answers before there is a request."""

BY_SLUG = {problem.slug: problem for problem in (*PROBLEMS.values(), *HTTP_PROBLEMS.values(), MALFORMED)}


def problem_of(error: Exception) -> Problem:
    """The row of the table for an error."""
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        return HTTP_PROBLEMS.get(
            error.status_code, Problem(error.status_code, phrase.lower().replace(" ", "-"), phrase)
        )
    return next(PROBLEMS[kind] for kind in type(error).__mro__ if kind in PROBLEMS)


def quoted(value: object) -> str:
    """A client's value as a message repeats it: quoted, escaped and cut."""
    text = str(value)
    return repr(text if len(text) <= ECHO_LENGTH else text[:ECHO_LENGTH] + "...")


def content_of(request: Request, error: Exception) -> dict[str, Any]:
    """What the answer to an error says, ready for JSON."""
    return {**problem_of(error).as_dict(), "detail": _detail(request, error)}


Answer = Callable[[Request, Exception], Awaitable[JSONResponse]]


def install(app: FastAPI, metrics: Metrics) -> Answer:
    """Answers every error of the application with problem+json, and counts it.

    Returns:
        What makes an answer of an error, for middleware, whose errors no handler sees.
    """

    async def answer(request: Request, error: Exception) -> JSONResponse:
        problem = problem_of(error)
        metrics.problem(problem.slug)
        request.state.problem = problem.slug
        content = content_of(request, error)
        headers = {"Cache-Control": "no-store"}
        if problem.retry_after_s is not None:
            headers["Retry-After"] = str(getattr(error, "retry_after_s", problem.retry_after_s))
        if isinstance(error, HTTPException):
            headers.update(error.headers or {})
        if isinstance(error, KeyNeeded):
            headers["WWW-Authenticate"] = "Bearer"
        if isinstance(error, NotAcceptable):
            headers["Vary"] = "Accept"
        if isinstance(error, (UploadTooSlow, ShuttingDown)):
            headers["Connection"] = "close"
        return JSONResponse(content, problem.status, headers, media_type=MEDIA_TYPE)

    for kind in (errors.CariesError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer)
    app.add_middleware(CatchMistakes, answer=answer)
    return answer


class CatchMistakes:
    """ASGI middleware that answers whatever nobody caught from the table, and logs it unless it is deliberate.

    Middleware inside it may raise the errors of the table; the application's own handlers do not see those.

    Starlette's own handler for it raises the exception again, which makes uvicorn drop the client's connection.
    """

    def __init__(self, app: ASGIApp, *, answer: Answer) -> None:
        self._app = app
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception as error:
            if scope["type"] != "http" or started:
                raise
            if not isinstance(error, errors.CariesError):
                logger.exception(
                    "%s at %s failed", scope["method"], getattr(scope.get("route"), "path", "an unknown address")
                )
            response = await self._answer(Request(scope), error)
            await response(scope, receive, send)


def _detail(request: Request, error: Exception) -> str:
    if isinstance(error, RequestValidationError):
        return "; ".join(
            f"{entry['loc'][-1]} is {quoted(entry.get('input'))}: {entry['msg'].lower()}" for entry in error.errors()
        )
    if isinstance(error, HTTPException):
        if error.status_code == 404:
            hint = "; see /docs" if request.app.openapi_url else ""
            return f"nothing is served at {quoted(request.url.path)}{hint}"
        if error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "another method")
            return f"{request.method} is not allowed at {quoted(request.url.path)}; use {allowed}"
        return str(error.detail)
    if isinstance(error, errors.CariesError) and not isinstance(error, errors.BundleError):
        return str(error)
    if isinstance(error, errors.UnknownModel):
        return str(error)
    return "the cause is in the server's log"
