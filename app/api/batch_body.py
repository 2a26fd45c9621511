"""Read the uploaded photos of a batch: files of a form, or a zip archive, in memory and within limits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fastapi import Request

from app.api.body import FIELD, FORM, FORM_OVERHEAD, RAW_TYPES, Limits, content_type, read_files
from app.api.problems import quoted
from app.errors import BatchTooLarge, UnsupportedMediaType
from app.photo.zip_photos import SIGNATURES, list_photos

FIELDS = ("files", FIELD)
"""The form fields of the photos."""

ZIP_TYPES = ("application/zip", "application/x-zip-compressed")
PART_OVERHEAD = 2**10
"""Bytes that a form may have for each photo besides it: its boundary and headers."""

Source = Callable[[], bytes]
"""Returns a photo as sent, unpacked only now; raises PhotoError."""


async def read_batch(
    request: Request, *, max_photos: int, max_bytes: int, max_photo_bytes: int, upload_s: float
) -> list[Source]:
    """The photos in the order sent, at least one.

    Args:
        request: its body is consumed.
        max_photos: photos of the batch.
        max_bytes: bytes of the batch as sent.
        max_photo_bytes: bytes of a photo unpacked from an archive.
        upload_s: seconds that the body may take to arrive.

    Raises:
        UnsupportedMediaType: the body is neither a form nor a zip archive, or is compressed.
        BadForm: the form is malformed, or contains anything but photos.
        BadArchive: the archive cannot be read, or contains no photos.
        BatchTooLarge: a limit is exceeded.
        UploadTooSlow: the body did not arrive in time.
    """
    kind = content_type(request)
    if kind not in (FORM, *ZIP_TYPES, *RAW_TYPES):
        raise UnsupportedMediaType(
            f"Content-Type is {quoted(kind)}; send multipart/form-data with fields {FIELDS[0]}, or application/zip"
        )
    limits = Limits(
        max_files=max_photos,
        max_bytes=max_bytes,
        max_overhead=FORM_OVERHEAD + PART_OVERHEAD * max_photos,
        upload_s=upload_s,
        too_many=BatchTooLarge(f"the form contains more than {max_photos} photos; send several batches"),
        too_large=BatchTooLarge,
    )
    files = await read_files(request, limits, fields=FIELDS)
    if kind != FORM or (len(files) == 1 and files[0].startswith(SIGNATURES)):
        return [partial(member.read, max_photo_bytes) for member in list_photos(files[0], max_photos=max_photos)]
    return [partial(bytes, photo) for photo in files]
