"""Read the uploaded photos: a multipart form, a zip archive or the raw body, in memory and within upload."""

import asyncio
import contextlib
import io
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.api.problems import quoted
from app.errors import (
    BadForm,
    BatchTooLarge,
    CariesError,
    InvalidParameter,
    PhotoError,
    PhotoTooLarge,
    UnsupportedMediaType,
    UploadTooSlow,
)
from app.photo.dicom_file import PREAMBLE, count_frames
from app.photo.formats import PhotoFormat, format_name
from app.photo.zip_photos import SIGNATURES, list_photos
from app.settings import Settings

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD = "file"
"""The form field of the photo."""

BATCH_FIELDS = ("files", FIELD)
"""The form fields of the photos of a batch."""

FORM = "multipart/form-data"
FORM_OVERHEAD = 64 * 2**10
"""Bytes that a form may have besides its photo: boundaries, part headers, other fields."""

PART_OVERHEAD = 2**10
"""Bytes more for each photo of a batch: its boundary and headers."""

RAW_TYPES = ("", "application/octet-stream", "application/x-www-form-urlencoded")
"""Content types, besides image/*, of a body that is the photo itself. `curl --data-binary` sends the last one."""

DICOM = "application/dicom"
ZIP_TYPES = ("application/zip", "application/x-zip-compressed")

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Source:
    """A photo of a batch.

    Attributes:
        read: returns the file as sent, unpacked only now; raises PhotoError.
        frame: of a DICOM file with several, each of which is a photo; None for every other file.
    """

    read: Callable[[], bytes]
    frame: int | None = None


class _FileOfFrames:
    """A file that is unpacked once for all of its frames. Thread-safe."""

    def __init__(self, read: Callable[[], bytes], frames: int) -> None:
        self._read, self._unread = read, frames
        self._data: bytes | None = None
        self._lock = threading.Lock()

    def read(self) -> bytes:
        """The file; the call for its last frame drops it."""
        with self._lock:
            data = self._data or self._read()
            self._unread -= 1
            self._data = data if self._unread else None
            return data


@dataclass(slots=True, kw_only=True)
class _Upload:
    """The files read so far, and what they may be at most. A BytesIO gives its bytes away without a copy.

    Attributes:
        max_files: files of a form.
        max_bytes: bytes of all files.
        max_overhead: bytes of a form besides its files.
        upload_s: seconds that the body may take to arrive.
        too_many: raised for more files.
        too_large: class of the error raised for more bytes.
    """

    max_files: int
    max_bytes: int
    max_overhead: int
    upload_s: float
    too_many: CariesError
    too_large: type[CariesError]
    files: list[io.BytesIO] = field(default_factory=list)
    size: int = 0

    def begin_file(self) -> None:
        if len(self.files) == self.max_files:
            raise self.too_many
        self.files.append(io.BytesIO())

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self.max_bytes:
            raise self.too_large(f"the upload has more than {self.max_bytes} bytes, the maximum")
        self.files[-1].write(data)


async def read_photo(request: Request, settings: Settings) -> bytes:
    """The photo's bytes as sent.

    Raises:
        UnsupportedMediaType: the body is neither a form nor a picture, or is compressed.
        BadForm: the form does not contain exactly one photo, as the file `file`.
        PhotoTooLarge: the photo has too many bytes.
        UploadTooSlow: the body did not arrive in time.
    """
    kind = content_type(request)
    if not (kind in (FORM, DICOM, *RAW_TYPES) or kind.startswith("image/")):
        raise UnsupportedMediaType(
            f"Content-Type is {quoted(kind)}; send multipart/form-data with the field {FIELD}, or the photo as image/*"
            f" or {DICOM}"
        )
    upload = _Upload(
        max_files=1,
        max_bytes=settings.max_bytes,
        max_overhead=FORM_OVERHEAD,
        upload_s=settings.upload_s,
        too_many=BadForm("the form contains several photos; send one per request, or all to /detect/batch"),
        too_large=PhotoTooLarge,
    )
    return (await _read_files(request, upload, fields=(FIELD,)))[0]


async def read_batch(request: Request, settings: Settings, permits: asyncio.Semaphore | None = None) -> list[Source]:
    """The photos of a batch in the order sent, at least one.

    Args:
        permits: every frame of a DICOM file is a photo, and files are unpacked for the count with one of these permits;
            None if a file with several frames is one photo, which cannot be screened.

    Raises:
        UnsupportedMediaType: the body is neither a form nor a zip archive, or is compressed.
        BadForm: the form is malformed, or contains anything but photos.
        BadArchive: the archive cannot be read, or contains no photos.
        BatchTooLarge: a limit is exceeded.
        UploadTooSlow: the body did not arrive in time.
    """
    kind = content_type(request)
    if kind not in (FORM, DICOM, *ZIP_TYPES, *RAW_TYPES):
        raise UnsupportedMediaType(
            f"Content-Type is {quoted(kind)}; send multipart/form-data with fields {BATCH_FIELDS[0]}, {ZIP_TYPES[0]}"
            f" or {DICOM}"
        )
    # A batch of more photos than requests per minute would be refused at every try.
    max_photos = min(settings.batch_photos, settings.requests_per_minute or settings.batch_photos)
    upload = _Upload(
        max_files=max_photos,
        max_bytes=settings.batch_bytes,
        max_overhead=FORM_OVERHEAD + PART_OVERHEAD * max_photos,
        upload_s=settings.upload_s,
        too_many=BatchTooLarge(f"the form contains more than {max_photos} photos; send several batches"),
        too_large=BatchTooLarge,
    )
    files = await _read_files(request, upload, fields=BATCH_FIELDS)
    heads: Iterable[bytes]
    if kind not in (FORM, DICOM) or (len(files) == 1 and files[0].startswith(SIGNATURES)):
        members = list_photos(files[0], max_photos=max_photos)
        heads = (member.head(PREAMBLE) for member in members)
        reads = [partial(member.read, settings.max_bytes) for member in members]
    else:
        heads = (photo[:PREAMBLE] for photo in files)
        reads = [partial(bytes, photo) for photo in files]
    kinds = await asyncio.to_thread(lambda: [format_name(head) for head in heads])
    if permits is None or settings.max_frames == 1 or PhotoFormat.DICOM.label not in kinds:
        return [Source(read) for read in reads]
    async with permits:
        return await asyncio.to_thread(_by_frame, kinds, reads, settings.max_frames, max_photos)


def _by_frame(
    kinds: Sequence[str], reads: Sequence[Callable[[], bytes]], max_frames: int, max_photos: int
) -> list[Source]:
    """A source for each file, and for each frame of DICOM files with several.

    A DICOM file that cannot be read, or has more than `max_frames`, is one photo, which is refused in its turn.

    Raises:
        BatchTooLarge: they are more than `max_photos`.
    """
    sources = []
    for kind, read in zip(kinds, reads, strict=True):
        frames = 1
        if kind == PhotoFormat.DICOM.label:
            with contextlib.suppress(PhotoError):
                frames = count_frames(read())
        if 1 < frames <= max_frames:
            file = _FileOfFrames(read, frames)
            sources += [Source(file.read, frame) for frame in range(1, frames + 1)]
        else:
            sources.append(Source(read))
        if len(sources) > max_photos:
            raise BatchTooLarge(
                f"the batch contains more than {max_photos} photos, DICOM frames included; send several batches"
            )
    return sources


def content_type(request: Request) -> str:
    """The body's Content-Type in lower case, without parameters.

    Raises:
        UnsupportedMediaType: the body is compressed.
    """
    refuse_compressed(request)
    kind, _ = parse_options_header(request.headers.get("content-type", ""))
    return kind.decode("latin-1").strip().lower()


def refuse_compressed(request: Request) -> None:
    """Refuse a compressed body, whose size is not known before it is unpacked; raises UnsupportedMediaType."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedMediaType(f"Content-Encoding is {quoted(encoding)}; send the body uncompressed")


async def read_json(
    request: Request, kind: type[M], *, max_bytes: int, upload_s: float, is_secret: bool = False
) -> M | None:
    """The JSON of the body, checked; None if the body is empty. Errors do not repeat what `is_secret`.

    Raises:
        InvalidParameter: it has more than `max_bytes`, or is not of this kind.
        UploadTooSlow: it did not arrive in time.
    """
    body = await read_raw(request, max_bytes=max_bytes, upload_s=upload_s, too_large=InvalidParameter)
    return validated(kind, body, is_secret=is_secret) if body.strip() else None


async def read_raw(request: Request, *, max_bytes: int, upload_s: float, too_large: type[CariesError]) -> bytes:
    """The body.

    Raises:
        CariesError: it has more than `max_bytes`; of the class `too_large`.
        UploadTooSlow: it did not arrive in time.
    """
    upload = _Upload(
        max_files=1,
        max_bytes=max_bytes,
        max_overhead=0,
        upload_s=upload_s,
        too_many=BadForm("the body is one file"),
        too_large=too_large,
    )
    return (await _read(request, upload))[0]


def validated(kind: type[M], body: bytes, *, is_secret: bool = False) -> M:
    """The JSON, checked. Errors do not repeat what `is_secret`.

    Raises:
        InvalidParameter: it is not of this kind.
    """
    try:
        return kind.model_validate_json(body.decode("utf-8", "replace"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        found = "the body is not as expected" if is_secret else f"{where} is {quoted(first['input'])}"
        raise InvalidParameter(f"{found}: {first['msg'].lower()}") from None


async def _read_files(request: Request, upload: _Upload, *, fields: Sequence[str]) -> list[bytes]:
    """The files of a form, in the order sent, or the raw body; at least one.

    Reading stops at the limits, so that no more than those is ever in memory. The preferred one of `fields`, which may
    contain files, comes first.

    Raises:
        BadForm: the form is malformed, incomplete, or contains anything but files in `fields`.
        UploadTooSlow: the body did not arrive in time.
        CariesError: a limit is exceeded, see `_Upload`.
    """
    form = _Form(upload, fields) if content_type(request) == FORM else None
    return await _read(request, upload, form)


async def _read(request: Request, upload: _Upload, form: "_Form | None" = None) -> list[bytes]:
    """The files of the form, or the raw body without one; see `_read_files`."""
    length = request.headers.get("content-length", "")
    announced = int(length) if length.isdecimal() else 0
    if announced > upload.max_bytes + (upload.max_overhead if form else 0):
        raise upload.too_large(f"the body has {announced} bytes; at most {upload.max_bytes} are accepted")
    try:
        async with asyncio.timeout(upload.upload_s):
            if form:
                await form.read(request)
            else:
                upload.begin_file()
                async for chunk in request.stream():
                    upload.add(chunk)
    except TimeoutError:
        raise UploadTooSlow(f"the body did not arrive within {upload.upload_s:g} seconds") from None
    return [file.getvalue() for file in upload.files]


class _Form:
    """Parses a form as it arrives and adds its files to an upload."""

    def __init__(self, upload: _Upload, fields: Sequence[str]) -> None:
        self._upload = upload
        self._fields = fields
        self._complete = False
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._callbacks: MultipartCallbacks = {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_end": self._on_end,
        }

    async def read(self, request: Request) -> None:
        _, parameters = parse_options_header(request.headers["content-type"])
        boundary = parameters.get(b"boundary")
        if not boundary:
            raise BadForm("the multipart form's Content-Type has no boundary")
        upload, received = self._upload, 0
        try:
            parser = MultipartParser(boundary, self._callbacks)
            async for chunk in request.stream():
                if received - upload.size > upload.max_overhead:
                    raise upload.too_large(f"the form has more than {upload.max_overhead} bytes besides its photos")
                received += len(chunk)
                parser.write(chunk)
            parser.finalize()
        except FormParserError as error:
            raise BadForm(f"the multipart form is malformed: {quoted(error)}") from None
        if not self._complete:
            raise BadForm("the multipart form is incomplete: its last boundary is missing")
        if not upload.files:
            field = self._fields[0]
            raise BadForm(f"the multipart form has no field {field}; with curl write -F {field}=@photo.jpg")

    def _on_part_begin(self) -> None:
        self._header = self._value = self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        is_file = b"filename" in options or b"filename*" in options
        if name not in self._fields and not is_file:
            raise BadForm(f"the form field {quoted(name)} is unknown; send parameters in the query string")
        if name not in self._fields:
            raise BadForm(f"the photo is in the form field {quoted(name)}; it must be in {self._fields[0]}")
        if not is_file:
            raise BadForm(f"the form field {name} contains text, not a file; with curl write -F {name}=@photo.jpg")
        self._upload.begin_file()

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._upload.add(data[start:end])

    def _on_end(self) -> None:
        self._complete = True
