"""The queue on disk: what is accepted stays until it is delivered, and nothing twice."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.errors import SettingsError
from app.gateway.queue import (
    MAX_DELAY_S,
    MIN_FREE_BYTES,
    SCHEMA,
    DicomObject,
    Entry,
    Kind,
    Queue,
    delay_s,
    digest,
    open_queue,
)
from tests.app.gateway.archives import Clock

ANSWER = [DicomObject("2.25.1", b"report"), DicomObject("2.25.2", b"picture")]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Queue]:
    made = Queue(tmp_path / "queue", clock)
    yield made
    made.close()


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "queue" / "files").iterdir())


def first(store: Queue, kind: Kind = Kind.PHOTO, archive: str = "") -> Entry:
    return store.due(kind, archive)[0]


def test_from_photo_to_delivery(store: Queue, tmp_path: Path) -> None:
    assert store.accept("1.2.3", b"photo")
    photo = first(store)
    assert photo.path.read_bytes() == b"photo"
    assert store.answer(photo, "model/1", ANSWER, ["A", "B"])
    assert store.due(Kind.PHOTO) == []
    for archive in ("A", "B"):
        entries = store.due(Kind.OBJECT, archive, limit=9)
        assert [entry.path.read_bytes() for entry in entries] == [b"report", b"picture"]
        for entry in entries:
            store.delivered([entry])
    assert files(tmp_path) == []
    counts = store.counts()
    assert (counts["received_total"], counts["screened_total"], counts["delivered_total"]) == (1, 1, 4)


def test_everything_survives_a_new_start(store: Queue, tmp_path: Path, clock: Clock) -> None:
    store.accept("1.2.3", b"photo")
    store.accept("1.2.4", b"other")
    store.answer(first(store), "model/1", ANSWER, ["A"])
    store.close()
    again = Queue(tmp_path / "queue", clock, own=True)
    assert first(again).path.read_bytes() == b"other"
    assert len(again.due(Kind.OBJECT, "A", limit=9)) == 2
    assert again.counts()["received_total"] == 2
    again.close()


def test_a_photo_is_answered_once_per_bundle(store: Queue, tmp_path: Path) -> None:
    assert store.accept("1.2.3", b"photo")
    assert not store.accept("1.2.3", b"photo"), "it waits already"
    assert store.answer(first(store), "model/1", ANSWER, ["A"])
    assert store.accept("1.2.3", b"photo")
    assert not store.answer(first(store), "model/1", ANSWER, ["A"])
    assert len(store.due(Kind.OBJECT, "A", limit=9)) == 2
    assert store.accept("1.2.3", b"photo")
    assert store.answer(first(store), "model/2", [DicomObject("2.25.3", b"x")], ["A"])
    assert len(store.due(Kind.OBJECT, "A", limit=9)) == len(files(tmp_path)) == 3


def test_a_bundle_is_known_by_its_digest(store: Queue) -> None:
    """Or by name and version, if it has answered when the digest was not told, as in a queue of a former version."""
    told = [("model/1", "aa"), ("model/1", "bb"), ("model/2", "bb"), ("model/3", ""), ("model/3", "cc")]
    found = []
    for bundle, sha256 in told:
        store.accept("1.2.3", b"photo")
        found.append(store.answer(first(store), bundle, [], ["A"], sha256))
    assert found == [True, True, False, True, False]


def test_answers_are_never_answered(store: Queue) -> None:
    store.accept("1.2.3", b"photo")
    store.answer(first(store), "model/1", ANSWER, ["A"])
    assert not store.accept("2.25.2", b"picture")


def test_pauses_grow(store: Queue, clock: Clock) -> None:
    assert [delay_s(tries) for tries in (1, 2, 3, 9)] == [1, 2, 4, 256]
    assert delay_s(10_000) == MAX_DELAY_S
    store.accept("1.2.3", b"photo")
    store.failed(first(store), "no answer", final=False)
    assert store.due(Kind.PHOTO) == []
    clock.now += 1
    store.failed(first(store), "no answer", final=False, after_s=30)
    clock.now += 29
    assert store.due(Kind.PHOTO) == []
    clock.now += 1
    assert (first(store).tries, first(store).error) == (2, "no answer")


def test_dead_letters_are_listed_resent_and_expire(store: Queue, tmp_path: Path, clock: Clock) -> None:
    for number in range(3):
        store.accept(f"1.2.{number}", b"photo")
        store.failed(first(store), "refused", final=True)
    assert store.due(Kind.PHOTO, limit=9) == []
    dead = store.dead()
    assert [entry.error for entry in dead] == ["refused"] * 3
    assert store.resend([dead[1].id]) == 1
    assert first(store).id == dead[1].id
    assert store.accept("1.2.0", b"again"), "a new copy of what was given up"
    assert store.resend(None) == 1
    clock.now += 100
    assert store.expire(101) == 0
    assert store.expire(100) == 1
    assert len(files(tmp_path)) == 3
    assert store.counts()["dead_letters_total"] == 3


def test_only_the_owner_reads_the_queue(store: Queue, tmp_path: Path) -> None:
    store.accept("1.2.3", b"photo")
    for path in (tmp_path / "queue").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) in (0o600, 0o700), path
    assert b"1.2.3" not in b"".join(path.read_bytes() for path in (tmp_path / "queue").glob("queue*"))
    assert first(store).instance == digest("1.2.3")


def test_files_without_a_row_are_removed(store: Queue, tmp_path: Path) -> None:
    store.accept("1.2.3", b"photo")
    store.close()
    left = tmp_path / "queue" / "files" / "left"
    left.write_bytes(b"by a crash before the gateway started")
    again = Queue(tmp_path / "queue", own=True)
    assert not left.exists()
    left.write_bytes(b"by a crash of a backfill")
    again.expire(60)
    assert not left.exists()
    assert len(files(tmp_path)) == 1
    again.close()


@pytest.mark.parametrize("is_answer", [False, True])
def test_a_file_that_is_about_to_get_its_row_stays(
    store: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_answer: bool
) -> None:
    store.accept("1.2.3", b"photo")
    owner, insert, found = Queue(tmp_path / "queue", own=True), Queue._insert, list[int]()

    def insert_late(queue: Queue, *row: Any) -> None:
        owner._remove_orphans()
        found.append(len(files(tmp_path)))
        insert(queue, *row)

    monkeypatch.setattr(Queue, "_insert", insert_late)
    if is_answer:
        assert store.answer(first(store), "model/1", ANSWER, ["A"])
    else:
        assert store.accept("1.2.4", b"photo")
    assert set(found) == {1 + (len(ANSWER) if is_answer else 1)}
    owner._remove_orphans()
    assert len(files(tmp_path)) == (len(ANSWER) if is_answer else 2)
    owner.close()


def test_a_full_disk_loses_nothing(store: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.accept("1.2.3", b"photo")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            store.accept("1.2.4", b"photo")
        with pytest.raises(OSError, match="No space"):
            store.answer(first(store), "model/1", ANSWER, ["A"])
    assert len(files(tmp_path)) == 1
    assert store.answer(first(store), "model/1", ANSWER, ["A"])
    assert store.accept("1.2.4", b"photo")


def test_a_queue_of_a_former_version_opens(tmp_path: Path, clock: Clock) -> None:
    """Without the table of events, and with what was answered by name and version."""
    (tmp_path / "queue").mkdir()
    with closing(sqlite3.connect(tmp_path / "queue" / "queue.sqlite")) as former:
        former.executescript(re.sub("CREATE TABLE IF NOT EXISTS events.*?;", "", SCHEMA))
        former.execute("INSERT INTO answered VALUES (?, 'model/1')", (digest("1.2.3"),))
        former.commit()
    with closing(open_queue(tmp_path / "queue", own=True)) as made:
        made.accept("1.2.3", b"photo")
        assert not made.answer(first(made), "model/1", ANSWER, ["A"], "aa")
        made.accept("1.2.3", b"photo")
        assert made.answer(first(made), "model/2", ANSWER, ["A"], "bb")
        assert [line["event"] for _, line in made.events()] == ["photo_answered"]


def test_one_gateway_owns_a_queue(tmp_path: Path) -> None:
    owner = open_queue(tmp_path / "queue", own=True)
    with pytest.raises(SettingsError, match="another gateway uses"):
        open_queue(tmp_path / "queue", own=True)
    open_queue(tmp_path / "queue").close()
    owner.close()
    with pytest.raises(SettingsError, match="no folder for the queue is set"):
        open_queue(None)


def test_the_age_of_the_oldest(store: Queue, clock: Clock) -> None:
    assert store.counts()["oldest_age_seconds"] == 0
    store.accept("1.2.3", b"photo")
    clock.now += 60
    store.accept("1.2.4", b"photo")
    store.answer(first(store), "model/1", ANSWER, ["A"])
    counts = store.counts()
    assert (counts["photos_waiting"], counts["objects_waiting"], counts["oldest_age_seconds"]) == (1, 2, 60)


def test_a_disk_that_fills_between_two_objects(store: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.accept("1.2.3", b"photo")
    real, calls = os.fsync, [0]

    def fills(number: int) -> None:
        calls[0] += 1
        if calls[0] > 1:  # the first file
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(number)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fills)
        with pytest.raises(OSError, match="No space"):
            store.answer(first(store), "model/1", ANSWER, ["A"])
    assert len(files(tmp_path)) == 1


def test_a_database_that_cannot_grow_loses_nothing(store: Queue, tmp_path: Path) -> None:
    """SQLite's own error of a full disk, which its limit of pages brings about."""
    store.accept("1.2.3", b"photo")
    (pages,) = store._database.execute("PRAGMA page_count").fetchone()
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    archives = [f"ARCHIVE{n}" for n in range(99)]
    with pytest.raises(sqlite3.OperationalError, match="database or disk is full"):
        store.answer(first(store), "model/1", ANSWER, archives)
    assert len(files(tmp_path)) == 1
    with pytest.raises(sqlite3.OperationalError, match="database or disk is full"):
        all(store.accept(f"1.2.4.{number}", b"photo") for number in range(1000))
    counts = store.counts()
    assert len(files(tmp_path)) == counts["photos_waiting"] == counts["received_total"] < 1000
    store._database.execute(f"PRAGMA max_page_count = {2**30}")
    assert store.answer(first(store), "model/1", ANSWER, archives)
    assert store.accept("1.2.5", b"photo")


def test_no_photo_is_accepted_on_an_almost_full_disk(store: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage("/")._replace(free=MIN_FREE_BYTES)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(OSError, match="No space"):
        store.accept("1.2.3", b"photo")
    assert store.counts()["received_total"] == 0


def test_a_photo_whose_answer_expired_can_be_answered_again(store: Queue, clock: Clock) -> None:
    store.accept("1.2.3", b"photo")
    store.answer(first(store), "model/1", ANSWER, ["A"])
    for entry in store.due(Kind.OBJECT, "A", limit=9):
        store.failed(entry, "refused", final=True)
    clock.now += 100
    assert store.expire(100) == 2
    store.accept("1.2.3", b"photo")
    assert store.answer(first(store), "model/1", ANSWER, ["A"])


def test_objects_for_an_archive_that_is_gone_are_given_up(store: Queue) -> None:
    store.accept("1.2.3", b"photo")
    store.answer(first(store), "model/1", ANSWER, ["A", "B"])
    assert store.give_up_archives(["B", "C"]) == 2
    assert store.give_up_archives(["B", "C"]) == 0
    assert store.counts()["dead_letters_total"] == 2
    assert {(entry.archive, entry.error) for entry in store.dead()} == {("A", "the archive is no longer configured")}
    assert len(store.due(Kind.OBJECT, "B", limit=9)) == 2


def test_news_end_a_pause(store: Queue) -> None:
    for act in (lambda: store.accept("1.2.3", b"photo"), lambda: store.answer(first(store), "model/1", ANSWER, ["A"])):
        timer = threading.Timer(0.1, act)
        timer.start()
        start = time.monotonic()
        store.wait(60)
        assert time.monotonic() - start < 30
        timer.join()
    start = time.monotonic()
    store.wait(0.05)
    assert time.monotonic() - start >= 0.05
