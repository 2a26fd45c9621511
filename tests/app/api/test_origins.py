"""Which page sent a request, and over which connection: one row for each way a browser sends one."""

import pytest
from starlette.datastructures import Headers

from app.api.origins import is_https, refuse_foreign_page, refuse_forged, refuse_plain_http
from app.errors import ForeignPage, ForgedRequest, HttpsNeeded

HOST = "caries.clinic.example:8443"
OWN = {"Sec-Fetch-Site": "same-origin", "Origin": f"https://{HOST}"}
"""What a current browser sends from this server's page."""


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", OWN),
        ("DELETE", {"Sec-Fetch-Site": "same-origin"}),
        ("PUT", {"Origin": f"https://{HOST}"}),
        ("PUT", {"Origin": f"https://{HOST.upper()}"}),
        ("POST", {"Sec-Fetch-Site": "same-origin", "Origin": "https://name-before-the-proxy"}),
        ("GET", {"Sec-Fetch-Site": "cross-site"}),
        ("HEAD", {}),
    ],
    ids=str,
)
def test_requests_of_the_own_page(method: str, headers: dict[str, str]) -> None:
    refuse_forged(method, Headers({"Host": HOST, **headers}))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "INVENTED"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://caries.clinic.example:9000"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "https://caries.clinic.example"},
    ],
    ids=str,
)
def test_requests_of_other_pages_are_refused(method: str, headers: dict[str, str]) -> None:
    for by_cookie in (True, False):
        with pytest.raises(ForgedRequest, match="this server's own page"):
            refuse_forged(method, Headers({"Host": HOST, **headers}), by_cookie=by_cookie)


def test_a_program_may_sign_in_but_not_use_a_cookie() -> None:
    refuse_forged("POST", Headers({"Host": HOST}), by_cookie=False)
    with pytest.raises(ForgedRequest):
        refuse_forged("POST", Headers({"Host": HOST}))


@pytest.mark.parametrize(
    ("scheme", "headers", "expected"),
    [
        ("https", {}, True),
        ("http", {}, False),
        ("http", {"X-Forwarded-Proto": "https"}, True),
        ("http", {"X-Forwarded-Proto": "HTTPS, http"}, True),
        ("http", {"X-Forwarded-Proto": "http, https"}, False),
        ("https", {"X-Forwarded-Proto": "http"}, False),
    ],
    ids=str,
)
def test_https_before_a_proxy(scheme: str, headers: dict[str, str], expected: bool) -> None:
    assert is_https(scheme, Headers(headers)) is expected


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "127.8.8.8", "localhost:8000", "LOCALHOST.", "[::1]:8000", "caries.localhost"]
)
def test_plain_http_on_this_machine(host: str) -> None:
    refuse_plain_http("http", Headers({"Host": host}))


@pytest.mark.parametrize(
    "host", ["192.168.1.5:8000", "caries", "localhost.example", "[fe80::1]", "[::1", "", "0.0.0.0"]
)
def test_plain_http_from_elsewhere(host: str) -> None:
    with pytest.raises(HttpsNeeded, match="needs HTTPS; use an https:// address"):
        refuse_plain_http("http", Headers({"Host": host}))
    refuse_plain_http("http", Headers({"Host": host, "X-Forwarded-Proto": "https"}))


def test_foreign_pages_of_a_server_without_keys() -> None:
    """`test_access.py` has the cases over real HTTP."""
    refuse_foreign_page("POST", Headers({"Host": "workstation", "Origin": "http://workstation"}))
    with pytest.raises(ForeignPage):
        refuse_foreign_page("POST", Headers({"Host": "workstation", "Origin": "http://elsewhere"}))
