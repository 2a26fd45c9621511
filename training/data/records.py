"""The Object Detection API's input: TFRecord files of photos with boxes."""

import io
import re
import shutil
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from app.photo.decoding import decode
from app.photo.resizing import resize
from training import render
from training.data.annotations import CLASS_IDS, FOLDS, AnnotatedPhoto, read_annotated_photos
from training.data.data_sets import DataSet

MAX_SIDE = 640
"""Longer side, in pixels, of stored photos: scaled down with antialiasing, since the API's own resize (bilinear) has
none."""

UNSAFE = re.compile(r"[^\w.-]+")
"""In names of files."""

RENDERED_SEED = 1000
"""Seed of the first rendered training photo; the pictures in `examples/` come from other seeds."""


def record_files(folder: Path, data_sets: Sequence[DataSet]) -> dict[str, list[Path]]:
    """The files of each data set by fold; of a single set, or if the sets are unknown, `fold_0.tfrecord` to
    `fold_4.tfrecord`."""
    if len(data_sets) < 2:
        prefixes = {data_set.name: "" for data_set in data_sets} or {"": ""}
    else:
        prefixes = {
            data_set.name: f"{number}_{UNSAFE.sub('_', data_set.name)}."
            for number, data_set in enumerate(data_sets, start=1)
        }
    return {
        name: [folder / f"{prefix}fold_{fold}.tfrecord" for fold in range(FOLDS)] for name, prefix in prefixes.items()
    }


def write_part(files: Sequence[Path], names: Collection[str], out: Path) -> list[Path]:
    """Copy the records of the photos with these file names to files of the same names in the folder `out`."""
    from training.compat import tf

    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for file in files:
        with tf.io.TFRecordWriter(str(out / file.name)) as writer:
            for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
                name = tf.train.Example.FromString(record).features.feature["image/filename"].bytes_list.value[0]
                if name.decode() in names:
                    writer.write(record)
    return [out / file.name for file in files]


def write_records(path: Path, photos: Iterable[AnnotatedPhoto]) -> None:
    """Write a file, completely or not at all."""
    # A training may follow in this process, and the first import of TensorFlow decides its set-up.
    from training.compat import tf

    partial = path.with_suffix(".partial")
    with tf.io.TFRecordWriter(str(partial)) as writer:
        for photo in tqdm(list(photos), desc=path.name, unit="photo", leave=False):
            writer.write(_example(photo).SerializeToString(deterministic=True))
    partial.replace(path)


def write_rendered_records(out: Path, count: int) -> Path:
    """Render mouths into `out/rendered.tfrecord`, unless `count` exist, and return its path."""
    path, folder = out / "rendered.tfrecord", out / "rendered"
    if not path.exists() or len(list((folder / "img_train").glob("*"))) != count:
        shutil.rmtree(folder, ignore_errors=True)
        render.write_via(folder, range(RENDERED_SEED, RENDERED_SEED + count))
        write_records(path, read_annotated_photos(folder))
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
        write_records(path, photos)
    return path


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
    weights = np.ones(len(photo.class_ids), np.float32) if photo.weights is None else photo.weights
    edges = zip(("ymin", "xmin", "ymax", "xmax"), photo.boxes.T, strict=True)
    feature = {
        "image/object/weight": train.Feature(float_list=train.FloatList(value=weights)),
        **{f"image/object/bbox/{edge}": train.Feature(float_list=train.FloatList(value=at)) for edge, at in edges},
        **{name: train.Feature(int64_list=train.Int64List(value=values)) for name, values in integers.items()},
        **{name: train.Feature(bytes_list=train.BytesList(value=values)) for name, values in texts.items()},
    }
    return train.Example(features=train.Features(feature=feature))
