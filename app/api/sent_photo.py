"""Screen the photos of a request: permits, steps, audit lines and counts, the same for every protocol."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request
from starlette.requests import ClientDisconnect

from app.api.clients import CLIENT_LEFT, unless_client_leaves
from app.api.middleware.audited import note_photo, record_photo
from app.api.problems import problem_of
from app.api.service import service_of
from app.detector.engine import Engine
from app.errors import AuditError, CariesError, ShuttingDown
from app.screen_photo import STAGES, Options, ScreenedPhoto

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SentPhoto:
    """A photo as sent, with its client's options."""

    data: bytes
    options: Options


async def screen_sent_photo(
    request: Request,
    model: str | None,
    read: Callable[[Engine], Awaitable[SentPhoto]],
    build: Callable[[SentPhoto, ScreenedPhoto], Awaitable[None]] | None = None,
) -> ScreenedPhoto | None:
    """The answer to the photo that `read` takes from the body; None if the client left first.

    Args:
        model: a live model; None means the default.
        read: called with the engine once the caller has a permit.
        build: called with the result while the caller still has the permit; what it raises is the answer.

    Raises:
        CariesError: the request is refused, or the photo cannot be screened.
    """
    service = service_of(request)
    screener = service.screener
    sent, screened = None, None

    async def answer(sent: SentPhoto, engine: Engine) -> ScreenedPhoto:
        found = await screener.screen(sent.data, sent.options, engine)
        if build is not None:
            await build(sent, found)
        return found

    try:
        with (
            service.models.use(model) as engine,
            screener.admission.caller_permit(),
            contextlib.suppress(ClientDisconnect),
        ):
            sent = await read(engine)
            screened = await unless_client_leaves(request, answer(sent, engine))
    finally:
        await note_photo(request, sent.data or None if sent else None, screened)
    if screened is None:
        service.metrics.disconnected()
    else:
        service.count(screened)
    return screened


async def screen_one_of_several(
    request: Request, number: int, read: Callable[[], bytes], options: Options, engine: Engine
) -> ScreenedPhoto | Exception:
    """The answer to one photo of several, or the error that prevents it, once it is recorded and counted.

    Args:
        number: the photo's position in the request, from 1.
        read: returns the photo as sent; called in a thread, once there is a permit.
    """
    service, data = service_of(request), None
    screened: ScreenedPhoto | None = None
    failure: Exception | None = None
    try:
        async with service.screener.admission.batch_photo_permits:
            data = await asyncio.to_thread(read)
            screened = await service.screener.screen(data, options, engine)
    except asyncio.CancelledError:
        if data is not None:
            failure = ShuttingDown("the server is shutting down") if service.closed else None
            await record_photo(request, number, data, status=CLIENT_LEFT, failure=failure)
        raise
    except Exception as error:
        failure = error
        if not isinstance(error, CariesError):
            logger.exception("a photo of a batch failed")
    try:
        await record_photo(request, number, data, failure=failure, screened=screened)
    except AuditError as error:
        screened, failure = None, error
    if screened is None:
        assert failure is not None
        service.metrics.problem(problem_of(failure).slug)
        return failure
    service.count(screened)
    return screened


def screening_headers(screened: ScreenedPhoto) -> dict[str, str]:
    """The headers of an answer: verdict, model, counts and timings."""
    screening = screened.screening
    return {
        "Cache-Control": "no-store",
        "X-Caries-Verdict": screening.verdict.value,
        "X-Caries-Reasons": ",".join(reason.value for reason in screening.reasons),
        "X-Caries-Model": f"{screened.bundle.name}/{screened.bundle.version}",
        "X-Caries-Model-SHA256": screened.bundle.sha256,
        "X-Caries-Operating-Point": screened.operating_point.name or "",
        "X-Caries-Teeth-Seen": str(screening.teeth_seen),
        "X-Caries-Boxes": str(len(screening.shown)),
        "X-Caries-Hidden": str(screening.hidden_by_max_boxes),
        "Server-Timing": ", ".join(f"{stage};dur={screened.timings_ms[stage]:.2f}" for stage in STAGES),
    }
