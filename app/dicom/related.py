"""Bodies of several DICOM files (RFC 2387), read and written."""

import secrets
from collections.abc import Sequence
from email.message import Message

DICOM = "application/dicom"


def split_related(body: bytes, headers: Message) -> list[bytes]:
    """The parts of a multipart body (RFC 2046); raises ValueError if it is none."""
    boundary = headers.get_param("boundary")
    if headers.get_content_type() != "multipart/related" or not isinstance(boundary, str):
        raise ValueError("not multipart/related")
    _, *parts, last = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    if not last.startswith(b"--"):
        raise ValueError("the last boundary is missing")
    return [part.partition(b"\r\n\r\n")[2] for part in parts]


def join_related(files: Sequence[bytes]) -> tuple[bytes, str]:
    """A body with these files, and its Content-Type."""
    boundary = secrets.token_hex(16)
    parts = [f"--{boundary}\r\nContent-Type: {DICOM}\r\n\r\n".encode() + file + b"\r\n" for file in files]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f'multipart/related; type="{DICOM}"; boundary={boundary}'
