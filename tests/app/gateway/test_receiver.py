"""C-STORE and C-ECHO: named peers only, success only for what is on disk."""

from __future__ import annotations

import errno
import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pynetdicom import AE

from app.gateway import receiver as module
from app.gateway.queue import Kind, Queue
from app.gateway.receiver import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, SUCCESS, Receiver
from app.peers import parse_peer
from tests.app.api.live_server import wait_for
from tests.app.gateway.archives import echo, grey_scan, photo, store
from tests.app.photo import dicom_files


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    with closing(Queue(tmp_path)) as made:
        yield made


@pytest.fixture
def receiver(queue: Queue) -> Iterator[Receiver]:
    peers = [parse_peer("CLINIC"), parse_peer("OTHER@192.0.2.1")]
    with closing(
        Receiver(queue, title="CARIES", host="127.0.0.1", port=0, peers=peers, max_bytes=100_000, associations=2)
    ) as made:
        yield made


def waiting(queue: Queue) -> list[bytes]:
    return [entry.path.read_bytes() for entry in queue.due(Kind.PHOTO, limit=99)]


def test_photos_are_kept(receiver: Receiver, queue: Queue) -> None:
    photos = [photo(1), dicom_files.native(SOPInstanceUID="1.2.3.9")]
    assert store(receiver.port, *photos) == [SUCCESS, SUCCESS]
    for kept, sent in zip(waiting(queue), photos, strict=True):
        assert dcmread(io.BytesIO(kept)) == dcmread(io.BytesIO(sent))
    assert store(receiver.port, photos[0]) == [SUCCESS], "again"
    assert len(waiting(queue)) == 2


def test_only_named_peers_may_associate(receiver: Receiver, queue: Queue) -> None:
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


def test_a_grey_scan_is_refused(receiver: Receiver, queue: Queue) -> None:
    assert store(receiver.port, grey_scan(1), photo(2)) == [CANNOT_UNDERSTAND, SUCCESS]
    assert len(waiting(queue)) == 1


def test_answers_are_confirmed_and_dropped(receiver: Receiver, queue: Queue) -> None:
    assert store(receiver.port, photo(Manufacturer="caries-screen")) == [SUCCESS]
    assert waiting(queue) == []


def test_what_cannot_be_kept_is_not_confirmed(
    receiver: Receiver, queue: Queue, monkeypatch: pytest.MonkeyPatch
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


@pytest.mark.slow
def test_associations_that_stall_abort_or_flood(
    receiver: Receiver, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two associations are allowed; one that says nothing ends by itself, and one cut in a photo leaves nothing."""
    receiver.close()
    monkeypatch.setattr(module, "IDLE_S", 1.0)
    peers = [parse_peer("CLINIC")]
    with closing(
        Receiver(queue, title="CARIES", host="127.0.0.1", port=0, peers=peers, max_bytes=10**6, associations=2)
    ) as short:
        silent = [socket.create_connection(("127.0.0.1", short.port)) for _ in range(20)]
        for one in silent:
            one.settimeout(20)
            while one.recv(4096):  # an abort, then the end
                pass
            one.close()
        wait_for(lambda: echo(short.port))
        held = [open_association(short.port) for _ in range(2)]
        assert all(one.is_established for one in held)
        assert not echo(short.port), "a third one"
        held[0].abort()
        wait_for(lambda: not held[1].is_established)
        wait_for(lambda: echo(short.port))
        time.sleep(1.5)  # until the threads of all of them have ended
        with cut_after(short.port, 10_000) as port:
            association = open_association(port)
            assert "Status" not in association.send_c_store(dcmread(io.BytesIO(photo(5))))
            association.abort()
        assert store(short.port, photo(6)) == [SUCCESS]
        assert len(waiting(queue)) == 1


@contextmanager
def cut_after(port: int, size: int) -> Iterator[int]:
    """The port of a proxy that ends a connection once so many bytes went to `port`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def back(source: socket.socket, to: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(4096):
                    to.sendall(data)

        def forward() -> None:
            client, _ = listening.accept()
            with client, socket.create_connection(("127.0.0.1", port)) as server:
                answers = threading.Thread(target=back, args=(server, client))
                answers.start()
                left = size
                while left > 0 and (data := client.recv(min(left, 4096))):
                    server.sendall(data)
                    left -= len(data)
                for one in (client, server):
                    one.shutdown(socket.SHUT_RDWR)
                answers.join()

        thread = threading.Thread(target=forward)
        thread.start()
        yield int(listening.getsockname()[1])
        thread.join()


def open_association(port: int) -> Any:
    entity = AE("CLINIC")
    entity.add_requested_context("1.2.840.10008.1.1")
    entity.add_requested_context("1.2.840.10008.5.1.4.1.1.77.1.4", "1.2.840.10008.1.2.4.50")
    return entity.associate("127.0.0.1", port, ae_title="CARIES")


def test_statuses_are_those_of_the_standard() -> None:
    assert (SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND) == (0, 0xA700, 0xC000)
