"""`/reviews`: photos are kept, queued, read, adjudicated, compared, exported and deleted."""

import asyncio
import contextlib
import logging
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, BinaryIO, Literal, NamedTuple, cast

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from app.api.answers import body_schema, problem_responses
from app.api.batch_answers import Window
from app.api.body import Source, read_batch, read_json, read_photo
from app.api.clients import CLIENT_LEFT, unless_client_leaves
from app.api.context import context_of
from app.api.middleware.audited import note_photo, record_photo
from app.api.parameters import known_parameters_only
from app.api.problems import content_of, quoted
from app.api.review_answers import (
    Agreement,
    Deletion,
    KeptBatch,
    PhotoEntry,
    PhotoList,
    ReviewedPhoto,
    SentRecord,
    StoreSummary,
)
from app.api.routes import batch, detect
from app.api.service import Service, service_of
from app.errors import AuditError, CariesError, InvalidParameter, RoleNeeded, UnknownPhoto
from app.records.key_file import Role
from app.reviews.agreement import agreement
from app.reviews.export import exported_files
from app.reviews.findings import Finding
from app.reviews.labels import MAX_NAME, READERS, State, View
from app.reviews.store import Entry, Order, ReviewStore, Selection
from app.screen_photo import Options, ScreenedPhoto

logger = logging.getLogger(__name__)

MAX_RECORD_BYTES = 64 * 2**10
"""Twice what 200 boxes and a note take."""

MAX_LISTED = 200
"""Photos of one list."""

PSEUDONYM = r"^[A-Za-z0-9._-]{1,64}$"
"""Of a patient: too narrow for most names."""


class Kept(NamedTuple):
    """A photo in the store: its number, whether it is new, and the default model's answer."""

    photo_id: int
    is_new: bool
    screened: ScreenedPhoto


router = APIRouter(prefix="/reviews", dependencies=[Depends(known_parameters_only)])


async def _reader(
    request: Request,
    reader: Annotated[
        str | None,
        Query(
            max_length=MAX_NAME,
            pattern=r"^[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
            description="Who reads. On a server with API keys it is the key's name, and may be left out.",
        ),
    ] = None,
) -> str:
    key = context_of(request.scope).key_name
    if key is None:
        if reader is None:
            raise InvalidParameter("the query parameter reader is missing; without API keys, name who reads")
        return reader
    if reader not in (None, key):
        raise RoleNeeded(f"the API key is that of {quoted(key)}; it cannot read as {quoted(reader)}")
    return key


async def _admin(request: Request) -> None:
    role = context_of(request.scope).role
    if not role.includes(Role.ADMIN):
        raise RoleNeeded(f"the API key has the role {role}; this needs {Role.ADMIN}")


Reader = Annotated[str, Depends(_reader)]
Patient = Annotated[
    str | None, Query(pattern=PSEUDONYM, description="Pseudonym, never a name: letters, digits and ._-")
]
ShownView = Annotated[View | None, Query(description="What the photo shows.")]
PhotoId = Annotated[int, Path(ge=1, le=2**31 - 1)]

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_ADMIN = {403: "The API key's role is not sufficient."}
_BROKEN = {503: "The store cannot be used; retry after the seconds in Retry-After."}
_OF_PHOTO = {404: "The store has no such photo.", 422: "A parameter is invalid.", **_BROKEN}
_KEEP = {
    400: "The body does not contain the expected photos.",
    408: "The upload took too long.",
    413: "Too many photos, pixels or bytes.",
    415: "The body's type or the picture format is not accepted.",
    422: "A photo cannot be read, or a parameter is invalid.",
    503: "Busy, not ready, or the store cannot be used; retry after the seconds in Retry-After.",
}
_WRITE = {
    **_OF_PHOTO,
    408: "The body took too long to arrive.",
    409: "The record has another version, or the readings are closed or not done.",
}


_RECORD_BODY = {
    "required": True,
    "content": {"application/json": {"schema": body_schema(SentRecord)}},
}


@router.get("", responses=problem_responses({422: "A parameter is invalid.", **_BROKEN}), summary="Count the photos")
async def summary(request: Request) -> StoreSummary:
    """How photos are read, and how many wait, are disputed, or are done."""
    store = _store(request)
    return StoreSummary(blind=store.blind, photos=await asyncio.to_thread(store.counts))


@router.post(
    "/photos",
    status_code=201,
    response_model=ReviewedPhoto,
    responses={
        200: {"description": "The photo was kept before.", "model": ReviewedPhoto},
        **problem_responses(_KEEP | {504: "The answer would have come too late."}),
    },
    openapi_extra={"requestBody": detect.BODY},
    summary="Keep a photo for review",
)
async def keep(
    request: Request, response: Response, reader: Reader, patient: Patient = None, view: ShownView = None
) -> Any:
    """Screen the photo by every live model, and keep it without its metadata.

    Send it as to `POST /detect`. A photo that was kept before stays as it is.
    """
    service, data, answered = service_of(request), b"", None
    kept: list[Kept] = []
    try:
        with service.screener.admission.caller_permit(), contextlib.suppress(ClientDisconnect):
            data = await read_photo(request, service.settings)
            keeping = _keep(service, data, kept.append, by=reader, patient=patient, view=view)
            answered = await unless_client_leaves(request, keeping)
    finally:
        await note_photo(request, data or None, kept[0].screened if kept else None)
        if kept:
            context_of(request.scope).audit_fields |= {"photo_id": kept[0].photo_id, "reader": reader}
    if answered is None:
        service.metrics.disconnected()
        return Response(status_code=CLIENT_LEFT)
    response.status_code = 201 if answered.is_new else 200
    return await _answer(request, answered.photo_id, reader)


@router.post(
    "/batch",
    response_model=KeptBatch,
    responses=problem_responses(_KEEP),
    openapi_extra={"requestBody": batch.BODY},
    summary="Keep several photos for review",
)
async def keep_batch(request: Request, reader: Reader, patient: Patient = None, view: ShownView = None) -> Any:
    """Send the photos as to `POST /detect/batch`; pseudonym and view are those of all. A bad photo has a problem."""
    service, results = service_of(request), None
    with service.screener.admission.batch_permit(), contextlib.suppress(ClientDisconnect):
        sources = await read_batch(request, service.settings)
        context = context_of(request.scope)
        if context.count_more:
            await context.count_more(len(sources) - 1)
        context.audit_fields = {"photos": len(sources), "reader": reader}

        async def keep_one(index: int, source: Source) -> dict[str, Any]:
            data: bytes | None = None
            failure: Exception | None = None
            kept: list[Kept] = []

            async def record() -> None:
                screened, photo_id = (kept[0].screened, kept[0].photo_id) if kept else (None, None)
                await record_photo(request, index, data, failure=failure, screened=screened, photo_id=photo_id)

            try:
                async with service.screener.admission.batch_photo_permits:
                    data = await asyncio.to_thread(source.read)
                    await _keep(service, data, kept.append, by=reader, patient=patient, view=view)
            except asyncio.CancelledError:
                if kept:
                    await record()
                raise
            except Exception as error:
                failure = error
                if not isinstance(error, CariesError):
                    logger.exception("a photo of a batch failed")
            try:
                await record()
            except AuditError as error:
                failure = error
            return {"index": index} | (
                {"problem": content_of(request, failure)} if failure else {"photo": kept[0].photo_id}
            )

        async def keep_all() -> list[dict[str, Any]]:
            return await asyncio.gather(*(keep_one(index, source) for index, source in enumerate(sources, 1)))

        results = await unless_client_leaves(request, keep_all())
    if results is None:
        service.metrics.disconnected()
        return Response(status_code=CLIENT_LEFT)
    return {"results": results}


@router.get("/photos", responses=problem_responses({422: _OF_PHOTO[422], **_BROKEN}), summary="List photos to read")
async def queue(
    request: Request,
    reader: Reader,
    state: Annotated[
        Literal["waiting", "disputed", "done", "all"],
        Query(description="`waiting`: not yet read by this reader."),
    ] = "waiting",
    order: Annotated[Order, Query(description="Most informative first, or the oldest.")] = Order.UNCERTAINTY,
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 50,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
) -> PhotoList:
    """The queue of this reader, or the photos in another state."""
    store, wanted = _store(request), None if state == "all" else State(state)
    rows = await asyncio.to_thread(store.queue, reader=reader, state=wanted, order=order, limit=limit, offset=offset)
    return PhotoList(photos=[PhotoEntry.from_row(row, store.blind) for row in rows])


@router.get("/photos/{photo_id}", responses=problem_responses(_OF_PHOTO), summary="Read a photo")
async def photo(request: Request, photo_id: PhotoId, reader: Reader) -> ReviewedPhoto:
    """The photo with what this reader may see: in blind reading, nothing of others until both are done."""
    context_of(request.scope).audit_fields = {"photo_id": photo_id, "reader": reader}
    return await _answer(request, photo_id, reader)


@router.get(
    "/photos/{photo_id}/picture",
    response_class=Response,
    responses={
        200: {
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/jpeg", "image/png")
            }
        },
        **problem_responses(_OF_PHOTO),
    },
    summary="Fetch a photo's picture",
)
async def picture(request: Request, photo_id: PhotoId) -> Response:
    """The upright photo at full size, without metadata."""
    context_of(request.scope).audit_fields = {"photo_id": photo_id}
    data, media_type = await asyncio.to_thread(_store(request).picture, photo_id)
    return Response(data, media_type=media_type)


@router.put(
    "/photos/{photo_id}/reading",
    responses=problem_responses(_WRITE),
    openapi_extra={"requestBody": _RECORD_BODY},
    summary="Write a reading",
)
async def write_reading(request: Request, photo_id: PhotoId, reader: Reader) -> ReviewedPhoto:
    """Write what this reader says about the photo, in place of the version that the request names."""
    return await _write(request, photo_id, reader, _store(request).write_reading)


@router.put(
    "/photos/{photo_id}/consensus",
    responses=problem_responses(_WRITE),
    openapi_extra={"requestBody": _RECORD_BODY},
    summary="Write a consensus",
)
async def write_consensus(request: Request, photo_id: PhotoId, reader: Reader) -> ReviewedPhoto:
    """Settle what the readings of a photo differ in, once they are done."""
    return await _write(request, photo_id, reader, _store(request).write_consensus)


@router.delete(
    "/photos/{photo_id}",
    dependencies=[Depends(_admin)],
    responses=problem_responses(_OF_PHOTO | _ADMIN),
    summary="Delete a photo",
)
async def delete_photo(request: Request, photo_id: PhotoId) -> Deletion:
    """Delete a photo with all that was said about it. The audit log names its digest."""
    answer = await _delete(request, Selection(photo_id=photo_id))
    if not answer.deleted:
        raise UnknownPhoto(f"the review store has no photo {photo_id}")
    return answer


@router.delete(
    "/photos",
    dependencies=[Depends(_admin)],
    responses=problem_responses({422: _OF_PHOTO[422], **_BROKEN, **_ADMIN}),
    summary="Delete old photos",
)
async def delete_old_photos(
    request: Request,
    kept_before: Annotated[
        str, Query(pattern=r"^\d{4}-\d\d-\d\d$", json_schema_extra={"format": "date"}, description="A day, UTC.")
    ],
) -> Deletion:
    """Delete the photos that were kept before a day."""
    try:
        day = datetime.fromisoformat(kept_before).replace(tzinfo=UTC)
    except ValueError:
        raise InvalidParameter(f"kept_before is {quoted(kept_before)}; it must be a day such as 2026-01-31") from None
    return await _delete(request, Selection(kept_before=day))


@router.delete(
    "/patients/{patient}",
    dependencies=[Depends(_admin)],
    responses=problem_responses({422: _OF_PHOTO[422], **_BROKEN, **_ADMIN}),
    summary="Delete a patient's photos",
)
async def delete_patient(request: Request, patient: Annotated[str, Path(pattern=PSEUDONYM)]) -> Deletion:
    """Delete the photos of a pseudonym."""
    return await _delete(request, Selection(patient=patient))


@router.get(
    "/agreement",
    responses=problem_responses({422: _OF_PHOTO[422], **_BROKEN}),
    summary="Measure how readers and detectors agree",
)
async def measure_agreement(request: Request) -> Agreement:
    """Figures of blind readings: of each pair of readers, and of readers and detectors against the consensus."""
    return Agreement(**await asyncio.to_thread(lambda: agreement(_store(request).photos(readings=READERS))))


@router.get(
    "/export",
    dependencies=[Depends(_admin)],
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/zip": _BINARY}},
        **problem_responses({422: _OF_PHOTO[422], **_BROKEN, **_ADMIN}),
    },
    summary="Export photos for training",
)
async def export(request: Request) -> StreamingResponse:
    """The photos with agreed labels as a zip archive in the layout that the training reads."""
    store = _store(request)
    await asyncio.to_thread(store.counts)  # a store that cannot be read is a problem, not a broken archive
    headers = {"Content-Disposition": 'attachment; filename="reviews.zip"'}
    return StreamingResponse(_zipped(store), media_type="application/zip", headers=headers)


def _store(request: Request) -> ReviewStore:
    store = service_of(request).reviews
    assert store is not None, "the routes are served with a store only"
    return store


async def _keep(
    service: Service, data: bytes, note: Callable[[Kept], None], *, by: str, patient: str | None, view: View | None
) -> Kept:
    """Keep the photo, and note it once it is written, even if the client has left by then."""
    assert service.reviews is not None
    with contextlib.ExitStack() as models:
        names = [engine.bundle.name for engine in service.models.engines]
        engines = [models.enter_context(service.models.use(name)) for name in names]
        screened = [await service.screener.screen(data, Options(), engine) for engine in engines]
    bare = await service.screener.without_metadata(data)
    findings = [Finding.from_screened(one) for one in screened]
    writing = asyncio.ensure_future(
        asyncio.to_thread(service.reviews.keep, bare, findings, by=by, patient=patient, view=view)
    )
    try:
        await asyncio.shield(writing)
    finally:
        kept = Kept(*await writing, screened[0])
        note(kept)
    return kept


async def _answer(request: Request, photo_id: int, reader: str) -> ReviewedPhoto:
    store = _store(request)
    return ReviewedPhoto.from_row(store, await asyncio.to_thread(store.photo, photo_id), reader)


async def _write(request: Request, photo_id: int, reader: str, write: Callable[[int, Entry], None]) -> ReviewedPhoto:
    fields = context_of(request.scope).audit_fields = {"photo_id": photo_id, "reader": reader}
    upload_s = service_of(request).settings.upload_s
    sent = await read_json(request, SentRecord, max_bytes=MAX_RECORD_BYTES, upload_s=upload_s)
    if sent is None:
        raise InvalidParameter("the body is empty; send version, verdict and boxes as JSON")
    view = View(sent.view) if sent.view else None
    entry = Entry(labels=sent.labels, reader=reader, version=sent.version, view=view, note=sent.note)
    await asyncio.to_thread(write, photo_id, entry)
    fields["version"] = sent.version + 1
    return await _answer(request, photo_id, reader)


async def _delete(request: Request, selection: Selection) -> Deletion:
    context = context_of(request.scope)

    def record(photo_id: int, sha256: str) -> None:
        # Not through the event loop: it may need a thread of those that wait for this transaction.
        if context.record_in_thread is not None:
            line = {"event": "photo_deleted", "photo_id": photo_id, "picture_sha256": sha256}
            context.record_in_thread(line)

    deleted = await asyncio.to_thread(_store(request).delete, selection, record)
    context.audit_fields = {"deleted": deleted}
    return Deletion(deleted=deleted)


def _zipped(store: ReviewStore) -> Iterator[bytes]:
    window = Window()
    with zipfile.ZipFile(cast(BinaryIO, window), "w", zipfile.ZIP_STORED) as archive:
        for name, data in exported_files(store):
            archive.writestr(name, data)
            yield window.taken()
    yield window.taken()
