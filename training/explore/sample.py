"""One photo of the data: its boxes as a picture, its facts as text."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.photo.decoding import decode
from app.photo.quality import assess_quality
from training.data.annotations import CLASS_IDS, AnnotatedPhoto
from training.errors import TrainingError
from training.explore.sheets import labelled_photo

MAX_SIDE = 1600
"""Of the picture, pixels."""

SUGGESTIONS = 3
"""Names that are suggested for an unknown one."""


class ExploreError(TrainingError):
    """No photo, or more than one, matches the name or number."""


def write_sample(photos: Sequence[AnnotatedPhoto], name: str, out: Path) -> str:
    """Write `sample-NAME.png`, the photo that `find_photo` finds with numbered boxes, to the folder `out`, and return
    its facts as text. Raises ExploreError: not exactly one photo matches; nothing is written."""
    photo = find_photo(photos, name)
    quality = assess_quality(decode(photo.path.read_bytes()).pixels)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"sample-{photo.path.stem}.png"
    labelled_photo(photo, max_side=MAX_SIDE, numbered=True).save(path, "PNG")
    others = sorted(other.path.name for other in photos if other.group == photo.group and other.path != photo.path)
    lines = [
        f"{photo.path.name}: {photo.width}x{photo.height} pixels, group {photo.group}, fold {photo.fold}",
        f"look-alikes: {', '.join(others) or 'none'}",
        f"luminance {quality.luminance:.0f}, sharpness {quality.sharpness:.2f}, tissue {quality.tissue:.2f}: "
        + (f"the server rejects it as {', '.join(quality.reasons)}" if quality.reasons else "the server accepts it"),
        f"{len(photo.boxes)} boxes, in pixels" + (":" if len(photo.boxes) else ""),
    ]
    if len(photo.boxes):
        headings = ("xmin", "ymin", "xmax", "ymax", "width", "height")
        lines.append("  no  class  " + "".join(f"{heading:>8}" for heading in headings))
    names = {class_id: class_name for class_name, class_id in CLASS_IDS.items()}
    scale = np.array([photo.width, photo.height] * 2, np.float64)
    for number, (box, class_id) in enumerate(zip(photo.boxes, photo.class_ids, strict=True), start=1):
        left, top, right, bottom = box[[1, 0, 3, 2]] * scale
        values = (left, top, right, bottom, right - left, bottom - top)
        lines.append(f"  {number:2}  {names[int(class_id)]:7}" + "".join(f"{value:8.1f}" for value in values))
    return "\n".join([*lines, str(path)])


def find_photo(photos: Sequence[AnnotatedPhoto], name: str) -> AnnotatedPhoto:
    """The photo with this file name, file name without suffix, or last number in it: 777 finds `Folder_0777.jpg`.
    Raises ExploreError: no photo matches, with the nearest names; or several do, with theirs."""
    for matching in (
        [photo for photo in photos if photo.path.name == name],
        [photo for photo in photos if photo.path.stem == name],
        [photo for photo in photos if name.isdecimal() and _number(photo) == int(name)],
    ):
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise ExploreError(f"{name!r} matches {', '.join(photo.path.name for photo in matching)}: give one name")
    if name.isdecimal():
        numbered = [(abs(number - int(name)), photo.path.name) for photo in photos if (number := _number(photo)) >= 0]
        near = [file_name for _, file_name in sorted(numbered)[:SUGGESTIONS]]
    else:
        near = difflib.get_close_matches(name, [photo.path.name for photo in photos], n=SUGGESTIONS, cutoff=0.0)
    raise ExploreError(f"there is no photo {name!r}; the nearest names are {', '.join(near) or 'none with a number'}")


def _number(photo: AnnotatedPhoto) -> int:
    """The last number in the photo's name; -1 without one."""
    numbers = re.findall(r"[0-9]+", photo.path.stem)
    return int(numbers[-1]) if numbers else -1
