"""Where a photo enters: the bytes of the one photo in a request, multipart or raw, in memory and under a limit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.api.problems import BadForm, UnsupportedMediaType, UploadTooSlow, quoted
from app.errors import PhotoTooLarge

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD = "file"
"""The form field that holds the photo."""

FORM_OVERHEAD = 64 * 2**10
"""Bytes that a form may hold beside the photo: boundaries, part headers, other fields."""

RAW_TYPES = ("", "application/octet-stream", "application/x-www-form-urlencoded")
"""Content types, beside image/*, of a body that is the photo itself. The last is what `curl --data-binary` sends."""


async def read_photo(request: Request, *, max_bytes: int, upload_s: float) -> bytes:
    """The photo's bytes as they were sent.

    Reading stops at the limit: no more than `max_bytes` and `FORM_OVERHEAD` are ever held.

    Args:
        request: its body is consumed.
        max_bytes: longest photo.
        upload_s: seconds that the body may take to arrive.

    Raises:
        UnsupportedMediaType: the body is neither a form nor a picture, or is compressed.
        BadForm: the form does not hold exactly one photo, as the file `file`.
        PhotoTooLarge: a limit is passed.
        UploadTooSlow: the body did not arrive in time.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedMediaType(f"Content-Encoding is {quoted(encoding)}; send the photo as it is")
    content_type, parameters = parse_options_header(request.headers.get("content-type", ""))
    kind = content_type.decode("latin-1").strip().lower()
    is_form = kind == "multipart/form-data"
    if not (is_form or kind in RAW_TYPES or kind.startswith("image/")):
        raise UnsupportedMediaType(
            f"Content-Type is {quoted(kind)}; send multipart/form-data with the field {FIELD}, or the photo as image/*"
        )
    _check_announced(request, max_bytes + (FORM_OVERHEAD if is_form else 0), max_bytes)
    try:
        async with asyncio.timeout(upload_s):
            if is_form:
                return await _read_form(request, parameters.get(b"boundary", b""), max_bytes)
            return await _read_raw(request, max_bytes)
    except TimeoutError:
        raise UploadTooSlow(f"the photo did not arrive within {upload_s:g} seconds") from None


def _check_announced(request: Request, limit: int, max_bytes: int) -> None:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise PhotoTooLarge(f"the body has {announced} bytes; photos of at most {max_bytes} are accepted")


async def _read_raw(request: Request, max_bytes: int) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        if len(data) + len(chunk) > max_bytes:
            raise PhotoTooLarge(f"the photo has more than {max_bytes} bytes, the most that is accepted")
        data += chunk
    return bytes(data)


async def _read_form(request: Request, boundary: bytes, max_bytes: int) -> bytes:
    if not boundary:
        raise BadForm("the multipart form's Content-Type names no boundary")
    form = _Form(max_bytes)
    try:
        parser = MultipartParser(boundary, form.callbacks)
        received = 0
        async for chunk in request.stream():
            received += len(chunk)
            if received - len(form.photo) > FORM_OVERHEAD + len(chunk):
                raise PhotoTooLarge(f"the form holds more than {FORM_OVERHEAD} bytes beside the photo")
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise BadForm(f"the multipart form is malformed: {quoted(error)}") from None
    if not form.complete:
        raise BadForm("the multipart form is incomplete: its last boundary is missing")
    if not form.seen:
        raise BadForm(f"the multipart form holds no field {FIELD}; with curl write -F {FIELD}=@photo.jpg")
    return bytes(form.photo)


class _Form:
    """Takes a form apart as it arrives; keeps the photo only."""

    def __init__(self, max_bytes: int) -> None:
        self.photo = bytearray()
        self.seen = False
        self.complete = False
        self._max_bytes = max_bytes
        self._header = b""
        self._value = b""
        self._disposition = b""
        self.callbacks: MultipartCallbacks = {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_end": self._on_end,
        }

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
        if name != FIELD and not is_file:
            raise BadForm(f"the form field {quoted(name)} is not known; parameters go into the address, after a ?")
        if name != FIELD:
            raise BadForm(f"the photo is in the form field {quoted(name)}; it must be in {FIELD}")
        if not is_file:
            raise BadForm(f"the form field {FIELD} holds text, not a file; with curl write -F {FIELD}=@photo.jpg")
        if self.seen:
            raise BadForm("the form holds several photos; send one in each request")
        self.seen = True

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if len(self.photo) + end - start > self._max_bytes:
            raise PhotoTooLarge(f"the photo has more than {self._max_bytes} bytes, the most that is accepted")
        self.photo += data[start:end]

    def _on_end(self) -> None:
        self.complete = True
