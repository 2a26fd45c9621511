"""`/v2`: the Open Inference Protocol, for the clients of Triton and KServe."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel

from app import distribution_version
from app.api.answers import body_schema, inference_error_responses
from app.api.clients import CLIENT_LEFT
from app.api.open_inference import (
    HEADER_LENGTH,
    InferAnswer,
    InferRequest,
    ModelMetadata,
    encode_answer,
    model_metadata,
    read_infer_request,
)
from app.api.parameters import known_parameters_only
from app.api.problems import OPEN_INFERENCE, quoted
from app.api.sent_photo import SentPhoto, screen_sent_photo, screening_headers
from app.api.service import service_of
from app.detector.engine import Engine
from app.errors import NotReady, UnknownModel

router = APIRouter(prefix=OPEN_INFERENCE, dependencies=[Depends(known_parameters_only)])

_NOT_LIVE = {404: "The model or version is not live.", 422: "A parameter is invalid.", 503: "Not ready."}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The output tensors; binary ones follow the JSON.",
        "model": InferAnswer,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "headers": {HEADER_LENGTH: {"description": "Bytes of the JSON.", "schema": {"type": "integer"}}},
    },
    **inference_error_responses(
        {
            404: "The model or version is not live.",
            408: "The photo took too long to arrive.",
            413: "The photo is too large.",
            415: "The body is compressed, or the picture format is not accepted.",
            422: "The request does not follow the protocol, or the photo cannot be read.",
            503: "Busy or not ready; retry after the seconds in Retry-After.",
            504: "The answer would have come too late; retry after the seconds in Retry-After.",
        }
    ),
}
_REQUEST = {
    "parameters": [
        {
            "name": HEADER_LENGTH,
            "in": "header",
            "required": False,
            "description": "Bytes of the JSON, if a binary tensor follows it.",
            "schema": {"type": "integer", "minimum": 1},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": body_schema(InferRequest)},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    },
}


class Live(BaseModel):
    """A passed liveness check."""

    live: bool


class Ready(BaseModel):
    """A passed readiness check."""

    ready: bool


class ModelReady(Ready):
    """A model that is ready."""

    name: str


class ServerMetadata(BaseModel):
    """The server."""

    name: str
    version: str
    extensions: list[str]


@router.get("", summary="Describe the server")
async def server() -> ServerMetadata:
    """Its name, version and extensions of the protocol."""
    return ServerMetadata(name="caries-screen", version=distribution_version(), extensions=["binary_tensor_data"])


@router.get("/health/live", summary="Check that the server is alive")
async def live() -> Live:
    """Answers as soon as the process serves HTTP."""
    return Live(live=True)


@router.get(
    "/health/ready",
    responses=inference_error_responses({503: _NOT_LIVE[503]}),
    summary="Check that photos are accepted",
)
async def ready(request: Request) -> Ready:
    """The same as `/health/ready`."""
    service_of(request).check_ready()
    return Ready(ready=True)


@router.get(
    "/models/{model}/versions/{version}", responses=inference_error_responses(_NOT_LIVE), summary="Describe a version"
)
@router.get("/models/{model}", responses=inference_error_responses(_NOT_LIVE), summary="Describe a model")
async def model(request: Request, model: str, version: str | None = None) -> ModelMetadata:
    """The live version and its tensors."""
    service = service_of(request)
    _ = service.screener
    with service.models.use(model) as engine:
        _check_version(engine, version)
        return model_metadata(engine.bundle.name, engine.bundle.version, engine.runtime.name)


@router.get(
    "/models/{model}/versions/{version}/ready",
    responses=inference_error_responses(_NOT_LIVE),
    summary="Check that a version is live",
)
@router.get(
    "/models/{model}/ready", responses=inference_error_responses(_NOT_LIVE), summary="Check that a model is live"
)
async def model_ready(request: Request, model: str, version: str | None = None) -> ModelReady:
    """Answers 200 if photos can be sent to it."""
    service = service_of(request)
    service.check_ready()
    with service.models.use(model) as engine:
        _check_version(engine, version)
        if not engine.ready:
            raise NotReady("the detector has stopped; the cause is in the server's log")
        return ModelReady(name=model, ready=True)


@router.post(
    "/models/{model}/versions/{version}/infer",
    response_class=Response,
    responses=_RESPONSES,
    openapi_extra=_REQUEST,
    summary="Screen one photo by a version",
)
@router.post(
    "/models/{model}/infer",
    response_class=Response,
    responses=_RESPONSES,
    openapi_extra=_REQUEST,
    summary="Screen one photo by the Open Inference Protocol",
)
async def infer(request: Request, model: str, version: str | None = None) -> Response:
    """Send the photo as the input `photo`, one element of BYTES. Not a medical device."""
    asked: InferRequest | None = None

    async def read(engine: Engine) -> SentPhoto:
        nonlocal asked
        _check_version(engine, version)
        asked, sent = await read_infer_request(request, service_of(request).settings)
        return sent

    screened = await screen_sent_photo(request, model, read)
    if screened is None or asked is None:
        return Response(status_code=CLIENT_LEFT)
    encoded = encode_answer(asked, screened)
    return Response(encoded.body, headers=screening_headers(screened) | encoded.headers, media_type=encoded.media_type)


def _check_version(engine: Engine, version: str | None) -> None:
    live = engine.bundle.version
    if version not in (None, str(live)):
        raise UnknownModel(f"version {quoted(version)} of {engine.bundle.name} is not live; live is {live}")
