"""Looks at bundle folders from time to time, and says which have changed and come to rest."""

from __future__ import annotations

from pathlib import Path

Look = tuple[tuple[str, int, int], ...]
"""Name, bytes and time of change of every file in a folder."""


class StoreWatch:
    """Remembers what the folders of a store looked like. Contents are not read, so a look costs little."""

    def __init__(self) -> None:
        self._last: dict[Path, Look] = {}
        self._reported: dict[Path, Look] = {}

    def changed(self, folder: Path) -> bool:
        """Whether the folder differs from what was reported of it, and is as it was at the last look.

        A folder that is being copied changes between looks; each state in which it rests is reported once.
        """
        look = _look(folder)
        rests = self._last.get(folder) == look
        self._last[folder] = look
        if not rests or self._reported.get(folder) == look:
            return False
        self._reported[folder] = look
        return True


def _look(folder: Path) -> Look:
    found = []
    for file in folder.rglob("*"):
        try:
            status = file.stat()
        except OSError:  # removed since it was listed
            continue
        found.append((str(file), status.st_size, status.st_mtime_ns))
    return tuple(sorted(found))
