"""`POST /detect` over real HTTP."""

import hashlib
import io
import logging
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from app.admission import MAX_LARGE_PHOTOS
from app.api.answers import ScreeningAnswer
from app.api.protocol import Protocol
from app.detector.detections import Detections
from app.photo.encoding import encode
from app.photo.formats import PhotoFormat
from app.photo.quality import PhotoQuality
from app.screen_photo import STAGES
from app.screening import ClassSelection, screen
from app.settings import Isolation
from tests.app.api.live_server import (
    JSON,
    POINTS,
    Live,
    StandIn,
    Start,
    assert_problem,
    kept_bytes,
    light_of,
    make_photo,
    wait_for,
    without_timings,
    write_bundle,
)
from tests.app.photo import dicom_files

RADIOGRAPH = dicom_files.native(SOPClassUID="1.2.840.10008.5.1.4.1.1.1.3")
GIF = b"GIF89a" + bytes(100)


def test_json_answer(live: Live, photo: bytes) -> None:
    response = live.client.post("/detect", files={"file": ("x.jpg", photo)}, headers=JSON)
    answer = response.json()
    assert list(answer) == [
        *("model", "image", "verdict", "reasons", "teeth_seen", "detections", "hidden_by_max_boxes"),
        *("operating_point", "timings_ms"),
    ]
    assert answer["verdict"] == "caries_suspected"
    assert answer["image"]["width"] == 320
    assert answer["image"]["height"] == 240
    assert answer["detections"] == [
        {"class": "caries", "class_id": 2, "score": 0.8, "box": box(96.0, 24.0, 160.0, 144.0)},
        {"class": "caries", "class_id": 2, "score": 0.6124, "box": box(176.0, 24.0, 240.0, 144.0)},
    ]
    assert answer["teeth_seen"] == 4
    assert answer["operating_point"] == {
        "name": None,
        "score_threshold": 0.5,
        "max_boxes": 5,
        "sensitivity": 0.8,
        "false_positives_per_image": 1.5,
    }
    assert list(answer["timings_ms"]) == list(STAGES)
    assert answer["timings_ms"]["draw"] == answer["timings_ms"]["encode"] == 0
    assert described(answer) == answer


@pytest.mark.parametrize("threshold", [0, 0.4, 0.41, 0.61237, 0.6124, 0.8, 0.81, 1])
@pytest.mark.parametrize("classes", ClassSelection)
def test_the_evidence_decides_at_any_threshold(
    live: Live, photo: bytes, threshold: float, classes: ClassSelection
) -> None:
    answer = live.client.post("/detect?evidence=true", content=photo, headers=JSON).json()
    assert described(answer) == answer
    evidence = answer["evidence"]
    seen, detections = (Detections(*map(np.array, evidence[name].values())) for name in ("seen", "detections"))
    decided = screen(
        detections,
        PhotoQuality(240, 130, 0.3, 0.9),
        screened_class_id=evidence["screened_class_id"],
        score_threshold=threshold,
        classes=classes,
        seen=seen,
    )
    query = f"?threshold={threshold}&classes={classes}"
    answer = live.client.post(f"/detect{query}", content=photo, headers=JSON).json()
    assert "evidence" not in answer
    assert evidence["reasons"] == []
    assert (answer["verdict"], answer["teeth_seen"]) == (decided.verdict, decided.teeth_seen)
    assert [row["score"] for row in answer["detections"]] == [round(score, 4) for _, score, _ in decided.shown]


def test_evidence_has_every_float32_exactly(live: Live, stand_in: StandIn, photo: bytes) -> None:
    rng = np.random.default_rng(1)
    made = Detections.from_raw(rng.random((50, 4)), rng.random(50), rng.integers(1, 3, 50))
    stand_in.detect = lambda pixels: made  # type: ignore[method-assign]
    columns = live.client.post("/detect?evidence=1", content=photo, headers=JSON).json()["evidence"]["detections"]
    assert (np.array(columns["boxes"], np.float32) == made.boxes).all()
    assert (np.array(columns["scores"], np.float32) == made.scores).all()
    assert columns["class_ids"] == made.class_ids.tolist()


def test_a_plain_picture_is_the_upright_photo_alone(live: Live) -> None:
    data = make_photo(1400, 1000)
    response = live.client.post("/detect?plain=true", content=data)
    picture = Image.open(io.BytesIO(response.content)).convert("RGB")
    assert (np.asarray(picture) == np.asarray(Image.open(io.BytesIO(data)))).all()
    assert response.headers["x-caries-boxes"] == "2"


def described(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer as OpenAPI describes it."""
    return ScreeningAnswer.model_validate(answer).model_dump(mode="json", by_alias=True, exclude_unset=True)


def box(xmin: float, ymin: float, xmax: float, ymax: float) -> dict[str, float]:
    return {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}


@pytest.mark.parametrize(
    ("headers", "query", "kind"),
    [
        ({}, "", "PNG"),
        ({"Accept": "image/jpeg"}, "", "JPEG"),
        ({"Accept": "image/webp"}, "", "WEBP"),
        (JSON, "?format=png", "PNG"),
        ({"Accept": "text/html"}, "?format=jpeg", "JPEG"),
    ],
)
def test_picture_answer(live: Live, photo: bytes, headers: dict[str, str], query: str, kind: str) -> None:
    response = live.client.post(f"/detect{query}", content=photo, headers=headers)
    assert response.status_code == 200
    assert response.headers["content-type"] == f"image/{kind.lower()}"
    picture = Image.open(io.BytesIO(response.content))
    picture.load()
    assert picture.format == kind
    assert picture.width >= 320
    assert picture.height >= 240


def test_a_large_jpeg_is_screened_scaled_and_drawn_at_full_size(live: Live, stand_in: StandIn) -> None:
    """The detector sees the same pixels for every answer format."""
    seen = []
    detect = stand_in.detect

    def recorded(pixels: np.ndarray) -> Detections:
        seen.append(pixels)
        return detect(pixels)

    stand_in.detect = recorded  # type: ignore[method-assign]
    data = make_photo(1400, 1000)
    answer = live.client.post("/detect", content=data, headers=JSON).json()
    assert (answer["image"]["width"], answer["image"]["height"]) == (1400, 1000)
    assert answer["verdict"] == "caries_suspected"
    assert answer["detections"][0]["box"] == box(420.0, 100.0, 700.0, 600.0)
    response = live.client.post("/detect", content=data)
    picture = Image.open(io.BytesIO(response.content)).convert("RGB")
    assert picture.width == 1400
    assert picture.height > 1000
    sent = np.asarray(Image.open(io.BytesIO(data)))
    assert (np.asarray(picture)[700:1000] == sent[700:]).all(), "the picture is not the whole photo"
    assert (seen[0] == seen[1]).all()


def test_headers_summarize_the_answer(live: Live, photo: bytes) -> None:
    digest = live.client.post("/detect", content=photo, headers=JSON).json()["model"]["sha256"]
    for headers in ({}, JSON):
        response = live.client.post("/detect?max_boxes=1", content=photo, headers=headers)
        told = {name: value for name, value in response.headers.items() if name.startswith("x-caries")}
        assert told == {
            "x-caries-verdict": "caries_suspected",
            "x-caries-reasons": "",
            "x-caries-model": "stand-in/1",
            "x-caries-model-sha256": digest,
            "x-caries-operating-point": "",
            "x-caries-teeth-seen": "4",
            "x-caries-boxes": "1",
            "x-caries-hidden": "1",
        }
        assert response.headers["vary"] == "Accept"
        assert response.headers["cache-control"] == "no-store"
        for stage in STAGES:
            assert re.search(rf"\b{stage};dur=\d", response.headers["server-timing"])


def test_form_and_raw_body_give_the_same_answer(live: Live, photo: bytes) -> None:
    answers = [
        without_timings(live.client.post("/detect", headers=JSON, **sent))
        for sent in (
            {"files": {"file": ("a.jpg", photo, "image/jpeg")}},
            {"files": {"file": ("x", photo, "text/plain")}},
            {"content": photo},
        )
    ]
    for content_type in (
        "image/jpeg",
        "image/x-anything",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
    ):
        headers = {**JSON, "Content-Type": content_type}
        answers.append(without_timings(live.client.post("/detect", content=photo, headers=headers)))

    def pieces():  # sent in chunks, without a length
        yield from (photo[start : start + 1000] for start in range(0, len(photo), 1000))

    answers.append(without_timings(live.client.post("/detect", content=pieces(), headers=JSON)))
    assert all(answer == answers[0] for answer in answers)


def test_parameters_are_applied(live: Live, photo: bytes) -> None:
    everything = live.client.post("/detect?classes=all&threshold=0.4", content=photo, headers=JSON).json()
    assert [entry["class"] for entry in everything["detections"]] == ["normal", "caries", "caries", "normal"]
    assert everything["operating_point"] == {
        "name": None,
        "score_threshold": 0.4,
        "max_boxes": 5,
        "sensitivity": None,
        "false_positives_per_image": None,
    }
    capped = live.client.post("/detect?max_boxes=1", content=photo, headers=JSON).json()
    assert len(capped["detections"]) == 1
    assert capped["hidden_by_max_boxes"] == 1
    assert capped["operating_point"]["max_boxes"] == 1
    korean, english = (live.client.post(f"/detect?lang={lang}", content=photo).content for lang in ("ko", "en"))
    assert korean != english


def test_an_operating_point_is_chosen_by_name(start: Start, tmp_path: Path, photo: bytes) -> None:
    write_bundle(tmp_path, version=2, operating_points=POINTS)
    with start() as live:

        def asked(query: str) -> tuple[int, str | None, float, float | None, str]:
            answer = live.client.post(f"/detect?{query}", content=photo, headers=JSON)
            assert ScreeningAnswer.model_validate(answer.json())
            point = answer.json()["operating_point"]
            header = answer.headers["x-caries-operating-point"]
            shown = len(answer.json()["detections"])
            return shown, point["name"], point["score_threshold"], point["sensitivity"], header

        assert asked("") == (2, "balanced", 0.5, 0.8, "balanced")
        assert asked("operating_point=specific") == (1, "specific", 0.7, 0.6, "specific")
        assert asked("operating_point=specific&threshold=0.5") == (2, None, 0.5, None, "")
        assert asked("threshold=0.5") == (2, None, 0.5, 0.8, "")
        refused = assert_problem(
            live.client.post("/detect?operating_point=keen&threshold=0.5", content=photo), 422, "invalid-parameter"
        )
        assert refused["detail"] == (
            "the operating point 'keen' is unknown; those of stand-in 2 are: balanced, specific"
        )
    with start(model_version=1) as live:
        answer = live.client.post("/detect?operating_point=balanced", content=photo)
        assert "those of stand-in 1 are: none" in assert_problem(answer, 422, "invalid-parameter")["detail"]


def asks_for_much(live: Live) -> socket.socket:
    """A client that has sent a photo of noise, whose picture has 22 MB, with the smallest receive buffer."""
    noise = np.random.default_rng(0).integers(0, 256, (2500, 3000, 3), np.uint8)
    photo = encode(noise, "image/png")
    client = socket.socket()
    client.settimeout(30)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", live.port))
    client.sendall(b"POST /detect HTTP/1.1\r\nHost: x\r\nConnection: close\r\n")
    client.sendall(b"Content-Length: %d\r\n\r\n" % len(photo) + photo)
    return client


def fetched(client: socket.socket, pause_s: float = 0.0, piece: int = 2**20) -> int:
    """Bytes of the answer that the client receives, reading a piece after each pause."""
    count = 0
    try:
        while taken := client.recv(piece):
            count += len(taken)
            time.sleep(pause_s)
    except ConnectionResetError:
        pass
    return count


@pytest.mark.slow
def test_a_client_that_fetches_too_slowly_loses_its_picture(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.clients.STALL_S", 1.0)
    monkeypatch.setattr("app.api.clients.MIN_BYTES_PER_S", 10**9)
    with asks_for_much(live) as client:
        assert fetched(client, pause_s=0.001, piece=4096) < 20_000_000
    wait_for(lambda: live.metric("caries_disconnected_total") == 1)
    assert live.service.screener.admission.pictures.size == 0


@pytest.mark.slow
def test_a_connection_buffers_one_piece_of_a_picture(live: Live) -> None:
    with asks_for_much(live):
        wait_for(lambda: live.service.screener.admission.pictures.size > 0)
        time.sleep(0.2)
        (connection,) = [
            each
            for each in live.server.server_state.connections
            if isinstance(each, Protocol) and each.cycle and not each.cycle.response_complete
        ]
        assert 0 < connection.transport.get_write_buffer_size() < 2**20
        assert kept_bytes(live) > 22_000_000
    wait_for(lambda: live.service.screener.admission.pictures.size == 0)


@pytest.mark.slow
def test_unfetched_pictures_make_room_for_others(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.service.screener.admission.pictures, "max_bytes", 40 * 2**20)
    with asks_for_much(live) as first, asks_for_much(live) as second:
        wait_for(lambda: live.metric("caries_disconnected_total") == 1)
        counts = sorted((fetched(first), fetched(second)))
        assert counts[0] < 20_000_000
        assert counts[1] > 22_000_000
    assert live.metric("caries_problems_total", type="internal-error") == 0


def test_eight_concurrent_requests(live: Live, photo: bytes) -> None:
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(live.client.post, "/detect", content=photo, headers=JSON) for _ in range(8)]
        answers = [without_timings(future.result()) for future in sent]
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize(
    ("query", "sent", "status", "slug", "says"),
    [
        ("", {"content": b""}, 422, "unreadable-photo", "no bytes"),
        ("", {"files": {"file": ("a.jpg", b"")}}, 422, "unreadable-photo", "no bytes"),
        ("", {"content": b"hello"}, 415, "unsupported-photo", "not a known picture"),
        ("", {"content": GIF}, 415, "unsupported-photo", "GIF"),
        ("", {"content": make_photo()[:500]}, 422, "unreadable-photo", "JPEG"),
        ("", {"content": RADIOGRAPH}, 415, "unsupported-photo", "an intra-oral radiograph and not a colour photo"),
        ("", {"content": dicom_files.native()[:5000]}, 422, "unreadable-photo", "incomplete"),
        ("?frame=2", {"content": make_photo()}, 422, "invalid-parameter", "frame is 2; only DICOM files"),
        ("", {"json": {"image": "..."}}, 415, "unsupported-media-type", "application/json"),
    ],
)
def test_bad_photo(live: Live, query: str, sent: dict[str, Any], status: int, slug: str, says: str) -> None:
    assert says in assert_problem(live.client.post(f"/detect{query}", **sent), status, slug)["detail"]


def test_a_dicom_photo_gives_the_answer_of_its_jpeg(live: Live, photo: bytes) -> None:
    with Image.open(io.BytesIO(photo)) as image:
        made = dicom_files.dataset(PhotometricInterpretation="YBR_FULL_422", Rows=image.height, Columns=image.width)
    data = dicom_files.written(made, "1.2.840.10008.1.2.4.50", pixels=[photo])
    expected = without_timings(live.client.post("/detect?format=json", content=photo))
    raw: dict[str, Any] = {"content": data, "headers": {"Content-Type": "application/dicom"}}
    for sent in (raw, {"files": {"file": data}}):
        found = without_timings(live.client.post("/detect?format=json&frame=1", **sent))
        assert found.pop("image") == {"width": 320, "height": 240, "sha256": hashlib.sha256(data).hexdigest()}
        assert found == {name: value for name, value in expected.items() if name != "image"}
    drawn = live.client.post("/detect", content=data)
    assert Image.open(io.BytesIO(drawn.content)).width == 320


def test_a_frame_is_chosen(live: Live) -> None:
    data = dicom_files.frames([picture(light) for light in (100, 130, 160)])
    answered = [live.client.post(f"/detect?plain=true&frame={frame}", content=data) for frame in (1, 2, 3)]
    assert [light_of(np.asarray(Image.open(io.BytesIO(answer.content)))) for answer in answered] == [100, 130, 160]
    problem = assert_problem(live.client.post("/detect", content=data), 415, "unsupported-photo")
    assert "contains 3 frames; name one with frame" in problem["detail"]
    problem = assert_problem(live.client.post("/detect?frame=4", content=data), 422, "invalid-parameter")
    assert "frame is 4; the DICOM file contains 3" in problem["detail"]


def picture(light: int) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(make_photo(light=light))))


def test_too_many_pixels(start: Start, photo: bytes) -> None:
    with start(max_pixels=1000) as live:
        assert "320x240" in assert_problem(live.client.post("/detect", content=photo), 413, "photo-too-large")["detail"]


def test_overload_is_refused_immediately_and_passes(start: Start, stand_in: StandIn, photo: bytes) -> None:
    with start(queue=1, photos_open=1) as live:
        stand_in.gate.clear()
        answers: list[httpx.Response] = []
        senders = [
            threading.Thread(target=lambda: answers.append(live.client.post("/detect", content=photo)))
            for _ in range(2)
        ]
        for sender in senders:
            sender.start()
        wait_for(lambda: live.service.screener.admission.callers == 2)
        response = live.client.post("/detect", content=photo)
        assert_problem(response, 503, "overloaded")
        assert int(response.headers["retry-after"]) >= 1
        assert live.metric("caries_queue_depth") == 2
        stand_in.gate.set()
        for sender in senders:
            sender.join()
        assert [answer.status_code for answer in answers] == [200, 200]
        assert live.client.post("/detect", content=photo).status_code == 200


def test_few_large_photos_are_open_together_and_do_not_delay_small_ones(
    start: Start, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.screen_photo.LARGE_PIXELS", 320 * 240 - 1)
    with start(photos_open=4, workers=4, isolation=Isolation.THREAD) as live, ThreadPoolExecutor(6) as clients:
        stand_in.gate.clear()
        calls = stand_in.calls
        large = [clients.submit(live.client.post, "/detect", content=make_photo()) for _ in range(4)]
        wait_for(lambda: live.service.screener.admission.callers == 4 and stand_in.calls == calls + MAX_LARGE_PHOTOS)
        small = [clients.submit(live.client.post, "/detect", content=make_photo(300, 240)) for _ in range(2)]
        wait_for(lambda: stand_in.calls == calls + MAX_LARGE_PHOTOS + 2)
        time.sleep(0.2)
        assert stand_in.calls == calls + MAX_LARGE_PHOTOS + 2
        stand_in.gate.set()
        answers = [sent.result() for sent in (*large, *small)]
        assert [answer.status_code for answer in answers] == [200] * 6
    with start(max_pixels=320 * 240 - 2) as live:
        response = live.client.post("/detect", content=make_photo())
        assert "320x240" in assert_problem(response, 413, "photo-too-large")["detail"]


def test_limits_of_the_settings_apply(start: Start, photo: bytes) -> None:
    with start(max_side=319) as live:
        assert (
            "319 a side" in assert_problem(live.client.post("/detect", content=photo), 413, "photo-too-large")["detail"]
        )
    with start(max_side=320, formats=(PhotoFormat.PNG, PhotoFormat.JPEG)) as live:
        assert live.client.post("/detect", content=photo).status_code == 200
    with start(formats=(PhotoFormat.PNG, PhotoFormat.WEBP)) as live:
        problem = assert_problem(live.client.post("/detect", content=photo), 415, "unsupported-photo")
        assert problem["detail"] == "JPEG files are not accepted; send PNG or WebP"
    frames = [Image.new("RGB", (320, 240), (shade, 90, 90)) for shade in (10, 90, 200)]
    out = io.BytesIO()
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:])
    with start(max_frames=2) as live:
        assert_problem(live.client.post("/detect", content=out.getvalue()), 413, "photo-too-large")
    with start(max_frames=3) as live:
        assert live.client.post("/detect", content=out.getvalue()).status_code == 200


def test_deadline(start: Start, stand_in: StandIn, photo: bytes) -> None:
    with start(deadline_s=0.3) as live:
        stand_in.gate.clear()
        started = time.monotonic()
        assert "0.3" in assert_problem(live.client.post("/detect", content=photo), 504, "deadline-exceeded")["detail"]
        assert time.monotonic() - started < 2
        calls = stand_in.calls
        assert_problem(live.client.post("/detect", content=photo), 504, "deadline-exceeded")
        stand_in.gate.set()
        assert live.client.post("/detect", content=photo).status_code == 200
        assert stand_in.calls == calls + 1, "the photo whose deadline passed was worked on"


def test_file_names_are_not_logged(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for data in (make_photo(), GIF, b"x"):
        live.client.post("/detect?threshold=0.2", files={"file": ("HongGildong.jpg", data)})
    said = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert not any("Hong" in record.getMessage() or "threshold" in record.getMessage() for record in said)
