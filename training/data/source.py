"""The files of annotated photos: a folder or a zip file, in any layout and known format."""

import shutil
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from pathlib import Path, PurePath, PurePosixPath

from app.detector.runtimes import Runtime
from app.photo.formats import PHOTO_SUFFIXES
from training.data.formats import FORMATS, FormatError, LabelFile, find_label_files
from training.data.formats.registry import SPLITS, is_hidden
from training.data.formats.yolo import CLASS_FILES, read_classes
from training.errors import TrainingError

MAX_ZIP_MEMBERS = 200_000
MAX_ZIP_BYTES = 64 * 2**30
"""Unpacked size; 1,734 phone photos take about 5 GB."""

OTHER_PICTURES = frozenset({".bmp", ".gif", ".tif", ".tiff", ".jp2", ".avif"})
"""Treated as photos so that they are refused by name, not ignored."""


class AnnotationError(TrainingError):
    """The photos or labels cannot be trained on; one line per problem."""


@dataclass(frozen=True, slots=True)
class ToothDetector:
    """The detector that finds the teeth: its name, the SHA-256 of its bundle or file, how to load it, and where it is,
    if it is on disk."""

    name: str
    sha256: str
    load: Callable[[], Runtime]
    place: Path | None = None

    def as_dict(self) -> dict[str, str]:
        return {"name": self.name, "sha256": self.sha256}


class PartialLabels(StrEnum):
    """How to use a data set in which only carious teeth are labelled, without a detector of the others."""

    REFUSE = "refuse"
    BACKGROUND = "none"
    LEAVE_OUT = "leave-out"


@dataclass(frozen=True, slots=True)
class Source:
    """How to read annotated photos: the format, a key of `training.data.formats.FORMATS`, or `auto` to recognize it;
    labels to rename, such as `cavity` to `caries`; the seed of the folds, if no `folds.csv` gives them; the folder for
    the contents of a zip file; whether to leave out photos with problems instead of refusing the data; the detector of
    teeth without a label (`training.data.unlabelled_teeth`), and what to do without one."""

    format: str = "auto"
    rename: Mapping[str, str] = field(default_factory=dict)
    split_seed: int = 0
    unpack_to: Path | None = None
    skip_invalid: bool = False
    teeth_from: ToothDetector | None = None
    partial_labels: PartialLabels = PartialLabels.REFUSE


@dataclass(frozen=True, slots=True)
class Problems:
    """One line per problem: of the data as a whole, and of single photos by key (see `Files.key`)."""

    general: list[str] = field(default_factory=list)
    by_key: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def lines(self) -> list[str]:
        return sorted([*self.general, *chain.from_iterable(self.by_key.values())])


@dataclass(frozen=True, slots=True)
class Files:
    """The files of annotated photos: photos by name; label files of one format; YOLO's class names, empty for other
    formats; `folds.csv`, if there is one; and label files that cannot be read, to which readers add their problems."""

    photos: list[Path]
    labels: list[LabelFile]
    format: str
    classes: list[str]
    splits: Path | None
    problems: Problems

    def key(self, photo: str) -> str:
        """The key by which labels refer to a photo of this file name."""
        return PurePath(photo).stem if FORMATS[self.format].is_per_photo else photo


def find_files(data: Path, source: Source) -> Files:
    """The photos and label files of a folder or zip file. Raises AnnotationError: there is no such folder, the zip file
    cannot be unpacked, or the format is not recognized."""
    if source.format not in ("auto", *FORMATS):
        raise AnnotationError(f"the format is {source.format!r}, allowed are auto, {', '.join(FORMATS)}")
    if data.is_file():
        if source.unpack_to is None:
            raise AnnotationError(f"{data} is a file: prepare it first, or give its unpacked folder")
        folder = unpack(data, source.unpack_to)
    elif data.is_dir():
        folder = data
    else:
        raise AnnotationError(f"{data} does not exist: give a folder or a zip file of annotated photos")
    photos = [
        path
        for path in sorted(folder.rglob("*"), key=lambda path: path.name)
        if path.suffix.lower() in PHOTO_SUFFIXES | OTHER_PICTURES and path.is_file() and not is_hidden(path, folder)
    ]
    candidates = find_label_files(folder)
    if not photos:
        raise AnnotationError(f"{data}: contains no photo ({', '.join(sorted(PHOTO_SUFFIXES))})")
    chosen = _choose_format(data, candidates, source.format)
    problems = Problems()
    for file in candidates:
        # Text files next to labels of another format are notes.
        if file.format != chosen and (file.path.suffix.lower() != ".txt" or chosen == "yolo"):
            line = f"{_name(file.path, folder)}: {file.problem or f'not {FORMATS[chosen].title}'}"
            is_of_photo = FORMATS[chosen].is_per_photo
            (problems.by_key[file.path.stem] if is_of_photo else problems.general).append(line)
    return Files(
        photos,
        [file for file in candidates if file.format == chosen],
        chosen,
        _classes(folder) if chosen == "yolo" else [],
        next((path for path in sorted(folder.rglob(SPLITS)) if not is_hidden(path, folder)), None),
        problems,
    )


def unpack(archive: Path, out: Path) -> Path:
    """Unpack a zip file into the folder `out`, completely or not at all, and return the folder. Raises AnnotationError:
    the file is damaged, encrypted or too large, or a member would leave the folder."""
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as members:
            infos = members.infolist()
            size = sum(info.file_size for info in infos)
            if len(infos) > MAX_ZIP_MEMBERS or size > MAX_ZIP_BYTES:
                allowed = f"allowed are {MAX_ZIP_MEMBERS} and {MAX_ZIP_BYTES}"
                raise AnnotationError(f"{archive.name}: has {len(infos)} files of {size} bytes, {allowed}")
            for info in infos:
                path = PurePosixPath(info.filename.replace("\\", "/"))
                if path.is_absolute() or ".." in path.parts or (info.external_attr >> 16) & 0o170000 == 0o120000:
                    raise AnnotationError(f"{archive.name}: {info.filename!r} leads out of the folder")
            members.extractall(partial)
        shutil.rmtree(out, ignore_errors=True)
        return partial.rename(out)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise AnnotationError(f"{archive.name}: cannot be unpacked as a zip file ({error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _choose_format(data: Path, files: list[LabelFile], asked: str) -> str:
    counts = {name: sum(file.format == name for file in files) for name in FORMATS}
    found = {name: count for name, count in counts.items() if count}
    held = ", ".join(f"{count} of {name}" for name, count in found.items())
    if asked != "auto":
        if asked not in found:
            raise AnnotationError(f"{data}: has no labels of the format {asked}, but {held or 'none of any format'}")
        return asked
    if len(found) == 1:
        return next(iter(found))
    if not found:
        unreadable = [f"{file.path.name}: {file.problem}" for file in files if file.problem]
        if unreadable:
            raise AnnotationError("\n".join(unreadable))
        titles = ", ".join(form.title for form in FORMATS.values())
        raise AnnotationError(f"{data}: has no labels; known formats are {titles}")
    raise AnnotationError(f"{data}: has labels of several formats ({held}): choose one with --format")


def _classes(folder: Path) -> list[str]:
    for name in CLASS_FILES:
        for path in sorted(folder.rglob(name)):
            try:
                return read_classes(path)
            except (FormatError, UnicodeDecodeError) as error:
                raise AnnotationError(f"{name}: {error}") from error
    raise AnnotationError(
        f"YOLO labels need the names of their classes in {', '.join(CLASS_FILES[:-1])} or {CLASS_FILES[-1]}"
    )


def _name(path: Path, folder: Path) -> str:
    return path.name if path.parent == folder or path.parent.parent == folder else str(path.relative_to(folder))
