"""`POST /detect/batch`: screen several photos; a bad one does not affect the others.

The photos of a batch are screened concurrently, and share the photo permits with other requests.
"""

import asyncio
from collections import deque
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from app.api.answers import BatchAnswer, problem_responses
from app.api.batch_answers import WRITERS, AsJson, AsLines, Result
from app.api.body import BATCH_FIELDS, DICOM, ZIP_TYPES, Source, read_batch
from app.api.clients import CLIENT_LEFT, in_pieces, unless_client_leaves
from app.api.context import context_of
from app.api.negotiation import BATCH_MEDIA_TYPES, BatchFormat, requested_format
from app.api.parameters import AnswerFormat, Model, PhotoOptions, known_parameters_only
from app.api.problems import content_of
from app.api.sent_photo import screen_one_of_several
from app.api.service import service_of
from app.detector.engine import Engine
from app.screen_photo import Options, ScreenedPhoto

router = APIRouter(dependencies=[Depends(known_parameters_only)], default_response_class=Response)

_BINARY = {"type": "string", "format": "binary"}
_FILES = {"type": "array", "items": {"type": "string", "contentMediaType": "application/octet-stream"}, "minItems": 1}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A result for each photo. Indices count from 1 in the order sent. A line of "
        "`application/x-ndjson` is one entry of `results`, sent when it is done; `application/zip` contains the "
        "annotated photos as `0001.png` and so on, and the JSON answer as `results.json`.",
        "model": BatchAnswer,
        "content": {
            BATCH_MEDIA_TYPES[BatchFormat.NDJSON]: {"schema": {"type": "string"}},
            BATCH_MEDIA_TYPES[BatchFormat.ZIP]: {"schema": _BINARY},
        },
    },
    **problem_responses(
        {
            400: "The form or the zip archive cannot be read, or contains no photos.",
            404: "The model is not live.",
            406: "No acceptable answer format.",
            408: "The photos took too long to arrive.",
            413: "Too many photos or too many bytes.",
            415: "The body's type is not accepted.",
            422: "A parameter is invalid.",
            503: "Busy or not ready; retry after the seconds in Retry-After.",
        }
    ),
}
BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "anyOf": [{"required": [field]} for field in BATCH_FIELDS],
                "properties": dict.fromkeys(BATCH_FIELDS, _FILES),
                "additionalProperties": False,
            },
        },
        ZIP_TYPES[0]: {"schema": _BINARY},
        DICOM: {"schema": _BINARY},
    },
}


@router.post(
    "/detect/batch",
    responses=_RESPONSES,
    openapi_extra={"requestBody": BODY},
    summary="Screen several photos of teeth for caries",
)
async def detect_batch(
    request: Request,
    options: PhotoOptions,
    format: AnswerFormat[BatchFormat] = None,
    model: Model = None,
) -> Response:
    """Send photos as the files `files` of a form, or a zip archive as the only file of the form or as the body itself.
    The body may also be a DICOM file. Every frame of a DICOM file counts as a photo.

    The answer is JSON, a line for each photo as soon as it is done, or a zip of annotated photos, by `Accept` or
    `format`. A photo that cannot be screened has a problem in place of its result. File names are ignored. Each photo
    counts as one request in the limit per minute. Not a medical device.
    """
    chosen = requested_format(request, format, BATCH_MEDIA_TYPES)
    if chosen is BatchFormat.ZIP:
        options = replace(options, media_type="image/png")
    return _Answer(request, chosen, options, model)


class _Answer(Response):
    """Reads the batch, screens its photos and sends the results, all under one permit."""

    def __init__(self, request: Request, chosen: BatchFormat, options: Options, model: str | None) -> None:
        super().__init__()
        self._request, self._chosen, self._options, self._model = request, chosen, options, model
        self._service = service_of(request)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; errors are raised until the answer has begun."""
        service, writer = self._service, WRITERS[self._chosen](scope, receive, in_pieces(send))
        admission, stayed = service.screener.admission, None
        try:
            with service.models.use(self._model) as engine, admission.batch_permit():
                engine.bundle.point(self._options.operating_point)  # refuses the batch before any photo is read
                sources = await read_batch(self._request, service.settings, admission.batch_photo_permits)
                context = context_of(scope)
                if context.count_more:
                    await context.count_more(len(sources) - 1)
                context.audit_fields = {"photos": len(sources)}
                await writer.begin()
                stayed = await unless_client_leaves(self._request, self._screen_all(sources, engine, writer))
            if stayed:
                await writer.end()
                return
        except* (ClientDisconnect, TimeoutError):
            pass
        service.metrics.disconnected()
        if not writer.begun:
            await Response(status_code=CLIENT_LEFT)(scope, receive, send)

    async def _screen_all(self, sources: list[Source], engine: Engine, writer: AsJson | AsLines) -> bool:
        """Screen the photos concurrently and write each result as soon as it is there."""
        # So that the memory of finished photos is freed while others wait.
        waiting = deque(enumerate(sources, 1))
        sources.clear()
        writing = asyncio.Lock()

        async def work_off() -> None:
            while waiting:
                await write(*await self._screen_one(*waiting.popleft(), engine))

        async def write(result: Result, picture: bytes | None) -> None:
            keep, size = self._service.screener.admission.pictures.keep, len(picture or b"")
            # Counted twice while it is written, for the archive's copy.
            async with keep(self, size), writing, keep(self, size):
                await writer.add(result, picture)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(waiting), self._service.screener.admission.batch_concurrency)):
                group.create_task(work_off())
        return True

    async def _screen_one(self, index: int, source: Source, engine: Engine) -> tuple[Result, bytes | None]:
        """The result of a photo, once it is recorded, and its picture, if requested."""
        head = {"index": index} if source.frame is None else {"index": index, "frame": source.frame}
        options = self._options if source.frame is None else replace(self._options, frame=source.frame)
        result = await screen_one_of_several(self._request, index, source.read, options, engine)
        if isinstance(result, ScreenedPhoto):
            return {**head, **result.as_dict()}, result.picture
        return {**head, "problem": content_of(self._request, result)}, None
