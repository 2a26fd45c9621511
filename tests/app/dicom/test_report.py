"""The structured report: read by highdicom, checked by dciodvfy, the same bytes for the same question."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from app.detector.bundle import Bundle
from app.dicom.report import build_report
from app.drawing import Lang
from tests.app.dicom.answers import KOREAN, OPTIONS, assert_conforms, not_assessable, screened, source
from tests.app.photo import dicom_files
from tests.app.photo.pictures import four_colours


def value(items: list[Dataset], code: str) -> Dataset:
    return next(item for item in items if item.ConceptNameCodeSequence[0].CodeValue == code)


def test_highdicom_reads_the_boxes_of_the_json_answer(shipped_bundle: Bundle) -> None:
    highdicom = pytest.importorskip("highdicom")
    answer = screened(shipped_bundle)
    report = highdicom.sr.srread(io.BytesIO(build_report(source(), answer, OPTIONS))).content
    groups = report.get_planar_roi_measurement_groups()
    assert len(groups) == 3
    for group, box in zip(groups, answer.boxes(), strict=True):
        points = group.roi.value
        corners = {"xmin": points[0][0], "ymin": points[0][1], "xmax": points[2][0], "ymax": points[2][1]}
        assert corners == pytest.approx(box["box"], abs=1e-4)
        assert (points[0] == points[-1]).all()
        assert group.roi.graphic_type.value == "POLYLINE"
        (certainty,) = group.get_measurements()
        assert certainty.value == pytest.approx(box["score"] * 100)
        assert certainty.unit.value == "%"
        assert group.finding_type.scheme_designator == ("SCT" if box["class"] == "caries" else "99CARIES")
        reference = group.roi.ContentSequence[0].ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == source().header.SOPInstanceUID
    assert groups[0].finding_type.value == "80967001"
    assert len({group.tracking_uid for group in groups}) == 3
    assert groups[0].tracking_identifier == "caries 1"


def test_the_detector_is_identified(shipped_bundle: Bundle) -> None:
    read = dcmread(io.BytesIO(build_report(source(), screened(shipped_bundle), OPTIONS)))
    group = value(read.ContentSequence, "126010").ContentSequence[0].ContentSequence
    assert value(group, "111001").TextValue == shipped_bundle.name
    assert value(group, "111003").TextValue == f"{shipped_bundle.version} sha256:{shipped_bundle.sha256}"
    assert "precision=int8" in value(group, "111002").TextValue
    assert value(read.ContentSequence, "121013").TextValue == shipped_bundle.name


def test_the_verdict_is_a_text_in_the_language_of_the_question(shipped_bundle: Bundle) -> None:
    spoken: dict[Lang, str] = {"en": "Caries suspected. Not a medical device.", "ko": "충치 의심. 의료기기가 아님."}
    for lang, words in spoken.items():
        read = dcmread(
            io.BytesIO(
                build_report(source(dicom_files.jpeg(**KOREAN)), screened(shipped_bundle), replace(OPTIONS, lang=lang))
            )
        )
        assert value(read.ContentSequence, "C0034375").ContentSequence[0].TextValue == words
        assert value(read.ContentSequence, "121049").ConceptCodeSequence[0].CodeValue == lang
        assert str(read.PatientName) == KOREAN["PatientName"]


def test_a_photo_without_boxes_has_no_measurements(shipped_bundle: Bundle) -> None:
    """A group without a region turns the view of some viewers black."""
    read = dcmread(io.BytesIO(build_report(source(), not_assessable(shipped_bundle), OPTIONS)))
    assert "126010" not in [item.ConceptNameCodeSequence[0].CodeValue for item in read.ContentSequence]


def test_a_frame_is_referred_to(shipped_bundle: Bundle) -> None:
    multi = source(dicom_files.frames([four_colours()] * 3), frame=2)
    read = dcmread(io.BytesIO(build_report(multi, screened(shipped_bundle), OPTIONS)))
    region = value(value(read.ContentSequence, "126010").ContentSequence[0].ContentSequence, "111030")
    assert region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber == 2
    single = dcmread(io.BytesIO(build_report(source(), screened(shipped_bundle), OPTIONS)))
    region = value(value(single.ContentSequence, "126010").ContentSequence[0].ContentSequence, "111030")
    assert "ReferencedFrameNumber" not in region.ContentSequence[0].ReferencedSOPSequence[0]


@pytest.mark.parametrize("lang", ["en", "ko"])
@pytest.mark.parametrize("patient", [{}, KOREAN, {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller"}])
def test_reports_conform(shipped_bundle: Bundle, tmp_path: Path, lang: Lang, patient: dict[str, Any]) -> None:
    photo = source(dicom_files.jpeg(**patient))
    for answer in (screened(shipped_bundle), not_assessable(shipped_bundle)):
        assert_conforms(build_report(photo, answer, replace(OPTIONS, lang=lang)), tmp_path)


def test_the_same_question_gives_the_same_bytes(shipped_bundle: Bundle) -> None:
    first = build_report(source(), screened(shipped_bundle), OPTIONS)
    time.sleep(0.01)
    assert build_report(source(), screened(shipped_bundle), OPTIONS) == first
