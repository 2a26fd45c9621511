"""Where the photos of a batch enter: files of a form, or a zip archive, in memory and under limits."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from functools import partial

from fastapi import Request

from app.api.body import FIELD, FORM, FORM_OVERHEAD, RAW_TYPES, Form, announced_bytes, content_type
from app.api.problems import quoted
from app.errors import BatchTooLarge, UnsupportedMediaType, UploadTooSlow
from app.photo.zip_photos import SIGNATURES, list_photos
from app.settings import Settings

FIELDS = ("files", FIELD)
"""The form fields that may hold photos."""

ZIP_TYPES = ("application/zip", "application/x-zip-compressed")
PART_OVERHEAD = 2**10
"""Bytes that a form may hold for each photo beside the photo: its boundary and headers."""

Source = Callable[[], bytes]
"""Gives a photo as it was sent; raises PhotoError. What takes time to unpack is unpacked then."""


async def read_batch(request: Request, settings: Settings) -> list[Source]:
    """The photos in the order sent, at least one.

    Reading stops at the limit: no more than `batch_bytes` and what a form needs are ever held.

    Args:
        request: its body is consumed.
        settings: its limits.

    Raises:
        UnsupportedMediaType: the body is neither a form nor a zip archive, or is compressed.
        BadForm: the form holds no photos, or something else.
        BadArchive: the archive cannot be taken apart, or holds no photos.
        BatchTooLarge: a limit is passed.
        UploadTooSlow: the body did not arrive in time.
    """
    kind, boundary = content_type(request)
    if kind not in (FORM, *ZIP_TYPES, *RAW_TYPES):
        raise UnsupportedMediaType(
            f"Content-Type is {quoted(kind)}; send multipart/form-data with fields {FIELDS[0]}, or application/zip"
        )
    form = _Photos(settings.batch_photos, settings.batch_bytes)
    announced = announced_bytes(request)
    if announced > settings.batch_bytes + (form.overhead if kind == FORM else 0):
        raise BatchTooLarge(f"the body has {announced} bytes; batches of at most {settings.batch_bytes} are accepted")
    try:
        async with asyncio.timeout(settings.upload_s):
            if kind == FORM:
                await form.read(request, boundary)
            else:
                form.begin_file()
                async for chunk in request.stream():
                    form.held += len(chunk)
                    form.take(chunk)
    except TimeoutError:
        raise UploadTooSlow(f"the photos did not arrive within {settings.upload_s:g} seconds") from None
    first = form.photos[0].getvalue()
    if kind != FORM or (len(form.photos) == 1 and first.startswith(SIGNATURES)):
        members = list_photos(first, most=settings.batch_photos)
        return [partial(member.read, settings.max_bytes) for member in members]
    return [photo.getvalue for photo in form.photos]


class _Photos(Form):
    """Keeps all photos, or the one archive, up to so many bytes together."""

    fields = FIELDS
    too_large = BatchTooLarge

    def __init__(self, most: int, max_bytes: int) -> None:
        super().__init__(FORM_OVERHEAD + PART_OVERHEAD * most)
        self.photos: list[io.BytesIO] = []
        self._most, self._max_bytes = most, max_bytes

    def begin_file(self) -> None:
        if len(self.photos) == self._most:
            raise BatchTooLarge(f"the form holds more than {self._most} photos; send several batches")
        self.photos.append(io.BytesIO())

    def take(self, data: bytes) -> None:
        if self.held > self._max_bytes:
            raise BatchTooLarge(f"the photos have more than {self._max_bytes} bytes, the most that is accepted at once")
        self.photos[-1].write(data)
