"""Who may send, and where answers go, as the settings name them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_TITLE = r"[A-Za-z0-9_\-.]{1,16}"


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer that may send: its AE title, and its address unless any will do."""

    title: str
    address: str | None

    def allows(self, address: str) -> bool:
        """Whether the peer may come from this address."""
        return self.address is None or self.address == address

    def __str__(self) -> str:
        return self.title if self.address is None else f"{self.title}@{self.address}"


@dataclass(frozen=True, slots=True)
class Destination:
    """An archive: an AE title at host and port, or the root of its DICOMweb services."""

    title: str
    host: str
    port: int
    url: str = ""

    def __str__(self) -> str:
        return self.url or f"{self.title}@{self.host}:{self.port}"


def parse_peer(text: str) -> Peer:
    """`TITLE` or `TITLE@ADDRESS`; raises ValueError."""
    found = re.fullmatch(rf"({_TITLE})(?:@([0-9a-fA-F.:]+))?", text.strip())
    if not found:
        raise ValueError
    return Peer(found[1], found[2])


def parse_destination(text: str) -> Destination:
    """`TITLE@HOST:PORT` or an http(s) URL without user or password, which logs would show; raises ValueError."""
    text = text.strip()
    if is_web_root(text):
        return Destination("", "", 0, text.rstrip("/"))
    found = re.fullmatch(rf"({_TITLE})@([A-Za-z0-9.\-]+):([0-9]{{1,5}})", text)
    if not found or not 0 < int(found[3]) < 2**16:
        raise ValueError
    return Destination(found[1], found[2], int(found[3]))


def is_web_root(text: str) -> bool:
    """Whether this is an http(s) URL to which paths can be added, without user or password."""
    url = urlsplit(text)
    _ = url.port  # raises ValueError
    return (
        url.scheme in ("http", "https")
        and bool(url.hostname)
        and "@" not in url.netloc
        and not (url.query or url.fragment)
        and text.isprintable()
        and " " not in text
    )
