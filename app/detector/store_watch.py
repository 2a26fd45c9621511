"""Notice bundle folders that have changed and are completely copied."""

from pathlib import Path

Listing = tuple[tuple[str, int, int], ...]
"""Name, size and modification time of every file in a folder."""


class StoreWatch:
    """Remembers the listings of folders. Contents are not read, so a check is cheap."""

    def __init__(self) -> None:
        self._last: dict[Path, Listing] = {}
        self._reported: dict[Path, Listing] = {}

    def changed(self, folder: Path) -> bool:
        """Whether the folder has changed since it was last reported, and not since the last check.

        A folder that is being copied changes between checks; each state that lasts is reported once.
        """
        listing = _list(folder)
        unchanged = self._last.get(folder) == listing
        self._last[folder] = listing
        if not unchanged or self._reported.get(folder) == listing:
            return False
        self._reported[folder] = listing
        return True


def _list(folder: Path) -> Listing:
    found = []
    for file in folder.rglob("*"):
        try:
            status = file.stat()
        except OSError:  # removed since it was listed
            continue
        found.append((str(file), status.st_size, status.st_mtime_ns))
    return tuple(sorted(found))
