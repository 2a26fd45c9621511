"""`/label-studio`: an ML backend of Label Studio, which shows the boxes of the detector as predictions."""

import asyncio

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from app.api.answers import body_schema, problem_responses
from app.api.body import read_json
from app.api.clients import CLIENT_LEFT, unless_client_leaves
from app.api.context import context_of
from app.api.identities import LABEL_STUDIO
from app.api.label_studio import (
    HealthAnswer,
    ModelVersion,
    Predictions,
    PredictRequest,
    Project,
    SetupRequest,
    Task,
    WebhookAnswer,
    version_of,
)
from app.api.label_studio_photos import LabelStudioPhotos
from app.api.parameters import known_parameters_only
from app.api.problems import content_of
from app.api.sent_photo import screen_one_of_several
from app.api.service import service_of
from app.detector.engine import Engine
from app.errors import BatchTooLarge, InvalidParameter
from app.screen_photo import Options, ScreenedPhoto

MAX_BODY_BYTES = 8 * 2**20
MAX_TASKS = 500
"""Tasks of a request; Label Studio waits 100 seconds for its answer."""

router = APIRouter(prefix=LABEL_STUDIO, dependencies=[Depends(known_parameters_only)])

_NOT_READY = {503: "Not ready."}
_REFUSED = {408: "The body took too long to arrive.", 422: "The labelling configuration or the body is invalid."}


@router.get("/health", responses=problem_responses(_NOT_READY), summary="Check that photos are accepted")
async def health(request: Request) -> HealthAnswer:
    """The same as `/health/ready`."""
    service_of(request).check_ready()
    return HealthAnswer(status="UP", model_class="caries-screen")


@router.post(
    "/setup",
    responses=problem_responses(_NOT_READY | _REFUSED),
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": body_schema(SetupRequest)}}}},
    summary="Connect a Label Studio project",
)
async def setup(request: Request) -> ModelVersion:
    """Checks that the project has rectangle labels of the screened class. Nothing is kept."""
    service = service_of(request)
    _ = service.screener
    asked = await read_json(
        request, SetupRequest, max_bytes=MAX_BODY_BYTES, upload_s=service.settings.upload_s, is_secret=True
    )
    if asked is None:
        raise InvalidParameter("the body is empty; it must be the JSON that Label Studio sends")
    with service.models.use() as engine:
        Project.from_config(asked.label_config, engine.bundle)
        return ModelVersion(model_version=version_of(engine.bundle))


@router.post(
    "/predict",
    response_class=Response,
    responses={
        200: {"model": Predictions},
        **problem_responses(_NOT_READY | _REFUSED | {413: "Too many tasks.", 415: "The body is compressed."}),
    },
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": body_schema(PredictRequest)}}}},
    summary="Predict the boxes of Label Studio's tasks",
)
async def predict(request: Request) -> Response:
    """Fetches each task's photo from the configured Label Studio. Not a medical device."""
    service = service_of(request)
    admission = service.screener.admission
    try:
        with service.models.use() as engine, admission.batch_permit():
            asked = await read_json(
                request, PredictRequest, max_bytes=MAX_BODY_BYTES, upload_s=service.settings.upload_s, is_secret=True
            )
            if asked is None:
                raise InvalidParameter("the body is empty; it must be the JSON that Label Studio sends")
            max_tasks = min(MAX_TASKS, service.settings.requests_per_minute or MAX_TASKS)
            if len(asked.tasks) > max_tasks:
                raise BatchTooLarge(f"the request has {len(asked.tasks)} tasks; at most {max_tasks} are accepted")
            context = context_of(request.scope)
            if context.count_more:
                await context.count_more(len(asked.tasks) - 1)
            context.audit_fields = {"photos": len(asked.tasks)}
            answer = await unless_client_leaves(request, _predict_all(request, asked, engine))
    except ClientDisconnect:
        answer = None
    if answer is None:
        service.metrics.disconnected()
        return Response(status_code=CLIENT_LEFT)
    return JSONResponse(answer.model_dump())


@router.post("/webhook", summary="Receive an event of Label Studio")
async def webhook() -> WebhookAnswer:
    """Annotations are ignored: the detector does not learn while it serves."""
    detail = "annotations are not used by the server; export them as JSON and train with them"
    return WebhookAnswer(status="ignored", detail=detail)


async def _predict_all(request: Request, asked: PredictRequest, engine: Engine) -> Predictions:
    photos: LabelStudioPhotos = request.app.state.label_studio
    project = Project.from_config(asked.label_config, engine.bundle)
    options = Options(classes=project.classes(engine.bundle))
    results = []
    for number, task in enumerate(asked.tasks, 1):
        fetching = asyncio.wrap_future(photos.threads.submit(_fetch, photos, project, task))
        try:
            await asyncio.wait({fetching})  # before a photo permit is taken, which other requests need
        finally:
            fetching.cancel()
        result = await screen_one_of_several(request, number, fetching.result, options, engine)
        if isinstance(result, ScreenedPhoto):
            results.append(project.prediction(result))
        else:
            results.append({"problem": content_of(request, result)})
    return Predictions(results=results, model_version=version_of(engine.bundle))


def _fetch(photos: LabelStudioPhotos, project: Project, task: Task) -> bytes:
    return photos.fetch(project.photo_of(task))
