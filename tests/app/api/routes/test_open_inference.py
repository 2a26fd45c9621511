"""The Open Inference Protocol over real HTTP: bytes, and the unmodified clients of Triton and KServe."""

import asyncio
import base64
import json
import os
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.api.open_inference import ELEMENT, HEADER_LENGTH, MAX_JSON_BYTES
from app.records.key_file import KeyFile, Role
from tests.app.api.live_server import JSON, POINTS, Live, StandIn, Start, make_photo, wait_for, write_bundle
from tests.app.api.v2_requests import infer_body, infer_json

INFER = "/v2/models/stand-in/infer"
GIF = b"GIF89a" + bytes(100)


@pytest.fixture
def triton(live: Live) -> Iterator[Any]:
    """The HTTP client of Triton."""
    module = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
    with module.InferenceServerClient(f"127.0.0.1:{live.port}") as client:
        yield client


def photo_input(module: Any, photo: bytes) -> Any:
    tensor = module.InferInput("photo", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([photo], np.object_))
    return tensor


def same_as_detect(result: Any, answer: dict[str, Any]) -> None:
    boxes = [[one["box"][name] for name in ("xmin", "ymin", "xmax", "ymax")] for one in answer["detections"]]
    assert result.as_numpy("boxes").tolist() == np.array(boxes, np.float32).reshape(-1, 4).tolist()
    if answer["detections"]:
        assert result.as_numpy("boxes").dtype == result.as_numpy("scores").dtype == np.float32
    scores = np.array([one["score"] for one in answer["detections"]], np.float32)
    assert result.as_numpy("scores").tolist() == scores.tolist()
    assert [name.decode() for name in result.as_numpy("classes")] == [one["class"] for one in answer["detections"]]
    assert result.as_numpy("verdict")[0].decode() == answer["verdict"]
    assert [name.decode() for name in result.as_numpy("reasons")] == answer["reasons"]
    assert result.as_numpy("teeth_seen").tolist() == [answer["teeth_seen"]]
    assert result.as_numpy("hidden_by_max_boxes").tolist() == [answer["hidden_by_max_boxes"]]
    assert result.as_numpy("image_size").tolist() == [answer["image"]["width"], answer["image"]["height"]]
    parameters = result.get_response()["parameters"]
    assert parameters["model_sha256"] == answer["model"]["sha256"]
    assert parameters["image_sha256"] == answer["image"]["sha256"]
    assert parameters["score_threshold"] == answer["operating_point"]["score_threshold"]
    assert parameters["max_boxes"] == answer["operating_point"]["max_boxes"]


def test_triton_reads_health_and_metadata(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("stand-in")
    assert triton.is_model_ready("stand-in", "1")
    assert not triton.is_model_ready("stand-in", "2")
    assert not triton.is_model_ready("other")
    assert triton.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = triton.get_model_metadata("stand-in", "1")
    assert metadata == triton.get_model_metadata("stand-in")
    assert metadata["inputs"] == [{"name": "photo", "datatype": "BYTES", "shape": [1]}]
    assert [output["name"] for output in metadata["outputs"]][:4] == ["boxes", "scores", "classes", "verdict"]


def test_triton_gets_what_detect_answers(live: Live, triton: Any, photo: bytes) -> None:
    import tritonclient.http as module

    asked: list[dict[str, Any]] = [{"threshold": 0.7}, {"threshold": 1}, {"max_boxes": 1}, {"classes": "all"}, {}]
    for parameters in asked:
        result = triton.infer("stand-in", [photo_input(module, photo)], request_id="visit-7", parameters=parameters)
        same_as_detect(result, live.client.post("/detect", params=parameters, content=photo, headers=JSON).json())
    response = result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("visit-7", "stand-in", "1")
    assert all("data" not in output for output in response["outputs"]), "all outputs are binary"


def test_triton_chooses_outputs_and_their_form(triton: Any, photo: bytes) -> None:
    import tritonclient.http as module

    outputs = [
        module.InferRequestedOutput("verdict", binary_data=False),
        module.InferRequestedOutput("boxes", binary_data=True),
    ]
    result = triton.infer("stand-in", [photo_input(module, photo)], outputs=outputs)
    first, second = result.get_response()["outputs"]
    assert first == {"name": "verdict", "datatype": "BYTES", "shape": [1], "data": ["caries_suspected"]}
    assert second["parameters"] == {"binary_data_size": 32}
    assert result.as_numpy("boxes").shape == (2, 4)
    assert result.as_numpy("scores") is None


def test_triton_works_with_asyncio(live: Live, photo: bytes) -> None:
    module = pytest.importorskip("tritonclient.http.aio", reason="tritonclient is not installed")

    async def infer() -> list[Any]:
        async with module.InferenceServerClient(f"127.0.0.1:{live.port}") as client:
            assert await client.is_server_ready()
            tensor = photo_input(module, photo)
            return await asyncio.gather(*(client.infer("stand-in", [tensor]) for _ in range(5)))

    answer = live.client.post("/detect", content=photo, headers=JSON).json()
    for result in asyncio.run(infer()):
        same_as_detect(result, answer)


def test_triton_shows_errors_with_their_status(live: Live, triton: Any, photo: bytes) -> None:
    import tritonclient.http as module
    from tritonclient.utils import InferenceServerException

    for data, model, parameters, status, text in (
        (GIF, "stand-in", {}, "415", "GIF files are not accepted"),
        (photo, "other", {}, "404", "'other' is not live; live are stand-in"),
        (photo, "stand-in", {"threshold": 2}, "422", "parameters.threshold is '2'"),
        (photo, "stand-in", {"treshold": 0.5}, "422", "parameters.treshold is '0.5'"),
        (photo, "stand-in", {"operating_point": "no"}, "422", "the operating point 'no' is unknown"),
    ):
        with pytest.raises(InferenceServerException) as raised:
            triton.infer(model, [photo_input(module, data)], parameters=parameters)
        assert raised.value.status() == status
        assert text in raised.value.message()
    with pytest.raises(InferenceServerException) as raised:
        triton.get_model_metadata("stand-in", "7")
    assert raised.value.message() == "version '7' of stand-in is not live; live is 1"


def test_keys_are_those_of_the_other_paths(start: Start, photo: bytes, tmp_path: Path) -> None:
    module = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
    from tritonclient.utils import InferenceServerException

    _, key = KeyFile(tmp_path / "keys.json").add("reception", Role.DETECT)
    with start(keys=tmp_path / "keys.json") as live, module.InferenceServerClient(f"127.0.0.1:{live.port}") as client:
        assert client.is_server_ready()
        for headers in (None, {"Authorization": "Bearer wrong"}):
            with pytest.raises(InferenceServerException) as raised:
                client.infer("stand-in", [photo_input(module, photo)], headers=headers)
            assert raised.value.status() == "401"
        headers = {"Authorization": f"Bearer {key}"}
        assert client.infer("stand-in", [photo_input(module, photo)], headers=headers).as_numpy("verdict") is not None


def test_foreign_pages_and_busy_clients_are_refused_in_the_form_of_the_protocol(start: Start, photo: bytes) -> None:
    body, headers = infer_body(photo)
    with start(requests_per_minute=1) as live:
        foreign = live.client.post(INFER, content=body, headers=headers | {"Origin": "https://elsewhere.example"})
        assert_error(foreign, 403, "another site's page")
        assert live.client.post(INFER, content=body, headers=headers).status_code == 200
        refused = live.client.post(INFER, content=body, headers=headers)
        assert_error(refused, 429, "more than 1 requests")
        assert 0 < int(refused.headers["retry-after"]) <= 60


def assert_error(response: httpx.Response, status: int, text: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    assert text in response.json()["error"]


def test_other_paths_below_v2_have_the_protocols_errors(live: Live) -> None:
    assert_error(live.client.get("/v2/nothing"), 404, "nothing is served at '/v2/nothing'")
    assert_error(live.client.get(INFER), 405, "use POST")
    assert live.client.get(INFER).headers["allow"] == "POST"
    assert live.client.get("/v2x").headers["content-type"] == "application/problem+json"


def test_a_photo_as_base64_in_json(live: Live, photo: bytes) -> None:
    text = base64.b64encode(photo).decode()
    for data, shape in (([text], [1]), ([[text]], [1, 1])):
        sent = infer_json(input_data=data, input_shape=shape, id="7", parameters={"max_boxes": 1.0})
        answer = live.client.post(INFER, json=sent)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-caries-verdict"] == "caries_suspected"
        assert HEADER_LENGTH.lower() not in answer.headers
        content = answer.json()
        assert list(content) == ["id", "model_name", "model_version", "parameters", "outputs"]
        outputs = {output["name"]: output.get("data") for output in content["outputs"]}
        assert outputs["boxes"] == [96.0, 24.0, 160.0, 144.0]
        assert outputs["scores"] == [0.8]
        assert outputs["classes"] == ["caries"]
        assert outputs["hidden_by_max_boxes"] == [1]
        assert content["parameters"]["max_boxes"] == 1
        assert content["parameters"]["inference_ms"] >= 0


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"input_name": "image"}, "inputs.0.name is 'image'"),
    ({"input_datatype": "UINT8"}, "inputs.0.datatype is 'UINT8'"),
    ({"input_shape": [2]}, "send one photo, of shape [1]"),
    ({"input_shape": []}, "inputs.0.shape"),
    ({"input_data": []}, "data has 0 elements"),
    ({"input_data": ["AA==", "AA=="]}, "inputs.0.data is"),
    ({"input_data": ["no!"]}, "data is not base64"),
    ({"input_data": ["é"]}, "data is not base64"),
    ({"input_data": [1]}, "inputs.0.data"),
    ({"input_parameters": {"binary_data_size": 4}}, f"binary_data_size needs the header {HEADER_LENGTH}"),
    ({"input_parameters": {"shared_memory_region": "x"}}, "inputs.0.parameters.shared_memory_region"),
    ({"inputs": []}, "inputs is '[]'"),
    ({"outputs": [{"name": "masks"}]}, "outputs.0.name is 'masks'"),
    ({"parameters": {"classes": "some"}}, "parameters.classes is 'some'"),
    ({"parameters": {"max_boxes": 101}}, "parameters.max_boxes is '101'"),
    ({"parameters": {"threshold": "0.5"}}, "parameters.threshold is '0.5'"),
    ({"id": 257 * "x"}, "id is"),
    ({"more": 1}, "more is '1'"),
]


def test_requests_that_do_not_follow_the_protocol(live: Live) -> None:
    for changes, text in REFUSED:
        assert_error(live.client.post(INFER, json=infer_json(**changes)), 422, text)


def test_bodies_that_are_no_requests(live: Live) -> None:
    for body in (b"", b"{", b"\xff", b"[]", 900 * b"[" + 900 * b"]"):
        assert_error(live.client.post(INFER, content=body), 422, "is")
    assert_error(live.client.post(INFER, content=b"{}", headers={"Content-Encoding": "gzip"}), 415, "uncompressed")


def test_binary_tensors_that_do_not_fit(live: Live, photo: bytes) -> None:
    body, headers = infer_body(photo)
    head = int(headers[HEADER_LENGTH])
    short, long = len(photo) + 3, len(photo) + 5
    for changed, text in (
        (infer_body(photo, input_parameters={}), "binary_data_size is None"),
        (infer_body(photo, input_parameters={"binary_data_size": short}), f"binary_data_size is {short}"),
        (infer_body(photo, input_parameters={"binary_data_size": long}), f"binary_data_size is {long}"),
        (infer_body(photo, input_data=["AA=="]), "send one of them"),
        ((body[:head], headers), "but 0 bytes follow"),
        ((body[:head] + b"\x00\x00\x00\x01" + photo, headers), "not one element"),
        ((body[: head - 1], headers), "is"),
        ((body, {HEADER_LENGTH: "x"}), f"{HEADER_LENGTH} is 'x'"),
        ((body, {HEADER_LENGTH: "-1"}), f"{HEADER_LENGTH} is '-1'"),
        ((body, {HEADER_LENGTH: str(MAX_JSON_BYTES + 1)}), f"at most {MAX_JSON_BYTES}"),
        ((b"", {HEADER_LENGTH: "0"}), "is"),
    ):
        content, sent = changed
        assert_error(live.client.post(INFER, content=content, headers=sent), 422, text)
    assert_error(live.client.post(INFER, content=infer_body(b"")[0], headers=infer_body(b"")[1]), 422, "")


def test_a_photo_may_have_as_many_bytes_as_for_detect(start: Start) -> None:
    photo = make_photo(640, 480)
    text = base64.b64encode(photo).decode()
    for limit, status in ((len(photo), 200), (len(photo) - 1, 413)):
        with start(max_bytes=limit) as live:
            assert live.client.post("/detect", content=photo).status_code == status
            body, headers = infer_body(photo)
            assert live.client.post(INFER, content=body, headers=headers).status_code == status
            answer = live.client.post(INFER, json=infer_json(input_data=[text]))
            assert answer.status_code == status
    assert_error(answer, 413, f"at most {len(photo) - 1} are accepted")
    with start(max_bytes=2000) as live:
        for sent in (2000 + ELEMENT.size + MAX_JSON_BYTES + 1, 10 * MAX_JSON_BYTES):
            answer = live.client.post(INFER, content=bytes(sent), headers={HEADER_LENGTH: "100"})
            assert_error(answer, 413, "bytes")


def test_slow_full_and_stopping_servers(start: Start, stand_in: StandIn, photo: bytes) -> None:
    from concurrent.futures import ThreadPoolExecutor

    body, headers = infer_body(photo)
    with start(photos_open=1, queue=0, deadline_s=2) as live, ThreadPoolExecutor() as clients:
        stand_in.gate.clear()
        waiting = clients.submit(live.client.post, INFER, content=body, headers=headers)
        wait_for(lambda: live.service.screener.admission.callers == 1)
        assert_error(live.client.post(INFER, content=body, headers=headers), 503, "busy")
        assert_error(waiting.result(), 504, "within 2 seconds")
        stand_in.gate.set()
        wait_for(lambda: live.client.post(INFER, content=body, headers=headers).status_code == 200)
        live.service.draining = True
        assert_error(live.client.get("/v2/health/ready"), 503, "shutting down")
        assert_error(live.client.get("/v2/models/stand-in/ready"), 503, "shutting down")
        assert live.client.get("/v2/health/live").json() == {"live": True}


def test_operating_points_have_their_names(start: Start, photo: bytes, tmp_path: Path) -> None:
    write_bundle(tmp_path, version=2, operating_points=POINTS)
    with start() as live:
        for parameters, name, threshold in (
            ({}, "balanced", 0.5),
            ({"operating_point": "specific"}, "specific", 0.7),
            ({"threshold": 0.5}, None, 0.5),
        ):
            body, headers = infer_body(photo, parameters=parameters)
            found = live.client.post(INFER, content=body, headers=headers).json()["parameters"]
            assert (found.get("operating_point"), found["score_threshold"]) == (name, threshold)


def test_a_request_is_not_logged(live: Live, photo: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    body, headers = infer_body(photo, id="HongGildong")
    assert live.client.post(INFER, content=body, headers=headers).json()["id"] == "HongGildong"
    assert "Hong" not in caplog.text


KSERVE = """
import asyncio, base64, json, sys
import httpx, numpy as np
from kserve import InferInput, InferRequest, InferenceRESTClient, RESTConfig

async def main(url, photo):
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(url) is True
    assert await client.is_server_ready(url) is True
    assert await client.is_model_ready(url, "stand-in")
    assert not await client.is_model_ready(url, "other")
    tensor = InferInput("photo", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([photo], np.object_), binary_data=True)
    text = InferInput("photo", [1], "BYTES", data=[base64.b64encode(photo).decode()])
    answers = []
    for one, parameters in ((tensor, {"binary_data_output": True, "max_boxes": 1}), (text, {"max_boxes": 1})):
        request = InferRequest("stand-in", [one], request_id="visit-7", parameters=parameters)
        answer = await client.infer(url, request, model_name="stand-in")
        outputs = {output.name: output.as_numpy() for output in answer.outputs}
        verdict = outputs["verdict"][0]
        answers.append({
            "id": answer.id,
            "boxes": outputs["boxes"].tolist(),
            "verdict": verdict.decode() if isinstance(verdict, bytes) else verdict,
        })
    try:
        await client.infer(url, InferRequest("other", [tensor]), model_name="other")
    except httpx.HTTPStatusError as error:
        answers.append(str(error))
    print(json.dumps(answers))

asyncio.run(main(sys.argv[1], open(sys.argv[2], "rb").read()))
"""


@pytest.fixture(scope="session")
def kserve_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the kserve client, which takes 450 MB."""
    if given := os.environ.get("CARIES_TEST_KSERVE"):
        return Path(given)
    folder = tmp_path_factory.mktemp("kserve")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    done = subprocess.run([python, "-m", "pip", "install", "-q", "kserve==0.21.*"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"kserve cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return python


@pytest.mark.systems
@pytest.mark.slow
def test_kserve(live: Live, photo: bytes, tmp_path: Path, kserve_python: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(photo)
    command = [str(kserve_python), "-c", KSERVE, f"http://127.0.0.1:{live.port}", str(tmp_path / "photo.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    binary, text, refused = json.loads(done.stdout.splitlines()[-1])
    assert binary == text == {"id": "visit-7", "boxes": [[96.0, 24.0, 160.0, 144.0]], "verdict": "caries_suspected"}
    assert refused.startswith("'other' is not live; live are stand-in")
