"""Backups taken while a server writes, and restored."""

import io
import subprocess
import sys
import tarfile
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from app.cli import main
from app.errors import OutputError
from app.records.audit import AuditLog, verify
from app.records.backup import restore_backup, write_backup
from app.records.key_file import KeyFile, Role
from app.settings import StoreLocation

ROOT = Path(__file__).parents[3]
CARIES = [sys.executable, "-m", "app"]


def back_up(archive: Path, state: Path, *flags: str) -> str:
    """Writes an archive as an operator does, through a pipe; what the command said."""
    command = [*CARIES, "backup", "--keys", str(state / "keys.json"), "--audit", str(state / "audit"), *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    archive.write_bytes(done.stdout)
    return done.stderr.decode()


def restore(archive: Path, state: Path, *flags: str) -> str:
    """Restore an archive as an operator does; what the command said."""
    command = [*CARIES, "restore", "--keys", str(state / "keys.json"), "--audit", str(state / "audit"), *flags]
    with archive.open("rb") as stream:
        done = subprocess.run(command, cwd=ROOT, stdin=stream, capture_output=True, text=True, check=True)
    return done.stderr


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
    for name in ("CARIES_KEYS", "CARIES_AUDIT", "CARIES_REVIEWS"):
        monkeypatch.delenv(name, raising=False)
    assert main(["backup"]) == 2
    assert "set CARIES_KEYS, CARIES_AUDIT or CARIES_REVIEWS" in capsys.readouterr().err
    for missing in ("--keys", "--audit"):
        assert main(["backup", missing, str(tmp_path / "missing")]) == 1
        assert f"No such file or directory: '{tmp_path / 'missing'}'" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout.isatty", lambda: True)
        assert main(["backup", "--keys", str(tmp_path / "keys.json")]) == 2
    assert "send standard output to a file" in capsys.readouterr().err


def archive_of(*names: str) -> io.BytesIO:
    stream = io.BytesIO()
    write_backup(stream, keys=None, audit=None, reviews=[(name, b"{}") for name in names])
    stream.seek(0)
    return stream


def test_restores_that_are_refused(tmp_path: Path) -> None:
    keys, audit = tmp_path / "keys.json", tmp_path / "audit"
    restored = partial(restore_backup, keys=keys, audit=audit, restore_reviews=None)
    for names, says in (
        (["reviews/schema.json"], "the backup contains reviews; name the review store"),
        (["audit/../../etc/passwd"], "which is no part of a backup"),
        (["audit/audit-000000000001.txt"], "which is no part of a backup"),
    ):
        with pytest.raises(OutputError, match=says):
            restored(archive_of(*names))
    with pytest.raises(OutputError, match="name the file of keys to restore it to"):
        restore_backup(archive_of("keys.json"), keys=None, audit=audit, restore_reviews=None)
    for damaged in (b"", b"not a tar" * 200, archive_of("keys.json").getvalue()[:513]):
        with pytest.raises(OutputError, match="the backup is damaged or incomplete"):
            restored(io.BytesIO(damaged))
    assert list(tmp_path.iterdir()) == []
    assert restored(archive_of("keys.json", "audit/head")) == 2
    assert {path.stat().st_mode & 0o777 for path in (keys, audit / "head")} == {0o600}
    with pytest.raises(OutputError, match=r"keys\.json exists; move it away first"):
        restored(archive_of("keys.json"))
    keys.unlink()
    with pytest.raises(OutputError, match="audit is not empty; move it away first"):
        restored(archive_of("keys.json"))


@pytest.mark.slow
def test_reviews_are_backed_up_with_the_rest(tmp_path: Path) -> None:
    pytest.importorskip("alembic", reason="the extra reviews is not installed")
    from app.reviews.store import ReviewStore
    from tests.app.reviews.samples import keep, picture, read

    state, archive = tmp_path / "state", tmp_path / "backup.tar"
    location = StoreLocation(state / "reviews", None)
    KeyFile(tmp_path / "keys.json").add("reception", Role.DETECT)
    AuditLog(state / "audit").close()
    (tmp_path / "keys.json").rename(state / "keys.json")
    with closing(ReviewStore(location)) as store:
        read(store, keep(store), "a", 0)
        assert "the backup contains 5 files" in back_up(archive, state, "--reviews", str(state / "reviews"))
    restored = tmp_path / "restored"
    assert restore(archive, restored, "--reviews", str(restored / "reviews")) == "caries: 5 files are restored\n"
    with closing(ReviewStore(StoreLocation(restored / "reviews", None))) as store:
        assert store.picture(1)[0] == picture().data
        assert store.photo(1).records[0].reader == "a"


@pytest.mark.slow
def test_reviews_come_back_byte_for_byte_and_only_into_an_empty_store(tmp_path: Path) -> None:
    pytest.importorskip("alembic", reason="the extra reviews is not installed")
    from app.reviews.archive import archived_files
    from app.reviews.store import ReviewStore
    from tests.app.reviews.samples import keep, labels, picture, read

    state, other, archive = tmp_path / "state", tmp_path / "other", tmp_path / "backup.tar"
    KeyFile(tmp_path / "keys.json").add("reception", Role.DETECT)
    AuditLog(state / "audit").close()
    (tmp_path / "keys.json").rename(state / "keys.json")
    source, restored, used = (StoreLocation(folder / "reviews", None) for folder in (state, tmp_path / "empty", other))
    (tmp_path / "empty" / "reviews").mkdir(parents=True)
    with closing(ReviewStore(source)) as store:
        read(store, keep(store, patient="P-17", view="front"), "kim", 0)
        secret = store.groups_secret()
    with closing(ReviewStore(used)) as store:
        keep(store, 1)
    content, before = list(archived_files(source)), list(archived_files(used))
    back_up(archive, state, "--reviews", str(source.folder))

    with pytest.raises(subprocess.CalledProcessError) as refused:
        restore(archive, other, "--reviews", str(used.folder))
    assert refused.value.returncode == 1
    assert refused.value.stderr == f"caries: {used.folder} is not empty; restore into an empty folder or database\n"
    assert list(archived_files(used)) == before
    assert [path.name for path in other.iterdir()] == ["reviews"], "the keys and the log are not restored either"

    restore(archive, tmp_path / "empty", "--reviews", str(restored.folder))
    assert list(archived_files(restored)) == content
    assert (tmp_path / "empty" / "keys.json").read_bytes() == (state / "keys.json").read_bytes()
    with closing(ReviewStore(restored)) as store:
        photo = store.photo(1)
        assert (photo.patient, photo.view, photo.kept_by) == ("P-17", "front", "desk")
        assert store.picture(1)[0] == picture().data
        (reading,) = photo.all_readings
        assert (reading.reader, reading.labels) == ("kim", labels(0))
        assert store.groups_secret() == secret


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
