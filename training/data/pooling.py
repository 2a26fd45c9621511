"""Several sets of annotated photos as one."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from training.data.annotations import AnnotationError, ReadData, Source, read_data
from training.data.data_sets import DataSet, find_data_set


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
    described = find_data_sets(sets)
    for number, (data_set, data) in enumerate(zip(described, sets, strict=True), start=1):
        name = data_set.name
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
        sorted(described, key=lambda data_set: data_set.name),
        read,
    )


def find_data_sets(data: Sequence[Path]) -> list[DataSet]:
    """The descriptions of several sets, named by their paths where they share a name. Raises AnnotationError: a set is
    given twice, or a description is wrong."""
    found = [find_data_set(path) for path in data]
    paths = [photos.resolve() for _, photos in found]
    for path in paths:
        if paths.count(path) > 1:
            raise AnnotationError(f"{path} is given twice as --data")
    names = [data_set.name for data_set, _ in found]
    return [
        data_set if names.count(data_set.name) == 1 else replace(data_set, name=str(path))
        for (data_set, _), path in zip(found, paths, strict=True)
    ]
