"""The table from error to answer, and the RFC 9457 `application/problem+json` answers it gives."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app import errors
from app.api.accept import prefers_korean
from app.api.context import context_of, method_of, route_of
from app.process.metrics import Metrics

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
OPEN_INFERENCE = "/v2"
"""Path of the Open Inference Protocol, whose errors are `{"error": "..."}`."""

MAX_ECHO = 60
"""Characters of a client's value that a problem repeats."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The answer to one kind of error.

    Attributes:
        slug: last part of the problem's `type`, stable across releases.
        title: the same for every occurrence.
        retry_after_s: seconds after which a retry makes sense; None if it does not. The error may know better.
        headers: further headers of the answer.
        confidential: the error's message is logged and not sent, as it may name the server's files.
    """

    status: int
    slug: str
    title: str
    retry_after_s: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    confidential: bool = False

    @property
    def type(self) -> str:
        """The problem's `type`: the path on this server that explains it."""
        return f"/problems/{self.slug}"

    def as_dict(self) -> dict[str, Any]:
        """The members that all answers of this kind share."""
        return {"type": self.type, "title": self.title, "status": self.status}


_CLOSE = {"Connection": "close"}

PROBLEMS: Mapping[type[Exception], Problem] = {
    errors.BadForm: Problem(400, "bad-form", "The form is not as expected"),
    errors.BadArchive: Problem(400, "bad-archive", "The zip archive cannot be read"),
    errors.KeyNeeded: Problem(401, "key-needed", "A valid API key is required", headers={"WWW-Authenticate": "Bearer"}),
    errors.RoleNeeded: Problem(403, "role-needed", "The API key's role does not allow this"),
    errors.ForeignPage: Problem(403, "foreign-page", "Requests from other sites' pages are refused"),
    errors.ForgedRequest: Problem(403, "forged-request", "The request does not come from this server's page"),
    errors.HttpsNeeded: Problem(403, "https-needed", "Signing in needs HTTPS"),
    errors.UnknownModel: Problem(404, "unknown-model", "No such model"),
    errors.UnknownPhoto: Problem(404, "unknown-photo", "No such photo"),
    errors.NotAcceptable: Problem(406, "not-acceptable", "No acceptable answer format", headers={"Vary": "Accept"}),
    errors.UploadTooSlow: Problem(408, "upload-too-slow", "The upload took too long", headers=_CLOSE),
    errors.ReloadRefused: Problem(409, "reload-refused", "The live model was not replaced"),
    errors.ReloadRunning: Problem(409, "reload-running", "Another reload is running"),
    errors.ReviewConflict: Problem(409, "review-conflict", "The review changed meanwhile"),
    errors.ReadingClosed: Problem(409, "reading-closed", "The readings are closed"),
    errors.PhotoTooLarge: Problem(413, "photo-too-large", "The photo is too large"),
    errors.BatchTooLarge: Problem(413, "batch-too-large", "The batch is too large"),
    errors.UnsupportedMediaType: Problem(415, "unsupported-media-type", "The body's type is not accepted"),
    errors.UnsupportedPhoto: Problem(415, "unsupported-photo", "The picture format is not accepted"),
    errors.UnreadablePhoto: Problem(422, "unreadable-photo", "The photo cannot be read"),
    errors.InvalidParameter: Problem(422, "invalid-parameter", "A parameter is invalid"),
    RequestValidationError: Problem(422, "invalid-parameter", "A parameter is invalid"),
    errors.TooManyRequests: Problem(429, "too-many-requests", "Too many requests per minute", 60),
    errors.Overloaded: Problem(503, "overloaded", "The server is busy", 1),
    errors.ShuttingDown: Problem(503, "shutting-down", "The server is shutting down", 1, _CLOSE),
    errors.NotReady: Problem(503, "not-ready", "The detector is not ready", 1),
    errors.RuntimeUnavailable: Problem(503, "runtime-unavailable", "The detector is not running", 5),
    errors.WorkerDied: Problem(503, "worker-died", "The detector crashed on this photo", 1),
    errors.AuditError: Problem(503, "audit-failed", "The answer could not be recorded", 5),
    errors.ReviewStoreError: Problem(503, "review-store-failed", "The review store cannot be used", 5),
    errors.LabelStudioError: Problem(503, "label-studio-failed", "Label Studio did not send the photo", 5),
    errors.BundleError: Problem(503, "bundle-error", "The model's files cannot be used", 60, confidential=True),
    errors.DeadlineExceeded: Problem(504, "deadline-exceeded", "The answer would have come too late", 2),
    Exception: Problem(500, "internal-error", "Internal server error", confidential=True),
}
"""The answer to each error; a class without a row has the one of its nearest base."""

HTTP_PROBLEMS = {
    404: Problem(404, "not-found", "Nothing is served at this path"),
    405: Problem(405, "method-not-allowed", "The method is not allowed at this path"),
}
"""The answers to the router's own errors."""

MALFORMED = Problem(400, "malformed-request", "The request is not valid HTTP")
"""The answer to bytes that are not a request."""

BY_SLUG = {problem.slug: problem for problem in (*PROBLEMS.values(), *HTTP_PROBLEMS.values(), MALFORMED)}

TITLES_KO = {
    "bad-form": "양식에 사진이 올바르게 들어 있지 않습니다",
    "bad-archive": "zip 파일을 읽을 수 없습니다",
    "key-needed": "올바른 API 키가 필요합니다",
    "role-needed": "이 API 키의 권한으로는 할 수 없는 작업입니다",
    "foreign-page": "다른 사이트의 페이지에서 온 요청은 받지 않습니다",
    "forged-request": "이 서버의 페이지에서 보낸 요청이 아닙니다",
    "https-needed": "로그인하려면 HTTPS 연결이 필요합니다",
    "unknown-model": "해당 모델이 없습니다",
    "unknown-photo": "해당 사진이 없습니다",
    "not-acceptable": "요청한 형식으로는 답할 수 없습니다",
    "upload-too-slow": "업로드가 너무 오래 걸렸습니다",
    "reload-refused": "사용 중인 모델을 교체하지 않았습니다",
    "reload-running": "모델을 이미 다시 불러오는 중입니다",
    "review-conflict": "그사이에 판독 기록이 변경되었습니다. 다시 불러와 주십시오",
    "reading-closed": "판독이 모두 끝나 더는 수정할 수 없습니다",
    "photo-too-large": "사진이 너무 큽니다",
    "batch-too-large": "한 번에 보낸 사진이 너무 많거나 큽니다",
    "unsupported-media-type": "이 형식의 데이터는 받지 않습니다",
    "unsupported-photo": "지원하지 않는 사진 형식입니다",
    "unreadable-photo": "사진이 손상되었거나 불완전하여 읽을 수 없습니다",
    "invalid-parameter": "요청 값이 올바르지 않습니다",
    "too-many-requests": "1분 동안의 요청이 너무 많습니다. 잠시 후 다시 시도해 주십시오",
    "overloaded": "서버가 혼잡합니다. 잠시 후 다시 시도해 주십시오",
    "shutting-down": "서버를 종료하는 중입니다",
    "not-ready": "검출기를 준비하는 중입니다. 잠시 후 다시 시도해 주십시오",
    "runtime-unavailable": "검출기가 실행되고 있지 않습니다",
    "worker-died": "이 사진을 처리하던 중 검출기가 중단되었습니다",
    "audit-failed": "감사 로그에 기록하지 못해 결과를 보내지 않았습니다",
    "review-store-failed": "판독 저장소를 사용할 수 없습니다",
    "label-studio-failed": "Label Studio에서 사진을 받지 못했습니다",
    "bundle-error": "모델 파일을 사용할 수 없습니다",
    "deadline-exceeded": "제한 시간 안에 처리하지 못했습니다. 다시 시도해 주십시오",
    "internal-error": "서버 내부 오류가 발생했습니다",
    "not-found": "요청한 주소를 찾을 수 없습니다",
    "method-not-allowed": "이 주소에서는 지원하지 않는 요청입니다",
    "malformed-request": "올바른 HTTP 요청이 아닙니다",
}
"""The titles by slug, for clients whose `Accept-Language` prefers Korean."""

HANDLED = (errors.CariesError, RequestValidationError, HTTPException)
"""The errors for which an application needs handlers; `AlwaysAnswer` answers all others."""

Answer = Callable[[Request, Exception], Awaitable[JSONResponse]]
"""Creates the answer to an error."""


def problem_of(error: Exception) -> Problem:
    """The row for an error."""
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        other = Problem(error.status_code, phrase.lower().replace(" ", "-"), phrase)
        return HTTP_PROBLEMS.get(error.status_code, other)
    return next(PROBLEMS[kind] for kind in type(error).__mro__ if kind in PROBLEMS)


def title_of(problem: Problem, request: Request) -> str:
    """The problem's title in the client's language."""
    if prefers_korean(request.headers.getlist("accept-language")):
        return TITLES_KO.get(problem.slug, problem.title)
    return problem.title


def quoted(value: object) -> str:
    """A client's value as messages repeat it: quoted, escaped and cut to `MAX_ECHO`."""
    text = str(value)
    return repr(text if len(text) <= MAX_ECHO else text[:MAX_ECHO] + "...")


def content_of(request: Request, error: Exception) -> dict[str, Any]:
    """The JSON content of the answer to an error; its title is in the client's language."""
    problem = problem_of(error)
    return {**problem.as_dict(), "title": title_of(problem, request), "detail": _detail(request, error)}


def speaks_open_inference(path: str) -> bool:
    """Whether a path belongs to the Open Inference Protocol."""
    return path == OPEN_INFERENCE or path.startswith(f"{OPEN_INFERENCE}/")


def problem_answers(metrics: Metrics) -> Answer:
    """The function that answers errors in the form of their protocol and counts them."""

    async def answer(request: Request, error: Exception) -> JSONResponse:
        problem = problem_of(error)
        metrics.problem(problem.slug)
        context_of(request.scope).problem = problem.slug
        if problem.confidential:
            logger.error("%s %s failed", method_of(request.scope), route_of(request.scope), exc_info=error)
        headers = {"Cache-Control": "no-store", **problem.headers}
        retry_after_s = error.retry_after_s if isinstance(error, errors.TooManyRequests) else problem.retry_after_s
        if retry_after_s is not None:
            headers["Retry-After"] = str(retry_after_s)
        if isinstance(error, HTTPException):
            headers.update(error.headers or {})
            if error.status_code == 405:
                headers["Allow"] = _allowed(request, error)
        if speaks_open_inference(request.scope["path"]):
            return JSONResponse({"error": _detail(request, error)}, problem.status, headers)
        return JSONResponse(content_of(request, error), problem.status, headers, media_type=MEDIA_TYPE)

    return answer


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
            return f"{request.method} is not allowed at {quoted(request.url.path)}; use {_allowed(request, error)}"
        return str(error.detail)
    return "the server's log has the cause" if problem_of(error).confidential else str(error)


def _allowed(request: Request, error: HTTPException) -> str:
    """The methods of all routes at the request's path; Starlette names those of the first."""
    methods = set((error.headers or {}).get("Allow", "").split(", "))
    for route in request.app.state.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods
    return ", ".join(sorted(methods))
