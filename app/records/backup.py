"""The keys and the audit log as one tar archive, also while a server uses them: the work of `caries backup`."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import BinaryIO

from app.errors import OutputError
from app.records.audit import files_to_copy


def write_backup(stream: BinaryIO, *, keys: Path | None, audit: Path | None) -> int:
    """Writes the archive. A file that grows meanwhile is in it up to where it ended when its turn came.

    Args:
        stream: takes the archive; need not be able to seek.
        keys: the file of API keys, which keeps its name in the archive; None leaves it out.
        audit: the folder of the audit log, likewise.

    Returns:
        How many files are in the archive.

    Raises:
        OutputError: a file cannot be read, or the archive cannot be written.
        BrokenPipeError: nobody reads the archive any more.
    """
    files = 0
    try:
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            if keys is not None:
                _add(archive, keys, keys.name)
                files += 1
            if audit is not None:
                folder = audit.resolve()
                # For its mode: the log's folder is for its owner alone.
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
