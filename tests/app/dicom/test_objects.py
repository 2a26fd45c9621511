"""Which objects answer, and photos whose patient cannot be written again."""

from __future__ import annotations

import io

import pytest
from pydicom import dcmread

import app.dicom
from app.detector.bundle import Bundle
from app.dicom.objects import build_objects
from app.errors import NotAcceptable, UnreadablePhoto
from tests.app.dicom.answers import OPTIONS, screened, source
from tests.app.photo import dicom_files


def test_a_picture_adds_a_secondary_capture(shipped_bundle: Bundle) -> None:
    kinds = [
        [dcmread(io.BytesIO(data)).Modality for data in build_objects(source(), answer, OPTIONS)]
        for answer in (screened(shipped_bundle), screened(shipped_bundle, picture=None))
    ]
    assert kinds == [["SR", "OT"], ["SR"]]


def test_values_that_cannot_be_written_again_are_the_photos_fault(shipped_bundle: Bundle) -> None:
    data = dicom_files.jpeg(PatientSize="1.75").replace(b"1.75", b"Hong")
    with pytest.raises(UnreadablePhoto, match="has values that cannot be copied") as raised:
        build_objects(source(data), screened(shipped_bundle), OPTIONS)
    assert raised.value.__suppress_context__, "the cause names the value"


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.dicom, "find_spec", lambda name: None)
    with pytest.raises(NotAcceptable, match=r"install 'caries-screen\[dicom\]'"):
        app.dicom.require_extra()
