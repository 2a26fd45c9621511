"""The photos of an archive, by their URLs, and their bytes. File systems are those of fsspec."""

import functools
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from fsspec.core import has_magic, url_to_fs

from app.detect_folder import PREFIX
from app.errors import PhotoTooLarge, UnreadablePhoto
from app.photo.formats import PHOTO_SUFFIXES

ZIP = "zip://"
"""Starts the URL of a photo in a zip archive, `zip://MEMBER::URL`, as in fsspec."""

Failure = tuple[str, str]


def list_archive(inputs: Iterable[str], out: str) -> tuple[list[str], list[Failure]]:
    """The URLs of the photos that the inputs name, each once and in order, and the inputs that name none.

    Args:
        inputs: photos, folders, zip archives, and patterns such as `s3://bucket/2026-*/*.zip`; local paths or URLs.
        out: the folder of the results, which is not searched.
    """
    photos: dict[str, None] = {}
    failures: list[Failure] = []
    results = absolute(out) + "/"
    for given in inputs:
        try:
            found = [url for url in _photos(given) if not url.startswith(results)]
        except (OSError, ValueError, ImportError, zipfile.BadZipFile) as error:
            failures.append((given, f"it cannot be listed: {error}"))
            continue
        if not found:
            failures.append((given, f"no photo is there ({', '.join(sorted(PHOTO_SUFFIXES))})"))
        photos.update(dict.fromkeys(found))
    return list(photos), failures


def absolute(url: str) -> str:
    """The URL without a final slash; of a local file, its absolute path."""
    file_system, path = url_to_fs(url)
    return _url(file_system, str(path)).rstrip("/")


def read_photo(url: str, max_bytes: int) -> bytes:
    """The bytes of a photo.

    Raises:
        PhotoTooLarge: there are more than `max_bytes`.
        UnreadablePhoto: its zip archive is damaged or encrypted.
        OSError: the file cannot be read.
    """
    if url.startswith(ZIP):
        member, _, archive = url.removeprefix(ZIP).rpartition("::")
        try:
            with _opened_zip(archive).open(member) as stream:
                data = stream.read(max_bytes + 1)
        except (KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile, EOFError) as error:
            raise UnreadablePhoto(f"the photo cannot be unpacked: {error}") from error
    else:
        file_system, path = url_to_fs(url)
        with file_system.open(path, "rb") as stream:
            data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise PhotoTooLarge(f"the photo has more than {max_bytes} bytes, the most that is accepted")
    return bytes(data)


def _photos(given: str) -> Iterator[str]:
    file_system, path = url_to_fs(given)
    if file_system.isdir(path):
        for name in sorted(file_system.find(path)):
            if _is_photo(name.removeprefix(path)):
                yield _url(file_system, name)
        return
    names = [path] if file_system.exists(path) or not has_magic(path) else sorted(file_system.glob(path))
    for name in names:
        if name.lower().endswith(".zip"):
            yield from _members(_url(file_system, name))
        elif name == path or _is_photo(PurePosixPath(name).name):
            file_system.info(name)  # raises FileNotFoundError
            yield _url(file_system, name)


def _members(archive: str) -> Iterator[str]:
    for name in sorted(_opened_zip(archive).namelist()):
        if _is_photo(name) and not name.lower().startswith("__macosx/"):
            yield f"{ZIP}{name}::{archive}"


@functools.lru_cache(maxsize=1)
def _opened_zip(archive: str) -> zipfile.ZipFile:
    """Kept open, since the directory of a large archive takes a second to read. Safe for several threads."""
    file_system, path = url_to_fs(archive)
    return zipfile.ZipFile(file_system.open(path, "rb"))


def _is_photo(name: str) -> bool:
    """Whether a file of this name below a folder is a photo: not hidden, and not a result."""
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") for part in path.parts)
    return path.suffix.lower() in PHOTO_SUFFIXES and not hidden and not path.name.startswith(PREFIX)


def _url(file_system: Any, path: str) -> str:
    return path if "file" in file_system.protocol else str(file_system.unstrip_protocol(path))
