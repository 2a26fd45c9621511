"""UIDs: the same for the same question, others for every other one."""

from __future__ import annotations

from dataclasses import replace

from pydicom.uid import UID

from app.detector.bundle import Bundle
from app.dicom.source import Source
from app.dicom.uids import IMPLEMENTATION, Uids, derived_uid
from app.screen_photo import Options, ScreenedPhoto
from app.settings import Precision
from tests.app.dicom.answers import OPTIONS, screened, source
from tests.app.photo import dicom_files


def test_uids_are_valid() -> None:
    for uid in (IMPLEMENTATION, derived_uid("a"), derived_uid("b", 1)):
        assert UID(uid).is_valid
        assert uid.startswith("2.25.")
    assert derived_uid("a", "b") != derived_uid("ab")


def test_every_part_of_the_question_counts(shipped_bundle: Bundle) -> None:
    answer = screened(shipped_bundle)
    other_point = replace(shipped_bundle.operating_point, score_threshold=0.123)

    asked = source()

    def instance(source: Source = asked, answer: ScreenedPhoto = answer, options: Options = OPTIONS) -> str:
        return Uids(source, answer, options).instance("report")

    questions = {
        instance(),
        instance(source=source(dicom_files.jpeg(PatientID="other"))),
        instance(source=source(dicom_files.jpeg(SOPInstanceUID="1.2.9"))),
        instance(source=replace(source(), frame=2)),
        instance(answer=replace(answer, bundle=replace(shipped_bundle, sha256="0" * 64))),
        instance(answer=replace(answer, precision=Precision.FLOAT32)),
        instance(answer=replace(answer, operating_point=other_point)),
        instance(answer=replace(answer, operating_point=replace(other_point, max_boxes=9))),
        instance(options=replace(OPTIONS, lang="ko")),
        instance(options=Options()),
        Uids(source(), answer, OPTIONS).instance("picture"),
        Uids(source(), answer, OPTIONS).series("report"),
        Uids(source(), answer, OPTIONS).tracking(1),
        Uids(source(), answer, OPTIONS).tracking(2),
    }
    assert len(questions) == 14
    assert instance() == instance(source=source(), answer=replace(answer, timings_ms={"decode": 1.0}))


def test_photos_of_a_series_are_answered_in_one_series(shipped_bundle: Bundle) -> None:
    other = source(dicom_files.jpeg(SOPInstanceUID="1.2.9"))
    answers = [Uids(photo, screened(shipped_bundle), OPTIONS) for photo in (source(), other)]
    assert answers[0].series("report") == answers[1].series("report") != answers[0].series("picture")
