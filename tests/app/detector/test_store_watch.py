"""A watched store: complete copies are loaded, others wait."""

import time
from pathlib import Path

import pytest

from app.detector.store_watch import StoreWatch
from tests.app.api.live_server import Start, answered_by, live_models, wait_for, write_bundle


def test_watch_loads_a_complete_bundle(start: Start, tmp_path: Path, photo: bytes) -> None:
    with start(watch_s=0.05) as live:
        write_bundle(tmp_path, version=2)
        wait_for(lambda: live_models(live) == [("stand-in", 2, True)])
        assert answered_by(live, photo) == ("stand-in", 2)
        assert live.metric("caries_reloads_total", outcome="loaded") == 1


def test_watch_keeps_a_rollback(start: Start, tmp_path: Path) -> None:
    write_bundle(tmp_path, version=2)
    with start(watch_s=0.05) as live:
        live.client.post("/models/reload", json={"version": 1})
        write_bundle(tmp_path, version=3)
        time.sleep(0.6)
        assert live_models(live) == [("stand-in", 1, True)]
        live.client.post("/models/reload")
        assert live_models(live) == [("stand-in", 3, True)]
        write_bundle(tmp_path, version=4)
        wait_for(lambda: live_models(live) == [("stand-in", 4, True)])


@pytest.mark.slow
def test_watch_refuses_once_per_change(start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def said() -> list[str]:
        return [record.getMessage() for record in caplog.records if "reload refused" in record.getMessage()]

    with start(watch_s=0.3) as live:
        path = write_bundle(tmp_path, version=2)
        card = path / "MODEL_CARD.md"
        whole = card.read_text()
        card.unlink()
        wait_for(lambda: len(said()) == 1)
        assert "missing" in said()[0]
        time.sleep(0.5)
        assert len(said()) == 1
        with card.open("w") as stream:
            for letter in whole[:-1]:
                stream.write(letter)
                stream.flush()
                time.sleep(0.02)
            # A copy in progress is not a state to report.
            assert len(said()) == 1
            wait_for(lambda: len(said()) == 2)
            assert "altered" in said()[1]
            assert live_models(live) == [("stand-in", 1, True)]
            stream.write(whole[-1])
        wait_for(lambda: live_models(live) == [("stand-in", 2, True)])
        assert live.metric("caries_reloads_total", outcome="refused") == 2


def test_each_state_that_lasts_is_reported_once(tmp_path: Path) -> None:
    watch = StoreWatch()
    (tmp_path / "model.tflite").write_bytes(b"half")
    assert [watch.changed(tmp_path) for _ in range(3)] == [False, True, False]
    for size in (1, 2):
        (tmp_path / "model.tflite").write_bytes(b"half" + bytes(size))
        assert not watch.changed(tmp_path), "it may be copied still"
    assert [watch.changed(tmp_path) for _ in range(2)] == [True, False]
