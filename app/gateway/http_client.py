"""Requests to the server and to archives: no redirects, which would turn POST into GET, no proxies, bounded answers."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

MAX_ERROR_BYTES = 2**16
"""Of an answer that is an error; the rest is not read."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer of any status."""

    status: int
    headers: Message
    body: bytes

    @property
    def is_ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


def ask(url: str, headers: Mapping[str, str], data: bytes | None = None, *, timeout_s: float, max_bytes: int) -> Reply:
    """GET a URL, or POST `data` to it.

    Args:
        timeout_s: of each step on the network.
        max_bytes: of the body of an answer.

    Raises:
        OSError: there is no answer, or it is too long.
    """
    try:
        with _OPENER.open(Request(url, data, dict(headers)), timeout=timeout_s) as response:
            body = response.read(max_bytes + 1)
            if len(body) > max_bytes:
                raise OSError(f"the answer has more than {max_bytes} bytes")
            return Reply(response.status, response.headers, body)
    except HTTPError as error:
        with error:
            return Reply(error.code, error.headers, error.read(MAX_ERROR_BYTES))
    except http.client.HTTPException as error:
        raise OSError(type(error).__name__) from error


def authorized(value: str) -> dict[str, str]:
    """The header Authorization with this value; none if it is empty."""
    return {"Authorization": value} if value else {}


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Leave the redirect to the caller as an answer."""


_OPENER = build_opener(ProxyHandler({}), _NoRedirects())
