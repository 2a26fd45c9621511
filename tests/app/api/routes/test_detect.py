"""`POST /detect` over real HTTP."""

import io
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from PIL import Image

from app.api.answers import ScreeningAnswer
from app.detector.detections import Detections
from app.photo.encoding import encode
from app.screen_photo import STAGES
from tests.app.api.live_server import Live, StandIn, make_photo, wait_for

JSON = {"Accept": "application/json"}


def without_timings(response: httpx.Response) -> dict[str, object]:
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    answer.pop("timings_ms")
    return answer


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
        "score_threshold": 0.5,
        "max_boxes": 5,
        "sensitivity": 0.8,
        "false_positives_per_image": 1.5,
    }
    assert list(answer["timings_ms"]) == list(STAGES)
    assert answer["timings_ms"]["draw"] == answer["timings_ms"]["encode"] == 0
    assert ScreeningAnswer.model_validate(answer).model_dump(mode="json", by_alias=True) == answer


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


def test_a_large_jpeg_is_screened_scaled_and_answered_whole(live: Live, stand_in: StandIn) -> None:
    """The detector sees the same pixels whatever the format of the answer."""
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


def test_headers_tell_the_answer(live: Live, photo: bytes) -> None:
    for headers in ({}, JSON):
        response = live.client.post("/detect?max_boxes=1", content=photo, headers=headers)
        told = {name: value for name, value in response.headers.items() if name.startswith("x-caries")}
        assert told == {
            "x-caries-verdict": "caries_suspected",
            "x-caries-reasons": "",
            "x-caries-model": "stand-in/1",
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


def test_form_that_arrives_byte_by_byte(live: Live) -> None:
    photo = make_photo(64, 64)
    request = live.client.build_request("POST", "/detect", files={"file": ("a.jpg", photo)}, headers=JSON)
    body = request.read()

    def pieces():
        yield from (body[at : at + 1] for at in range(len(body)))

    sent = live.client.post(
        "/detect", content=pieces(), headers={**JSON, "Content-Type": request.headers["content-type"]}
    )
    whole = live.client.post("/detect", content=photo, headers=JSON)
    assert without_timings(sent) == without_timings(whole)


@pytest.mark.slow
def test_a_form_over_the_spool_size_stays_in_memory(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file was made")

    monkeypatch.setattr("tempfile._mkstemp_inner", refuse)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    photo = make_photo(1600, 1200, "PNG")
    padded = photo + bytes(3 * 2**20)
    assert live.client.post("/detect", files={"file": ("a.png", padded)}, headers=JSON).status_code == 200


def test_parameters_are_applied(live: Live, photo: bytes) -> None:
    everything = live.client.post("/detect?classes=all&threshold=0.4", content=photo, headers=JSON).json()
    assert [entry["class"] for entry in everything["detections"]] == ["normal", "caries", "caries", "normal"]
    assert everything["operating_point"] == {
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


def asks_for_much(live: Live) -> socket.socket:
    """A client that has sent a photo of noise, whose picture has 22 MB, and takes as little at a time as it can."""
    noise = np.random.default_rng(0).integers(0, 256, (2500, 3000, 3), np.uint8)
    photo = encode(noise, "image/png")
    client = socket.socket()
    client.settimeout(30)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", live.port))
    client.sendall(b"POST /detect HTTP/1.1\r\nHost: x\r\nConnection: close\r\n")
    client.sendall(b"Content-Length: %d\r\n\r\n" % len(photo) + photo)
    return client


def kept_bytes(live: Live) -> int:
    """Of pictures that wait to be fetched."""
    return live.service.screener.admission.pictures.size


def fetched(client: socket.socket, pause_s: float = 0.0, piece: int = 2**20) -> int:
    """Bytes of the answer that the client gets, of which it takes a piece after each pause."""
    count = 0
    try:
        while taken := client.recv(piece):
            count += len(taken)
            time.sleep(pause_s)
    except ConnectionResetError:
        pass
    return count


@pytest.mark.slow
def test_a_client_that_takes_a_little_now_and_then_does_not_keep_its_picture(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.clients.STALL_S", 1.0)
    monkeypatch.setattr("app.api.clients.MIN_BYTES_PER_S", 10**9)
    with asks_for_much(live) as client:
        assert fetched(client, pause_s=0.001, piece=4096) < 20_000_000
    wait_for(lambda: live.metric("caries_disconnected_total") == 1)
    assert live.service.screener.admission.pictures.size == 0


@pytest.mark.slow
def test_a_connection_holds_a_piece_of_a_picture(live: Live) -> None:
    with asks_for_much(live):
        wait_for(lambda: live.service.screener.admission.pictures.size > 0)
        time.sleep(0.2)
        (connection,) = [
            each for each in live.server.server_state.connections if each.cycle and not each.cycle.response_complete
        ]
        assert 0 < connection.transport.get_write_buffer_size() < 2**20
        assert kept_bytes(live) > 22_000_000
    wait_for(lambda: live.service.screener.admission.pictures.size == 0)


@pytest.mark.slow
def test_pictures_that_are_not_fetched_make_room_for_others(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.service.screener.admission.pictures, "max_bytes", 40 * 2**20)
    with asks_for_much(live) as first, asks_for_much(live) as second:
        wait_for(lambda: live.metric("caries_disconnected_total") == 1)
        counts = sorted((fetched(first), fetched(second)))
        assert counts[0] < 20_000_000
        assert counts[1] > 22_000_000
    assert live.metric("caries_problems_total", type="internal-error") == 0


def test_eight_at_once(live: Live, photo: bytes) -> None:
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(live.client.post, "/detect", content=photo, headers=JSON) for _ in range(8)]
        answers = [without_timings(future.result()) for future in sent]
    assert all(answer == answers[0] for answer in answers)
