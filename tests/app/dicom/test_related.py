"""Bodies of several DICOM files."""

from __future__ import annotations

from email.message import Message

import pytest

from app.dicom.related import join_related, split_related


def header(kind: str) -> Message:
    made = Message()
    made["Content-Type"] = kind
    return made


@pytest.mark.parametrize("files", [[b"a"], [b"a\r\n\r\n--b", b"", b"\r\n"]])
def test_files_come_back(files: list[bytes]) -> None:
    body, kind = join_related(files)
    assert split_related(body, header(kind)) == files


@pytest.mark.parametrize("kind", ["text/plain", "multipart/related", "multipart/form-data; boundary=x"])
def test_other_bodies(kind: str) -> None:
    with pytest.raises(ValueError, match="multipart"):
        split_related(b"--x\r\n\r\na\r\n--x--", header(kind))


def test_a_body_that_was_cut_off() -> None:
    body, kind = join_related([b"a" * 100, b"b" * 100])
    with pytest.raises(ValueError, match="boundary is missing"):
        split_related(body[:-50], header(kind))
