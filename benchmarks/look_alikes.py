"""How well the perceptual hash of `training.data.groups` distinguishes copies of a photo from other photos.

    python -m benchmarks.look_alikes --data DIR

Every photo is altered as copies on the web are: recompressed, halved, cropped, darkened, mirrored. A copy is found if
its hash is within the distance of the original's; two different photos are joined wrongly if theirs are. The groups of
`folds.csv`, if the folder has one, are compared as well.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from app.photo.decoding import decode
from training.data.annotations import read_annotated_photos
from training.data.groups import HASH_DISTANCE, perceptual_hashes

DISTANCES = (4, 6, 8, 10, 12, 14, 16)


def recompressed(photo: Image.Image) -> Image.Image:
    """At JPEG quality 30."""
    data = io.BytesIO()
    photo.save(data, "JPEG", quality=30)
    return Image.open(data).convert("RGB")


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "recompressed at quality 30": recompressed,
    "half the size": lambda photo: photo.resize((photo.width // 2, photo.height // 2)),
    "cropped by 3 % at each edge": lambda photo: photo.crop(
        (int(photo.width * 0.03), int(photo.height * 0.03), int(photo.width * 0.97), int(photo.height * 0.97))
    ),
    "darker by 30 %": lambda photo: ImageEnhance.Brightness(photo).enhance(0.7),
    "mirrored": lambda photo: photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="annotated photos")
    photos = read_annotated_photos(parser.parse_args().data)
    pictures = [Image.fromarray(decode(photo.path.read_bytes()).pixels) for photo in photos]
    hashes = np.stack([perceptual_hashes(np.asarray(picture)) for picture in pictures])

    def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        nearest: np.ndarray = np.minimum((one[:, 0] != other[:, 0]).sum(1), (one[:, 0] != other[:, 1]).sum(1))
        return nearest

    pairs = np.array(list(combinations(range(len(photos)), 2)))
    between = distances(hashes[pairs[:, 0]], hashes[pairs[:, 1]])
    print(f"{len(photos)} photos, {len(pairs)} pairs; the distance in use is {HASH_DISTANCE} of 64 bits\n")
    print("| copies found within | " + " | ".join(map(str, DISTANCES)) + " |")
    print("|---" * (len(DISTANCES) + 1) + "|")
    every = []
    for name, alter in ALTERATIONS.items():
        found = distances(hashes, np.stack([perceptual_hashes(np.asarray(alter(picture))) for picture in pictures]))
        every.append(found)
        print(f"| {name} | " + " | ".join(f"{(found <= limit).mean():.1%}" for limit in DISTANCES) + " |")
    print("| all | " + " | ".join(f"{(np.concatenate(every) <= limit).mean():.1%}" for limit in DISTANCES) + " |")
    print("| pairs of photos joined | " + " | ".join(str(int((between <= limit).sum())) for limit in DISTANCES) + " |")
    groups = np.array([photo.group for photo in photos])
    same = groups[pairs[:, 0]] == groups[pairs[:, 1]]
    joined = int((same & (between <= HASH_DISTANCE)).sum())
    print(f"\nPairs in one group of folds.csv: {same.sum()}, of which the hash joins {joined}")


if __name__ == "__main__":
    main()
