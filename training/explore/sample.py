"""One photo of the data: its boxes as a picture, its facts as text."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from app.photo.decoding import decode
from app.photo.quality import assess_quality
from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.errors import TrainingError
from training.explore.sheets import labelled_photo

LONGEST_SIDE = 1600
"""Of the picture, pixels."""

NEAREST = 3
"""Names that are offered for one that does not exist."""


class ExploreError(TrainingError):
    """No photo, or more than one, fits the name or number that was asked for."""


def write_sample(photos: Sequence[AnnotatedPhoto], name: str, out: Path) -> str:
    """Writes `sample-NAME.png`, one photo with its numbered boxes, and returns what is known of it as text.

    Args:
        photos: of which one is chosen.
        name: see `find_photo`.
        out: folder for the picture, made if missing.

    Raises:
        ExploreError: no single photo fits; nothing is written.
    """
    photo = find_photo(photos, name)
    quality = assess_quality(decode(photo.path.read_bytes()).pixels)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"sample-{photo.path.stem}.png"
    partial = path.with_suffix(".partial")
    labelled_photo(photo, longest_side=LONGEST_SIDE, numbered=True).save(partial, "PNG")
    partial.replace(path)
    others = sorted(other.path.name for other in photos if other.group == photo.group and other.path != photo.path)
    lines = [
        f"{photo.path.name}: {photo.width}x{photo.height} pixels, group {photo.group}, fold {photo.fold}",
        f"look-alikes: {', '.join(others) or 'none'}",
        f"luminance {quality.luminance:.0f}, sharpness {quality.sharpness:.2f}, tissue {quality.tissue:.2f}: "
        + (f"the service refuses it as {', '.join(quality.reasons)}" if quality.reasons else "the service takes it"),
        f"{len(photo.boxes)} boxes, in pixels" + (":" if len(photo.boxes) else ""),
    ]
    if len(photo.boxes):
        headings = ("xmin", "ymin", "xmax", "ymax", "width", "height")
        lines.append("  no  class  " + "".join(f"{heading:>8}" for heading in headings))
    names = {class_id: class_name for class_name, class_id in CLASS_IDS.items()}
    for number, (box, class_id) in enumerate(zip(photo.boxes, photo.class_ids, strict=True), start=1):
        ymin, xmin, ymax, xmax = (float(edge) for edge in box)
        left, top, right, bottom = xmin * photo.width, ymin * photo.height, xmax * photo.width, ymax * photo.height
        values = (left, top, right, bottom, right - left, bottom - top)
        lines.append(f"  {number:2}  {names[int(class_id)]:7}" + "".join(f"{value:8.1f}" for value in values))
    return "\n".join([*lines, str(path)])


def find_photo(photos: Sequence[AnnotatedPhoto], name: str) -> AnnotatedPhoto:
    """The photo of a file name, a file name without suffix, or the last number in it: 777 finds `Folder_0777.jpg`.

    Raises:
        ExploreError: none fits, and the message holds the nearest names; or several do, and it holds theirs.
    """
    for fitting in (
        [photo for photo in photos if photo.path.name == name],
        [photo for photo in photos if photo.path.stem == name],
        [photo for photo in photos if name.isdecimal() and _number(photo) == int(name)],
    ):
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise ExploreError(f"{name!r} fits {', '.join(photo.path.name for photo in fitting)}: give one name")
    if name.isdecimal():
        numbered = [(abs(number - int(name)), photo.path.name) for photo in photos if (number := _number(photo)) >= 0]
        near = [file_name for _, file_name in sorted(numbered)[:NEAREST]]
    else:
        near = difflib.get_close_matches(name, [photo.path.name for photo in photos], n=NEAREST, cutoff=0.0)
    raise ExploreError(f"there is no photo {name!r}; the nearest names are {', '.join(near) or 'none with a number'}")


def _number(photo: AnnotatedPhoto) -> int:
    """The last number in the photo's name; -1 where there is none."""
    numbers = re.findall(r"[0-9]+", photo.path.stem)
    return int(numbers[-1]) if numbers else -1
