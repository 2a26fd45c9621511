"""Annotated photos to what the Object Detection API trains on: a label map and TFRecords, one a fold."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from app.photo import images
from training import render
from training.data.annotations import (
    CLASS_IDS,
    FOLDS,
    AnnotatedPhoto,
    AnnotationError,
    Source,
    read_annotated_photos,
)
from training.data.groups import leaks_of_random_split
from training.data.saved_photos import save_photos, write_splits

LONGEST_SIDE = 640
"""Photos are stored with at most this many pixels on the longer side, scaled down with antialiasing, so that the API's
own resize (bilinear, without antialiasing) has little left to alias."""

PHOTOS = "photos.json"
UNPACKED = "unpacked"

RENDERED_SEED = 1000
"""Seed of the first rendered training photo; the pictures in `examples/` come from other seeds."""

OTHER_QUALITY = 92
"""JPEG quality of pictures without teeth: that of the rendered mouths."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was prepared.

    Attributes:
        photos: checked, with groups and folds.
        leaks: photos that would have a look-alike in another fold if the split were random, mean over shuffles.
    """

    photos: list[AnnotatedPhoto]
    leaks: float

    def summary(self) -> str:
        """Counts of photos, boxes, groups and folds, a line each."""
        boxes = {
            name: sum(int((photo.class_ids == class_id).sum()) for photo in self.photos)
            for name, class_id in CLASS_IDS.items()
        }
        empty = sum(not len(photo.class_ids) for photo in self.photos)
        groups = len({photo.group for photo in self.photos})
        folds = Counter(photo.fold for photo in self.photos)
        return "\n".join(
            [
                f"{len(self.photos)} photos, {empty} of them without a box",
                f"boxes: {', '.join(f'{count} {name}' for name, count in boxes.items())}",
                f"{groups} groups, photos in folds: {', '.join(str(folds[fold]) for fold in range(FOLDS))}",
                f"a random split would have had {self.leaks:.1f} photos with a look-alike in another fold",
            ]
        )


def prepare(data: Path, out: Path, source: Source | None = None) -> Prepared:
    """Checks the photos in `data` and writes what a training reads to the folder `out`, made if missing.

    That is `label_map.pbtxt`, `fold_0.tfrecord` to `fold_4.tfrecord`, `photos.json` and `folds.csv`.

    Args:
        data: annotated photos, see `training.data.annotations`; a zip file is unpacked to `out/unpacked`.
        out: folder for the records.
        source: how to read the data.

    Raises:
        AnnotationError: the data has problems, all of them listed; nothing is written then.
    """
    source = source or Source()
    existed = out.exists()
    unpacked, checked = out / UNPACKED, out / f"{UNPACKED}.new"
    if data.is_file():
        out.mkdir(parents=True, exist_ok=True)
        source = replace(source, unpack_to=checked)
    try:
        photos = read_annotated_photos(data, source)
    except AnnotationError:
        if data.is_file():
            shutil.rmtree(checked, ignore_errors=True)
            if not existed:
                out.rmdir()
        raise
    out.mkdir(parents=True, exist_ok=True)
    if data.is_file():
        # Those of an earlier call stay until these are known to be good.
        shutil.rmtree(unpacked, ignore_errors=True)
        checked.rename(unpacked)
        photos = [replace(photo, path=unpacked / photo.path.relative_to(checked)) for photo in photos]
    (out / "label_map.pbtxt").write_text(label_map_text(), encoding="utf-8")
    for fold in range(FOLDS):
        _write_records(out / f"fold_{fold}.tfrecord", [photo for photo in photos if photo.fold == fold])
    write_splits(photos, out / "folds.csv")
    save_photos(photos, out / PHOTOS)
    groups, folds = [photo.group for photo in photos], [photo.fold for photo in photos]
    return Prepared(photos, leaks_of_random_split(groups, folds, seed=source.split_seed))


def write_rendered_records(out: Path, count: int) -> Path:
    """Renders mouths into `rendered.tfrecord` in the folder `out`, unless as many are there, and returns its path."""
    path = out / "rendered.tfrecord"
    folder = out / "rendered"
    if not path.exists() or len(list((folder / "img_train").glob("*"))) != count:
        shutil.rmtree(folder, ignore_errors=True)
        render.write_via(folder, range(RENDERED_SEED, RENDERED_SEED + count))
        _write_records(path, read_annotated_photos(folder))
    return path


def write_other_records(out: Path, count: int) -> Path:
    """Renders pictures without teeth into `others.tfrecord` in the folder `out`, unless as many are there, and returns
    its path.
    """
    path, folder = out / "others.tfrecord", out / "others"
    if not path.exists() or len(list(folder.glob("*"))) != count:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        photos = []
        for number in tqdm(range(count), desc="others", unit="picture", leave=False):
            picture = Image.fromarray(render.render_other(number))
            file = folder / f"Other_{number + 1:04d}.jpg"
            picture.save(file, quality=OTHER_QUALITY)
            empty = np.zeros((0, 4), np.float32), np.zeros(0, np.int32)
            photos.append(AnnotatedPhoto(file, picture.width, picture.height, *empty, file.stem, 0))
        _write_records(path, photos)
    return path


def label_map_text() -> str:
    """The label map in the Object Detection API's text format."""
    return "".join(f"item {{\n  id: {class_id}\n  name: '{name}'\n}}\n" for name, class_id in CLASS_IDS.items())


def _write_records(path: Path, photos: Iterable[AnnotatedPhoto]) -> None:
    # A training may follow in this process, and how TensorFlow is set up is decided where it is imported first.
    import training.compat  # noqa: F401  isort: skip
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
