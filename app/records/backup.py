"""The work of `caries backup` and `caries restore`: one tar archive of reviews, keys and audit log.

A backup may be taken while a server uses them. The reviews come first and the audit log last, so that its lines cover
what was reviewed.
"""

import io
import os
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from app.errors import OutputError
from app.records.audit import FILE, HEAD, files_to_copy

REVIEWS = "reviews/"
"""Start of the paths of the review store's files."""

MODE = 0o600

File = tuple[str, bytes]
"""Path in the archive and content."""


def write_backup(stream: BinaryIO, *, keys: Path | None, audit: Path | None, reviews: Iterable[File] = ()) -> int:
    """Write the archive, and return the number of its files, each in the size that it has when it is read.

    The stream need not be seekable. None leaves out the file of keys, or the folder of the audit log.

    Raises:
        OutputError: a file cannot be read, or the archive cannot be written.
        BrokenPipeError: the reader of the archive has left.
    """
    files = 0
    try:
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            for name, data in reviews:
                _add_bytes(archive, name, data)
                files += 1
            if keys is not None:
                _add(archive, keys, keys.name)
                files += 1
            if audit is not None:
                folder = audit.resolve()
                # For its mode: the folder is private to its owner.
                archive.addfile(archive.gettarinfo(folder, folder.name))
                for path in files_to_copy(folder):
                    _add(archive, path, f"{folder.name}/{path.name}")
                    files += 1
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"the backup cannot be finished: {error}") from error
    return files


def restore_backup(
    stream: BinaryIO,
    *,
    keys: Path | None,
    audit: Path | None,
    restore_reviews: Callable[[Iterator[File]], object] | None,
) -> int:
    """Restore an archive to places where nothing is yet, and return the number of its files.

    Args:
        restore_reviews: takes the files of the review store.

    Raises:
        OutputError: something is at a place, the archive has a part without a place, or it cannot be read; files
            before the fault stay.
        ReviewStoreError: the reviews cannot be restored; nothing is then.
    """
    if keys is not None and keys.exists():
        raise OutputError(f"{keys} exists; move it away first")
    if audit is not None and audit.exists() and any(audit.iterdir()):
        raise OutputError(f"{audit} is not empty; move it away first")
    files = 0
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as archive:
            members = _Members(archive)
            if members.names_reviews():
                if restore_reviews is None:
                    raise OutputError("the backup contains reviews; name the review store to restore them to")
                restore_reviews(members.reviews())
            for member in members.others():
                _restore(_content(archive, member), member.name, keys, audit)
            files = members.files
    except (tarfile.TarError, EOFError) as error:
        raise OutputError(f"the backup is damaged or incomplete: {error}") from error
    except OSError as error:
        raise OutputError(f"the backup cannot be restored: {error}") from error
    return files


class _Members:
    """The files of an archive in their order, the reviews first."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self.files = 0
        self._archive = archive
        self._next = self._following()

    def names_reviews(self) -> bool:
        return self._next is not None and self._next.name.startswith(REVIEWS)

    def reviews(self) -> Iterator[File]:
        while self._next is not None and self.names_reviews():
            yield self._next.name, _content(self._archive, self._next)
            self._next = self._following()

    def others(self) -> Iterator[tarfile.TarInfo]:
        while self._next is not None:
            yield self._next
            self._next = self._following()

    def _following(self) -> tarfile.TarInfo | None:
        while (member := self._archive.next()) is not None:
            if member.isfile():
                self.files += 1
                return member
        return None


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    assert stream is not None, "it is a file"
    return stream.read()


def _restore(content: bytes, name: str, keys: Path | None, audit: Path | None) -> None:
    folder, _, file = name.rpartition("/")
    if folder and not (file == HEAD or FILE.fullmatch(file)):
        raise OutputError(f"the archive contains {name!r}, which is no part of a backup")
    path = (audit / file if audit else None) if folder else keys
    if path is None:
        place = "the audit log" if folder else "the file of keys"
        raise OutputError(f"the backup contains {name!r}; name {place} to restore it to")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    with path.open("rb") as content:
        archive.addfile(archive.gettarinfo(arcname=name, fileobj=content), content)


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(data), MODE, int(time.time())
    archive.addfile(member, io.BytesIO(data))
