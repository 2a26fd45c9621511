"""`POST /detect`: screen one photo and answer in the requested format."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from app.api.answers import EXAMPLE, ScreeningAnswer, problem_responses
from app.api.body import DICOM, FIELD, read_photo
from app.api.clients import CLIENT_LEFT, in_pieces
from app.api.dicom_answers import dicom_body
from app.api.negotiation import DICOM_TYPES, MEDIA_TYPES, PICTURE_TYPES, Format, requested_format
from app.api.parameters import AnswerFormat, Frame, Model, PhotoOptions, known_parameters_only
from app.api.sent_photo import SentPhoto, screen_sent_photo, screening_headers
from app.api.service import Service, service_of
from app.detector.engine import Engine
from app.dicom import require_extra
from app.screen_photo import ScreenedPhoto

router = APIRouter(dependencies=[Depends(known_parameters_only)], default_response_class=Response)

_PICTURE = {"type": "string", "format": "binary"}
_HEADERS = {
    "X-Caries-Verdict": "caries_suspected, no_caries_found or not_assessable.",
    "X-Caries-Reasons": "Why the photo is not assessable, separated by commas.",
    "X-Caries-Model": "Name/version.",
    "X-Caries-Model-SHA256": "Digest of the bundle.",
    "X-Caries-Operating-Point": "Name of the operating point; empty if it has none or threshold overrode it.",
    "X-Caries-Teeth-Seen": "Teeth of any class.",
    "X-Caries-Boxes": "Boxes shown.",
    "X-Caries-Hidden": "Further boxes that the box limit hides.",
    "Server-Timing": "Milliseconds by stage.",
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The annotated photo, the boxes, or DICOM objects.",
        "model": ScreeningAnswer,
        "content": {
            "application/json": {"example": EXAMPLE},
            **{kind: {"schema": _PICTURE} for kind in (PICTURE_TYPES | DICOM_TYPES).values()},
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

    The answer is the annotated photo (PNG by default, JPEG, WebP) or JSON, by `Accept` or `format`; for a DICOM photo
    also a structured report (`application/dicom`), or it and a Secondary Capture (`multipart/related`).
    Not a medical device.
    """
    service = service_of(request)
    _ = service.screener  # a server that is not ready says so first
    chosen = requested_format(request, format, MEDIA_TYPES)
    options = replace(options, media_type=PICTURE_TYPES.get(chosen), frame=frame)
    if chosen is Format.DICOM_RELATED:
        options = replace(options, media_type="image/jpeg", plain=False)
    objects: tuple[bytes, str] | None = None
    if chosen in DICOM_TYPES:
        require_extra()

    async def read(engine: Engine) -> SentPhoto:
        engine.bundle.point(options.operating_point)  # an unknown name is refused before the photo is read
        return SentPhoto(await read_photo(request, service.settings), options)

    async def build(sent: SentPhoto, screened: ScreenedPhoto) -> None:
        nonlocal objects
        objects = await dicom_body(chosen, sent.data, screened, options, service.screener.admission)

    screened = await screen_sent_photo(request, model, read, build if chosen in DICOM_TYPES else None)
    if screened is None:
        return Response(status_code=CLIENT_LEFT)
    headers = {"Vary": "Accept", **screening_headers(screened)}
    if objects is not None:
        body, kind = objects
        return _PictureResponse(service, body, headers, kind)
    if screened.picture is None:
        return JSONResponse(screened.as_dict(), headers=headers)
    return _PictureResponse(service, screened.picture, headers, MEDIA_TYPES[chosen])


class _PictureResponse(Response):
    """A picture or DICOM objects, which are dropped if the client does not fetch them or the memory is needed."""

    def __init__(self, service: Service, picture: bytes, headers: dict[str, str], media_type: str) -> None:
        super().__init__(picture, headers=headers, media_type=media_type)
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._service.screener.admission.pictures.keep(self, len(self.body)):
                await super().__call__(scope, receive, in_pieces(send))
        except TimeoutError:
            self._service.metrics.disconnected()
