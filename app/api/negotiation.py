"""Content negotiation (RFC 9110, section 12.5.1)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from fastapi import Request

from app.api.accept import qualities
from app.api.problems import quoted
from app.errors import NotAcceptable
from app.photo import formats


class Format(StrEnum):
    """Values of `?format=` for one photo."""

    PNG = "png"
    JSON = "json"
    JPEG = "jpeg"
    WEBP = "webp"
    DICOM = "dicom"
    DICOM_RELATED = "dicom-related"


PICTURE_TYPES = {Format(name): media_type for name, media_type in formats.MEDIA_TYPES.items()}
DICOM_TYPES = {Format.DICOM: "application/dicom", Format.DICOM_RELATED: "multipart/related"}
"""A structured report; the same with the annotated picture."""

MEDIA_TYPES: dict[Format, str] = {**PICTURE_TYPES, Format.JSON: "application/json", **DICOM_TYPES}
"""In the server's order of preference, which decides between formats of equal quality."""


class BatchFormat(StrEnum):
    """Values of `?format=` for a batch."""

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


def requested_format(request: Request, format: AnyFormat | None, media_types: Mapping[AnyFormat, str]) -> AnyFormat:
    """The value of `?format=`, or else the choice by Accept."""
    return format or choose_format(", ".join(request.headers.getlist("accept")), media_types)


def choose_format(accept: str | None, media_types: Mapping[AnyFormat, str]) -> AnyFormat:
    """The format that an Accept header prefers.

    The quality of a format is that of the most specific range that covers it. Among equal qualities the more specific
    range wins (`application/json, */*` means JSON), then the order of `media_types`. A header that is None or empty
    accepts everything.

    Raises:
        NotAcceptable: it excludes every format.
    """
    ranges = qualities(accept if accept and accept.strip() else "*/*")
    if "*" in ranges:  # short for */*
        ranges["*/*"] = max(ranges["*"], ranges.get("*/*", 0.0))
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
