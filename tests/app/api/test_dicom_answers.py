"""Answers in DICOM over real HTTP: negotiation, both forms, and photos that cannot have one."""

from __future__ import annotations

import asyncio
import email
import io
import json
import logging

import httpx
import pytest
from PIL import Image
from pydicom import Dataset, dcmread

import app.dicom
from app.admission import Admission
from app.api.dicom_answers import dicom_body
from app.api.negotiation import Format
from app.detector.bundle import Bundle
from tests.app.api.live_server import Live, assert_problem
from tests.app.dicom.answers import KOREAN, OPTIONS, screened
from tests.app.photo import dicom_files
from tests.app.photo.pictures import camera_photo

RELATED = 'multipart/related; type="application/dicom"'


def parts(answer: httpx.Response) -> list[bytes]:
    """The bodies of a multipart answer, by Python's own parser."""
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.content)
    found = [part for part in message.walk() if not part.is_multipart()]
    assert all(part.get_content_type() == "application/dicom" for part in found)
    return [part.get_payload(decode=True) for part in found]  # type: ignore[misc]


def boxes(report: Dataset) -> list[dict[str, float]]:
    """The regions of a report."""
    found = []
    for item in report.ContentSequence:
        if item.ConceptNameCodeSequence[0].CodeValue != "126010":
            continue
        for group in item.ContentSequence:
            left, top, _, _, right, bottom, *_ = group.ContentSequence[-1].GraphicData
            found.append({"xmin": left, "ymin": top, "xmax": right, "ymax": bottom})
    return found


@pytest.fixture(scope="module")
def photo() -> bytes:
    return dicom_files.jpeg(camera_photo(320, 240), **KOREAN)


@pytest.mark.parametrize(
    ("headers", "query"), [({"Accept": "application/dicom"}, ""), ({"Accept": "application/json"}, "?format=dicom")]
)
def test_a_report(live: Live, photo: bytes, headers: dict[str, str], query: str) -> None:
    answer = live.client.post(f"/detect{query}", content=photo, headers=headers)
    assert answer.headers["content-type"] == "application/dicom"
    assert answer.headers["x-caries-verdict"]
    report = dcmread(io.BytesIO(answer.content))
    assert str(report.PatientName) == KOREAN["PatientName"]
    expected = live.client.post("/detect?format=json", content=photo).json()["detections"]
    assert expected
    assert boxes(report) == [pytest.approx(one["box"], abs=1e-4) for one in expected]


def test_a_report_and_a_picture(live: Live, photo: bytes) -> None:
    answer = live.client.post("/detect?lang=ko&plain=true", content=photo, headers={"Accept": RELATED})
    assert answer.headers["content-type"].startswith(f"{RELATED}; boundary=")
    report, picture = (dcmread(io.BytesIO(part)) for part in parts(answer))
    assert (report.Modality, picture.Modality) == ("SR", "OT")
    assert report.StudyInstanceUID == picture.StudyInstanceUID
    assert "의료기기가 아님" in picture.ImageComments
    drawn = live.client.post("/detect?format=jpeg&lang=ko", content=photo)
    assert (picture.Columns, picture.Rows) == Image.open(io.BytesIO(drawn.content)).size


def test_the_same_question_gives_the_same_objects(live: Live, photo: bytes) -> None:
    def ask(query: str = "") -> list[bytes]:
        return parts(live.client.post(f"/detect?format=dicom-related{query}", content=photo))

    assert ask() == ask()
    assert len({dcmread(io.BytesIO(part)).SOPInstanceUID for part in ask() + ask("&lang=ko")}) == 4


def test_photos_that_are_not_dicom_have_no_such_answer(live: Live) -> None:
    png = io.BytesIO()
    camera_photo(320, 240).save(png, "PNG")
    answer = live.client.post("/detect", content=png.getvalue(), headers={"Accept": "application/dicom"})
    assert "not a DICOM file" in assert_problem(answer, 406, "not-acceptable")["detail"]


def test_photos_without_identifiers(live: Live) -> None:
    data = dicom_files.jpeg(camera_photo(320, 240), StudyInstanceUID=None)
    answer = live.client.post("/detect?format=dicom", content=data)
    assert "StudyInstanceUID" in assert_problem(answer, 422, "unreadable-photo")["detail"]
    assert live.client.post("/detect?format=json", content=data).status_code == 200


def test_values_that_cannot_be_copied(live: Live) -> None:
    data = dicom_files.jpeg(camera_photo(320, 240), PatientSize="1.75").replace(b"1.75", b"Hong")
    answer = live.client.post("/detect?format=dicom", content=data)
    assert "cannot be copied" in assert_problem(answer, 422, "unreadable-photo")["detail"]


def test_the_extra_is_named_where_it_is_missing(live: Live, photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.dicom, "find_spec", lambda name: None)
    answer = live.client.post("/detect?format=dicom", content=photo)
    assert "caries-screen[dicom]" in assert_problem(answer, 406, "not-acceptable")["detail"]
    assert live.client.post("/detect?format=json", content=photo).status_code == 200


def test_nothing_of_the_patient_is_logged(live: Live, photo: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for query in ("dicom", "dicom-related", "json"):
        assert live.client.post(f"/detect?format={query}", content=photo).status_code == 200
    text = (
        caplog.text
        + live.client.get("/metrics").text
        + json.dumps([record.args for record in caplog.records], default=str)
    )
    for mark in ("Gildong", "길동", "P-0017", "19700101", "1.2.826.0.1.3680043.8.498.1.1"):
        assert mark not in text


def test_objects_are_built_with_a_photo_permit(shipped_bundle: Bundle) -> None:
    async def build() -> tuple[bytes, str]:
        admission = Admission(photos_open=1)
        photo = screened(shipped_bundle)
        with admission.photo_permit() as permit:
            await permit.acquire()
            building = asyncio.create_task(dicom_body(Format.DICOM, dicom_files.jpeg(), photo, OPTIONS, admission))
            await asyncio.sleep(0.1)
            assert not building.done()
        return await building

    body, kind = asyncio.run(build())
    assert (body[128:132], kind) == (b"DICM", "application/dicom")
