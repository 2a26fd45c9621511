"""The database: transactions that are written completely or not at all, and errors that say what to do."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.errors import ReviewStoreError, SettingsError
from app.reviews.database import DISK_FULL, FILE, MAX_MEMBERS, WRITERS, Database, translated
from app.reviews.store import ReviewStore, Selection
from app.settings import StoreLocation
from tests.app.reviews.databases import new_database
from tests.app.reviews.samples import keep, read


def test_sqlite_is_private_and_written_through(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "reviews"
    names = ("journal_mode", "synchronous", "secure_delete")
    with closing(Database(StoreLocation(folder, None))) as database, database.reading() as session:
        found = {name: session.scalar(text(f"PRAGMA {name}")) for name in names}
        assert found == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / FILE).stat().st_mode & 0o777 == 0o600


def write_half(session: Session) -> None:
    session.execute(text("CREATE TABLE half (id INTEGER)"))
    session.execute(text("INSERT INTO half VALUES (1)"))
    raise RuntimeError


def test_a_transaction_that_fails_leaves_nothing(location: StoreLocation) -> None:
    with closing(Database(location)) as database:
        with pytest.raises(RuntimeError), database.writing() as session:
            write_half(session)
        with pytest.raises(ReviewStoreError), database.reading() as session:
            session.execute(text("SELECT * FROM half"))


def test_a_reader_sees_one_state(location: StoreLocation) -> None:
    database, store = Database(location), ReviewStore(location)
    with closing(database), closing(store), database.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM photos")) == 0
        keep(store)
        assert session.scalar(text("SELECT count(*) FROM photos")) == 0


def test_a_store_that_is_missing_or_of_a_newer_program(location: StoreLocation) -> None:
    with pytest.raises(ReviewStoreError, match="contains no review store"):
        Database(location, create=False)
    with closing(Database(location)) as database, database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ReviewStoreError, match="has the schema 9999 of a newer program; this one knows 0004"):
        Database(location)
    with pytest.raises(ReviewStoreError, match="the schema 0099 is of a newer program"):
        Database(location, revision="0099")


@pytest.mark.parametrize("url", ["postgresql://u@host:port/d", "postgresql://u@h/d?sslmode=maybe"])
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="CARIES_REVIEWS is not a URL of PostgreSQL"):
        Database(StoreLocation(None, url))


def test_a_server_that_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ReviewStoreError) as raised:
        Database(StoreLocation(None, "postgresql://user:secret@127.0.0.1:1/d"))
    assert "secret" not in str(raised.value) + caplog.text
    assert "the review store failed: InterfaceError" in caplog.text


@pytest.mark.parametrize(("place", "is_warned"), [("127.0.0.1:1", False), ("localhost:1", False), ("0.0.0.0:1", True)])
def test_an_unencrypted_connection_to_another_machine_is_warned_of(
    place: str, is_warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ReviewStoreError):
        Database(StoreLocation(None, f"postgresql://user@{place}/d"))
    assert ("photos go to PostgreSQL unencrypted" in caplog.text) is is_warned


def test_postgresql_gets_large_statements_at_once(postgresql: str) -> None:
    with closing(Database(new_database(postgresql, "large_statements"))) as database, database.reading() as session:
        connection = session.connection().connection.driver_connection
        assert connection is not None
        assert connection._usock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_writers_of_postgresql_wait_for_their_turn(postgresql: str) -> None:
    inside, most = 0, 0
    counting = threading.Lock()

    def write(database: Database) -> None:
        nonlocal inside, most
        with database.writing():
            with counting:
                inside += 1
                most = max(most, inside)
            time.sleep(0.05)
            with counting:
                inside -= 1

    with closing(Database(new_database(postgresql, "turns"))) as database:
        writers = [threading.Thread(target=write, args=(database,)) for _ in range(8)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
    assert most == WRITERS


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ReviewStoreError, match="the review store cannot be written: Not a directory"):
        Database(StoreLocation(tmp_path / "file" / "reviews", None))


def test_a_full_disk_of_postgresql_is_named() -> None:
    class Full(Exception):
        pass

    with pytest.raises(ReviewStoreError, match="cannot be written: the disk is full"), translated():
        raise DBAPIError("", None, Full({"C": DISK_FULL, "M": "could not extend file"}))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount).returncode != 0:
        pytest.skip("only root can mount a small file system")
    yield place
    subprocess.run(["umount", place], check=True)


def keep_many(store: ReviewStore) -> None:
    for place in range(1, 500):
        keep(store, place)


def read_often(store: ReviewStore, number: int) -> None:
    for version in range(500):
        read(store, number, "a", 0, version=version)


def fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as stream:
        while stream.write(bytes(512)):
            pass


def test_a_full_disk_is_an_error_and_leaves_no_half_review(small_disk: Path) -> None:
    with closing(ReviewStore(StoreLocation(small_disk / "reviews", None))) as store:
        number = keep(store)
        (small_disk / "reserve").write_bytes(bytes(60_000))
        with pytest.raises(ReviewStoreError, match="cannot be written: the disk is full"):
            keep_many(store)
        kept = list(store.photos())
        assert all(len(photo.findings) == 1 and store.picture(photo.id) for photo in kept)
        with pytest.raises(OSError, match="No space"):
            fill_up(small_disk / "filler")
        with pytest.raises(ReviewStoreError, match="cannot be written: the disk is full"):
            read_often(store, number)
        records = store.photo(number).records
        (small_disk / "reserve").unlink()
        read(store, number, "a", 0, version=records[0].version if records else 0)
        assert [photo.id for photo in store.photos()] == [photo.id for photo in kept]


def test_writers_get_their_turn_in_order(tmp_path: Path) -> None:
    order: list[int] = []
    with closing(Database(StoreLocation(tmp_path, None))) as database:

        def write(number: int) -> None:
            with database.writing():
                order.append(number)

        with database.writing():
            writers = []
            for number in range(20):
                writers.append(threading.Thread(target=write, args=(number,)))
                writers[-1].start()
                time.sleep(0.01)  # until it waits
        for writer in writers:
            writer.join()
    assert order == list(range(20))


def insert(session: Session, number: int) -> None:
    session.execute(text("INSERT INTO written VALUES (:number)"), {"number": number})


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A SQLite database with an empty table."""
    with closing(Database(StoreLocation(tmp_path / "reviews", None))) as opened:
        with opened.writing() as session:
            session.execute(text("CREATE TABLE written (number INTEGER)"))
        yield opened


def write_together(database: Database, writers: int, fails: Callable[[int], bool] = lambda _: False) -> dict[int, str]:
    """Let writers wait for each other; the outcome of each by its number."""
    outcomes: dict[int, str] = {}

    def write(number: int) -> None:
        try:
            with database.writing() as session:
                insert(session, number)
                if fails(number):
                    raise RuntimeError
            outcomes[number] = "written"
        except (RuntimeError, ReviewStoreError) as error:
            outcomes[number] = type(error).__name__

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    with contextlib.suppress(ReviewStoreError), database.writing():
        for thread in threads:
            thread.start()
        time.sleep(0.3)  # until they wait
    for thread in threads:
        thread.join(30)
    return outcomes


def written(database: Database) -> list[int]:
    with database.reading() as session:
        return list(session.scalars(text("SELECT number FROM written ORDER BY number")))


@pytest.fixture
def commits(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """The connections that committed."""
    committed: list[Connection] = []
    plain = Connection.commit

    def commit(connection: Connection) -> None:
        committed.append(connection)
        plain(connection)

    monkeypatch.setattr(Connection, "commit", commit)
    return committed


def test_writers_that_wait_share_a_commit(database: Database, commits: list[Connection]) -> None:
    assert set(write_together(database, 8).values()) == {"written"}
    assert written(database) == list(range(8))
    assert len(commits) == 1
    assert len(write_together(database, MAX_MEMBERS)) == MAX_MEMBERS
    assert len(commits) == 3


def test_a_writer_that_fails_is_undone_alone(database: Database) -> None:
    outcomes = write_together(database, 6, fails=lambda number: number in (0, 3, 5))
    assert {number for number, outcome in outcomes.items() if outcome == "RuntimeError"} == {0, 3, 5}
    assert written(database) == [1, 2, 4]


def test_a_commit_that_fails_is_an_error_for_all(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Connection) -> None:
        raise DBAPIError("", None, Exception("database or disk is full"))

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "commit", fail)
        assert write_together(database, 5) == dict.fromkeys(range(5), "ReviewStoreError")
    assert written(database) == []
    assert write_together(database, 1) == {0: "written"}


def test_a_transaction_that_sqlite_undid_is_an_error_for_all(database: Database) -> None:
    outcomes: list[str] = []

    def write(number: int) -> None:
        try:
            with database.writing() as session:
                insert(session, number)
                if number == 2:
                    raw = session.connection().connection.driver_connection
                    assert raw is not None
                    raw.rollback()
                    session.execute(text("SELECT * FROM missing"))
            outcomes.append("written")
        except ReviewStoreError:
            outcomes.append("failed")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    with contextlib.suppress(ReviewStoreError), database.writing():
        for thread in threads:
            thread.start()
            time.sleep(0.05)
        time.sleep(0.2)
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["failed", "failed", "failed", "written"]
    assert written(database) == [3]


def test_deleted_photos_that_a_reader_keeps_in_the_log_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.reviews.database.BUSY_MS", 10)
    location = StoreLocation(tmp_path / "reviews", None)
    with closing(ReviewStore(location)) as store, closing(Database(location)) as database:
        with database.reading() as session:
            session.execute(text("SELECT count(*) FROM photos")).all()
            store.delete(Selection(photo_id=keep(store)), lambda *_: None)
        assert "still has deleted photos" in caplog.text
        caplog.clear()
        store.delete(Selection(photo_id=keep(store)), lambda *_: None)
        assert not caplog.text
