"""The audit log: every request and its answer, one JSON line each, chained by hash. No photos, no file names.

    audit-000000000001.jsonl   lines from number 1 on; a full file is followed by another
    head                       number and hash of the last line, or of an earlier one after a power cut; locked by the
                               server that writes

    {"seq": 2, "time": "...", ..., "previous": "<sha256 of line 1>", "sha256": "<of this line up to here>"}

Every line contains the hash of the line before, so that a changed, removed, inserted or moved line is found; `head`
shows lines removed from the end. A user who can write to the folder can replace all of it by another valid chain.
Against that, keep the hash that `caries audit verify` prints elsewhere, and pass it to a later verification.
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
"""Read from the end of a file to find its last line; a line has some 500 bytes."""


class Position(NamedTuple):
    """A place in the chain: the number of a line, from 1, and its hash."""

    seq: int
    sha256: str


START = Position(0, "0" * 64)
"""The position before the first line."""


class AuditLog:
    """Appends to the log in one folder. Thread-safe; one process at a time owns a folder."""

    def __init__(self, folder: Path, *, max_bytes: int = 64 * 2**20, fsync: bool = False) -> None:
        """Lock the folder and continue the log.

        If the last line is incomplete after a full disk or a power cut, or lines are missing at the end, the next line
        says so.

        Args:
            folder: created if missing.
            max_bytes: of a file; a line that would exceed it starts another one.
            fsync: whether each line is on the disk before `append` returns. Otherwise a line survives the end of this
                process but not a power cut.

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
                f"another server writes the audit log in {folder}; give each server its own folder"
            ) from None
        except OSError as error:
            os.close(self._head)
            raise AuditError(f"the audit log in {folder} cannot be read: {error.strerror}") from error

    def append(self, entry: Mapping[str, Any]) -> Position:
        """Add `seq`, `time`, `previous` and `sha256` to JSON values, write the line completely or not at all.

        Raises:
            AuditError: it cannot be written, such as on a full disk, or the log is closed.
        """
        with self._lock:
            if self._closed:
                raise AuditError("the audit log is closed")
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            position, line = _compose(self._last, {"time": now, **entry})
            try:
                self._write(position, line)
            except OSError as error:
                raise AuditError(f"the audit log cannot be written: {error.strerror}") from error
            self._last = position
            return position

    def close(self) -> None:
        """Unlock the folder."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                os.close(self._file)
                self._file = None
            os.close(self._head)

    def _write(self, position: Position, line: bytes) -> None:
        if self._file is not None and self._size + len(line) > self._max_bytes:
            os.close(self._file)
            self._file = None
        if self._file is None:
            self._open(self._folder / _file_name(position.seq))
        assert self._file is not None
        try:
            if os.write(self._file, line) != len(line):
                raise OSError(0, "the disk is full")
            if self._fsync:
                os.fsync(self._file)
            self._write_head(position)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)

    def _write_head(self, position: Position) -> None:
        text = b"%015d %s\n" % (position.seq, position.sha256.encode())
        if os.pwrite(self._head, text, 0) != len(text):
            raise OSError(0, "the disk is full")

    def _open(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size

    def _resume(self) -> None:
        """Find the end of the log and append notes about anything wrong there."""
        notes: list[dict[str, Any]] = []
        last: Position | None = None
        for path in reversed(_files(self._folder)):
            if self._file is None:
                self._open(path)
            complete, torn = _tail(path)
            if torn:
                os.truncate(path, path.stat().st_size - len(torn))
                notes.append({"event": "torn_line", "bytes": len(torn)})
            if complete is not None:
                line = _parse(complete)
                last = line.position if line else None
                break
        else:
            last = START
        head = _read_head(os.pread(self._head, 100, 0))
        noted = head or START
        if last is None or noted.seq > last.seq:
            notes.append({"event": "lines_missing", "from": last.seq + 1 if last else None, "to": noted.seq})
        elif head is None and last != START:
            notes.append({"event": "lines_missing", "from": last.seq + 1, "to": None})
        # A head that lags is no loss: it is written after each line, and reaches the disk even later.
        elif last != noted and not _contains(self._folder, noted):
            notes.append({"event": "lines_missing", "from": noted.seq, "to": noted.seq})
        self._last = noted if last is None or noted.seq > last.seq else last
        if self._file is not None:
            self._size = os.fstat(self._file).st_size
        for note in notes:
            self.append(note)
        # On the disk before the first line, so that a power cut never leaves lines with an empty head.
        self._write_head(self._last)
        os.fsync(self._head)


@dataclass(slots=True)
class Verification:
    """The result of reading an entire log.

    Attributes:
        lines: how many were read.
        first: number of the first one; 0 if there is none.
        last: the end of the chain.
        findings: one sentence for each break of the chain.
        notes: what the server noted itself and is no sign of manipulation.
    """

    lines: int = 0
    first: int = 0
    last: Position = START
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(folder: Path, *, noted: str | None = None) -> Verification:
    """Read a log, also while a server writes it, and find changed, removed, inserted and moved lines.

    Two changes are not found: a log that was replaced by another valid chain, except by `noted`, and files removed from
    its beginning, which is how old ones are archived. `noted` is the hash of a line from an earlier verification; that
    no line has it is a finding.

    Raises:
        AuditError: the folder contains no log, or cannot be read.
    """
    try:
        # Read before the lines: a line is written before the head names it.
        head = _read_head((folder / HEAD).read_bytes())
        files = _files(folder)
    except OSError as error:
        raise AuditError(f"{folder} contains no readable audit log: {error.strerror}") from error
    found = Verification()
    seen_head, seen_noted = head is None or head == START, noted is None
    for path in files:
        for number, text in enumerate(_lines(path), start=1):
            place = f"{path.name} line {number}"
            line = _parse(text)
            if line is None or not line.is_intact():
                found.findings.append(f"{place}: was changed")
            if line is None:
                continue
            if problem := _break(line, found, path):
                found.findings.append(f"{place}: {problem}")
            if found.lines == 0:
                found.first = line.position.seq
            found.lines += 1
            found.last = line.position
            seen_head = seen_head or found.last == head
            seen_noted = seen_noted or found.last.sha256 == noted
            if b'"event":"lines_missing"' in text:
                found.findings.append(f"{place}: the server noted that lines before it were missing")
            elif b'"event":"torn_line"' in text:
                found.notes.append(f"{place}: the server noted that the line before it was incomplete")
    if not seen_head and head is not None:
        missing = head.seq - found.last.seq
        problem = f"{missing} lines at the end are missing" if missing > 0 else "names a line that does not exist"
        found.findings.append(f"{HEAD}: {problem}")
    if not seen_noted:
        found.findings.append(f"no line has the hash {noted}: this is not the log that it was noted from")
    return found


def _break(line: _Line, before: Verification, path: Path) -> str:
    """Why a line does not follow the ones before it; empty if it does."""
    seq, last = line.position.seq, before.last
    if before.lines == 0:
        is_first = path.name == _file_name(seq) and (seq > 1 or line.previous == START.sha256)
        return "" if is_first else "is not the first line of this file"
    if seq > last.seq + 1:
        return f"{seq - last.seq - 1} lines before it are missing"
    if seq <= last.seq:
        return f"has number {seq} but follows number {last.seq}"
    return "" if line.previous == last.sha256 else "does not follow from the line before"


def files_to_copy(folder: Path) -> Iterator[Path]:
    """The files of a log, for a copy that is consistent although a server writes: copy each before taking the next.

    The head comes first, and the other files are listed after it was copied, so that the copy contains its line.

    Raises:
        OSError: the folder cannot be read.
    """
    yield folder / HEAD
    yield from _files(folder)


class _Line(NamedTuple):
    """A line as it states its position and the hash of the line before; `hashed` is what its own hash covers."""

    position: Position
    previous: str
    hashed: bytes

    def is_intact(self) -> bool:
        return hashlib.sha256(self.hashed).hexdigest() == self.position.sha256


def _parse(text: bytes) -> _Line | None:
    match = _LINE.fullmatch(text)
    return _Line(Position(int(match[2]), match[4].decode()), match[3].decode(), match[1]) if match else None


def _compose(last: Position, entry: Mapping[str, Any]) -> tuple[Position, bytes]:
    body = {"seq": last.seq + 1, **entry, "previous": last.sha256}
    text = json.dumps(body, separators=(",", ":")).encode()[:-1]
    sha256 = hashlib.sha256(text).hexdigest()
    return Position(last.seq + 1, sha256), text + f',"sha256":"{sha256}"}}\n'.encode()


def _contains(folder: Path, position: Position) -> bool:
    """Whether the line of this number exists, with this hash."""
    for path in reversed(_files(folder)):
        if path.name <= _file_name(position.seq):
            lines = (_parse(text) for text in _lines(path))
            return any(line is not None and line.position == position for line in lines)
    return position == START


def _read_head(text: bytes) -> Position | None:
    match = _HEAD.fullmatch(text)
    return Position(int(match[1]), match[2].decode()) if match else None


def _file_name(seq: int) -> str:
    """The file that begins with this line."""
    return f"audit-{seq:012d}.jsonl"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if FILE.fullmatch(path.name))


def _lines(path: Path) -> Iterator[bytes]:
    """The complete lines of a file."""
    with path.open("rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                yield line[:-1]


def _tail(path: Path) -> tuple[bytes | None, bytes]:
    """The last complete line of a file, if there is one, and the incomplete one behind it."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        lines = stream.read().split(b"\n")
    return (lines[-2] if len(lines) > 1 else None), lines[-1]
