"""`GET /`: the page for browsers, and the interactive description for programs."""

import asyncio
from enum import StrEnum

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from app.api.negotiation import choose_format
from app.api.service import service_of
from app.errors import NotAcceptable
from app.page.built_files import PARTS, POLICY, read_index, read_part

router = APIRouter(include_in_schema=False)


class Reader(StrEnum):
    """Who reads the answer to `GET /`."""

    PROGRAM = "program"
    BROWSER = "browser"


READERS = {Reader.PROGRAM: "application/json", Reader.BROWSER: "text/html"}
"""In this order, so that a client that accepts everything counts as a program."""


@router.get("/")
async def root(request: Request) -> Response:
    """The page; to a client that does not ask for HTML, a redirect to `/docs` if that is served."""
    if _reader(request) is Reader.BROWSER:
        page = await asyncio.to_thread(read_index)
        return Response(
            page.content, media_type=page.media_type, headers={"Content-Security-Policy": POLICY, "Vary": "Accept"}
        )
    if not service_of(request).settings.docs:
        raise HTTPException(404)
    return RedirectResponse("/docs")


@router.get(f"/{PARTS}/{{name}}")
async def part(name: str) -> Response:
    """A script, style sheet or icon of the page. It never changes under its name."""
    file = await asyncio.to_thread(read_part, name)
    if file is None:
        raise HTTPException(404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(file.content, media_type=file.media_type, headers=headers)


def _reader(request: Request) -> Reader:
    try:
        return choose_format(", ".join(request.headers.getlist("accept")), READERS)
    except NotAcceptable:
        return Reader.PROGRAM
