"""Annotated photos to the Object Detection API's input: a label map and one TFRecord file per fold."""

import io
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from app.photo.decoding import decode
from app.photo.resizing import resize
from training import render
from training.data.annotations import (
    CLASS_IDS,
    FOLDS,
    AnnotatedPhoto,
    AnnotationError,
    ReadData,
    Source,
    read_annotated_photos,
)
from training.data.data_sets import Labels, find_data_set, save_data_sets
from training.data.groups import leaks_of_random_split
from training.data.pooling import read_sets
from training.data.saved_photos import save_photos, write_splits

MAX_SIDE = 640
"""Longer side, in pixels, of stored photos: scaled down with antialiasing, since the API's own resize (bilinear) has
none."""

PHOTOS = "photos.json"
SETS = "sets.json"
SKIPPED = "skipped.txt"
UNPACKED = "unpacked"

RENDERED_SEED = 1000
"""Seed of the first rendered training photo; the pictures in `examples/` come from other seeds."""


def prepare(data: Sequence[Path], out: Path, source: Source | None = None) -> str:
    """Check the photos of the sets `data` and write `label_map.pbtxt`, `fold_0.tfrecord` to `fold_4.tfrecord`,
    `photos.json`, `sets.json`, `folds.csv`, and `skipped.txt` if photos were skipped, to the folder `out`, created if
    missing.

    Zip files are unpacked to `out/unpacked`. Returns a summary of several lines. Raises AnnotationError: see
    `read_sets`; nothing is written.
    """
    source = source or Source()
    existed = out.exists()
    unpacked, checked = out / UNPACKED, out / f"{UNPACKED}.new"
    has_zip = any(find_data_set(path)[1].is_file() for path in data)
    if has_zip:
        out.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(checked, ignore_errors=True)
        source = replace(source, unpack_to=checked)
    try:
        read = read_sets(data, source)
    except AnnotationError:
        if has_zip:
            shutil.rmtree(checked, ignore_errors=True)
            if not existed:
                out.rmdir()
        raise
    photos = read.photos
    out.mkdir(parents=True, exist_ok=True)
    if has_zip:
        # The photos of an earlier call stay until these have passed the checks.
        shutil.rmtree(unpacked, ignore_errors=True)
        checked.rename(unpacked)
        photos = [
            replace(photo, path=unpacked / photo.path.relative_to(checked)) if checked in photo.path.parents else photo
            for photo in photos
        ]
    (out / "label_map.pbtxt").write_text(label_map_text(), encoding="utf-8")
    for fold in range(FOLDS):
        _write_records(out / f"fold_{fold}.tfrecord", [photo for photo in photos if photo.fold == fold])
    write_splits(photos, out / "folds.csv")
    save_photos(photos, out / PHOTOS)
    save_data_sets(read.data_sets, out / SETS)
    (out / SKIPPED).unlink(missing_ok=True)
    if read.problems:
        (out / SKIPPED).write_text("".join(f"{line}\n" for line in read.problems), encoding="utf-8")
    return _summary(read, split_seed=source.split_seed)


def _summary(read: ReadData, *, split_seed: int) -> str:
    """Counts of photos, boxes, groups and folds, one per line; then the skipped photos."""
    groups, folds = [photo.group for photo in read.photos], [photo.fold for photo in read.photos]
    lines = [
        f"{len(groups)} photos, {sum(not len(photo.class_ids) for photo in read.photos)} of them without a box",
        f"boxes: {_boxes(read)}",
        *(f"{name}: {len(one.photos)} photos, boxes: {_boxes(one)}" for name, one in read.sets.items()),
        *(f"{one.name}: labelled are {one.labels}" for one in read.data_sets if one.labels != Labels.EVERY_TOOTH),
        f"{len(set(groups))} groups, photos in folds: {', '.join(str(folds.count(fold)) for fold in range(FOLDS))}",
        f"a random split would have had {leaks_of_random_split(groups, folds, seed=split_seed):.1f} photos with a "
        "look-alike in another fold",
    ]
    if read.problems:
        lines += [f"{read.skipped} photos skipped, listed in {SKIPPED}:", *(f"  {line}" for line in read.problems)]
    return "\n".join(lines)


def _boxes(read: ReadData) -> str:
    boxes = Counter(int(class_id) for photo in read.photos for class_id in photo.class_ids)
    return ", ".join(f"{boxes[class_id]} {name}" for name, class_id in CLASS_IDS.items())


def write_rendered_records(out: Path, count: int) -> Path:
    """Render mouths into `out/rendered.tfrecord`, unless `count` exist, and return its path."""
    path, folder = out / "rendered.tfrecord", out / "rendered"
    if not path.exists() or len(list((folder / "img_train").glob("*"))) != count:
        shutil.rmtree(folder, ignore_errors=True)
        render.write_via(folder, range(RENDERED_SEED, RENDERED_SEED + count))
        _write_records(path, read_annotated_photos(folder))
    return path


def write_other_records(out: Path, count: int) -> Path:
    """Render pictures without teeth into `out/others.tfrecord`, unless `count` exist, and return its path."""
    path, folder = out / "others.tfrecord", out / "others"
    if not path.exists() or len(list(folder.glob("*"))) != count:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        photos = []
        for number in tqdm(range(count), desc="others", unit="picture", leave=False):
            picture = Image.fromarray(render.render_other(number))
            file = folder / f"Other_{number + 1:04d}.jpg"
            picture.save(file, quality=render.JPEG_QUALITY)
            empty = np.zeros((0, 4), np.float32), np.zeros(0, np.int32)
            photos.append(AnnotatedPhoto(file, picture.width, picture.height, *empty, file.stem, 0))
        _write_records(path, photos)
    return path


def label_map_text() -> str:
    """The label map in the Object Detection API's text format."""
    return "".join(f"item {{\n  id: {class_id}\n  name: '{name}'\n}}\n" for name, class_id in CLASS_IDS.items())


def _write_records(path: Path, photos: Iterable[AnnotatedPhoto]) -> None:
    # A training may follow in this process, and the first import of TensorFlow decides its set-up.
    from training.compat import tf

    partial = path.with_suffix(".partial")
    with tf.io.TFRecordWriter(str(partial)) as writer:
        for photo in tqdm(list(photos), desc=path.name, unit="photo", leave=False):
            writer.write(_example(photo).SerializeToString(deterministic=True))
    partial.replace(path)


def _example(photo: AnnotatedPhoto) -> Any:
    """A photo's `tf.train.Example`, with the feature names of the API's `TfExampleDecoder`."""
    from training.compat import tf

    pixels = decode(photo.path.read_bytes()).pixels
    scale = min(1.0, MAX_SIDE / max(photo.width, photo.height))
    height, width = max(1, round(photo.height * scale)), max(1, round(photo.width * scale))
    encoded = io.BytesIO()
    Image.fromarray(resize(pixels, height, width)).save(encoded, "JPEG", quality=95, subsampling=0)
    names = {class_id: name.encode() for name, class_id in CLASS_IDS.items()}
    train = tf.train

    integers = {
        "image/height": [height],
        "image/width": [width],
        "image/object/class/label": photo.class_ids,
    }
    texts = {
        "image/filename": [photo.path.name.encode()],
        "image/source_id": [photo.path.name.encode()],
        "image/encoded": [encoded.getvalue()],
        "image/format": [b"jpeg"],
        "image/object/class/text": [names[int(class_id)] for class_id in photo.class_ids],
    }
    edges = zip(("ymin", "xmin", "ymax", "xmax"), photo.boxes.T, strict=True)
    feature = {
        **{f"image/object/bbox/{edge}": train.Feature(float_list=train.FloatList(value=at)) for edge, at in edges},
        **{name: train.Feature(int64_list=train.Int64List(value=values)) for name, values in integers.items()},
        **{name: train.Feature(bytes_list=train.BytesList(value=values)) for name, values in texts.items()},
    }
    return train.Example(features=train.Features(feature=feature))
