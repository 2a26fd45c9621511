"""The Secondary Capture: the picture, its references and its conformance."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from app.detector.bundle import Bundle
from app.dicom.capture import build_capture
from app.drawing import Lang
from app.photo.decoding import decode
from tests.app.dicom.answers import KOREAN, OPTIONS, assert_conforms, screened, source
from tests.app.photo import dicom_files
from tests.app.photo.pictures import four_colours


def test_the_picture_is_the_answers(shipped_bundle: Bundle) -> None:
    answer = screened(shipped_bundle)
    data = build_capture(source(), answer, OPTIONS)
    read = dcmread(io.BytesIO(data))
    assert answer.picture is not None
    assert answer.picture in data
    assert np.array_equal(decode(data).pixels, np.asarray(Image.open(io.BytesIO(answer.picture))))
    assert (read.Rows, read.Columns, read.BodyPartExamined) == (60, 64, "MOUTH")
    assert read.ImageComments == "Caries suspected. Not a medical device."


def test_references(shipped_bundle: Bundle) -> None:
    read = dcmread(io.BytesIO(build_capture(source(), screened(shipped_bundle), OPTIONS)))
    assert read.SourceImageSequence[0].ReferencedSOPInstanceUID == source().header.SOPInstanceUID
    assert read.StudyInstanceUID == source().header.StudyInstanceUID
    multi = source(dicom_files.frames([four_colours()] * 3), frame=3)
    read = dcmread(io.BytesIO(build_capture(multi, screened(shipped_bundle), OPTIONS)))
    assert read.SourceImageSequence[0].ReferencedFrameNumber == 3


TOOTH = {"BodyPartExamined": "TOOTH"}
"""A paired part of the body, unlike JAW."""


@pytest.mark.parametrize("lang", ["en", "ko"])
@pytest.mark.parametrize(
    "patient",
    [
        *({}, KOREAN, {"BodyPartExamined": "JAW"}, {"BodyPartExamined": "JAW", "Laterality": "R"}),
        *(TOOTH, {**TOOTH, "Laterality": "R"}, {**TOOTH, "ImageLaterality": "L"}),
        {**TOOTH, "Laterality": "R", "ImageLaterality": "L"},
    ],
)
def test_pictures_conform(shipped_bundle: Bundle, tmp_path: Path, lang: Lang, patient: dict[str, Any]) -> None:
    photo = source(dicom_files.jpeg(**patient))
    data = build_capture(photo, screened(shipped_bundle), replace(OPTIONS, lang=lang))
    assert dcmread(io.BytesIO(data)).PatientName == dcmread(io.BytesIO(dicom_files.jpeg(**patient))).PatientName
    assert_conforms(data, tmp_path)


def test_the_same_question_gives_the_same_bytes(shipped_bundle: Bundle) -> None:
    answer = screened(shipped_bundle)
    assert build_capture(source(), answer, OPTIONS) == build_capture(source(), answer, OPTIONS)
