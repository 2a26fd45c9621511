"""Sessions in the store's database: valid at every server that shares it, and after a restart."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from app.records.sessions import MAX_SESSIONS, Session
from app.reviews.database import Database
from app.reviews.schema import Base, SessionRow

_SESSIONS = Base.metadata.tables[SessionRow.__tablename__]


class StoredSessions:
    """A `SessionStore`. Each method raises ReviewStoreError if the database cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, digest: str, session: Session) -> None:
        """See `SessionStore`."""
        columns = _SESSIONS.c
        same = columns.key_id == session.key_id
        newest = select(columns.digest).where(same).order_by(columns.created_at.desc()).limit(MAX_SESSIONS)
        with self._database.writing() as transaction:
            transaction.execute(delete(_SESSIONS).where(columns.expires_at <= session.created_at))
            transaction.execute(
                insert(_SESSIONS),
                {
                    "digest": digest,
                    "key_id": session.key_id,
                    "created_at": session.created_at,
                    "expires_at": session.expires_at,
                },
            )
            transaction.execute(delete(_SESSIONS).where(same, columns.digest.not_in(newest)))

    def find(self, digest: str) -> Session | None:
        """See `SessionStore`."""
        columns = _SESSIONS.c
        query = select(columns.key_id, columns.created_at, columns.expires_at).where(columns.digest == digest)
        with self._database.reading() as transaction:
            row = transaction.execute(query).one_or_none()
        return None if row is None else Session(*row)

    def remove(self, digest: str) -> None:
        """See `SessionStore`."""
        with self._database.writing() as transaction:
            transaction.execute(delete(_SESSIONS).where(_SESSIONS.c.digest == digest))

    def remove_all(self, key_id: str) -> int:
        """See `SessionStore`."""
        with self._database.writing() as transaction:
            found = transaction.execute(
                delete(_SESSIONS).where(_SESSIONS.c.key_id == key_id).returning(_SESSIONS.c.digest)
            )
            return len(found.all())
