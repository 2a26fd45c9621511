"""Connections that stall, claim too much or flood, against the receiver."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydicom import dcmread
from pynetdicom import timer

from app.gateway import connections, receiver
from app.gateway.queue import Queue
from app.gateway.receiver import SUCCESS, Receiver
from app.peers import parse_peer
from tests.app.api.live_server import wait_for
from tests.app.gateway.archives import echo, photo, store
from tests.app.gateway.test_receiver import open_association

HALF = b"\x01\0\0"
"""Half the header of a PDU."""


@contextmanager
def listening(tmp_path: Path, peer: str = "CLINIC") -> Iterator[int]:
    """The port of a receiver with two associations."""
    with (
        closing(Queue(tmp_path)) as queue,
        closing(
            Receiver(
                queue,
                title="CARIES",
                host="127.0.0.1",
                port=0,
                peers=[parse_peer(peer)],
                max_bytes=100_000,
                associations=2,
            )
        ) as made,
    ):
        yield made.port


def connected(port: int, data: bytes = b"") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=10)
    made.sendall(data)
    return made


def ended(connection: socket.socket) -> bool:
    """Whether the other side has closed it, or does so within the timeout."""
    with connection:
        try:
            while connection.recv(4096):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
    return True


def test_half_a_pdu_blocks_neither_peers_nor_the_end(tmp_path: Path) -> None:
    with listening(tmp_path) as port:
        held = [connected(port, HALF) for _ in range(5)]
        held += [connected(port) for _ in range(5)]
        assert echo(port)
        start = time.monotonic()
    assert time.monotonic() - start < 10
    assert all(map(ended, held))


def test_a_pdu_has_to_arrive_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "IDLE_S", 1.0)
    with listening(tmp_path) as port:
        assert ended(connected(port, HALF))
        assert ended(connected(port, b"\x01\0\0\0\x10\0" + HALF))


def test_a_peer_that_waits_for_a_slow_disk_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "IDLE_S", 1.0)
    accept = Queue.accept

    def slowly(queue: Queue, uid: str, data: bytes) -> bool:
        time.sleep(2.0)
        return accept(queue, uid, data)

    monkeypatch.setattr(Queue, "accept", slowly)
    with listening(tmp_path) as port:
        assert store(port, photo(1), photo(2)) == [SUCCESS, SUCCESS]


def test_a_wall_clock_that_is_set_ends_no_association(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(tmp_path) as port:
        association = open_association(port)
        association.network_timeout = None
        monkeypatch.setattr(timer, "time", SimpleNamespace(time=lambda: time.time() + 86400))
        time.sleep(0.5)
        assert association.send_c_store(dcmread(io.BytesIO(photo()))).Status == SUCCESS
        association.release()


def test_a_silent_association_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "IDLE_S", 1.0)
    with listening(tmp_path) as port:
        association = open_association(port)
        wait_for(lambda: not association.is_established, seconds=20)


def test_a_pdu_that_claims_gigabytes(tmp_path: Path) -> None:
    with listening(tmp_path) as port:
        assert ended(connected(port, b"\x01\0\xff\xff\xff\xff" + bytes(1000)))


def test_a_photo_far_above_the_limit_ends_its_association(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_OVERHEAD", 50_000)
    with listening(tmp_path) as port:
        association = open_association(port)
        sent = dcmread(io.BytesIO(photo(PatientComments="x" * 300_000)))
        assert "Status" not in association.send_c_store(sent)
        assert store(port, *[photo(number) for number in range(20)]) == [SUCCESS] * 20, "each answered before the next"


def test_the_oldest_strangers_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_STRANGERS", 3)
    with listening(tmp_path) as port:
        held = []
        for _ in range(5):
            held.append(connected(port))
            time.sleep(0.1)
        assert all(map(ended, held[:2]))
        assert echo(port)
        assert not echo(port, title="STRANGER")
        for one in held:
            one.close()


def test_addresses_without_a_peer_are_dropped(tmp_path: Path) -> None:
    with listening(tmp_path, "CLINIC@192.0.2.1") as port:
        assert ended(connected(port))
        assert not echo(port)
