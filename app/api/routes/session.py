"""`/session`: the page signs in with an API key, and out."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers

from app.api.answers import body_schema, problem_responses
from app.api.body import read_json
from app.api.context import context_of
from app.api.identities import Identities, cookie_name, identities_of, sent_token
from app.api.origins import is_https, refuse_forged, refuse_plain_http
from app.api.parameters import known_parameters_only
from app.api.rate_limits import address_of
from app.api.service import service_of
from app.errors import InvalidParameter
from app.records.key_file import Role

MAX_BODY_BYTES = 1024
"""A key and its JSON need a tenth."""

router = APIRouter(prefix="/session", dependencies=[Depends(known_parameters_only)])
with_keys = APIRouter(prefix="/session", dependencies=[Depends(known_parameters_only)])
"""Served only by a server with API keys."""


class SentKey(BaseModel):
    """The key to sign in with."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key: str = Field(min_length=1, max_length=200)


class SessionAnswer(BaseModel):
    """A session that was started."""

    name: str = Field(description="Of the API key.")
    role: Role
    expires_at: datetime


class SessionState(BaseModel):
    """What the page asks first."""

    required: bool = Field(description="Whether the server has API keys, so that the page has to sign in.")
    name: str | None = Field(description="Of the API key that the session stands for; null without a session.")
    role: Role | None
    expires_at: datetime | None
    reviews: bool = Field(description="Whether the server keeps photos for review.")


_ERRORS = problem_responses(
    {
        408: "The body took too long to arrive.",
        422: "The body is invalid.",
        503: "Busy, or the sessions cannot be stored; retry after the seconds in Retry-After.",
    }
)


@router.get(
    "",
    responses=problem_responses(
        {
            422: "A parameter is invalid.",
            429: "Too many cookies of no session; retry after the seconds in Retry-After.",
            503: "The sessions cannot be read.",
        }
    ),
    summary="Show who is signed in",
)
async def show(request: Request, response: Response) -> SessionState:
    """Whether the server needs a sign-in, and the session of the request's cookie."""
    identities, signed_in = identities_of(request), None
    if identities is not None and sent_token(request.scope):
        signed_in = await identities.signed_in(request.scope)
        if signed_in is None:
            _set_cookie(request, response, "", 0)
    return SessionState(
        required=identities is not None,
        name=signed_in.key.name if signed_in else None,
        role=signed_in.key.role if signed_in else None,
        expires_at=signed_in.session.expires_at if signed_in else None,
        reviews=service_of(request).reviews is not None,
    )


@with_keys.post(
    "",
    status_code=201,
    responses=_ERRORS,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": body_schema(SentKey)}}}
    },
    summary="Sign in",
)
async def sign_in(request: Request, response: Response) -> SessionAnswer:
    """Start a session, in place of that of the request's cookie. It ends with the key, by `DELETE`, or in time.

    Over plain HTTP only a browser on the server's own machine can sign in.
    """
    identities, scope, headers = _identities(request), request.scope, request.headers
    context, settings = context_of(scope), service_of(request).settings
    context.audit_fields, context.refused_unknown = {"event": "sign_in"}, True
    refuse_forged(request.method, headers, by_cookie=False)
    refuse_plain_http(scope["scheme"], headers)
    sent = await read_json(request, SentKey, max_bytes=MAX_BODY_BYTES, upload_s=settings.upload_s, is_secret=True)
    if sent is None:
        raise InvalidParameter('the body is empty; send {"key": "..."} as JSON')
    key = await identities.verify(sent.key, address_of(scope))
    context.key_name, context.key_id, context.refused_unknown = key.name, key.id, False
    await identities.count(key)
    if replaced := sent_token(scope):
        await identities.sessions.end(replaced)
    token, session = await identities.sessions.start(key)
    _set_cookie(request, response, token, settings.session_s)
    return SessionAnswer(name=key.name, role=key.role, expires_at=session.expires_at)


@with_keys.delete("", status_code=204, responses=_ERRORS, summary="Sign out")
async def sign_out(
    request: Request,
    response: Response,
    everywhere: Annotated[bool, Query(description="End every session of the key, not only this one.")] = False,
) -> None:
    """End the session of the request's cookie, or every one of the key's."""
    identities, context = _identities(request), context_of(request.scope)
    context.audit_fields = {"event": "sign_out"}
    if token := sent_token(request.scope):
        await identities.sessions.end(token)
    if everywhere:
        assert context.key_id is not None, "the request was admitted by its key"
        context.audit_fields["sessions"] = await identities.sessions.end_all(context.key_id)
    _set_cookie(request, response, "", 0)


def _identities(request: Request) -> Identities:
    identities = identities_of(request)
    assert identities is not None, "the route is served with keys only"
    return identities


def _set_cookie(request: Request, response: Response, token: str, seconds: int) -> None:
    """Give the browser a token for some seconds; 0 removes it."""
    secure = is_https(request.scope["scheme"], Headers(scope=request.scope))
    response.set_cookie(
        cookie_name(request.scope), token, max_age=seconds, path="/", secure=secure, httponly=True, samesite="strict"
    )
