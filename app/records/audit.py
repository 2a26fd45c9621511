"""The audit log: who asked for what and what was answered, one JSON line each, chained by hash. No photo, no file name.

    audit-000000000001.jsonl   lines from number 1 on; a file that is full is followed by another
    head                       number and hash of the last line, after a power cut of an earlier one; locked by the
                               server that writes

    {"seq": 2, "time": "...", ..., "previous": "<sha256 of line 1>", "sha256": "<of this line up to here>"}

Every line holds the hash of the line before, so that a line that was changed, removed, inserted or moved is found, also
at the end, where `head` tells. Who may write to the folder can replace all of it by another chain that holds: against
that, note the hash that `caries audit verify` prints somewhere else, and have it looked for later.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from app.errors import AuditError

HEAD = "head"
FILE = re.compile(r"audit-(\d{12})\.jsonl")
_LINE = re.compile(rb'(\{"seq":(\d{1,15}),.*"previous":"([0-9a-f]{64})"),"sha256":"([0-9a-f]{64})"\}', re.DOTALL)
_HEAD = re.compile(rb"(\d{15}) ([0-9a-f]{64})\n")
_TAIL_BYTES = 2**16
"""What is read of a file to find its last line; a line has some 500 bytes."""


class Position(NamedTuple):
    """A place in the chain: the number of a line, from 1, and its hash."""

    seq: int
    sha256: str


START = Position(0, "0" * 64)
"""What the first line follows."""


class AuditLog:
    """Appends to the log in one folder. Safe to call from any thread; one process at a time has a folder."""

    def __init__(self, folder: Path, *, max_bytes: int = 64 * 2**20, fsync: bool = False) -> None:
        """Takes the folder, and goes on where the log ended.

        Where a line was cut by a full disk or a power cut, or lines are missing at the end, the next line says so.

        Args:
            folder: made if missing.
            max_bytes: of a file; a line that would pass it begins another one.
            fsync: whether each line is on the disk before `append` returns. Without it, a line survives the end of this
                process, and not a power cut.

        Raises:
            AuditError: the folder cannot be used, or another process writes there.
        """
        self._folder, self._max_bytes, self._fsync = folder, max_bytes, fsync
        self._lock = threading.Lock()
        self._file: int | None = None
        self._closed = False
        self._size = 0
        self._last = START
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._head = os.open(folder / HEAD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise AuditError(f"the audit log in {folder} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._head, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._resume()
        except BlockingIOError:
            os.close(self._head)
            raise AuditError(
                f"another server writes the audit log in {folder}; give each a folder of its own"
            ) from None
        except OSError as error:
            os.close(self._head)
            raise AuditError(f"the audit log in {folder} cannot be read: {error.strerror}") from error

    def append(self, entry: Mapping[str, Any]) -> Position:
        """Writes a line, whole or not at all, and returns its place.

        Args:
            entry: ready for JSON; without `seq`, `time`, `previous` and `sha256`, which are added.

        Raises:
            AuditError: it cannot be written, as on a full disk, or the log is closed.
        """
        with self._lock:
            if self._closed:
                raise AuditError("the audit log is closed")
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            place, line = _line(self._last, {"time": now, **entry})
            try:
                self._write(place, line)
            except OSError as error:
                raise AuditError(f"the audit log cannot be written: {error.strerror}") from error
            self._last = place
            return place

    def close(self) -> None:
        """Gives the folder back."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                os.close(self._file)
                self._file = None
            os.close(self._head)

    def _write(self, place: Position, line: bytes) -> None:
        if self._file is not None and self._size + len(line) > self._max_bytes:
            os.close(self._file)
            self._file = None
        if self._file is None:
            self._open(self._folder / f"audit-{place.seq:012d}.jsonl")
        assert self._file is not None
        try:
            if os.write(self._file, line) != len(line):
                raise OSError(0, "the disk is full")
            if self._fsync:
                os.fsync(self._file)
            self._write_head(place)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)

    def _write_head(self, place: Position) -> None:
        text = b"%015d %s\n" % (place.seq, place.sha256.encode())
        if os.pwrite(self._head, text, 0) != len(text):
            raise OSError(0, "the disk is full")

    def _open(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size

    def _resume(self) -> None:
        """Finds the end of the log, and notes in it what is wrong there."""
        notes: list[dict[str, Any]] = []
        last: Position | None = None
        for path in reversed(_files(self._folder)):
            if self._file is None:
                self._open(path)
            whole, torn = _tail(path)
            if torn:
                os.truncate(path, path.stat().st_size - len(torn))
                notes.append({"event": "torn_line", "bytes": len(torn)})
            if whole is not None:
                match = _LINE.fullmatch(whole)
                last = Position(int(match[2]), match[4].decode()) if match else None
                break
        else:
            last = START
        head = _read_head(os.pread(self._head, 100, 0))
        noted = head or START
        if last is None or noted.seq > last.seq:
            notes.append({"event": "lines_missing", "from": last.seq + 1 if last else None, "to": noted.seq})
        elif head is None and last != START:
            notes.append({"event": "lines_missing", "from": last.seq + 1, "to": None})
        # A head that lags is no loss: it is written after each line, and reaches the disk later still.
        elif last != noted and not _holds(self._folder, noted):
            notes.append({"event": "lines_missing", "from": noted.seq, "to": noted.seq})
        self._last = noted if last is None or noted.seq > last.seq else last
        if self._file is not None:
            self._size = os.fstat(self._file).st_size
        for note in notes:
            self.append(note)
        # On the disk before the first line, so that no power cut leaves lines with a head that names nothing.
        self._write_head(self._last)
        os.fsync(self._head)


@dataclass(slots=True)
class Verification:
    """What reading a whole log showed.

    Attributes:
        lines: how many were read.
        first: number of the first one; 0 if there is none.
        last: the end of the chain.
        findings: one sentence for each place where the chain does not hold; empty if it does.
        notes: what the server itself noted and nobody is to blame for.
    """

    lines: int = 0
    first: int = 0
    last: Position = START
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(folder: Path, *, noted: str | None = None) -> Verification:
    """Reads a log, also while a server writes it, and finds what was changed, removed, inserted or moved.

    What is not found: a chain that was made anew as a whole, unless `noted` tells, and files removed from its
    beginning, which is how old ones are put away.

    Args:
        folder: of the log.
        noted: the hash of a line, written down at an earlier time; a finding if no line has it.

    Raises:
        AuditError: the folder holds no log, or cannot be read.
    """
    try:
        # Read before the lines: a line is written before the head names it.
        head = _read_head((folder / HEAD).read_bytes())
        files = _files(folder)
    except OSError as error:
        raise AuditError(f"{folder} holds no audit log that can be read: {error.strerror}") from error
    found = Verification()
    seen_head, seen_noted = head is None or head == START, noted is None
    for path in files:
        for number, line in enumerate(_lines(path), start=1):
            place = f"{path.name} line {number}"
            match = _LINE.fullmatch(line)
            if match is None or hashlib.sha256(match[1]).hexdigest() != match[4].decode():
                found.findings.append(f"{place}: was changed")
                if match is None:
                    continue
            seq, previous, sha256 = int(match[2]), match[3].decode(), match[4].decode()
            if found.lines == 0:
                found.first = seq
                if f"audit-{seq:012d}.jsonl" != path.name or (seq == 1 and previous != START.sha256):
                    found.findings.append(f"{place}: is not the first line of this file")
            elif seq > found.last.seq + 1:
                found.findings.append(f"{place}: {seq - found.last.seq - 1} lines before it are missing")
            elif seq <= found.last.seq:
                found.findings.append(f"{place}: has the number {seq} and stands behind {found.last.seq}")
            elif previous != found.last.sha256:
                found.findings.append(f"{place}: does not follow from the line before")
            found.lines += 1
            found.last = Position(seq, sha256)
            seen_head = seen_head or found.last == head
            seen_noted = seen_noted or sha256 == noted
            if b'"event":"lines_missing"' in line:
                found.findings.append(f"{place}: the server noted that lines before it were missing")
            elif b'"event":"torn_line"' in line:
                found.notes.append(f"{place}: the server noted a line before it that was cut while it was written")
    if not seen_head and head is not None:
        missing = head.seq - found.last.seq
        found.findings.append(
            f"{HEAD}: {missing} lines at the end are missing"
            if missing > 0
            else f"{HEAD}: names a line that is not there"
        )
    if not seen_noted:
        found.findings.append(f"no line has the hash {noted}: the log is not the one that it was noted from")
    return found


def files_to_copy(folder: Path) -> Iterator[Path]:
    """The files of a log; a copy holds together, whoever writes meanwhile, if each is copied before the next is taken.

    The head is the first, and only then is looked for the others: it names no line that the copy does not hold.

    Raises:
        OSError: the folder cannot be read.
    """
    yield folder / HEAD
    yield from _files(folder)


def _line(last: Position, entry: Mapping[str, Any]) -> tuple[Position, bytes]:
    body = {"seq": last.seq + 1, **entry, "previous": last.sha256}
    text = json.dumps(body, separators=(",", ":")).encode()[:-1]
    sha256 = hashlib.sha256(text).hexdigest()
    return Position(last.seq + 1, sha256), text + f',"sha256":"{sha256}"}}\n'.encode()


def _holds(folder: Path, place: Position) -> bool:
    """Whether the line of this number is there, with this hash."""
    for path in reversed(_files(folder)):
        if path.name <= f"audit-{place.seq:012d}.jsonl":
            matches = (_LINE.fullmatch(line) for line in _lines(path))
            return any(match and Position(int(match[2]), match[4].decode()) == place for match in matches)
    return place == START


def _read_head(text: bytes) -> Position | None:
    match = _HEAD.fullmatch(text)
    return Position(int(match[1]), match[2].decode()) if match else None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if FILE.fullmatch(path.name))


def _lines(path: Path) -> Iterator[bytes]:
    """The whole lines of a file."""
    with path.open("rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                yield line[:-1]


def _tail(path: Path) -> tuple[bytes | None, bytes]:
    """The last whole line of a file, if there is one, and what stands behind it."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        lines = stream.read().split(b"\n")
    return (lines[-2] if len(lines) > 1 else None), lines[-1]
