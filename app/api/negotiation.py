"""Which format a client is answered in (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from app.api.problems import quoted
from app.errors import NotAcceptable


class Format(StrEnum):
    """What `?format=` takes."""

    PNG = "png"
    JSON = "json"
    JPEG = "jpeg"
    WEBP = "webp"


MEDIA_TYPES = {
    Format.PNG: "image/png",
    Format.JPEG: "image/jpeg",
    Format.WEBP: "image/webp",
    Format.JSON: "application/json",
}
"""In the server's order of preference, which decides between formats that the client likes equally."""


class BatchFormat(StrEnum):
    """What `?format=` takes for several photos."""

    JSON = "json"
    NDJSON = "ndjson"
    ZIP = "zip"


BATCH_MEDIA_TYPES = {
    BatchFormat.JSON: "application/json",
    BatchFormat.NDJSON: "application/x-ndjson",
    BatchFormat.ZIP: "application/zip",
}
"""In the server's order of preference."""

AnyFormat = TypeVar("AnyFormat", bound=StrEnum)


def choose_format(accept: str | None, media_types: Mapping[AnyFormat, str]) -> AnyFormat:
    """The format that an Accept header likes best.

    For each format the most specific range that covers it counts. Between equal qualities the more specific range wins
    (`application/json, */*` means JSON), then the order of `media_types`.

    Args:
        accept: the header's value; None or empty accepts everything.
        media_types: what is offered, in the server's order of preference.

    Raises:
        NotAcceptable: it excludes every format.
    """
    ranges = _ranges(accept if accept and accept.strip() else "*/*")
    best, best_rank = None, (0.0, 0)
    for offered, media_type in media_types.items():
        covering = {(media_type, 2), (media_type.split("/")[0] + "/*", 1), ("*/*", 0)}
        specificity, quality = max(
            ((level, ranges[name]) for name, level in covering if name in ranges), default=(0, 0.0)
        )
        if quality > 0 and (best is None or (quality, specificity) > best_rank):
            best, best_rank = offered, (quality, specificity)
    if best is None:
        raise NotAcceptable(f"Accept is {quoted(accept)}; it must allow one of {', '.join(media_types.values())}")
    return best


def _ranges(accept: str) -> dict[str, float]:
    """Media range to quality, 0 to 1. Parameters other than q are ignored, ranges with an unreadable q as well."""
    ranges: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = math.nan
        name = "*/*" if name == "*" else name
        if name and 0 <= quality <= 1:
            ranges[name] = max(quality, ranges.get(name, 0.0))
    return ranges
