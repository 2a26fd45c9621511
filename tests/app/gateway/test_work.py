"""The steps of the gateway against a stand-in server and archive, with a clock that a test turns."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.errors import AuditError
from app.gateway.delivery import Outcome
from app.gateway.queue import DicomObject, Kind, Queue, digest
from app.gateway.screening import Answer, Refusal, Server
from app.gateway.work import Work
from tests.app.gateway.archives import Clock

DOWN = Outcome("the archive does not accept an association")


@dataclass
class StandInArchive:
    outcome: Outcome = field(default_factory=Outcome)
    got: list[bytes] = field(default_factory=list)
    bug: Exception | None = None
    meanwhile: Callable[[], object] = lambda: None

    def send(self, paths: Sequence[Path]) -> list[Outcome]:
        self.meanwhile()
        if self.bug:
            raise self.bug
        if not self.outcome.error:
            self.got += [path.read_bytes() for path in paths]
        return [self.outcome] * len(paths)


class StandInServer(Server):
    """Answers with one object for each photo, or as a test says."""

    answer: Refusal | None

    def screen(self, data: bytes) -> Answer | Refusal:
        return SAYS[0] or Answer("model/1", [DicomObject(f"2.25.{len(data)}", data.upper())], "aa")


SAYS: list[Refusal | None] = [None]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def archive() -> StandInArchive:
    return StandInArchive()


@pytest.fixture
def lines() -> list[Any]:
    return []


@pytest.fixture
def work(tmp_path: Path, clock: Clock, archive: StandInArchive, lines: list[Any]) -> Iterator[Work]:
    SAYS[0] = None
    store = Queue(tmp_path, clock)
    yield Work(store, StandInServer(""), {"A": archive}, give_up_s=72 * 3600, keep_s=14 * 86400, record=lines.append)
    store.close()


def test_a_photo_goes_through(work: Work, archive: StandInArchive, lines: list[Any]) -> None:
    assert not work.screen_one()
    assert not work.deliver("A")
    work.queue.accept("1.2.3", b"photo")
    assert work.screen_one()
    assert work.deliver("A")
    assert archive.got == [b"PHOTO"]
    assert work.write_audit()
    assert not work.write_audit()
    assert lines == [{"event": "photo_answered", "instance": digest("1.2.3"), "model": "model/1", "model_sha256": "aa"}]


def test_an_archive_that_is_down_for_an_hour(work: Work, archive: StandInArchive, clock: Clock) -> None:
    work.queue.accept("1.2.3", b"photo")
    work.screen_one()
    archive.outcome, tries = DOWN, 0
    while clock.now < 1_003_600:
        tries += work.deliver("A")
        clock.now += 1
    assert 8 < tries < 20, "with growing pauses"
    archive.outcome = Outcome()
    clock.now += 600
    assert work.deliver("A")
    assert archive.got == [b"PHOTO"]
    assert work.queue.dead() == []


def test_a_server_that_is_down_or_busy(work: Work, archive: StandInArchive, clock: Clock) -> None:
    SAYS[0] = Refusal("503: busy", final=False, after_s=5)
    work.queue.accept("1.2.3", b"photo")
    assert work.screen_one()
    clock.now += 4
    assert not work.screen_one()
    SAYS[0] = None
    clock.now += 1
    assert work.screen_one()
    work.deliver("A")
    assert archive.got == [b"PHOTO"]


def test_what_is_refused_for_ever_is_given_up(
    work: Work, archive: StandInArchive, clock: Clock, lines: list[Any]
) -> None:
    work.queue.accept("1.2.3", b"photo")
    work.queue.accept("1.2.4", b"photo four")
    SAYS[0] = Refusal("415: not a colour photo", final=True)
    work.screen_one()
    SAYS[0] = None
    work.screen_one()
    archive.outcome = Outcome("refused: 0xC000", final=True)
    work.deliver("A")
    assert [(entry.kind, entry.error) for entry in work.queue.dead()] == [
        (Kind.PHOTO, "415: not a colour photo"),
        (Kind.OBJECT, "refused: 0xC000"),
    ]
    work.write_audit()
    assert [line["event"] for line in lines] == ["photo_given_up", "photo_answered", "object_given_up"]
    archive.outcome = Outcome()
    work.queue.resend(None)
    assert work.screen_one()
    clock.now += 3600
    while work.deliver("A"):
        pass
    assert sorted(archive.got) == [b"PHOTO", b"PHOTO FOUR"]


def test_tries_end_after_three_days(work: Work, archive: StandInArchive, clock: Clock) -> None:
    work.queue.accept("1.2.3", b"photo")
    work.screen_one()
    archive.outcome = DOWN
    clock.now += 72 * 3600 - 1
    work.deliver("A")
    assert work.queue.dead() == []
    clock.now += 600
    work.deliver("A")
    assert len(work.queue.dead()) == 1
    clock.now += 14 * 86400
    assert work.expire()
    assert not work.expire()
    assert work.queue.dead() == []


def test_one_bad_entry_blocks_no_other(work: Work, archive: StandInArchive, clock: Clock) -> None:
    work.queue.accept("1.2.3", b"photo")
    work.queue.accept("1.2.4", b"photo four")
    (bad,) = work.queue.due(Kind.PHOTO)
    bad.path.unlink()
    assert work.screen_one()
    assert work.screen_one()
    assert not work.screen_one(), "it waits"
    archive.bug = RuntimeError("a bug")
    assert work.deliver("A")
    assert not work.deliver("A"), "it waits"
    archive.bug = None
    clock.now += 72 * 3600
    assert work.screen_one()
    assert [(entry.kind, entry.error) for entry in work.queue.dead()] == [
        (Kind.PHOTO, "FileNotFoundError while it was screened")
    ]
    assert work.deliver("A")
    assert archive.got == [b"PHOTO FOUR"]


def test_what_is_sent_again_has_all_its_tries(work: Work, archive: StandInArchive, clock: Clock) -> None:
    SAYS[0] = Refusal("503: busy", final=False)
    work.queue.accept("1.2.3", b"photo")
    clock.now += 72 * 3600
    work.screen_one()
    assert work.queue.resend(None) == 1
    work.screen_one()
    assert work.queue.dead() == []


def test_what_one_thread_delivers_no_other_does(work: Work, archive: StandInArchive) -> None:
    work.queue.accept("1.2.3", b"photo")
    work.screen_one()
    others = list[bool]()

    def other() -> None:
        archive.meanwhile = lambda: None
        others.append(work.deliver("A"))

    archive.meanwhile = other
    assert work.deliver("A")
    assert others == [False]
    assert archive.got == [b"PHOTO"]


def test_everything_that_happens_to_a_dead_letter_is_recorded(
    work: Work, archive: StandInArchive, clock: Clock, lines: list[Any], tmp_path: Path
) -> None:
    SAYS[0] = Refusal("415: not a colour photo", final=True)
    work.queue.accept("1.2.4", b"photo")
    work.screen_one()
    SAYS[0] = None
    work.queue.accept("1.2.3", b"photo")
    work.screen_one()
    assert work.queue.give_up_archives(["B"]) == 1
    with closing(Queue(tmp_path, clock)) as command:  # `caries gateway resend`, while the gateway runs
        assert command.resend([entry.id for entry in command.dead() if entry.kind is Kind.OBJECT]) == 1
        assert command.resend([1, 2]) == 1, "the photo; the object waits"
    clock.now += 72 * 3600
    archive.outcome = DOWN
    work.deliver("A")
    clock.now += 14 * 86400
    assert work.expire()
    work.write_audit()
    assert [line["event"] for line in lines] == [
        *("photo_given_up", "photo_answered", "object_given_up", "object_resent", "photo_resent"),
        *("object_given_up", "object_deleted"),
    ]
    assert {line["instance"] for line in lines} == {digest("1.2.3"), digest("1.2.4")}
    assert lines[2]["reason"] == "the archive is no longer configured"
    counts = work.queue.counts()
    assert (counts["dead_letters_total"], counts["resent_total"], counts["deleted_total"]) == (3, 2, 1)


def test_an_audit_log_that_cannot_be_written_loses_no_line(
    work: Work, lines: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The photo was answered, and is not tried again; a line that cannot be forgotten is not repeated."""

    def full(_: object) -> None:
        raise AuditError("the audit log cannot be written: No space left on device")

    work.queue.accept("1.2.3", b"photo")
    work.record = full
    assert work.screen_one()
    assert not work.write_audit()
    assert not work.write_audit()
    assert work.queue.counts()["screened_total"] == work.queue.counts()["objects_waiting"] == 1
    assert [record.message for record in caplog.records] == [work.audit_problem]
    work.record = lines.append

    def cannot_forget(_: Queue, numbers: Sequence[int]) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Queue, "recorded", cannot_forget)
        for _ in range(2):
            with pytest.raises(sqlite3.OperationalError):
                work.write_audit()
    assert work.write_audit()
    assert work.audit_problem == ""
    assert [line["event"] for line in lines] == ["photo_answered"]


def test_a_server_that_refuses_the_gateway(work: Work, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    probes = [Refusal("the server does not answer", False), Refusal("401: wrong key", False, status=401)]
    monkeypatch.setattr(StandInServer, "probe", lambda _: probes.pop(0))
    for expected in ("", "401: wrong key"):
        assert not work.probe()
        assert work.server_problem == expected
    SAYS[0] = Refusal("429: too many wrong keys", final=False, status=429)
    work.queue.accept("1.2.3", b"photo")
    work.screen_one()
    assert work.server_problem == "401: wrong key"
    probes.append(Refusal("422: no photo", final=True, status=422))
    work.probe()
    assert work.server_problem == ""
    work.probe()  # asks no more
    clock.now += 60
    SAYS[0] = Refusal("406: no answers in DICOM", final=False, status=406)
    work.screen_one()
    assert work.server_problem == "406: no answers in DICOM"
    clock.now += 60
    SAYS[0] = None
    work.screen_one()
    assert work.server_problem == ""
