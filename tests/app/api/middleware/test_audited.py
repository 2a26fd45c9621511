"""Recorded requests and their fields; no request is answered without a record."""

import asyncio
import hashlib
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.identities import MAX_MISSING_KEYS_PER_MINUTE, MAX_WRONG_KEYS_PER_MINUTE
from app.api.middleware.audited import TALLY_S, AuditRequests, RefusalTally
from app.api.middleware.observe import HEADER, Observe
from app.errors import AuditError
from app.process.metrics import Metrics
from app.records.audit import AuditLog
from app.records.key_file import KeyFile, Role
from tests.app.api.live_server import POINTS, StandIn, Start, records, wait_for, write_bundle
from tests.app.api.server_process import running


def test_a_screened_photo_is_recorded_with_digest_and_verdict(start: Start, photo: bytes, tmp_path: Path) -> None:
    with start(audit=tmp_path / "audit") as live:
        answer = live.client.post(
            "/detect?max_boxes=1", files={"file": ("Hong.jpg", photo)}, headers={HEADER: "visit-7"}
        )
        assert answer.status_code == 200
        sha256 = live.client.post("/detect?format=json", content=photo).json()["model"]["sha256"]
    first, second = records(tmp_path / "audit")
    assert {name: first[name] for name in first if name not in ("seq", "time", "previous", "sha256")} == {
        "request": "visit-7",
        "key": None,
        "method": "POST",
        "route": "/detect",
        "status": 200,
        "problem": None,
        "input_sha256": hashlib.sha256(photo).hexdigest(),
        "model": "stand-in/1",
        "model_sha256": sha256,
        "operating_point": None,
        "verdict": "caries_suspected",
        "teeth_seen": 4,
        "boxes": 1,
        "hidden": 1,
    }
    assert second["hidden"] == 0


def test_the_operating_point_is_recorded(start: Start, photo: bytes, tmp_path: Path) -> None:
    write_bundle(tmp_path, version=2, operating_points=POINTS)
    with start(audit=tmp_path / "audit") as live:
        for query in ("", "?operating_point=specific", "?threshold=0.5"):
            live.client.post(f"/detect{query}", content=photo)
    assert [line["operating_point"] for line in records(tmp_path / "audit")] == ["balanced", "specific", None]


def test_refusals_are_recorded_with_their_problem(start: Start, photo: bytes, tmp_path: Path) -> None:
    damaged = photo[:200]
    with start(audit=tmp_path / "audit") as live:
        assert live.client.post("/detect", content=damaged).status_code == 422
        assert live.client.post("/detect", content=b"").status_code == 422
        assert live.client.post("/detect?threshold=2", content=photo).status_code == 422
        assert live.client.get("/patients/Hong").status_code == 404
        for open_address in ("/health/ready", "/metrics", "/docs", "/problems/overloaded"):
            assert live.client.get(open_address).status_code == 200
    kept = records(tmp_path / "audit")
    assert [(entry["route"], entry["status"], entry["problem"]) for entry in kept] == [
        ("/detect", 422, "unreadable-photo"),
        ("/detect", 422, "unreadable-photo"),
        ("/detect", 422, "invalid-parameter"),
        ("unmatched", 404, "not-found"),
    ]
    assert kept[0]["input_sha256"] == hashlib.sha256(damaged).hexdigest()
    assert all("input_sha256" not in entry for entry in kept[1:]), "nothing was read"


def test_requests_are_recorded_with_and_without_a_key_name(start: Start, photo: bytes, tmp_path: Path) -> None:
    _, key = KeyFile(tmp_path / "keys.json").add("reception", Role.DETECT)
    with start(audit=tmp_path / "audit", keys=tmp_path / "keys.json") as live:
        assert live.client.post("/detect", content=photo).status_code == 401
        authorization = {"Authorization": f"Bearer {key}"}
        assert live.client.post("/detect", content=photo, headers=authorization).status_code == 200
        assert live.client.post("/models/reload", headers=authorization).status_code == 403
    kept = records(tmp_path / "audit")
    assert [(entry["key"], entry["route"], entry["status"]) for entry in kept] == [
        (None, "/detect", 401),
        ("reception", "/detect", 200),
        ("reception", "/models/reload", 403),
    ]
    assert key.rpartition("_")[2] not in json.dumps(kept)


def test_a_flood_of_unknown_clients_does_not_fill_the_disk(start: Start, photo: bytes, tmp_path: Path) -> None:
    _, key = KeyFile(tmp_path / "keys.json").add("reception", Role.DETECT)
    authorization = {"Authorization": f"Bearer {key}"}
    unknown = [{}, {"X-API-Key": "caries_00000000_" + 64 * "0"}]
    began = time.monotonic()
    with start(audit=tmp_path / "audit", keys=tmp_path / "keys.json", requests_per_minute=1) as live:
        statuses = Counter(live.client.get("/models", headers=unknown[turn % 2]).status_code for turn in range(300))
        assert statuses == {401: MAX_MISSING_KEYS_PER_MINUTE + MAX_WRONG_KEYS_PER_MINUTE, 429: 220}
        seen = [live.client.get("/models", headers=authorization).status_code for _ in range(2)]
        assert seen == [200, 429]
        assert live.metric("caries_problems_total", type="too-many-requests") == 221
    kept = records(tmp_path / "audit")
    for status in statuses:
        refused = [entry for entry in kept if (entry["key"], entry["status"]) == (None, status)]
        assert refused[0]["requests"] == 1, "the first of them is there before its answer left"
        assert sum(entry["requests"] for entry in refused) == statuses[status]
        assert len(refused) <= 2 + (time.monotonic() - began) / TALLY_S
    assert [(entry["key"], entry["status"]) for entry in kept if entry["key"]] == [
        ("reception", 200),
        ("reception", 429),
    ]


def test_a_flood_from_another_sites_page_does_not_fill_the_disk(start: Start, photo: bytes, tmp_path: Path) -> None:
    began = time.monotonic()
    with start(audit=tmp_path / "audit") as live:
        for _ in range(200):
            answer = live.client.post("/detect", content=photo, headers={"Sec-Fetch-Site": "cross-site"})
            assert answer.status_code == 403
        assert live.client.post("/detect", content=photo).status_code == 200
    *refused, screened = sorted(records(tmp_path / "audit"), key=lambda entry: entry["status"], reverse=True)
    assert (screened["status"], "requests" in screened) == (200, False)
    assert {(entry["problem"], entry["status"]) for entry in refused} == {("foreign-page", 403)}
    assert sum(entry["requests"] for entry in refused) == 200
    assert len(refused) <= 2 + (time.monotonic() - began) / TALLY_S


def test_refusals_of_unknown_clients_are_recorded_after_a_while(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.middleware.audited.TALLY_S", 0.3)
    KeyFile(tmp_path / "keys.json").add("reception", Role.DETECT)
    with start(audit=tmp_path / "audit", keys=tmp_path / "keys.json") as live:

        def refused() -> list[int]:
            return [entry["requests"] for entry in records(tmp_path / "audit") if entry["status"] == 429]

        for _ in range(MAX_MISSING_KEYS_PER_MINUTE):
            assert live.client.get("/models").status_code == 401
        for number in range(3):
            assert live.client.get("/models").status_code == 429
            if number == 0:
                assert refused() == [1]
        wait_for(lambda: sum(refused()) == 3)


def test_with_a_full_disk_the_log_has_the_number_of_refusals(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.api.middleware.audited.TALLY_S", 0.3)
    append = AuditLog.append

    def full(log: AuditLog, entry: dict) -> object:
        if entry.get("requests", 1) > 1:
            raise AuditError("the audit log cannot be written: No space left on device")
        return append(log, entry)

    monkeypatch.setattr("app.records.audit.AuditLog.append", full)
    KeyFile(tmp_path / "keys.json").add("reception", Role.DETECT)
    with start(audit=tmp_path / "audit", keys=tmp_path / "keys.json") as live:
        for _ in range(MAX_MISSING_KEYS_PER_MINUTE + 3):
            live.client.get("/models")
        wait_for(lambda: "2 refused requests (429) are not recorded" in caplog.text)


def test_a_request_that_cannot_be_recorded_is_not_answered(
    start: Start, photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise AuditError("the audit log cannot be written: No space left on device")

    with start(audit=tmp_path / "audit") as live:
        with monkeypatch.context() as patch:
            patch.setattr("app.records.audit.AuditLog.append", full)
            refused = live.client.post("/detect?format=json", content=photo)
        assert refused.status_code == 503
        assert refused.json()["type"] == "/problems/audit-failed"
        assert "retry-after" in refused.headers
        assert "verdict" not in refused.text
        assert live.client.post("/detect", content=photo).status_code == 200
    assert len(records(tmp_path / "audit")) == 1


def test_a_client_that_left_is_recorded(start: Start, photo: bytes, tmp_path: Path, stand_in: StandIn) -> None:
    with start(audit=tmp_path / "audit") as live:
        stand_in.gate.clear()
        with pytest.raises(httpx.ReadTimeout):
            live.client.post("/detect", content=photo, timeout=0.5)
        stand_in.gate.set()
        assert live.client.post("/detect", content=photo).status_code == 200
    kept = records(tmp_path / "audit")
    assert sorted(entry["status"] for entry in kept) == [200, 499]
    assert {entry["input_sha256"] for entry in kept} == {hashlib.sha256(photo).hexdigest()}


@pytest.mark.slow
@pytest.mark.parametrize("fsync", ["off", "on"])
def test_every_answer_is_recorded_when_the_server_is_killed_under_load(
    tmp_path: Path, photo: bytes, fsync: str
) -> None:
    write_bundle(tmp_path)
    audit = tmp_path / "audit"
    answered: set[str] = set()
    flags = ("--audit", str(audit), "--audit-fsync", fsync, "--audit-bytes", "20000", "--requests-per-minute", "0")
    for _ in range(3):
        with running(tmp_path, *flags) as server:

            def send(address: str = server.address) -> None:
                with httpx.Client(base_url=address, timeout=10) as client:
                    while True:
                        try:
                            answer = client.post("/detect?format=json", content=photo)
                        except httpx.HTTPError:
                            return
                        answered.add(answer.headers[HEADER])

            senders = [threading.Thread(target=send) for _ in range(6)]
            for sender in senders:
                sender.start()
            before = len(answered)
            wait_for(partial(lambda before: len(answered) > before + 15, before), seconds=60)
            time.sleep(random.uniform(0.0, 0.3))
            server.process.kill()
            for sender in senders:
                sender.join(30)
            server.process.wait(10)
    assert len(answered) > 30
    assert answered <= {entry["request"] for entry in records(audit) if "request" in entry}


def test_a_request_cancelled_while_it_is_recorded_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(tmp_path, fsync=True)
    begun, disk = threading.Event(), threading.Event()
    append = log.append

    def append_late(entry: Any) -> None:
        begun.set()
        disk.wait(30)
        append(entry)

    monkeypatch.setattr(log, "append", append_late)
    sent: list[Any] = []

    async def answers(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def run() -> None:
        async def send(message: Any) -> None:
            sent.append(message["type"])

        audited = AuditRequests(answers, log=log, tally=RefusalTally(log), fsync=True, answer=None)  # type: ignore[arg-type]
        scope = {"type": "http", "path": "/detect", "method": "POST", "headers": []}
        task = asyncio.create_task(Observe(audited, metrics=Metrics())(scope, None, send))  # type: ignore[arg-type]
        await asyncio.to_thread(begun.wait, 30)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0.01)
        assert not task.done()
        assert sent == []
        disk.set()
        await task

    asyncio.run(run())
    log.close()
    assert sent == ["http.response.start", "http.response.body"]
    assert [entry["status"] for entry in records(tmp_path)] == [200]


def test_a_second_server_does_not_start_on_the_same_folder(start: Start, tmp_path: Path) -> None:
    with start(audit=tmp_path / "audit"):
        command = [sys.executable, "-m", "app", "serve", "--port", "0", "--audit", str(tmp_path / "audit")]
        root = Path(__file__).parents[4]
        second = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert "another server writes the audit log" in second.stderr
