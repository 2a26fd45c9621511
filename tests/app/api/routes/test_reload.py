"""Models and versions are replaced, refused and rolled back, over real HTTP and under load."""

from pathlib import Path

import pytest

from tests.app.api.live_server import Live, Start, answered_by, assert_problem, live_models, write_bundle


def test_reload_the_newest_version_and_roll_back(start: Start, tmp_path: Path, photo: bytes) -> None:
    with start() as live:
        assert live.client.post("/models/reload").json()["reloaded"] == []
        write_bundle(tmp_path, version=2)
        write_bundle(tmp_path, version=10)
        answer = live.client.post("/models/reload")
        assert answer.status_code == 200
        body = answer.json()
        assert [(model["name"], model["version"]) for model in body["reloaded"]] == [("stand-in", 10)]
        assert body["live"] == body["reloaded"]
        assert answered_by(live, photo) == ("stand-in", 10)
        assert live_models(live) == [("stand-in", 10, True)]
        back = live.client.post("/models/reload", json={"model": "stand-in", "version": 1})
        assert back.json()["live"][0]["version"] == 1
        assert answered_by(live, photo) == ("stand-in", 1)
        assert live.client.post("/models/reload", json={"version": 2}).json()["live"][0]["version"] == 2
        assert live.client.get("/health/ready").status_code == 200
        for outcome, count in (("unchanged", 1), ("loaded", 3), ("refused", 0)):
            assert live.metric("caries_reloads_total", outcome=outcome) == count
        text = live.client.get("/metrics").text
        assert text.count("caries_model_info{") == 1
        assert 'version="2"' in text


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ('{"model": "nothing"}', 404, "nothing is not in the model store, which contains stand-in 1"),
        ('{"version": 7}', 404, "stand-in version 7"),
        ('{"version": 0}', 422, "version is '0'"),
        ('{"version": "1"}', 422, "version is '1'"),
        ('{"modell": "a"}', 422, "modell"),
        ('{"model": "../../etc"}', 422, "model is '../../etc'"),
        ("[]", 422, "the body is '[]'"),
        ("version=1", 422, "the body is 'version=1'"),
        (5000 * " ", 422, "at most 4096 are accepted"),
    ],
)
def test_bad_request(live: Live, tmp_path: Path, body: str, status: int, says: str) -> None:
    response = live.client.post("/models/reload", content=body)
    assert response.status_code == status, response.text
    assert says in response.json()["detail"]
    assert str(tmp_path) not in response.text
    assert live_models(live) == [("stand-in", 1, True)]


def test_deep_json_is_refused(live: Live) -> None:
    for body in ("[" * 4000, '{"model":' * 400, "[" * 5000):
        assert_problem(live.client.post("/models/reload", content=body), 422, "invalid-parameter")
