"""Sessions in the database do what those in memory do, for every server that shares it."""

from __future__ import annotations

from contextlib import closing

from app.reviews.store import ReviewStore
from app.settings import StoreLocation
from tests.app.records.test_sessions import check_store, session


def test_sessions_in_the_database(location: StoreLocation) -> None:
    with closing(ReviewStore(location)) as store:
        check_store(store.sessions)


def test_sessions_are_shared_and_survive_a_restart(location: StoreLocation) -> None:
    with closing(ReviewStore(location)) as first, closing(ReviewStore(location)) as second:
        first.sessions.add("a", session(0))
        first.sessions.add("b", session(1))
        assert second.sessions.find("a") == session(0)
        second.sessions.remove("a")
        assert first.sessions.find("a") is None
    with closing(ReviewStore(location)) as again:
        assert again.sessions.find("b") == session(1)
