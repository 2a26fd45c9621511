"""Where annotated photos come from: a folder or a zip file, in whichever layout and format, and the files in it."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from app.detect_folder import PHOTO_SUFFIXES
from training.data.formats import FORMATS, FormatError, LabelFile, find_label_files
from training.data.formats.registry import SPLITS
from training.data.formats.yolo import CLASS_FILES, read_classes
from training.errors import TrainingError

MAX_ZIP_MEMBERS = 200_000
MAX_ZIP_BYTES = 64 * 2**30
"""Of a zip file when it is unpacked; 1,734 photos of a phone are some 5 GB."""

OTHER_PICTURES = frozenset({".bmp", ".gif", ".tif", ".tiff", ".jp2", ".avif"})
"""Taken for photos so that they are refused by name rather than passed over."""


class AnnotationError(TrainingError):
    """The photos or labels cannot be trained on; the message lists every problem, a line each."""


@dataclass(frozen=True, slots=True)
class Source:
    """How annotated photos are to be read.

    Attributes:
        format: a key of `training.data.formats.FORMATS`, or `auto` to tell it from the files.
        rename: label to the class that it stands for, such as `cavity` to `caries`.
        split_seed: of the folds, where no `folds.csv` gives them.
        unpack_to: folder for the contents of a zip file.
    """

    format: str = "auto"
    rename: Mapping[str, str] = field(default_factory=dict)
    split_seed: int = 0
    unpack_to: Path | None = None


@dataclass(frozen=True, slots=True)
class Files:
    """What was found.

    Attributes:
        folder: the folder of the data, unpacked if need be.
        photos: in order of their names.
        labels: in order, of one format.
        format: theirs.
        classes: the names of YOLO's classes; empty for other formats.
        splits: `folds.csv`, if there is one.
        unread: names without suffix of the files that may be labels and cannot be read.
        problems: a line each.
    """

    folder: Path
    photos: list[Path]
    labels: list[LabelFile]
    format: str
    classes: list[str]
    splits: Path | None
    unread: frozenset[str]
    problems: list[str]


def find_files(data: Path, source: Source) -> Files:
    """The photos and label files of a folder or zip file.

    Raises:
        AnnotationError: there is no such folder, the zip file cannot be unpacked, or no format can be told.
    """
    if source.format not in ("auto", *FORMATS):
        raise AnnotationError(f"the format is {source.format!r}, allowed are auto, {', '.join(FORMATS)}")
    if data.is_file():
        if source.unpack_to is None:
            raise AnnotationError(f"{data} is a file: prepare it first, or give its unpacked folder")
        folder = unpack(data, source.unpack_to)
    elif data.is_dir():
        folder = data
    else:
        raise AnnotationError(f"{data} is not there: give a folder or a zip file of annotated photos")
    photos = [
        path
        for path in sorted(folder.rglob("*"), key=lambda path: path.name)
        if path.suffix.lower() in PHOTO_SUFFIXES | OTHER_PICTURES and path.is_file() and not _is_hidden(path, folder)
    ]
    candidates = find_label_files(folder)
    if not photos:
        raise AnnotationError(f"{data}: holds no photo ({', '.join(sorted(PHOTO_SUFFIXES))})")
    chosen = _choose_format(data, candidates, source.format)
    # Text files beside labels in other formats are notes of whatever kind.
    unread = [
        file
        for file in candidates
        if file.format != chosen and (file.path.suffix.lower() != ".txt" or chosen == "yolo")
    ]
    problems = [f"{_name(file.path, folder)}: {file.problem or f'not {FORMATS[chosen].title}'}" for file in unread]
    classes = _classes(folder, problems) if chosen == "yolo" else []
    if chosen == "yolo" and not classes:
        raise AnnotationError("\n".join(problems))
    splits = sorted(path for path in folder.rglob(SPLITS) if not _is_hidden(path, folder))
    return Files(
        folder,
        photos,
        [file for file in candidates if file.format == chosen],
        chosen,
        classes,
        splits[0] if splits else None,
        frozenset(file.path.stem for file in unread),
        problems,
    )


def unpack(archive: Path, out: Path) -> Path:
    """Unpacks a zip file into the folder `out`, whole or not at all, and returns it.

    Raises:
        AnnotationError: it is not a whole zip file, is encrypted or too large, or a member leaves the folder.
    """
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as members:
            infos = members.infolist()
            size = sum(info.file_size for info in infos)
            if len(infos) > MAX_ZIP_MEMBERS or size > MAX_ZIP_BYTES:
                raise AnnotationError(
                    f"{archive.name}: holds {len(infos)} files of {size} bytes, allowed are {MAX_ZIP_MEMBERS} and "
                    f"{MAX_ZIP_BYTES}"
                )
            for info in infos:
                path = PurePosixPath(info.filename.replace("\\", "/"))
                if path.is_absolute() or ".." in path.parts or (info.external_attr >> 16) & 0o170000 == 0o120000:
                    raise AnnotationError(f"{archive.name}: {info.filename!r} leads out of the folder")
            members.extractall(partial)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise AnnotationError(f"{archive.name}: not a whole zip file that can be unpacked ({error})") from error
    except AnnotationError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(out, ignore_errors=True)
    return partial.rename(out)


def _choose_format(data: Path, files: list[LabelFile], asked: str) -> str:
    counts = {name: sum(file.format == name for file in files) for name in FORMATS}
    found = {name: count for name, count in counts.items() if count}
    if asked != "auto":
        if asked not in found:
            held = ", ".join(f"{count} of {name}" for name, count in found.items()) or "none of any format"
            raise AnnotationError(f"{data}: holds no labels of the format {asked}, but {held}")
        return asked
    if len(found) == 1:
        return next(iter(found))
    if not found:
        unreadable = [f"{file.path.name}: {file.problem}" for file in files if file.problem]
        if unreadable:
            raise AnnotationError("\n".join(unreadable))
        titles = ", ".join(form.title for form in FORMATS.values())
        raise AnnotationError(f"{data}: holds no labels; known are {titles}")
    held = ", ".join(f"{count} of {name}" for name, count in found.items())
    raise AnnotationError(f"{data}: holds labels of several formats ({held}): choose one with --format")


def _classes(folder: Path, problems: list[str]) -> list[str]:
    for name in CLASS_FILES:
        for path in sorted(folder.rglob(name)):
            try:
                return read_classes(path)
            except (FormatError, UnicodeDecodeError) as error:
                problems.append(f"{name}: {error}")
                return []
    problems.append(
        f"YOLO labels need the names of their classes in {', '.join(CLASS_FILES[:-1])} or {CLASS_FILES[-1]}"
    )
    return []


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)


def _name(path: Path, folder: Path) -> str:
    return path.name if path.parent == folder or path.parent.parent == folder else str(path.relative_to(folder))
