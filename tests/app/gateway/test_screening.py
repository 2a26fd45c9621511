"""The server as the gateway sees it, over real HTTP."""

from __future__ import annotations

import io
import socket

import pytest
from pydicom import dcmread

from app.dicom.related import join_related
from app.gateway.screening import Answer, Refusal, Server
from app.records.key_file import KeyFile, Role
from tests.app.api.live_server import MODEL, Live, Start
from tests.app.gateway.archives import photo
from tests.app.gateway.web_server import web_server
from tests.app.photo import dicom_files
from tests.app.photo.pictures import four_colours


def asked(live: Live, data: bytes, key: str = "", lang: str = "en") -> Answer | Refusal:
    return Server(f"http://127.0.0.1:{live.port}", key, lang).screen(data)


def test_a_photo_is_answered_by_two_objects(live: Live) -> None:
    answer = asked(live, photo(), lang="ko")
    assert isinstance(answer, Answer)
    assert answer.bundle == f"{MODEL}/1"
    assert answer.sha256 == live.client.post("/detect?format=json", content=photo()).json()["model"]["sha256"]
    report, picture = (dcmread(io.BytesIO(made.data)) for made in answer.objects)
    assert (report.Modality, picture.Modality) == ("SR", "OT")
    assert [made.uid for made in answer.objects] == [report.SOPInstanceUID, picture.SOPInstanceUID]
    assert "의료기기가 아님" in picture.ImageComments


def test_every_frame_is_answered(live: Live) -> None:
    answer = asked(live, dicom_files.frames([four_colours()] * 3))
    assert isinstance(answer, Answer)
    assert len({made.uid for made in answer.objects}) == 6


def test_refusals(start: Start, tmp_path) -> None:
    keys = KeyFile(tmp_path / "keys")
    _, key = keys.add("gateway", Role.DETECT)
    with start(keys=tmp_path / "keys") as live:
        refused = asked(live, photo())
        assert isinstance(refused, Refusal)
        assert not refused.final, "the operator can give a key"
        assert refused.reason.startswith("401: ")
        assert isinstance(asked(live, photo(), key=key), Answer)
        refused = asked(live, dicom_files.native(SOPClassUID="1.2.840.10008.5.1.4.1.1.1.3"), key=key)
        assert isinstance(refused, Refusal)
        assert refused.final
        assert "radiograph" in refused.reason


def test_no_server() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        refused = Server(f"http://127.0.0.1:{free.getsockname()[1]}", timeout_s=1).screen(photo())
    assert isinstance(refused, Refusal)
    assert not refused.final
    assert "does not answer" in refused.reason


def test_damaged_files_are_not_sent() -> None:
    refused = Server("http://127.0.0.1:1").screen(photo()[:1000])
    assert isinstance(refused, Refusal)
    assert refused.final


@pytest.mark.parametrize("objects", [0, 1, 3])
@pytest.mark.parametrize("model", ["caries/1", None])
def test_incomplete_answers_are_asked_for_again(objects: int, model: str | None) -> None:
    if (objects, model) == (0, None):
        objects = 2  # complete but for the model
    body, kind = join_related([photo(number) for number in range(objects)])
    headers = {"Content-Type": kind, **({"X-Caries-Model": model} if model else {})}
    with web_server(200, body, headers) as (url, _):
        assert Server(url.rstrip("/")).screen(photo()) == Refusal("the server's answer is not the one asked for", False)


@pytest.mark.parametrize(
    ("status", "final", "lasting"),
    [(406, False, True), (301, False, True), (401, False, True), (422, True, False), (503, False, False)],
)
def test_which_statuses_are_final(status: int, final: bool, lasting: bool) -> None:
    headers = {"Retry-After": "9" * 400, "Location": "/elsewhere"}
    with web_server(status, b'{"detail": "why"}', headers) as (url, asked):
        refused = Server(url.rstrip("/")).screen(photo())
    assert refused == Refusal(f"{status}: why", final, after_s=600.0, status=status)
    assert refused.is_lasting == lasting
    assert len(asked) == 1


@pytest.mark.parametrize("other", [Answer("caries/2", [], "aa"), Answer("caries/1", [], "bb")])
def test_frames_by_two_models(monkeypatch: pytest.MonkeyPatch, other: Answer) -> None:
    answers = iter([Answer("caries/1", [], "aa"), other])
    monkeypatch.setattr(Server, "_ask", lambda *_: next(answers))
    refused = Server("").screen(dicom_files.frames([four_colours()] * 2))
    assert refused == Refusal("the server's model changed between two frames", final=False)


def test_problems_are_known_before_the_first_photo(start: Start, tmp_path) -> None:
    _, key = KeyFile(tmp_path / "keys").add("gateway", Role.DETECT)
    with start(keys=tmp_path / "keys") as live:
        url = f"http://127.0.0.1:{live.port}"
        right, wrong = Server(url, key).probe(), Server(url).probe()
    assert isinstance(right, Refusal)
    assert right.final, "of the empty photo"
    assert isinstance(wrong, Refusal)
    assert (wrong.status, wrong.is_lasting) == (401, True)
