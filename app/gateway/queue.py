"""The gateway's queue on disk: photos to screen, objects to deliver, and what was answered. Safe for several threads.

A file is on disk before its row, and its row is gone before its file, so that after a crash a file without a row is
rubbish. The tables have UIDs only as digests. Lines for the audit log are committed with the change that they tell of,
and forgotten once they are in the log: a crash between them repeats lines and loses none.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from app.errors import SettingsError
from app.settings import variable

MAX_DELAY_S = 600.0
"""Longest pause between two tries."""

MIN_FREE_BYTES = 2**28
"""Of the disk, below which no photo is accepted, so that the answers to those that wait still fit."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    instance TEXT NOT NULL,
    archive TEXT NOT NULL,
    file TEXT NOT NULL,
    received REAL NOT NULL,
    due REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    dead REAL,
    error TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX IF NOT EXISTS waiting_photos ON entries(instance) WHERE kind = 'photo' AND dead IS NULL;
CREATE INDEX IF NOT EXISTS due_entries ON entries(kind, archive, due) WHERE dead IS NULL;
CREATE TABLE IF NOT EXISTS answered (instance TEXT NOT NULL, bundle TEXT NOT NULL, PRIMARY KEY (instance, bundle));
CREATE TABLE IF NOT EXISTS own (instance TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, line TEXT NOT NULL);
"""


class Kind(StrEnum):
    """What an entry waits for: a photo to be screened, an object to be delivered."""

    PHOTO = "photo"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that waits, or that was given up.

    Attributes:
        instance: SHA-256 of the SOP Instance UID of the photo.
        archive: that an object goes to; empty for a photo.
        received: when the photo came, or was last sent again by the operator, seconds since 1970.
        tries: failed so far.
        dead: when it was given up; None while it waits.
        error: the last one.
    """

    id: int
    kind: Kind
    instance: str
    archive: str
    path: Path
    received: float
    tries: int
    dead: float | None
    error: str


@dataclass(frozen=True, slots=True)
class DicomObject:
    """An object with an answer: its SOP Instance UID and its file's bytes."""

    uid: str
    data: bytes


def digest(uid: str) -> str:
    """A UID as the queue and the audit log have it."""
    return hashlib.sha256(uid.encode()).hexdigest()


def delay_s(tries: int) -> float:
    """Seconds until the next try: 1, 2, 4, ... up to `MAX_DELAY_S`."""
    return min(2.0 ** min(tries - 1, 30), MAX_DELAY_S)


def open_queue(folder: Path | None, *, own: bool = False) -> Queue:
    """The queue of the settings, see `Queue`; raises SettingsError if its folder is not set or cannot be used."""
    if folder is None:
        raise SettingsError(f"no folder for the queue is set; set {variable('gateway')}")
    try:
        return Queue(folder, own=own)
    except BlockingIOError:
        raise SettingsError(f"another gateway uses the queue in {folder}") from None
    except (OSError, sqlite3.Error) as error:
        raise SettingsError(f"{folder} cannot be used for the queue: {error}") from error


class Queue:
    """The queue in a folder of mode 0700, its files of mode 0600."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time, *, own: bool = False) -> None:
        """Open or create it.

        Args:
            own: no other process may own it meanwhile; files that a crash left without a row are removed, now and by
                `expire`.

        Raises:
            BlockingIOError: another process owns it.
            OSError, sqlite3.Error: the folder cannot be used.
        """
        self.clock = clock
        self._files = folder / "files"
        for each in (folder, self._files):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock, self._news = threading.Lock(), threading.Condition()
        path = folder / "queue.sqlite"
        path.touch(mode=0o600)
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(SCHEMA)
        self._owned = None
        if own:
            self._owned = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._remove_orphans()

    def accept(self, uid: str, data: bytes) -> bool:
        """Keep a photo to be screened; on disk when this returns. False if it waits already, or is an answer itself.

        Raises:
            OSError, sqlite3.Error: it cannot be kept, such as on a full disk.
        """
        instance, now = digest(uid), self.clock()
        known = (
            "SELECT 1 FROM own WHERE instance = :i"
            " UNION ALL SELECT 1 FROM entries WHERE kind = 'photo' AND dead IS NULL AND instance = :i"
        )
        with self._lock:
            if self._database.execute(known, {"i": instance}).fetchone():
                return False
        if self.is_full(len(data)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with self._locked_files(fcntl.LOCK_SH):
            (name,) = self._write([data])
            try:
                with self._lock, self._database:
                    self._database.execute("BEGIN IMMEDIATE")
                    self._insert(Kind.PHOTO, instance, "", name, now)
                    self._count("received")
            except sqlite3.IntegrityError:  # another association sent the same photo at the same time
                (self._files / name).unlink()
                return False
            except BaseException:
                (self._files / name).unlink(missing_ok=True)
                raise
        self._tell()
        return True

    def is_full(self, size: int = 0) -> bool:
        """Whether the disk has no room for a photo of so many bytes; raises OSError if it does not say."""
        return shutil.disk_usage(self._files).free < MIN_FREE_BYTES + size

    def wait(self, seconds: float) -> None:
        """Return after some seconds, or as soon as a photo was accepted or answered by this process."""
        with self._news:
            self._news.wait(seconds)

    def knows(self, uid: str) -> bool:
        """Whether a photo waits, was answered by any bundle, or is an answer itself."""
        query = (
            "SELECT 1 FROM own WHERE instance = :i UNION ALL SELECT 1 FROM answered WHERE instance = :i"
            " UNION ALL SELECT 1 FROM entries WHERE kind = 'photo' AND instance = :i"
        )
        with self._lock:
            return self._database.execute(query, {"i": digest(uid)}).fetchone() is not None

    def due(self, kind: Kind, archive: str = "", *, limit: int = 1, taken: Sequence[int] = ()) -> list[Entry]:
        """The oldest entries whose time has come, without those in `taken`."""
        marks = ",".join("?" * len(taken))
        query = (
            "SELECT * FROM entries WHERE kind = ? AND archive = ? AND dead IS NULL AND due <= ?"
            f" AND id NOT IN ({marks}) ORDER BY due, id LIMIT ?"
        )
        return self._entries(query, (kind, archive, self.clock(), *taken, limit))

    def answer(
        self, photo: Entry, bundle: str, objects: Sequence[DicomObject], archives: Sequence[str], sha256: str = ""
    ) -> bool:
        """Replace a photo by the objects that answer it; False if this bundle has answered it before.

        Args:
            bundle: name and version, by which a bundle is known that answered before digests were told.
            sha256: of the bundle; empty if it is not told.

        Raises:
            OSError, sqlite3.Error: they cannot be kept; the photo waits on.
        """
        names = list[str]()
        with self._locked_files(fcntl.LOCK_SH):
            try:
                names += self._write([made.data for made in objects for _ in archives])
                with self._lock, self._database:
                    self._database.execute("BEGIN IMMEDIATE")
                    added = self._database.execute(
                        "INSERT INTO answered SELECT :i, :key WHERE NOT EXISTS"
                        " (SELECT 1 FROM answered WHERE instance = :i AND bundle IN (:key, :bundle))",
                        {"i": photo.instance, "key": sha256 or bundle, "bundle": bundle},
                    ).rowcount
                    if added:
                        places = [(made, archive) for made in objects for archive in archives]
                        for (made, archive), name in zip(places, names, strict=True):
                            self._database.execute("INSERT OR IGNORE INTO own VALUES (?)", (digest(made.uid),))
                            self._insert(Kind.OBJECT, photo.instance, archive, name, photo.received)
                        self._count("screened")
                        known = {"model_sha256": sha256} if sha256 else {}
                        self._note("photo_answered", photo.instance, model=bundle, **known)
                    self._database.execute("DELETE FROM entries WHERE id = ?", (photo.id,))
            except BaseException:
                self._remove(names)
                raise
        self._remove([photo.path.name, *([] if added else names)])
        self._tell()
        return bool(added)

    def delivered(self, entries: Sequence[Entry]) -> None:
        """Forget objects that an archive has confirmed."""
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("DELETE FROM entries WHERE id = ?", [(entry.id,) for entry in entries])
            self._count("delivered", len(entries))
        self._remove([entry.path.name for entry in entries])

    def failed(self, entry: Entry, error: str, *, final: bool, after_s: float = 0.0) -> None:
        """Try an entry again later, or give it up.

        Args:
            after_s: seconds that the other side asks to wait.
        """
        now, tries = self.clock(), entry.tries + 1
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute(
                "UPDATE entries SET tries = ?, due = ?, error = ?, dead = ? WHERE id = ?",
                (tries, now + max(delay_s(tries), after_s), error[:500], now if final else None, entry.id),
            )
            if final:
                self._count("dead_letters")
                self._note(f"{entry.kind}_given_up", entry.instance, reason=error[:500])

    def dead(self) -> list[Entry]:
        """What was given up, oldest first."""
        return self._entries("SELECT * FROM entries WHERE dead IS NOT NULL ORDER BY dead, id", ())

    def resend(self, ids: Sequence[int] | None) -> int:
        """Let what was given up wait again; None for all. A photo that came again meanwhile stays given up."""
        chosen = [entry for entry in self.dead() if ids is None or entry.id in ids]
        number = 0
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            for entry in chosen:
                if self._database.execute(
                    "UPDATE OR IGNORE entries SET dead = NULL, due = ?, received = ?, tries = 0"
                    " WHERE id = ? AND dead IS NOT NULL",
                    (self.clock(), self.clock(), entry.id),
                ).rowcount:
                    number += 1
                    self._note(f"{entry.kind}_resent", entry.instance)
            self._count("resent", number)
        return number

    def give_up_archives(self, archives: Collection[str]) -> int:
        """Give up the objects for archives other than these."""
        marks, reason = ",".join("?" * len(archives)), "the archive is no longer configured"
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            chosen = f"WHERE kind = 'object' AND dead IS NULL AND archive NOT IN ({marks})"
            gone = self._database.execute(f"SELECT instance FROM entries {chosen}", tuple(archives)).fetchall()
            self._database.execute(
                f"UPDATE entries SET dead = ?, error = ? {chosen}", (self.clock(), reason, *archives)
            )
            for (instance,) in gone:
                self._note("object_given_up", instance, reason=reason)
            self._count("dead_letters", len(gone))
        return len(gone)

    def expire(self, after_s: float) -> int:
        """Delete what was given up so many seconds ago; a photo whose answer is lost by it may be answered again."""
        old = [entry for entry in self.dead() if entry.dead is not None and entry.dead <= self.clock() - after_s]
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("DELETE FROM entries WHERE id = ?", [(entry.id,) for entry in old])
            lost = [(entry.instance,) for entry in old if entry.kind is Kind.OBJECT]
            self._database.executemany("DELETE FROM answered WHERE instance = ?", lost)
            for entry in old:
                self._note(f"{entry.kind}_deleted", entry.instance)
            self._count("deleted", len(old))
        self._remove([entry.path.name for entry in old])
        if self._owned is not None:
            self._remove_orphans()
        return len(old)

    def events(self) -> list[tuple[int, dict[str, str]]]:
        """Lines for the audit log that it does not have yet, oldest first, by number; a hundred at most."""
        with self._lock:
            rows = self._database.execute("SELECT id, line FROM events ORDER BY id LIMIT 100").fetchall()
        return [(number, json.loads(line)) for number, line in rows]

    def recorded(self, numbers: Sequence[int]) -> None:
        """Forget lines that the audit log has."""
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("DELETE FROM events WHERE id = ?", [(number,) for number in numbers])

    def counts(self) -> dict[str, float]:
        """Figures for monitoring: totals since the queue was created, entries that wait, and age of the oldest."""
        with self._lock:
            totals = dict(self._database.execute("SELECT name, value FROM counts"))
            photos, objects, dead, oldest = self._database.execute(
                "SELECT SUM(kind = 'photo' AND dead IS NULL), SUM(kind = 'object' AND dead IS NULL),"
                " SUM(dead IS NOT NULL), MIN(CASE WHEN dead IS NULL THEN received END) FROM entries"
            ).fetchone()
        return {
            **{
                f"{name}_total": float(totals.get(name, 0))
                for name in ("received", "screened", "delivered", "dead_letters", "resent", "deleted")
            },
            "photos_waiting": float(photos or 0),
            "objects_waiting": float(objects or 0),
            "dead_letters": float(dead or 0),
            "oldest_age_seconds": max(0.0, self.clock() - oldest) if oldest is not None else 0.0,
        }

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()
            if self._owned is not None:
                os.close(self._owned)

    def _write(self, contents: Sequence[bytes]) -> list[str]:
        """The names of new files, which are on disk when this returns."""
        names = [uuid.uuid4().hex for _ in contents]
        try:
            for name, data in zip(names, contents, strict=True):
                path = self._files / name
                path.touch(mode=0o600, exist_ok=False)
                with path.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            folder = os.open(self._files, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError:
            self._remove(names)
            raise
        return names

    def _tell(self) -> None:
        with self._news:
            self._news.notify_all()

    @contextmanager
    def _locked_files(self, operation: int) -> Iterator[None]:
        """Lock the folder of files; all that write files before their rows share it. It ends with the process."""
        lock = os.open(self._files, os.O_RDONLY)
        try:
            fcntl.flock(lock, operation)
            yield
        finally:
            os.close(lock)

    def _remove_orphans(self) -> None:
        """Remove files without a row, unless one is being written, in this process or by `caries gateway backfill`."""
        with suppress(BlockingIOError), self._locked_files(fcntl.LOCK_EX | fcntl.LOCK_NB):
            names = [path.name for path in self._files.iterdir()]
            with self._lock:
                known = {name for (name,) in self._database.execute("SELECT file FROM entries")}
            self._remove([name for name in names if name not in known])

    def _insert(self, kind: Kind, instance: str, archive: str, name: str, received: float) -> None:
        self._database.execute(
            "INSERT INTO entries (kind, instance, archive, file, received, due) VALUES (?, ?, ?, ?, ?, ?)",
            (kind, instance, archive, name, received, self.clock()),
        )

    def _count(self, name: str, number: int = 1) -> None:
        self._database.execute(
            "INSERT INTO counts VALUES (:name, :number) ON CONFLICT (name) DO UPDATE SET value = value + :number",
            {"name": name, "number": number},
        )

    def _note(self, event: str, instance: str, **details: str) -> None:
        line = json.dumps({"event": event, "instance": instance, **details})
        self._database.execute("INSERT INTO events (line) VALUES (?)", (line,))

    def _remove(self, names: Sequence[str]) -> None:
        for name in names:
            (self._files / name).unlink(missing_ok=True)

    def _entries(self, query: str, values: Sequence[object]) -> list[Entry]:
        with self._lock:
            rows = self._database.execute(query, tuple(values)).fetchall()
        return [
            Entry(number, Kind(kind), instance, archive, self._files / file, received, tries, dead, error)
            for number, kind, instance, archive, file, received, _, tries, dead, error in rows
        ]
