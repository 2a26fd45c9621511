"""The database of the store: SQLite in a folder or PostgreSQL, at the newest schema, with one kind of error.

SQLite writes ahead (WAL) and to the disk before a commit returns, so a killed process or a power cut loses nothing
that was answered; deleted pages are overwritten. PostgreSQL does the same by its defaults, but for the overwriting.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from app.errors import ReviewStoreError, SettingsError
from app.settings import StoreLocation, variable

logger = logging.getLogger(__name__)

FILE = "reviews.sqlite"
"""The file of a folder, with its two companions of WAL."""

BUSY_MS = 10_000
"""Milliseconds that SQLite waits for another process, such as a command next to the server."""

CONNECTIONS = 8
"""To PostgreSQL, of one server."""

WRITERS = 3
"""Transactions that write to PostgreSQL at a time, in the order of asking: more would share this process's core."""

MIGRATION_LOCK = 4_102_022
"""Key of the advisory lock under which one of several servers migrates."""

MAX_MEMBERS = 16
"""Writers that share a transaction of SQLite; the first one waits for the others."""

TIMEOUT_S = 60
"""Seconds until a statement of PostgreSQL counts as lost."""

DISK_FULL = "53100"
"""PostgreSQL's error code (appendix A of its manual)."""

_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")


_MIGRATIONS = Path(__file__).with_name("migrations")


class Database:
    """Connections to the database of a location, which is created or upgraded first. Thread-safe.

    Raises:
        SettingsError: the URL cannot be used.
        ReviewStoreError: the database cannot be reached or written, or is of a newer program.
    """

    def __init__(self, location: StoreLocation, *, create: bool = True, revision: str = "head") -> None:
        """Open the store, unless there is none and it is not to be created; `revision` is the schema to upgrade to."""
        folder = location.folder
        if folder is not None and not create and not (folder / FILE).exists():
            raise ReviewStoreError(f"{folder} contains no review store")
        with translated():
            self._engine = _postgresql(location.url or "") if folder is None else _sqlite(folder)
            self._writes = self._engine.execution_options(writes=True)
            self._shared = None if folder is None else _SharedTransaction(self._writes)
            self._turn = _InOrder(WRITERS)
            try:
                with self._writes.begin() as connection:
                    _migrate(connection, revision, create=create)
            except BaseException:
                self._engine.dispose()
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that sees one state of the database.

        Raises:
            ReviewStoreError: the database cannot be read.
        """
        with translated(), Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextlib.contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that is complete on the disk when the block has ended, or undone.

        Raises:
            ReviewStoreError: the database cannot be written.
        """
        with translated():
            if self._shared is not None:
                with self._shared.member() as session:
                    yield session
            else:
                with self._turn, Session(self._writes, expire_on_commit=False) as session, session.begin():
                    yield session

    def forget_deleted(self) -> None:
        """Remove deleted photos from SQLite's log; PostgreSQL does so when it vacuums."""
        if self._engine.dialect.name == "sqlite":
            with translated(), contextlib.closing(self._engine.raw_connection()) as connection:
                is_busy, *_ = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if is_busy:
                logger.warning("SQLite's log still has deleted photos, since it is being read; restarting removes them")

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


class _SharedTransaction:
    """SQLite's transaction for all that wait to write, so that they share a write to the disk, which takes the longest.

    SQLite has one writer at a time, and would let the others poll. A member that fails is undone alone; a commit that
    fails undoes all.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = _InOrder()
        self._connection: Connection | None = None
        self._outcome: Future[None] = Future()
        self._members = 0

    @contextlib.contextmanager
    def member(self) -> Iterator[Session]:
        """A part of the transaction; returns when all of it is on the disk."""
        with self._turn:
            if self._connection is None:
                self._connection, self._outcome, self._members = _begun(self._engine), Future(), 0
            connection, outcome = self._connection, self._outcome
            self._members += 1
            failure: BaseException | None = None
            try:
                part = Session(connection, expire_on_commit=False, join_transaction_mode="create_savepoint")
                with part as session, session.begin():
                    yield session
            except BaseException as error:
                failure = error
                raise
            finally:
                # SQLite undoes all after some errors, such as a full disk.
                raw = connection.connection.driver_connection
                assert raw is not None, "it is open"
                lost = None if raw.in_transaction else failure
                if lost or self._members >= MAX_MEMBERS or not self._turn.is_awaited:
                    self._connection = None
                    _end(connection, outcome, lost)
        outcome.result()


def _begun(engine: Engine) -> Connection:
    """A connection with a transaction."""
    connection = engine.connect()
    try:
        connection.begin()
    except BaseException:
        connection.close()
        raise
    return connection


def _end(connection: Connection, outcome: Future[None], lost: BaseException | None) -> None:
    """Commit a transaction unless it is lost."""
    with connection:
        try:
            if lost is not None:
                raise lost
            connection.commit()
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(None)


class _InOrder:
    """Places that threads get in the order in which they asked; `threading.Lock` may let one wait long."""

    def __init__(self, places: int = 1) -> None:
        self._changing = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._free = places

    def __enter__(self) -> None:
        with self._changing:
            if self._free:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    @property
    def is_awaited(self) -> bool:
        """Whether another thread waits for a place."""
        return bool(self._waiting)

    def __exit__(self, *_: object) -> None:
        with self._changing:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


def _sqlite(folder: Path) -> Engine:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / FILE
    file.touch(mode=0o600)
    engine = create_engine(URL.create("sqlite", database=str(file)), hide_parameters=True)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions begin below, and include the changes of schema
        for pragma in (f"busy_timeout={BUSY_MS}", *_PRAGMAS):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # One that begins to read and writes later would fail if another has written in between.
        mode = "IMMEDIATE" if connection.get_execution_options().get("writes") else "DEFERRED"
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def _postgresql(text: str) -> Engine:
    from app.reviews.prepared_statements import PreparedStatements  # and the driver, which SQLite does without

    try:
        url = make_url(text)
        mode = str(url.query.get("sslmode", "disable"))
        context = {"disable": None, "require": _unverified(), "verify-full": ssl.create_default_context()}[mode]
    except (ArgumentError, ValueError, KeyError):
        raise SettingsError(
            f"{variable('reviews')} is not a URL of PostgreSQL; write postgresql://USER:PASSWORD@HOST/DATABASE, and"
            " after it ?sslmode=disable, require or verify-full"
        ) from None
    if context is None and not _is_local(url.host):
        logger.warning(
            "photos go to PostgreSQL unencrypted; unless the network is private, add ?sslmode=verify-full to %s",
            variable("reviews"),
        )
    engine = create_engine(
        url.set(drivername="postgresql+pg8000").difference_update_query(["sslmode"]),
        connect_args={"ssl_context": context, "timeout": TIMEOUT_S},
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_pre_ping=True,  # after PostgreSQL has restarted
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        # pg8000 sends what is larger than its buffer in two parts; the second would wait for an answer to the first.
        if (raw := connection._usock).family != socket.AF_UNIX:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.execute_unnamed = PreparedStatements(connection)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # As an option of the engine, it would take six statements.
        if not connection.get_execution_options().get("writes"):
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")

    return engine


def _is_local(host: str | None) -> bool:
    """Whether connections to a host stay on this machine."""
    try:
        return host in (None, "localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _migrate(connection: Connection, revision: str, *, create: bool) -> None:
    """Bring the schema to the revision, in the connection's transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    script = ScriptDirectory(str(_MIGRATIONS), version_locations=[str(_MIGRATIONS)])
    known = [step.revision for step in script.walk_revisions()]
    if revision not in ("head", *known):
        raise ReviewStoreError(f"the schema {revision} is of a newer program; this one knows up to {known[0]}")
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None and not create:
        raise ReviewStoreError("the database contains no review store")
    if found is not None and found not in known:
        raise ReviewStoreError(f"the review store has the schema {found} of a newer program; this one knows {known[0]}")
    with EnvironmentContext(Config(), script, fn=lambda at, _: script._upgrade_revs(revision, at)) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise every error of the database as ReviewStoreError."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        origin = error.orig if isinstance(error, DBAPIError) else error
        # PostgreSQL's driver gives the fields of the server's message; those for details may repeat values.
        fields = origin.args[0] if origin and origin.args and isinstance(origin.args[0], dict) else {}
        reason = fields.get("M", str(origin))
        logger.error("the review store failed: %s: %s", type(origin).__name__, reason)
        if "disk is full" in reason or fields.get("C") == DISK_FULL or isinstance(error, OSError):
            reason = "the disk is full" if not isinstance(error, OSError) else error.strerror
            raise ReviewStoreError(f"the review store cannot be written: {reason}") from error
        raise ReviewStoreError("the review store cannot be used; the cause is in the server's log") from error
