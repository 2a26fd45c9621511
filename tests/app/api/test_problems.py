"""Every error is answered with problem+json of one shape, from one table."""

from collections.abc import Iterator

import pytest
from fastapi.exceptions import RequestValidationError

from app import errors
from app.api import problems
from tests.app.api.live_server import Live, assert_problem


@pytest.mark.parametrize("kind", [*problems.PROBLEMS, ZeroDivisionError])
def test_every_row_of_the_table(
    live: Live, photo: bytes, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    error = RequestValidationError([]) if kind is RequestValidationError else kind("secret.jpg")

    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(live.service.screener, "screen", fail)
    row = problems.problem_of(error)
    response = live.client.post("/detect", content=photo)
    if kind is not RequestValidationError:
        body = assert_problem(response, row.status, row.slug)
        if row.status == 500:
            assert "secret" not in response.text
        assert live.client.get(body["type"]).json()["title"] == row.title
    assert live.metric("caries_problems_total", type=row.slug) == 1
    assert live.metric("caries_requests_total", route="/detect", method="POST", status=str(row.status)) == 1


def test_every_error_that_can_reach_a_client_has_a_row_or_its_base_has() -> None:
    def leaves(kind: type[Exception]) -> Iterator[type[Exception]]:
        if kind.__subclasses__():
            for child in kind.__subclasses__():
                yield from leaves(child)
        else:
            yield kind

    for kind in leaves(errors.CariesError):
        if not issubclass(kind, errors.OperatorError):
            assert problems.problem_of(kind("x")).status < 500 or problems.problem_of(kind("x")).status in (503, 504), (
                kind
            )


def test_not_acceptable(live: Live, photo: bytes) -> None:
    response = live.client.post("/detect", content=photo, headers={"Accept": "text/html"})
    assert "image/png" in assert_problem(response, 406, "not-acceptable")["detail"]
    assert response.headers["vary"] == "Accept"


def test_unknown_address_and_method(live: Live) -> None:
    assert_problem(live.client.get("/nothing"), 404, "not-found")
    assert_problem(live.client.post("/detect/"), 404, "not-found")
    assert_problem(live.client.get("/problems/nothing"), 404, "not-found")
    response = live.client.get("/detect")
    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "POST"


def test_titles_are_in_korean_for_clients_that_prefer_it(live: Live) -> None:
    assert set(problems.TITLES_KO) == set(problems.BY_SLUG)
    for language, title in (("ko-KR,ko;q=0.9,en;q=0.8", "지원하지 않는 사진 형식입니다"), ("en,ko;q=0.5", None)):
        response = live.client.post("/detect", content=b"GIF89a", headers={"Accept-Language": language})
        body = response.json()
        assert body["title"] == (title or "The picture format is not accepted")
        assert body["type"] == "/problems/unsupported-photo"
        assert body["detail"].startswith("GIF files are not accepted")
        about = live.client.get(body["type"], headers={"Accept-Language": language}).json()
        assert about["title"] == body["title"]
    sent = {"files": ("1.gif", b"GIF89a")}
    (result,) = live.client.post("/detect/batch", files=sent, headers={"Accept-Language": "ko"}).json()["results"]
    assert result["problem"]["title"] == "지원하지 않는 사진 형식입니다"
