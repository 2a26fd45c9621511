"""Annotated photos to what the Object Detection API trains on: a label map and TFRecords, one a fold."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from app import images
from training import render
from training.annotations import CLASS_IDS, FOLDS, AnnotatedPhoto, read_annotated_photos, save_photos

LONGEST_SIDE = 640
"""Photos are stored with at most this many pixels on the longer side, scaled down with antialiasing, so that the API's
own resize (bilinear, without antialiasing) has little left to alias."""

PHOTOS = "photos.json"

RENDERED_SEED = 1000
"""Seed of the first rendered training photo; the pictures in `examples/` come from other seeds."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was prepared."""

    photos: list[AnnotatedPhoto]

    def summary(self) -> str:
        """Counts, a line each."""
        boxes = {name: sum(int((p.class_ids == i).sum()) for p in self.photos) for name, i in CLASS_IDS.items()}
        return f"{len(self.photos)} photos, {', '.join(f'{count} {name}' for name, count in boxes.items())} boxes"


def prepare(data: Path, out: Path) -> Prepared:
    """Checks the photos in `data` and writes `label_map.pbtxt`, `fold_0.tfrecord` ... and `photos.json` to `out`.

    Args:
        data: folder in the layout of `training.annotations`.
        out: folder for the records; made if missing.

    Raises:
        AnnotationError: the data has problems, all of them listed; nothing is written then.
    """
    photos = read_annotated_photos(data)
    out.mkdir(parents=True, exist_ok=True)
    (out / "label_map.pbtxt").write_text(label_map_text(), encoding="utf-8")
    for fold in range(FOLDS):
        _write_records(out / f"fold_{fold}.tfrecord", [photo for photo in photos if photo.fold == fold])
    save_photos(photos, out / PHOTOS)
    return Prepared(photos)


def write_rendered_records(out: Path, count: int) -> Path:
    """Renders mouths into `rendered.tfrecord` in the folder `out`, unless as many are there, and returns its path."""
    path = out / "rendered.tfrecord"
    folder = out / "rendered"
    if not path.exists() or len(list((folder / "img_train").glob("*"))) != count:
        shutil.rmtree(folder, ignore_errors=True)
        render.write_via(folder, range(RENDERED_SEED, RENDERED_SEED + count))
        _write_records(path, read_annotated_photos(folder))
    return path


def label_map_text() -> str:
    """The label map in the Object Detection API's text format."""
    return "".join(f"item {{\n  id: {class_id}\n  name: '{name}'\n}}\n" for name, class_id in CLASS_IDS.items())


def _write_records(path: Path, photos: Iterable[AnnotatedPhoto]) -> None:
    import tensorflow as tf

    partial = path.with_suffix(".partial")
    with tf.io.TFRecordWriter(str(partial)) as writer:
        for photo in tqdm(list(photos), desc=path.name, unit="photo", leave=False):
            writer.write(_example(photo).SerializeToString(deterministic=True))
    partial.replace(path)


def _example(photo: AnnotatedPhoto) -> Any:
    """The `tf.train.Example` of one photo, with the feature names of the API's `TfExampleDecoder`."""
    import tensorflow as tf

    pixels = images.decode(photo.path.read_bytes()).pixels
    scale = min(1.0, LONGEST_SIDE / max(photo.width, photo.height))
    height, width = max(1, round(photo.height * scale)), max(1, round(photo.width * scale))
    encoded = io.BytesIO()
    Image.fromarray(images.resize(pixels, height, width)).save(encoded, "JPEG", quality=95, subsampling=0)
    names = {class_id: name.encode() for name, class_id in CLASS_IDS.items()}

    def floats(values: Any) -> Any:
        return tf.train.Feature(float_list=tf.train.FloatList(value=list(values)))

    def integers(values: Any) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=list(values)))

    def texts(values: Any) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=list(values)))

    feature = {
        "image/height": integers([height]),
        "image/width": integers([width]),
        "image/filename": texts([photo.path.name.encode()]),
        "image/source_id": texts([photo.path.name.encode()]),
        "image/encoded": texts([encoded.getvalue()]),
        "image/format": texts([b"jpeg"]),
        "image/object/bbox/ymin": floats(photo.boxes[:, 0]),
        "image/object/bbox/xmin": floats(photo.boxes[:, 1]),
        "image/object/bbox/ymax": floats(photo.boxes[:, 2]),
        "image/object/bbox/xmax": floats(photo.boxes[:, 3]),
        "image/object/class/text": texts([names[int(class_id)] for class_id in photo.class_ids]),
        "image/object/class/label": integers(photo.class_ids),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature))
