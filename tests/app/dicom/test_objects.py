"""Which objects answer, and photos whose patient cannot be written again."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

import app.dicom
from app.detector.bundle import Bundle
from app.dicom.codes import Code
from app.dicom.objects import build_objects
from app.drawing import Lang
from app.errors import NotAcceptable, UnreadablePhoto
from tests.app.dicom.answers import KOREAN, KOREAN_CHARSETS, OPTIONS, assert_conforms, korean, screened, source
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


PROFILE = Code("113100", "DCM", "Basic Application Confidentiality Profile")


@pytest.mark.parametrize(
    "method",
    [
        {"DeidentificationMethod": "By hand"},
        {"DeidentificationMethodCodeSequence": [PROFILE.item(), Code("113105", "DCM", "Clean Descriptors").item()]},
    ],
)
def test_objects_say_how_their_photo_was_deidentified(
    shipped_bundle: Bundle, tmp_path: Path, method: dict[str, Any]
) -> None:
    data = dicom_files.jpeg(PatientIdentityRemoved="YES", **method)
    ((name, value),) = method.items()
    for made in build_objects(source(data), screened(shipped_bundle), OPTIONS):
        read = dcmread(io.BytesIO(made))
        assert (read.PatientIdentityRemoved, read[name].value) == ("YES", value)
        assert_conforms(made, tmp_path)


@pytest.mark.parametrize("lang", ["en", "ko"])
@pytest.mark.parametrize("charset", KOREAN_CHARSETS)
def test_objects_of_korean_photos_conform(shipped_bundle: Bundle, tmp_path: Path, charset: str, lang: Lang) -> None:
    for made in build_objects(source(korean(charset)), screened(shipped_bundle), replace(OPTIONS, lang=lang)):
        assert dcmread(io.BytesIO(made)).PatientName == KOREAN["PatientName"]
        assert_conforms(made, tmp_path)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.dicom, "find_spec", lambda name: None)
    with pytest.raises(NotAcceptable, match=r"install 'caries-screen\[dicom\]'"):
        app.dicom.require_extra()
