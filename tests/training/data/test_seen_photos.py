import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from app.photo.decoding import decode
from app.photo.without_metadata import without_metadata
from training.data.annotations import AnnotatedPhoto
from training.data.seen_photos import Identity, SeenPhotos, Use, identities, seen_by_training

TURNED = 6
"""EXIF orientation of a photo taken upright."""


@pytest.fixture(scope="module")
def photos(example_photos) -> list[AnnotatedPhoto]:
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.int32)
    return [AnnotatedPhoto(path, 1, 1, *empty, path.stem, fold) for fold, path in enumerate(example_photos)]


def identity(data: bytes) -> Identity:
    return Identity.from_pixels(decode(data).pixels)


def as_jpeg(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("orientation", [1, TURNED])
def test_a_photo_without_its_metadata_has_the_same_digest(photos, orientation) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "A camera"
    data = as_jpeg(Image.open(photos[0].path), exif=exif)
    kept = without_metadata(data)
    assert kept.media_type == ("image/png" if orientation == TURNED else "image/jpeg")
    assert kept.data != data
    assert identity(kept.data).pixels_sha256 == identity(data).pixels_sha256


def test_copies_are_recognized_and_other_mouths_are_not(photos) -> None:
    seen = seen_by_training(photos[:1], [])
    image = Image.open(photos[0].path)
    copies = [
        as_jpeg(image, quality=30),
        as_jpeg(image.reduce(2)),
        as_jpeg(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        as_jpeg(image.point(lambda value: int(value * 0.7))),
    ]
    assert seen.uses([identity(copy) for copy in copies]) == [Use.TRAINED] * 4
    assert {one.seen(Use.TRAINED) for one in map(identity, copies)}.isdisjoint(seen.photos), "not by their pixels"
    assert seen.uses(identities(photos[1:])) == [None] * (len(photos) - 1)


def test_the_file_has_digests_but_no_names_or_order(photos, tmp_path) -> None:
    file = tmp_path / "seen.json"
    seen = SeenPhotos(seen_by_training(photos[:2], photos[1:3]).photos, ["teeth 3"])
    seen.write(file)
    content = json.loads(file.read_text())
    assert sorted(use for use, *_ in content["photos"]) == ["calibrated", "trained", "trained"]
    assert [digest for _, digest, _ in content["photos"]] == sorted(digest for _, digest, _ in content["photos"])
    assert not any(photo.path.stem in file.read_text() for photo in photos)
    assert file.stat().st_size < 120 * 3
    read = SeenPhotos.read(file)
    assert read.unlisted == ["teeth 3"]
    assert read.uses(identities(photos[:4])) == [Use.TRAINED, Use.TRAINED, Use.CALIBRATED, None]


def test_the_photos_of_an_earlier_detector_are_joined(photos) -> None:
    first = seen_by_training(photos[:2], [])
    second = replace(seen_by_training(photos[1:2], photos[2:3]), unlisted=["backbone"])
    both = replace(second, unlisted=["a"]).joined(replace(first, unlisted=["a", "b"]), is_earlier=True)
    assert both.uses(identities(photos[:3])) == [Use.EARLIER, Use.TRAINED, Use.CALIBRATED]
    assert both.unlisted == ["a", "b"]
    assert second.joined(first, is_earlier=False).uses(identities(photos[:1])) == [Use.TRAINED]


def test_without_photos_none_is_recognized(photos, tmp_path) -> None:
    file = tmp_path / "seen.json"
    SeenPhotos([]).write(file)
    assert SeenPhotos.read(file).uses(identities(photos[:1])) == [None]
