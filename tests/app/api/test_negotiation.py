"""Content negotiation."""

import pytest

from app.api.negotiation import MEDIA_TYPES, Format, choose_format
from app.errors import NotAcceptable


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, Format.PNG),
        ("", Format.PNG),
        ("*/*", Format.PNG),
        ("*", Format.PNG),
        ("image/*", Format.PNG),
        ("application/*", Format.JSON),
        ("application/json", Format.JSON),
        ("APPLICATION/JSON; charset=utf-8", Format.JSON),
        ("application/json, text/plain, */*", Format.JSON),
        ("image/jpeg", Format.JPEG),
        ("image/webp,image/png", Format.PNG),
        ("image/webp, image/png;q=0.9", Format.WEBP),
        ("text/html,application/xhtml+xml,image/avif,image/webp,*/*;q=0.8", Format.WEBP),
        ("text/html, */*;q=0.1", Format.PNG),
        ("image/png;q=0, */*", Format.JPEG),
        ("image/*;q=0, */*;q=0.5", Format.JSON),
        ("image/png;q=0.2, application/json;q=0.3", Format.JSON),
        ("image/png;q=nonsense, image/jpeg;q=0.1", Format.JPEG),
        (",,image/webp;;q=1", Format.WEBP),
    ],
)
def test_the_format_that_accept_prefers(accept: str | None, chosen: Format) -> None:
    assert choose_format(accept, MEDIA_TYPES) is chosen


@pytest.mark.parametrize("accept", ["text/html", "image/gif", "image/png;q=0", "*/*;q=0", "image/png;q=2", ";", "q=1"])
def test_nothing_acceptable_lists_the_formats_offered(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="image/png, image/jpeg, image/webp, application/json"):
        choose_format(accept, MEDIA_TYPES)
