"""Unpack tar archives that others made."""

import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import Literal

from training.errors import TrainingError


class ArchiveError(TrainingError):
    """The archive is damaged, hostile or too large."""


def unpack(
    archive: Path, folder: Path, *, max_bytes: int, max_members: int = 10_000, mode: Literal["r:*", "r:gz"] = "r:*"
) -> None:
    """Unpack the files and folders of an archive below `folder`, with the permissions of new files.

    `tarfile` has filters for this only from Python 3.11.4 on. Raises ArchiveError: the archive is incomplete, has more
    than `max_members` members or `max_bytes` bytes, or one that is a link, a device, or outside the folder.
    """
    try:
        with tarfile.open(archive, mode) as members:
            size = 0
            for number, member in enumerate(members, start=1):
                size += member.size
                if number > max_members or size > max_bytes:
                    raise ArchiveError(f"{archive} has more than {max_members} files or {max_bytes} bytes")
                _extract(members, member, folder)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ArchiveError(f"{archive} is damaged: {error}") from error


def _extract(members: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    name = PurePosixPath(member.name.lstrip("/"))
    if ".." in name.parts:
        raise ArchiveError(f"{members.name!s} has {member.name!r}, which is outside the destination")
    if not (member.isfile() or member.isdir()):
        raise ArchiveError(f"{members.name!s} has {member.name!r}, which is neither a file nor a folder")
    target = folder / name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source = members.extractfile(member)
    assert source is not None, "only of a link or a device"
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
