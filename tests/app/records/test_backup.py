"""Backups taken while a server writes, and restored."""

import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from app.cli import main
from app.records.audit import AuditLog, verify
from app.records.key_file import KeyFile, Role

ROOT = Path(__file__).parents[3]
CARIES = [sys.executable, "-m", "app"]


def back_up(archive: Path, state: Path) -> str:
    """Writes an archive as an operator does, through a pipe; what the command said."""
    command = [*CARIES, "backup", "--keys", str(state / "keys.json"), "--audit", str(state / "audit")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    archive.write_bytes(done.stdout)
    return done.stderr.decode()


def restore(archive: Path, state: Path) -> None:
    """Unpack an archive with Python, as in the image."""
    subprocess.run([sys.executable, "-m", "tarfile", "-e", str(archive), str(state)], check=True)


@pytest.mark.slow
def test_a_backup_taken_while_the_log_is_written_is_valid_and_continues(tmp_path: Path) -> None:
    state, archive = tmp_path / "state", tmp_path / "backup.tar"
    state.mkdir()
    KeyFile(state / "keys.json").add("reception", Role.DETECT)
    log = AuditLog(state / "audit", max_bytes=20_000)
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            log.append({"status": 200})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            back_up(archive, state)
            restored = tmp_path / f"restored-{number}"
            restore(archive, restored)
            copied = verify(restored / "audit")
            assert (copied.findings, copied.first) == ([], 1)
            assert copied.lines > 0
            AuditLog(restored / "audit").close()
            opened = verify(restored / "audit")
            assert opened.findings == [], "the copy continues without a missing line"
            # Only an incomplete last line is noted.
            logs = (path.read_bytes() for path in (restored / "audit").glob("*.jsonl"))
            torn = sum(log.count(b'"event":"torn_line"') for log in logs)
            assert torn <= 1
            assert (opened.first, opened.lines) == (1, copied.lines + torn)
    finally:
        ended.set()
        writer.join(30)
        log.close()
    assert [key.name for key in KeyFile(restored / "keys.json").read().values()] == ["reception"]
    assert (restored / "audit").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in restored.rglob("*") if path.is_file()} == {0o600}


def test_the_head_is_older_than_the_lines(tmp_path: Path) -> None:
    state = tmp_path / "state"
    log = AuditLog(state / "audit")
    log.append({"status": 200})
    log.close()
    KeyFile(state / "keys.json").add("reception", Role.DETECT)
    assert "the backup contains 3 files" in back_up(tmp_path / "backup.tar", state)
    with tarfile.open(tmp_path / "backup.tar") as archive:
        assert archive.getnames() == ["keys.json", "audit", "audit/head", "audit/audit-000000000001.jsonl"]


def test_backups_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    for name in ("CARIES_KEYS", "CARIES_AUDIT"):
        monkeypatch.delenv(name, raising=False)
    assert main(["backup"]) == 2
    assert "set CARIES_KEYS or CARIES_AUDIT" in capsys.readouterr().err
    for missing in ("--keys", "--audit"):
        assert main(["backup", missing, str(tmp_path / "missing")]) == 1
        assert f"No such file or directory: '{tmp_path / 'missing'}'" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout.isatty", lambda: True)
        assert main(["backup", "--keys", str(tmp_path / "keys.json")]) == 2
    assert "send standard output to a file" in capsys.readouterr().err


def test_a_full_disk_or_a_reader_that_left_is_a_failure(tmp_path: Path) -> None:
    KeyFile(tmp_path / "keys.json").add("reception", Role.DETECT)
    command = [*CARIES, "backup", "--keys", str(tmp_path / "keys.json")]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode != 0
    assert "caries: the backup cannot be finished: [Errno 28]" in done.stderr
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as left:
        assert left.stdout is not None
        assert left.stderr is not None
        left.stdout.close()
        assert left.stderr.read() == ""
    assert left.returncode == 1
