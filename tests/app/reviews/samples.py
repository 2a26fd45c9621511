"""Findings, pictures and labels to fill a store with."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from app.photo.without_metadata import PictureFile
from app.reviews.findings import Finding, ScoredTooth
from app.reviews.labels import CARIES, NORMAL, LabelledBox, Labels, ReaderVerdict
from app.reviews.store import Entry, ReviewStore
from app.screening import Verdict

WIDTH, HEIGHT = 160, 120
TEETH = [(10.0, 10.0, 40.0, 60.0), (50.0, 10.0, 80.0, 60.0), (90.0, 10.0, 120.0, 60.0)]
"""Corners of three teeth, `xmin, ymin, xmax, ymax`."""


def picture(number: int = 0) -> PictureFile:
    """A small JPEG, another one for each number."""
    pixels = np.random.default_rng(number).integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((WIDTH, HEIGHT)).save(out, "JPEG", quality=60)
    return PictureFile(out.getvalue(), "image/jpeg", WIDTH, HEIGHT)


def finding(*caries: float, model: str = "stand-in", threshold: float = 0.5) -> Finding:
    """A detector's answer with these scores of caries of the three teeth."""
    scores = caries or (0.9, 0.2, 0.1)
    teeth = tuple(
        ScoredTooth(corners, {NORMAL: round(1 - score, 4), CARIES: score})
        for corners, score in zip(TEETH, scores, strict=True)
    )
    verdict = Verdict.CARIES_SUSPECTED if max(scores) >= threshold else Verdict.NO_CARIES_FOUND
    return Finding(model, 1, 64 * "a", "balanced", threshold, 5, verdict, teeth)


def labels(*carious: int, shift: float = 0.0) -> Labels:
    """Labels of the three teeth, of which those numbered from 0 are carious; boxes moved by pixels to the right."""
    boxes = tuple(
        LabelledBox(CARIES if place in carious else NORMAL, left + shift, top, right + shift, bottom)
        for place, (left, top, right, bottom) in enumerate(TEETH)
    )
    return Labels(ReaderVerdict.CARIOUS if carious else ReaderVerdict.SOUND, boxes)


def keep(store: ReviewStore, number: int = 0, *caries: float, **about: str | None) -> int:
    """Keep a photo; its number."""
    given = {"by": "desk", "patient": None, "view": None} | about
    return store.keep(picture(number), [finding(*caries)], **given)[0]  # type: ignore[arg-type]


def read(store: ReviewStore, photo_id: int, reader: str, *carious: int, version: int = 0, shift: float = 0.0) -> None:
    """Write a reading of the three teeth."""
    store.write_reading(photo_id, Entry(labels=labels(*carious, shift=shift), reader=reader, version=version))
