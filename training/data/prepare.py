"""Annotated photos to the Object Detection API's input: a label map and TFRecord files by data set and fold."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from training.data.annotations import CLASS_IDS, FOLDS, AnnotationError, ReadData, Source
from training.data.data_sets import Labels, find_data_set, save_data_sets
from training.data.groups import leaks_of_random_split
from training.data.pooling import read_sets
from training.data.records import record_files, write_records
from training.data.saved_photos import save_photos, write_splits
from training.data.unlabelled_teeth import (
    FoundTeeth,
    find_unlabelled_teeth,
    usable_sets,
    with_teeth,
)

PHOTOS = "photos.json"
SETS = "sets.json"
TEETH = "unlabelled_teeth.json"
SKIPPED = "skipped.txt"
UNPACKED = "unpacked"


def prepare(data: Sequence[Path], out: Path, source: Source | None = None) -> str:
    """Check the photos of the sets `data` and write `label_map.pbtxt`, the TFRecords of each set and fold,
    `photos.json`, `sets.json`, `folds.csv`, and `skipped.txt` if photos were skipped, to the folder `out`, created if
    missing.

    In sets in which not every tooth is labelled, the source's detector finds the others, see
    `training.data.unlabelled_teeth`. Zip files are unpacked to `out/unpacked`. Returns a summary of several lines.
    Raises AnnotationError: see `read_sets` and `usable_sets`; nothing is written.
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
        data_sets = usable_sets(read.data_sets, source)
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
    teeth: dict[str, FoundTeeth] = {}
    if source.teeth_from is None:
        (out / TEETH).unlink(missing_ok=True)
    else:
        teeth = find_unlabelled_teeth(photos, read.data_sets, source.teeth_from, out / TEETH)
    trained = [with_teeth(photo, teeth.get(photo.path.name)) for photo in photos]
    for outdated in out.glob("*fold_*.tfrecord"):
        outdated.unlink()
    for name, files in record_files(out, read.data_sets).items():
        for fold, file in enumerate(files):
            write_records(file, [photo for photo in trained if (photo.source, photo.fold) == (name, fold)])
    write_splits(photos, out / "folds.csv")
    save_photos(photos, out / PHOTOS)
    save_data_sets(data_sets, out / SETS)
    (out / SKIPPED).unlink(missing_ok=True)
    if read.problems:
        (out / SKIPPED).write_text("".join(f"{line}\n" for line in read.problems), encoding="utf-8")
    return _summary(read, teeth, split_seed=source.split_seed)


def _summary(read: ReadData, teeth: Mapping[str, FoundTeeth], *, split_seed: int) -> str:
    """Counts of photos, boxes, groups and folds, one per line; then the skipped photos."""
    groups, folds = [photo.group for photo in read.photos], [photo.fold for photo in read.photos]
    lines = [
        f"{len(groups)} photos, {sum(not len(photo.class_ids) for photo in read.photos)} of them without a box",
        f"boxes: {_boxes(read)}",
        *(f"{name}: {len(one.photos)} photos, boxes: {_boxes(one)}" for name, one in read.sets.items()),
        *(f"{one.name}: boxes on {one.labels}" for one in read.data_sets if one.labels != Labels.EVERY_TOOTH),
        *_teeth_lines(read, teeth),
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


def _teeth_lines(read: ReadData, teeth: Mapping[str, FoundTeeth]) -> list[str]:
    """For each set, the numbers of unlabelled teeth that were found, by weight."""
    lines = []
    for data_set in read.data_sets:
        names = [photo.path.name for photo in read.photos if photo.source == data_set.name]
        found = Counter(float(weight) for name in names if name in teeth for weight in teeth[name].weights)
        if found:
            lines.append(
                f"{data_set.name}: unlabelled teeth found: {found[1]} of weight 1, {found[0.5]} of weight 0.5, "
                f"{found[0]} left out of the loss"
            )
    return lines


def label_map_text() -> str:
    """The label map in the Object Detection API's text format."""
    return "".join(f"item {{\n  id: {class_id}\n  name: '{name}'\n}}\n" for name, class_id in CLASS_IDS.items())
