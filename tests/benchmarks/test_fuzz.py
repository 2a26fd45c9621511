"""A small part of the hostile requests, and the answers that count as wrong."""

import json
from pathlib import Path

import pytest

from app.api import create_app
from app.api.problems import BY_SLUG
from app.records.key_file import KeyFile, Role
from app.settings import Settings, StoreLocation
from benchmarks.fuzz import complaint, fuzz, table
from benchmarks.hostile_requests import Case, Generator, request
from benchmarks.hostile_routes import ROUTES

pytestmark = pytest.mark.slow

HEADERS = {"content-type": "application/problem+json", "x-request-id": "1"}


def test_the_server_survives_two_thousand_hostile_requests() -> None:
    report = fuzz(2_000, seed=1)
    assert report.failures == []
    assert sum(report.counts.values()) == 2_000
    statuses = {status for _, status in report.counts}
    assert {200, 400, 404, 405, 406, 413, 415, 422} <= statuses


def test_a_server_with_keys_survives_hostile_requests() -> None:
    report = fuzz(400, seed=2, with_keys=True)
    assert report.failures == []
    assert {200, 401, 404, 422} <= {status for _, status in report.counts}


def test_every_route_is_fuzzed(tmp_path: Path) -> None:
    pytest.importorskip("alembic", reason="the extra reviews is not installed")
    (tmp_path / "token").write_text("token")
    KeyFile(tmp_path / "keys.json").add("fuzz", Role.ADMIN)
    app = create_app(
        Settings(
            model_store=tmp_path,
            keys=tmp_path / "keys.json",
            reviews=StoreLocation(tmp_path / "reviews", None),
            label_studio="http://127.0.0.1:1",
            label_studio_token=tmp_path / "token",
        )
    )
    served = {f"{method} {route.path}" for route in app.state.routes for method in route.methods}
    assert served == set(ROUTES)


def test_the_same_seed_generates_the_same_requests() -> None:
    first, second, other = (Generator(seed) for seed in (3, 3, 4))
    sent = [first.case().raw for _ in range(50)]
    assert sent == [second.case().raw for _ in range(50)]
    assert sent != [other.case().raw for _ in range(50)]


def test_the_counts_become_the_table_of_the_documents() -> None:
    result = {"requests": 1300, "seed": 3, "seconds": 9, "memory_kib": [2048, 4096, 4096, 5120], "failures": []}
    statuses = {"form": {"200": 3, "400": 1234}, "good": {"200": 63}}
    assert table(result | {"statuses": statuses}).splitlines() == [
        "| input | answers, by status |",
        "|---|---|",
        "| form | 200: 3, 400: 1,234 |",
        "| good | 200: 63 |",
        "",
        "1,300 requests of seed 3 in 9 s: 0 wrong answers; 63 good photos; at rest 2, 4, 4, 5 MiB in the four "
        "quarters.",
    ]


def problem(status: int, slug: str, title: str) -> bytes:
    return json.dumps({"type": f"/problems/{slug}", "title": title, "status": status, "detail": "x"}).encode()


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (500, HEADERS, problem(500, "internal-error", "The server made a mistake"), "status 500"),
        (502, HEADERS, b"", "status 502"),
        (404, {"content-type": "text/plain"}, b"Not found", "of type text/plain"),
        (404, HEADERS, b"{}", "not in the table of problems"),
        (404, HEADERS, b"Not found", "not in the table of problems"),
        (404, HEADERS, problem(404, "invented", "x"), "not in the table of problems"),
        (404, HEADERS, problem(404, "not-found", "Another title"), "differs from the table of problems"),
        (0, {}, b"", "no answer"),
        (200, {}, b'{"results":[{"index":1,"problem":{"type":"/problems/internal-error"}}]}', "an internal error"),
    ],
)
def test_a_wrong_answer_is_noticed(status: int, headers: dict[str, str], body: bytes, expected: str) -> None:
    assert expected in (complaint(Case("form", request(b"")), status, headers, body) or "")


def test_errors_of_the_open_inference_protocol_are_right_there() -> None:
    case = Case("route", request(b"", path="/v2/models/x?y=1"))
    assert complaint(case, 404, {"content-type": "application/json"}, b'{"error": "x"}') is None
    assert "not an error" in (complaint(case, 404, HEADERS, problem(404, "not-found", "x")) or "")


def test_a_right_answer_is_no_complaint() -> None:
    right = problem(404, "not-found", BY_SLUG["not-found"].title)
    assert complaint(Case("form", request(b"")), 404, HEADERS, right) is None
    assert complaint(Case("form", request(b"")), 200, {}, b"x") is None
    assert complaint(Case("good", request(b""), good=True), 404, HEADERS, right) == "a good photo was answered 404"
