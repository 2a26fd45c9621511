"""Health, metrics, and the explanation of problem types."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from app.api.answers import Health, problem_responses
from app.api.parameters import known_parameters_only
from app.api.problems import BY_SLUG, title_of
from app.api.service import service_of
from app.process.metrics import CONTENT_TYPE

router = APIRouter()


@router.get("/health/live", summary="Check that the server is alive")
async def live() -> Health:
    """Answers as soon as the process serves HTTP."""
    return Health(status="live")


@router.get(
    "/health/ready",
    responses=problem_responses({503: "The detector is not ready, or the server is shutting down."}),
    summary="Check that photos are accepted",
)
async def ready(request: Request) -> Health:
    """Answers 200 once the detector is loaded and warmed up, 503 before that and during shutdown."""
    service_of(request).check_ready()
    return Health(status="ready")


@router.get("/metrics", response_class=Response, summary="Prometheus metrics")
async def metrics(request: Request) -> Response:
    """Requests, problems, stage timings, verdicts, scores, queue depth and the live model."""
    return Response(service_of(request).metrics.exposition(), media_type=CONTENT_TYPE)


@router.get(
    "/problems/{slug}",
    responses=problem_responses({404: "No such problem type.", 422: "A parameter is invalid."}),
    dependencies=[Depends(known_parameters_only)],
    summary="Explain a problem type",
)
async def problem(request: Request, slug: str) -> dict[str, Any]:
    """The `type` of a problem answer is this path. The title is in Korean if `Accept-Language` prefers it."""
    if slug not in BY_SLUG:
        raise HTTPException(404)
    row = BY_SLUG[slug]
    return {"type": row.type, "title": title_of(row, request), "status": row.status, "retry_after_s": row.retry_after_s}
