"""C-STORE and C-ECHO: named peers only, success only for what is on disk."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydicom import dcmread

from app.gateway.receiver import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, SUCCESS, Receiver
from app.gateway.store import Kind, Store
from app.peers import parse_peer
from tests.app.gateway.archives import echo, photo, store
from tests.app.photo import dicom_files


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path)) as made:
        yield made


@pytest.fixture
def receiver(queue: Store) -> Iterator[Receiver]:
    peers = [parse_peer("CLINIC"), parse_peer("OTHER@192.0.2.1")]
    with closing(
        Receiver(queue, title="CARIES", host="127.0.0.1", port=0, peers=peers, max_bytes=100_000, associations=2)
    ) as made:
        yield made


def waiting(queue: Store) -> list[bytes]:
    return [entry.path.read_bytes() for entry in queue.due(Kind.PHOTO, limit=99)]


def test_photos_are_kept(receiver: Receiver, queue: Store) -> None:
    photos = [photo(1), dicom_files.native(SOPInstanceUID="1.2.3.9")]
    assert store(receiver.port, *photos) == [SUCCESS, SUCCESS]
    for kept, sent in zip(waiting(queue), photos, strict=True):
        assert dcmread(io.BytesIO(kept)) == dcmread(io.BytesIO(sent))
    assert store(receiver.port, photos[0]) == [SUCCESS], "again"
    assert len(waiting(queue)) == 2


def test_only_named_peers_may_associate(receiver: Receiver, queue: Store) -> None:
    assert echo(receiver.port)
    assert not echo(receiver.port, title="STRANGER")
    assert not echo(receiver.port, title="OTHER"), "from another address"
    assert not echo(receiver.port, called="ANOTHER")
    assert store(receiver.port, photo(), title="OTHER") == []
    assert waiting(queue) == []


def test_only_photos_are_accepted(receiver: Receiver) -> None:
    radiograph = dicom_files.native(SOPClassUID="1.2.840.10008.5.1.4.1.1.1.3")
    with pytest.raises(ValueError, match="presentation context"):
        store(receiver.port, photo(), radiograph)


def test_answers_are_confirmed_and_dropped(receiver: Receiver, queue: Store) -> None:
    assert store(receiver.port, photo(Manufacturer="caries-screen")) == [SUCCESS]
    assert waiting(queue) == []


def test_what_cannot_be_kept_is_not_confirmed(
    receiver: Receiver, queue: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store(receiver.port, dicom_files.native(StudyDescription="x" * 60, ImageComments="x" * 99_000)) == [
        OUT_OF_RESOURCES
    ]

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert store(receiver.port, photo()) == [OUT_OF_RESOURCES]
    assert waiting(queue) == []
    assert store(receiver.port, photo()) == [SUCCESS]


def test_statuses_are_those_of_the_standard() -> None:
    assert (SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND) == (0, 0xA700, 0xC000)
