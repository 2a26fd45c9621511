"""The work of `caries backup`: keys and audit log as one tar archive, also while a server uses them."""

import tarfile
from pathlib import Path
from typing import BinaryIO

from app.errors import OutputError
from app.records.audit import files_to_copy


def write_backup(stream: BinaryIO, *, keys: Path | None, audit: Path | None) -> int:
    """Write the archive, and return the number of its files, each in the size that it has when it is read.

    The stream need not be seekable. None leaves out the file of keys, or the folder of the audit log.

    Raises:
        OutputError: a file cannot be read, or the archive cannot be written.
        BrokenPipeError: the reader of the archive has left.
    """
    files = 0
    try:
        with tarfile.open(fileobj=stream, mode="w|") as archive:
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


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    with path.open("rb") as content:
        archive.addfile(archive.gettarinfo(arcname=name, fileobj=content), content)
