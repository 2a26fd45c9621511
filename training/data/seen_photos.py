"""The photos that a detector has seen, so that it is not compared with another one on them: the file `seen_photos.json`
of a bundle.

Photos are identified by their upright pixels, not by their files: a photo kept for review loses its metadata, and a
turned one becomes a PNG. The SHA-256 of the pixels recognizes these copies exactly, the perceptual hash those that
were saved again, scaled, darkened or mirrored. Neither contains the photo or its name.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from app.photo.decoding import decode
from app.photo.pixels import Pixels
from training.data.annotations import AnnotatedPhoto
from training.data.groups import Hashes, perceptual_hashes
from training.output import write_file

SEEN_PHOTOS = "seen_photos.json"

COPY_DISTANCE = 4
"""Bits of 64 that may differ between a photo and its copy. It finds all copies that were saved again, halved, darkened
or mirrored (docs/training.md), and joins none of 4.7 million pairs of photos from different data sets. The distance of
groups (`training.data.groups.HASH_DISTANCE`) would leave out 42 % of a set of one camera for other mouths."""


class Use(StrEnum):
    """What a photo was used for: to train the detector, to calibrate it or stop its training, or by an earlier
    detector, from whose weights or teeth this one was trained."""

    TRAINED = "trained"
    CALIBRATED = "calibrated"
    EARLIER = "earlier"


class SeenPhoto(NamedTuple):
    """Digests in hexadecimal: of width, height and pixels (SHA-256), and the perceptual hash, 64 bits."""

    use: Use
    pixels_sha256: str
    perceptual_hash: str


@dataclass(frozen=True, slots=True)
class Identity:
    """A photo, to be recognized: SHA-256 of its pixels, and the perceptual hashes of it and its mirror image."""

    pixels_sha256: str
    hashes: Hashes

    @classmethod
    def from_pixels(cls, pixels: Pixels) -> Self:
        """Of the upright pixels, uint8 `[height, width, 3]`."""
        digest = hashlib.sha256(str(pixels.shape).encode())
        digest.update(np.ascontiguousarray(pixels).data)
        return cls(digest.hexdigest(), perceptual_hashes(pixels))

    def seen(self, use: Use) -> SeenPhoto:
        return SeenPhoto(use, self.pixels_sha256, np.packbits(self.hashes[0]).tobytes().hex())


@dataclass(frozen=True, slots=True)
class SeenPhotos:
    """The photos that a detector has seen, and the names of earlier detectors whose photos are unknown."""

    photos: Sequence[SeenPhoto]
    unlisted: Sequence[str] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls([SeenPhoto(Use(use), *digests) for use, *digests in content["photos"]], content["unlisted"])

    def write(self, path: Path) -> None:
        """Write one line for each photo, in the order of their digests, which gives nothing away."""
        rows = ",\n".join(json.dumps(photo) for photo in sorted(self.photos, key=lambda photo: photo.pixels_sha256))
        write_file(path, f'{{"unlisted": {json.dumps(list(self.unlisted))}, "photos": [\n{rows}\n]}}\n')

    def joined(self, other: "SeenPhotos", *, is_earlier: bool) -> "SeenPhotos":
        """With the photos of another detector, which came before this one or has the same weights."""
        known = {photo.pixels_sha256 for photo in self.photos}
        further = [
            photo._replace(use=Use.EARLIER) if is_earlier else photo
            for photo in other.photos
            if photo.pixels_sha256 not in known
        ]
        return SeenPhotos([*self.photos, *further], list(dict.fromkeys([*self.unlisted, *other.unlisted])))

    def uses(self, photos: Sequence[Identity]) -> list[Use | None]:
        """For each photo, what it or a copy of it was used for; None if the detector has not seen it."""
        exact = {photo.pixels_sha256: photo.use for photo in self.photos}
        listed = _bits(photo.perceptual_hash for photo in self.photos)
        found: list[Use | None] = []
        for photo in photos:
            use = exact.get(photo.pixels_sha256)
            if use is None and len(listed):
                distances = (listed[:, None] != photo.hashes[None]).sum(axis=2).min(axis=1)
                nearest = int(distances.argmin())
                use = self.photos[nearest].use if distances[nearest] <= COPY_DISTANCE else None
            found.append(use)
        return found


def identities(photos: Sequence[AnnotatedPhoto], *, name: str = "digests") -> list[Identity]:
    """The identities of photos, with a progress bar."""
    return [
        Identity.from_pixels(decode(photo.path.read_bytes()).pixels)
        for photo in tqdm(photos, desc=name, unit="photo", leave=False)
    ]


def seen_by_training(trained: Sequence[AnnotatedPhoto], calibrated: Sequence[AnnotatedPhoto]) -> SeenPhotos:
    """The photos that a training drew, and those that the detector was calibrated or measured on."""
    uses = {**dict.fromkeys(_paths(calibrated), Use.CALIBRATED), **dict.fromkeys(_paths(trained), Use.TRAINED)}
    photos = list({photo.path: photo for photo in (*calibrated, *trained)}.values())
    found = zip(photos, identities(photos), strict=True)
    unique = {one.pixels_sha256: one.seen(uses[photo.path]) for photo, one in found}
    return SeenPhotos(list(unique.values()))


def _paths(photos: Sequence[AnnotatedPhoto]) -> list[Path]:
    return [photo.path for photo in photos]


def _bits(hashes: Iterable[str]) -> npt.NDArray[np.bool_]:
    """Bool `[n, 64]` from hexadecimal digits."""
    found = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(-1, 8)
    return np.unpackbits(found, axis=1).astype(bool)
