"""Where a photo enters: the bytes of the one photo in a request, multipart or raw, in memory and under a limit."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, ClassVar

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.api.problems import quoted
from app.errors import BadForm, CariesError, PhotoTooLarge, UnsupportedMediaType, UploadTooSlow

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD = "file"
"""The form field that holds the photo."""

FORM = "multipart/form-data"
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
    kind, boundary = content_type(request)
    if not (kind in (FORM, *RAW_TYPES) or kind.startswith("image/")):
        raise UnsupportedMediaType(
            f"Content-Type is {quoted(kind)}; send multipart/form-data with the field {FIELD}, or the photo as image/*"
        )
    announced, limit = announced_bytes(request), max_bytes + (FORM_OVERHEAD if kind == FORM else 0)
    if announced > limit:
        raise PhotoTooLarge(f"the body has {announced} bytes; photos of at most {max_bytes} are accepted")
    try:
        async with asyncio.timeout(upload_s):
            if kind != FORM:
                return await _read_raw(request, max_bytes)
            form = _OnePhoto(max_bytes)
            await form.read(request, boundary)
            return form.photo.getvalue()
    except TimeoutError:
        raise UploadTooSlow(f"the photo did not arrive within {upload_s:g} seconds") from None


def content_type(request: Request) -> tuple[str, bytes]:
    """The body's Content-Type without its parameters, and a form's boundary.

    Raises:
        UnsupportedMediaType: the body is compressed.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedMediaType(f"Content-Encoding is {quoted(encoding)}; send the photo as it is")
    kind, parameters = parse_options_header(request.headers.get("content-type", ""))
    return kind.decode("latin-1").strip().lower(), parameters.get(b"boundary", b"")


def announced_bytes(request: Request) -> int:
    """The body's length as its sender says; 0 if nothing is said."""
    announced = request.headers.get("content-length", "")
    return int(announced) if announced.isdecimal() else 0


async def _read_raw(request: Request, max_bytes: int) -> bytes:
    photo = io.BytesIO()
    async for chunk in request.stream():
        if photo.tell() + len(chunk) > max_bytes:
            raise PhotoTooLarge(f"the photo has more than {max_bytes} bytes, the most that is accepted")
        photo.write(chunk)
    return photo.getvalue()


class Form:
    """Takes a form apart as it arrives; what becomes of its files is up to those derived from this.

    Attributes:
        fields: that may hold files, the preferred one first.
        overhead: bytes that the form may hold beside its files.
        too_large: what is raised for more.
        held: bytes of files so far.
    """

    fields: ClassVar[tuple[str, ...]]
    too_large: ClassVar[type[CariesError]]

    def __init__(self, overhead: int) -> None:
        self.overhead = overhead
        self.held = 0
        self._seen = False
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

    def begin_file(self) -> None:
        """Another file begins."""
        raise NotImplementedError

    def take(self, data: bytes) -> None:
        """More of the file that began last."""
        raise NotImplementedError

    async def read(self, request: Request, boundary: bytes) -> None:
        """Reads the whole form.

        Raises:
            BadForm: it is malformed, incomplete, holds no file, or something else.
            CariesError: what `too_large` is, `begin_file` or `take`.
        """
        if not boundary:
            raise BadForm("the multipart form's Content-Type names no boundary")
        field = self.fields[0]
        try:
            parser = MultipartParser(boundary, self._callbacks)
            received = 0
            async for chunk in request.stream():
                received += len(chunk)
                if received - self.held > self.overhead + len(chunk):
                    raise self.too_large(f"the form holds more than {self.overhead} bytes beside the photo")
                parser.write(chunk)
            parser.finalize()
        except FormParserError as error:
            raise BadForm(f"the multipart form is malformed: {quoted(error)}") from None
        if not self._complete:
            raise BadForm("the multipart form is incomplete: its last boundary is missing")
        if not self._seen:
            raise BadForm(f"the multipart form holds no field {field}; with curl write -F {field}=@photo.jpg")

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
        field = self.fields[0]
        if name not in self.fields and not is_file:
            raise BadForm(f"the form field {quoted(name)} is not known; parameters go into the address, after a ?")
        if name not in self.fields:
            raise BadForm(f"the photo is in the form field {quoted(name)}; it must be in {field}")
        if not is_file:
            raise BadForm(f"the form field {name} holds text, not a file; with curl write -F {name}=@photo.jpg")
        self.begin_file()
        self._seen = True

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.held += end - start
        self.take(data[start:end])

    def _on_end(self) -> None:
        self._complete = True


class _OnePhoto(Form):
    """Keeps the photo."""

    fields = (FIELD,)
    too_large = PhotoTooLarge

    def __init__(self, max_bytes: int) -> None:
        super().__init__(FORM_OVERHEAD)
        self.photo = io.BytesIO()
        self._max_bytes = max_bytes

    def begin_file(self) -> None:
        if self._seen:
            raise BadForm("the form holds several photos; send one in each request, or all to /detect/batch")

    def take(self, data: bytes) -> None:
        if self.held > self._max_bytes:
            raise PhotoTooLarge(f"the photo has more than {self._max_bytes} bytes, the most that is accepted")
        self.photo.write(data)
