"""The chained log after kills, full disks and restarts, and the changes that `verify` finds."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import main
from app.errors import AuditError
from app.records.audit import HEAD, AuditLog, verify


def write(folder: Path, count: int, **options) -> None:
    log = AuditLog(folder, **options)
    for number in range(count):
        log.append({"status": 200, "number": number})
    log.close()


def lines(folder: Path) -> list[bytes]:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("audit-*"))).splitlines(keepends=True)


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("audit-*")
    return path


def test_lines_are_numbered_timed_and_chained_over_restarts(tmp_path: Path) -> None:
    write(tmp_path, 3)
    write(tmp_path, 2)
    entries = [json.loads(line) for line in lines(tmp_path)]
    assert [entry["seq"] for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry["previous"] for entry in entries] == ["0" * 64, *(entry["sha256"] for entry in entries[:-1])]
    assert all(entry["time"].endswith("+00:00") for entry in entries)
    found = verify(tmp_path)
    assert (found.findings, found.lines, found.first, found.last) == ([], 5, 1, (5, entries[-1]["sha256"]))


def test_a_full_file_is_followed_by_another(tmp_path: Path) -> None:
    write(tmp_path, 30, max_bytes=1000)
    write(tmp_path, 30, max_bytes=1000)
    files = sorted(tmp_path.glob("audit-*"))
    assert len(files) > 5
    assert max(path.stat().st_size for path in files) <= 1000
    assert verify(tmp_path).findings == []
    assert verify(tmp_path).lines == 60


def test_old_files_may_be_put_away_and_others_may_not(tmp_path: Path) -> None:
    write(tmp_path, 30, max_bytes=1000)
    first, second, third, *_ = sorted(tmp_path.glob("audit-*"))
    first.unlink()
    found = verify(tmp_path)
    assert found.findings == []
    assert found.first == json.loads(second.read_bytes().splitlines()[0])["seq"] > 1
    third.unlink()
    (finding,) = verify(tmp_path).findings
    assert "lines before it are missing" in finding


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [*rows[:4], rows[4].replace(b"200", b"503"), *rows[5:]], "line 5: was changed"),
        (lambda rows: [*rows[:4], *rows[5:]], "line 5: 1 lines before it are missing"),
        (lambda rows: [*rows[:3], rows[4], rows[3], *rows[5:]], "line 4: 1 lines before it are missing"),
        (lambda rows: [*rows[:5], rows[2], *rows[5:]], "line 6: has number 3 but follows number 5"),
        (lambda rows: rows[:-1], "head: 1 lines at the end are missing"),
        (lambda rows: rows[1:], "line 1: is not the first line of this file"),
        (lambda rows: [*rows[:4], b"\n", *rows[4:]], "line 5: was changed"),
        (lambda rows: [*rows[:4], b"{}\n", *rows[5:]], "line 5: was changed"),
    ],
    ids=["changed", "removed", "reordered", "repeated", "cut", "beheaded", "empty", "replaced"],
)
def test_verify_finds_a_change_and_names_its_place(tmp_path: Path, change, said: str, capsys) -> None:
    write(tmp_path, 8)
    path = only_file(tmp_path)
    path.write_bytes(b"".join(change(lines(tmp_path))))
    assert main(["audit", "verify", "--audit", str(tmp_path)]) == 1
    output = capsys.readouterr()
    assert said in output.err.splitlines()[0]
    assert "broken" in output.out


def test_a_line_with_a_new_hash_does_not_fit_the_next(tmp_path: Path) -> None:
    write(tmp_path, 5)
    rows = lines(tmp_path)
    forged = AuditLog(tmp_path / "forged")
    for row in rows[:3]:
        entry = json.loads(row)
        forged.append({**{key: entry[key] for key in ("time", "number")}, "status": 503 if entry["seq"] == 3 else 200})
    forged.close()
    only_file(tmp_path).write_bytes(b"".join([*rows[:2], lines(tmp_path / "forged")[2], *rows[3:]]))
    assert any("does not follow from the line before" in finding for finding in verify(tmp_path).findings)


def test_a_forged_chain_is_found_by_a_noted_hash(tmp_path: Path, capsys) -> None:
    write(tmp_path / "real", 5)
    noted = verify(tmp_path / "real").last.sha256
    write(tmp_path / "real", 5)
    forged = AuditLog(tmp_path / "forged")
    forged.append({"status": 503})
    forged.close()
    write(tmp_path / "forged", 9)
    command = ["audit", "verify", "--noted", noted, "--audit"]
    assert main([*command, str(tmp_path / "real")]) == 0
    assert "10 lines, 1 to 10, unbroken" in capsys.readouterr().out
    assert main([*command, str(tmp_path / "forged")]) == 1
    assert f"no line has the hash {noted}" in capsys.readouterr().err


def test_a_torn_line_is_removed_and_noted_and_the_chain_continues(tmp_path: Path) -> None:
    write(tmp_path, 3)
    with only_file(tmp_path).open("ab") as stream:
        stream.write(b'{"seq":4,"time":"2026')
    write(tmp_path, 1)
    entries = [json.loads(line) for line in lines(tmp_path)]
    assert entries[3]["event"] == "torn_line"
    assert entries[3]["bytes"] == 21
    found = verify(tmp_path)
    assert (found.findings, found.lines, len(found.notes)) == ([], 5, 1)


def test_lines_missing_at_the_end_are_noted_at_the_next_start_and_stay_a_finding(tmp_path: Path) -> None:
    write(tmp_path, 5)
    only_file(tmp_path).write_bytes(b"".join(lines(tmp_path)[:3]))
    write(tmp_path, 1)
    entries = [json.loads(line) for line in lines(tmp_path)]
    assert [entry["seq"] for entry in entries] == [1, 2, 3, 6, 7]
    assert (entries[3]["event"], entries[3]["from"], entries[3]["to"]) == ("lines_missing", 4, 5)
    assert len(verify(tmp_path).findings) == 2


def test_a_line_that_the_head_does_not_name_yet_is_no_loss(tmp_path: Path) -> None:
    write(tmp_path, 4)
    head = (tmp_path / HEAD).read_bytes()
    write(tmp_path, 1)
    (tmp_path / HEAD).write_bytes(head)
    assert verify(tmp_path).findings == []
    write(tmp_path, 1)
    assert (verify(tmp_path).findings, verify(tmp_path).lines) == ([], 6)


@pytest.mark.parametrize("lines_ahead", [2, 30])
def test_a_head_that_lags_after_a_power_cut_is_no_finding(tmp_path: Path, lines_ahead: int) -> None:
    """The head is not synced to the disk: a power cut can leave its state of some seconds ago."""
    for before in (0, 4):
        folder = tmp_path / str(before)
        write(folder, before, max_bytes=1000)
        head = (folder / HEAD).read_bytes()
        write(folder, lines_ahead, max_bytes=1000)
        (folder / HEAD).write_bytes(head)
        assert verify(folder).findings == []
        write(folder, 1, max_bytes=1000)
        assert (verify(folder).findings, verify(folder).lines) == ([], before + lines_ahead + 1)


@pytest.mark.parametrize("named", [2, 4], ids=["earlier", "last"])
def test_a_head_that_names_another_line_is_noted(tmp_path: Path, named: int) -> None:
    write(tmp_path, 4)
    (tmp_path / HEAD).write_bytes(b"%015d %s\n" % (named, b"0" * 64))
    write(tmp_path, 1)
    entry = json.loads(lines(tmp_path)[4])
    assert (entry["event"], entry["from"], entry["to"]) == ("lines_missing", named, named)
    (finding,) = verify(tmp_path).findings
    assert "the server noted that lines before it were missing" in finding


def test_a_head_that_was_emptied_is_noted(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    assert (tmp_path / HEAD).stat().st_size > 0, "it is not empty even before the first line"
    log.close()
    write(tmp_path, 4)
    (tmp_path / HEAD).write_bytes(b"")
    write(tmp_path, 1)
    entry = json.loads(lines(tmp_path)[4])
    assert (entry["event"], entry["from"], entry["to"]) == ("lines_missing", 5, None)
    assert len(verify(tmp_path).findings) == 1


def test_a_line_that_the_head_cannot_name_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    log = AuditLog(tmp_path)
    log.append({"status": 200})
    for pwrite in (full, lambda *_: 0):
        with monkeypatch.context() as patch:
            patch.setattr("os.pwrite", pwrite)
            with pytest.raises(AuditError, match="cannot be written"):
                log.append({"status": 503})
    log.append({"status": 200})
    log.close()
    assert [json.loads(line)["status"] for line in lines(tmp_path)] == [200, 200]
    assert verify(tmp_path).findings == []


def test_one_process_owns_the_folder(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    with pytest.raises(AuditError, match="another server writes the audit log"):
        AuditLog(tmp_path)
    log.append({})
    assert verify(tmp_path).lines == 1, "it can be verified meanwhile"
    log.close()
    AuditLog(tmp_path).close()


def test_a_line_that_does_not_fit_on_the_disk_leaves_no_trace(tmp_path: Path) -> None:
    """In a separate process whose files may not grow beyond a limit."""
    code = """
import json, resource, signal, sys
from pathlib import Path
from app.records.audit import AuditLog
from app.errors import AuditError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = AuditLog(Path(sys.argv[1]))
log.append({"text": "x" * 100})
resource.setrlimit(resource.RLIMIT_FSIZE, (700, resource.RLIM_INFINITY))
failed = 0
for _ in range(5):
    try:
        log.append({"text": "x" * 100})
    except AuditError as error:
        failed, said = failed + 1, str(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.append({"text": "later"})
print(failed, said)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    failed, _, said = done.stdout.strip().partition(" ")
    assert int(failed) >= 3
    assert said.startswith("the audit log cannot be written:")
    found = verify(tmp_path)
    assert (found.findings, found.lines) == ([], 7 - int(failed))


def test_a_closed_log_takes_no_line(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append({"status": 200})
    log.close()
    with pytest.raises(AuditError, match="closed"):
        log.append({"status": 503})
    assert len(list(tmp_path.glob("audit-*"))) == 1
    assert verify(tmp_path).findings == []


def test_files_are_private_to_the_owner(tmp_path: Path) -> None:
    write(tmp_path / "log", 1)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "log").iterdir()} == {0o600}


def test_a_file_instead_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("", encoding="utf-8")
    with pytest.raises(AuditError, match="log cannot be written: File exists"):
        AuditLog(tmp_path / "log")


def test_verify_without_a_log(tmp_path: Path, capsys) -> None:
    assert main(["audit", "verify", "--audit", str(tmp_path / "none")]) == 1
    assert "contains no readable audit log" in capsys.readouterr().err
    assert main(["audit", "verify"]) == 2
    assert "set CARIES_AUDIT" in capsys.readouterr().err
