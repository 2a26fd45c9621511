"""Unique identifiers derived from what an object answers, so that the same question gives the same objects."""

import hashlib
import uuid

from app import distribution_version
from app.dicom.source import Source
from app.screen_photo import Options, ScreenedPhoto

IMPLEMENTATION = "2.25.307457474428401825103795101320180623530"
"""Implementation Class UID of this package."""


def derived_uid(*parts: object) -> str:
    """A UID of the root 2.25 (PS3.5, B.2) from a version 5 UUID of the parts."""
    text = "\0".join(str(part) for part in parts)
    digest = hashlib.sha256(f"{IMPLEMENTATION}\0{text}".encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


class Uids:
    """The UIDs of the objects that answer one question: a photo, a detector, its parameters and a language."""

    def __init__(self, source: Source, screened: ScreenedPhoto, options: Options) -> None:
        point = screened.operating_point
        detector = (distribution_version(), screened.bundle.sha256, screened.precision)
        parameters = (point.score_threshold, point.max_boxes, options.classes, options.lang)
        self._series = (source.header.SeriesInstanceUID, *detector, *parameters)
        self._instance = (source.header.SOPInstanceUID, source.sha256, source.frame, *detector, *parameters)

    def series(self, kind: str) -> str:
        """Of the series with all answers of a kind to photos of one series."""
        return derived_uid("series", kind, *self._series)

    def instance(self, kind: str) -> str:
        """Of an object."""
        return derived_uid("instance", kind, *self._instance)

    def tracking(self, box: int) -> str:
        """Of a box, by its place in the answer."""
        return derived_uid("tracking", box, *self._instance)
