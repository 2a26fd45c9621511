"""What objects take over from a photo: patient, study and character set."""

from __future__ import annotations

import io
import logging
import warnings
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from app.dicom.source import COPIED, EMPTY
from app.errors import PhotoTooLarge, UnreadablePhoto
from app.photo.dicom_file import MAX_DEPTH
from tests.app.dicom.answers import KOREAN, KOREAN_CHARSETS, korean, source
from tests.app.photo import dicom_files
from tests.app.photo.test_dicom_file import nested


def written_again(data: bytes, texts: str = "") -> bytes:
    made = Dataset()
    source(data).copy_to(made, texts)
    return dicom_files.written(made, pixels=None)


def test_patient_and_study_are_copied() -> None:
    given: dict[str, Any] = {
        "PatientAge": "056Y",
        "IssuerOfPatientID": "Clinic",
        "StudyDescription": "Photos",
        "PatientSize": "1.7",
    }
    copy = dcmread(io.BytesIO(written_again(dicom_files.native(**given))))
    original = dcmread(io.BytesIO(dicom_files.native(**given)))
    for name in COPIED:
        assert copy.get(name) == original.get(name)
    assert copy.AccessionNumber == "A17"


def test_attributes_that_every_object_has() -> None:
    missing: dict[str, Any] = dict.fromkeys(EMPTY)
    copy = dcmread(io.BytesIO(written_again(dicom_files.native(**missing))))
    assert all(name in copy and not copy[name].value for name in EMPTY)


@pytest.mark.parametrize("texts", ["", "Caries suspected", "충치 의심"])
@pytest.mark.parametrize("charset", KOREAN_CHARSETS)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_korean_names_keep_their_bytes(syntax: str, charset: str, texts: str) -> None:
    data = korean(charset, syntax)
    assert charset.encode() in data
    name = dcmread(io.BytesIO(dicom_files.jpeg(**KOREAN))).PatientName.original_string
    assert b"\x1b$)C" in name
    assert name in data
    copied = written_again(data, texts)
    assert name in copied
    read = dcmread(io.BytesIO(copied))
    assert read.SpecificCharacterSet == ["", "ISO 2022 IR 149"]
    assert (read.PatientName, read.StudyDescription) == (KOREAN["PatientName"], "구강 사진")


@pytest.mark.parametrize("charset", KOREAN_CHARSETS[1:])
def test_korean_names_without_escapes_get_them(charset: str) -> None:
    name = "Hong^Gildong==홍^길동"
    bare = dicom_files.dataset(SpecificCharacterSet=charset, PatientName=None)
    bare.add_new(0x00100010, "PN", name.encode("euc_kr"))
    copied = written_again(dicom_files.written(bare), "충치 의심")
    assert dcmread(io.BytesIO(copied)).PatientName == name
    assert copied.count(b"\x1b$)C") == 2


def test_a_character_set_without_the_texts_becomes_utf_8() -> None:
    data = dicom_files.jpeg(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Änne")
    for texts, charset in (("Caries", "ISO_IR 100"), ("충치 의심", "ISO_IR 192")):
        copy = dcmread(io.BytesIO(written_again(data, texts)))
        assert copy.SpecificCharacterSet == charset
        assert copy.PatientName == "Müller^Änne"
    bare = dcmread(io.BytesIO(written_again(dicom_files.jpeg(SpecificCharacterSet=None))))
    assert "SpecificCharacterSet" not in bare


@pytest.mark.parametrize("name", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("value", [None, "1.2.a"])
def test_a_photo_without_identifiers_is_refused(name: str, value: str | None) -> None:
    wrong: dict[str, Any] = {name: value}
    with pytest.raises(UnreadablePhoto, match=f"no valid {name}"):
        source(dicom_files.native(**wrong))


def test_limits_apply_before_pydicom() -> None:
    with pytest.raises(PhotoTooLarge):
        source(dicom_files.written(nested(MAX_DEPTH + 1)))
    with pytest.raises(UnreadablePhoto):
        source(dicom_files.native()[:500])


def test_hostile_values_never_reach_pydicom() -> None:
    given = dicom_files.dataset(PatientName=None)
    given.add_new(0x00100010, "SQ", [Dataset() for _ in range(1000)])
    for made in (given, dicom_files.dataset(PatientID=1025 * "1")):
        with pytest.raises(UnreadablePhoto, match=r"Patient(Name|ID) has \d+ bytes or another type; at most 1024 of"):
            source(dicom_files.written(made))
    given = dicom_files.dataset(PatientComments=60_000 * "a", AnatomicRegionSequence=[Dataset()])
    assert set(source(dicom_files.written(given)).header.keys()) < set(dicom_files.dataset().keys())


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_encodings(syntax: str) -> None:
    header = source(dicom_files.native(syntax=syntax)).header
    assert (header.PatientName, header.InstanceNumber) == ("Hong^Gildong", 1)


def test_the_date_is_that_of_the_photo() -> None:
    assert source(dicom_files.native(ContentDate="20260102", ContentTime="030405")).content_date_and_time == (
        "20260102",
        "030405",
    )
    assert source(dicom_files.native()).content_date_and_time == ("20261130", "101500")
    assert source(dicom_files.native(StudyDate="soon")).content_date_and_time == ("19000101", "000000")


def test_values_are_not_logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    data = dicom_files.native(PatientBirthDate="Hong1970", PatientAge="Hong", SpecificCharacterSet="Hong")
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("ignore", module="pydicom")
        written_again(data)
    assert "Hong" not in caplog.text + "".join(capfd.readouterr()) + "".join(str(one.message) for one in caught)
