"""Photos with agreed labels in the layout that the training reads (`training.data.annotations`).

img_train/photo-000001.jpg     the pictures
json_train/photo-000001.json   their labels, in the form of VGG Image Annotator
folds.csv                      image,group,fold: photos of a patient share a group, and a group a fold
dataset.toml                   what the labels mean
"""

import csv
import hashlib
import hmac
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.errors import OutputError, UnknownPhoto
from app.photo.formats import PICTURE_SUFFIXES
from app.reviews.labels import LabelledBox, Labels, ReaderVerdict, State
from app.reviews.schema import PhotoRow
from app.reviews.store import ReviewStore, consensus_labels

FOLDS = 5
"""As the training has them."""

DATA_SET = 'name = "reviewed"\ncredit = "Reviewed photos of the clinic."\nlabels = "carious teeth only"\n'
"""Readers need not mark sound teeth."""


def export(store: ReviewStore, out: Path) -> int:
    """Write the photos that are done, except those that are not assessable, and return their number.

    Args:
        out: created, completely or not at all.

    Raises:
        OutputError: `out` exists, or cannot be written.
        ReviewStoreError: the store cannot be read.
    """
    partial = out.with_name(f".{out.name}.partial")
    try:
        if out.exists():
            raise OutputError(f"{out} exists; name a folder that does not")
        shutil.rmtree(partial, ignore_errors=True)
        for folder in ("img_train", "json_train"):
            (partial / folder).mkdir(parents=True)
        for name, data in exported_files(store):
            (partial / name).write_bytes(data)
        number = len(list((partial / "img_train").iterdir()))
        partial.rename(out)
        return number
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def exported_files(store: ReviewStore) -> Iterator[tuple[str, bytes]]:
    """The files of an export, each with its path; for each photo two, and the tables at the end."""
    rows: list[tuple[str, str, int]] = []
    secret = store.groups_secret()
    for photo in store.photos(State.DONE):
        labels = consensus_labels(photo)
        if labels is None or labels.verdict is ReaderVerdict.NOT_ASSESSABLE:
            continue
        try:
            data, media_type = store.picture(photo.id)
        except UnknownPhoto:  # deleted meanwhile
            continue
        stem = f"photo-{photo.id:06}"
        image = stem + PICTURE_SUFFIXES[media_type]
        yield f"img_train/{image}", data
        yield f"json_train/{stem}.json", _json(_via(image, len(data), labels))
        group = _group(photo, secret)
        rows.append((image, group, int(group, 16) % FOLDS))
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("image", "group", "fold"), *rows])
    yield "folds.csv", table.getvalue().encode()
    yield "dataset.toml", DATA_SET.encode()


def _group(photo: PhotoRow, secret: bytes) -> str:
    """Digits of an HMAC of the pseudonym, which cannot be searched for without the secret, or of the picture's digest.

    The fold follows from it, so that a photo keeps its fold in later exports: held-out photos stay held out.
    """
    origin = f"patient {photo.patient}" if photo.patient else photo.sha256
    return hmac.new(secret, origin.encode(), hashlib.sha256).hexdigest()[:12]


def _via(image: str, size: int, labels: Labels) -> dict[str, Any]:
    return {"annotation": {"filename": image, "size": size, "regions": [_region(box) for box in labels.boxes]}}


def _region(box: LabelledBox) -> dict[str, Any]:
    width, height = round(box.xmax - box.xmin, 1), round(box.ymax - box.ymin, 1)
    shape = {"name": "rect", "x": box.xmin, "y": box.ymin, "width": width, "height": height}
    return {"shape_attributes": shape, "region_attributes": {"label": box.class_name}}


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()
