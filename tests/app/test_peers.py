"""Peers and archives as settings name them."""

from __future__ import annotations

import pytest

from app.peers import parse_destination, parse_peer


def test_peers() -> None:
    assert str(parse_peer(" PACS ")) == "PACS"
    assert str(parse_peer("PACS@10.0.0.5")) == "PACS@10.0.0.5"
    assert parse_peer("PACS").allows("10.0.0.5")
    assert not parse_peer("PACS@10.0.0.6").allows("10.0.0.5")


@pytest.mark.parametrize("text", ["", "A" * 17, "A B", "@10.0.0.5", "PACS@", "PACS@host name"])
def test_no_peers(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_peer(text)


@pytest.mark.parametrize("text", ["PACS@archive:4242", "PACS@10.0.0.5:104", "https://archive/dicom-web"])
def test_destinations(text: str) -> None:
    assert str(parse_destination(text)) == text


@pytest.mark.parametrize(
    "text", ["", "PACS", "PACS@host", "PACS@host:0", "PACS@host:70000", "ftp://x", "http://", "http://u:secret@host"]
)
def test_no_destinations(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_destination(text)
