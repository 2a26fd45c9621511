"""`POST /models/reload`: replace the live model or version without a restart."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.api.answers import LiveAnswer, ModelIdentity, body_schema, problem_responses
from app.api.body import read_json
from app.api.parameters import integer, known_parameters_only
from app.api.service import service_of
from app.detector.bundle import MODEL_NAME
from app.detector.engine import Engine

MAX_BODY_BYTES = 4096
"""A model's name and a version need a fraction of it."""

router = APIRouter(dependencies=[Depends(known_parameters_only)])


class ReloadRequest(BaseModel):
    """The model to put live."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str | None = Field(
        default=None, pattern=f"^{MODEL_NAME.pattern}$", max_length=100, description="If omitted, the default model."
    )
    version: Annotated[int | None, BeforeValidator(integer)] = Field(
        default=None, ge=1, le=10**9, description="If omitted, the newest."
    )


_RESPONSES = problem_responses(
    {
        404: "The store does not have it; the live models stay.",
        408: "The body took too long to arrive.",
        409: "It cannot be used, or another reload is running; the live models stay.",
        422: "The body is invalid.",
        503: "The server is starting.",
    }
)


@router.post(
    "/models/reload",
    responses=_RESPONSES,
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": body_schema(ReloadRequest)}}}},
    summary="Replace the live version",
)
async def reload(request: Request) -> LiveAnswer:
    """Verify and warm up the version, then replace the live one; no request fails meanwhile.

    Without a body, the models of the settings go live in their newest versions. A version given here, such as an older
    one to roll back to, stays live until the next reload.
    """
    service = service_of(request)
    asked = await read_json(request, ReloadRequest, max_bytes=MAX_BODY_BYTES, upload_s=service.settings.upload_s)
    asked = asked or ReloadRequest()
    started = await service.reload(asked.model, asked.version)
    return LiveAnswer(
        reloaded=[_identity(engine) for engine in started],
        live=[_identity(engine) for engine in service.models.engines],
    )


def _identity(engine: Engine) -> ModelIdentity:
    bundle = engine.bundle
    return ModelIdentity(name=bundle.name, version=bundle.version, sha256=bundle.sha256)
