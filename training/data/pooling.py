"""Several sets of annotated photos as one."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from training.data.annotations import AnnotationError, ReadData, Source, read_data


def read_sets(sets: Sequence[Path], source: Source | None = None) -> ReadData:
    """Read and check each set by itself (see `read_data`), then pool the photos in order of their file names.

    Of several sets, groups and problems are prefixed with the name of their set, and zip files are unpacked to
    numbered folders in `unpack_to`. Raises AnnotationError: sets have problems, a set is given twice, or sets share
    file names, by which photos are identified later; all problems are listed.
    """
    if len(sets) == 1:
        return read_data(sets[0], source)
    source = source or Source()
    read: dict[str, ReadData] = {}
    sets_of_photo: defaultdict[str, list[str]] = defaultdict(list)
    problems: list[str] = []
    for number, (name, data) in enumerate(zip(set_names(sets), sets, strict=True), start=1):
        unpack_to = source.unpack_to / str(number) if source.unpack_to else None
        try:
            read[name] = read_data(data, replace(source, unpack_to=unpack_to))
        except AnnotationError as error:
            problems += [f"{name}: {line}" for line in str(error).splitlines()]
            continue
        for photo in read[name].photos:
            sets_of_photo[photo.path.name].append(str(data))
    problems += [
        f"{photo}: is in {' and '.join(found)}; give each photo a different file name"
        for photo, found in sorted(sets_of_photo.items())
        if len(found) > 1
    ]
    if problems:
        raise AnnotationError("\n".join(problems))
    pooled = [
        replace(photo, group=f"{name}:{photo.group}", source=name) for name, one in read.items() for photo in one.photos
    ]
    return ReadData(
        sorted(pooled, key=lambda photo: photo.path.name),
        sum(one.skipped for one in read.values()),
        [f"{name}: {line}" for name, one in read.items() for line in one.problems],
        read,
    )


def set_names(sets: Sequence[Path]) -> list[str]:
    """The folder names of the sets, or their paths where folders share a name. Raises AnnotationError: a set is given
    twice."""
    paths = [path.resolve() for path in sets]
    for path in paths:
        if paths.count(path) > 1:
            raise AnnotationError(f"{path} is given twice as --data")
    names = [path.name for path in paths]
    return [path.name if names.count(path.name) == 1 else str(path) for path in paths]
