"""`POST /detect`: screen one photo and answer in the requested format."""

import contextlib
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from app.api.answers import EXAMPLE, ScreeningAnswer, problem_responses
from app.api.body import DICOM, FIELD, read_photo
from app.api.clients import CLIENT_LEFT, in_pieces, unless_client_leaves
from app.api.middleware.audited import note_photo
from app.api.negotiation import MEDIA_TYPES, PICTURE_TYPES, Format, requested_format
from app.api.parameters import AnswerFormat, Frame, Model, PhotoOptions, known_parameters_only
from app.api.service import Service, service_of
from app.screen_photo import STAGES, ScreenedPhoto

router = APIRouter(dependencies=[Depends(known_parameters_only)], default_response_class=Response)

_PICTURE = {"type": "string", "format": "binary"}
_HEADERS = {
    "X-Caries-Verdict": "caries_suspected, no_caries_found or not_assessable.",
    "X-Caries-Reasons": "Why the photo is not assessable, separated by commas.",
    "X-Caries-Model": "Name/version.",
    "X-Caries-Operating-Point": "Name of the operating point; empty if it has none or threshold overrode it.",
    "X-Caries-Teeth-Seen": "Teeth of any class.",
    "X-Caries-Boxes": "Boxes shown.",
    "X-Caries-Hidden": "Further boxes that the box limit hides.",
    "Server-Timing": "Milliseconds by stage.",
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The annotated photo, or the boxes.",
        "model": ScreeningAnswer,
        "content": {
            "application/json": {"example": EXAMPLE},
            **{kind: {"schema": _PICTURE} for kind in PICTURE_TYPES.values()},
        },
        "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in _HEADERS.items()},
    },
    **problem_responses(
        {
            400: "The form does not contain exactly one photo.",
            404: "The model is not live.",
            406: "No acceptable answer format.",
            408: "The photo took too long to arrive.",
            413: "The photo is too large.",
            415: "The body's type or the picture format is not accepted.",
            422: "The photo cannot be read, or a parameter is invalid.",
            503: "Busy or not ready; retry after the seconds in Retry-After.",
            504: "The answer would have come too late; retry after the seconds in Retry-After.",
        }
    ),
}
BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "properties": {FIELD: _PICTURE},
                "additionalProperties": False,
            },
        },
        "image/*": {"schema": _PICTURE},
        DICOM: {"schema": _PICTURE},
        "application/octet-stream": {"schema": _PICTURE},
    },
}


@router.post(
    "/detect",
    responses=_RESPONSES,
    openapi_extra={"requestBody": BODY},
    summary="Screen one photo of teeth for caries",
)
async def detect(
    request: Request,
    options: PhotoOptions,
    format: AnswerFormat[Format] = None,
    model: Model = None,
    frame: Frame = None,
) -> Response:
    """Send a JPEG, PNG, WebP, HEIC or DICOM photo as the file `file` of a form, or as the body itself.

    The answer is the annotated photo (PNG by default, JPEG, WebP) or JSON, by `Accept` or `format`.
    Not a medical device.
    """
    service = service_of(request)
    screener = service.screener
    chosen = requested_format(request, format, MEDIA_TYPES)
    options = replace(options, media_type=PICTURE_TYPES.get(chosen), frame=frame)
    data, screened = b"", None
    try:
        with (
            service.models.use(model) as engine,
            screener.admission.caller_permit(),
            contextlib.suppress(ClientDisconnect),
        ):
            engine.bundle.point(options.operating_point)  # an unknown name is refused before the photo is read
            data = await read_photo(request, service.settings)
            screened = await unless_client_leaves(request, screener.screen(data, options, engine))
    finally:
        await note_photo(request, data or None, screened)
    if screened is None:
        service.metrics.disconnected()
        return Response(status_code=CLIENT_LEFT)
    service.count(screened)
    headers = _headers(screened)
    if screened.picture is None:
        return JSONResponse(screened.as_dict(), headers=headers)
    return _PictureResponse(service, screened.picture, headers, MEDIA_TYPES[chosen])


class _PictureResponse(Response):
    """A picture, which is dropped if its client does not fetch it or the memory is needed."""

    def __init__(self, service: Service, picture: bytes, headers: dict[str, str], media_type: str) -> None:
        super().__init__(picture, headers=headers, media_type=media_type)
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._service.screener.admission.pictures.keep(self, len(self.body)):
                await super().__call__(scope, receive, in_pieces(send))
        except TimeoutError:
            self._service.metrics.disconnected()


def _headers(screened: ScreenedPhoto) -> dict[str, str]:
    screening = screened.screening
    return {
        "Vary": "Accept",
        "Cache-Control": "no-store",
        "X-Caries-Verdict": screening.verdict.value,
        "X-Caries-Reasons": ",".join(reason.value for reason in screening.reasons),
        "X-Caries-Model": f"{screened.bundle.name}/{screened.bundle.version}",
        "X-Caries-Operating-Point": screened.operating_point.name or "",
        "X-Caries-Teeth-Seen": str(screening.teeth_seen),
        "X-Caries-Boxes": str(len(screening.shown)),
        "X-Caries-Hidden": str(screening.hidden_by_max_boxes),
        "Server-Timing": ", ".join(f"{stage};dur={screened.timings_ms[stage]:.2f}" for stage in STAGES),
    }
