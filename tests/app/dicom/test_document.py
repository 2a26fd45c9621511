"""The parts that reports and pictures share."""

from __future__ import annotations

import io

from pydicom import dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from app.detector.bundle import Bundle
from app.dicom.document import as_file, begun, device_uid, verdict_in_words
from app.screen_photo import Options
from tests.app.dicom.answers import OPTIONS, not_assessable, screened, source


def test_words_of_the_verdict(shipped_bundle: Bundle) -> None:
    answer = screened(shipped_bundle)
    assert verdict_in_words(answer, Options()) == "Caries suspected. Not a medical device."
    assert verdict_in_words(answer, Options(lang="ko")) == "충치 의심. 의료기기가 아님."
    unclear = verdict_in_words(not_assessable(shipped_bundle), Options())
    assert unclear == "Not assessable (photo blurred). Not a medical device."


def test_series_and_equipment(shipped_bundle: Bundle) -> None:
    answer = screened(shipped_bundle)
    made = begun(SecondaryCaptureImageStorage, "picture", 7, source(), answer, OPTIONS, "")
    read = dcmread(io.BytesIO(as_file(made)))
    assert read.file_meta.MediaStorageSOPInstanceUID == read.SOPInstanceUID != source().header.SOPInstanceUID
    assert read.StudyInstanceUID == source().header.StudyInstanceUID
    assert read.SeriesInstanceUID != source().header.SeriesInstanceUID
    assert (read.SeriesNumber, read.Manufacturer) == (7, "caries-screen")
    assert shipped_bundle.sha256.startswith(read.DeviceSerialNumber)
    assert device_uid(answer) != device_uid(screened(shipped_bundle, precision=None))
