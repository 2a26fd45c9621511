"""`kill -9` of the gateway, the server and the archive, and the gateway's memory."""

from __future__ import annotations

import shutil
import signal
import threading
from pathlib import Path

import pytest

from tests.app.api.live_server import Start, wait_for
from tests.app.gateway.archives import archive, photo, store_until_confirmed
from tests.app.gateway.processes import Gateway, Server
from tests.app.gateway.test_orthanc import Orthanc, free_port

pytestmark = pytest.mark.slow

MAX_GROWTH = 8 * 2**20
"""Bytes of memory that the gateway may gain after its first photos: of its allocator, not of photos."""


def is_empty(folder: Path) -> bool:
    """Whether no photo and no answer waits in the queue of a folder."""
    return not list((folder / "queue" / "files").iterdir())


def test_kill_9_of_gateway_server_and_archive(tmp_path: Path, start: Start) -> None:
    """No confirmed photo is lost, and none is answered by more than one pair of objects."""
    with archive() as there:
        with start() as live:
            gateway = Gateway(tmp_path, live.port, there.destination)
            assert store_until_confirmed(gateway.port, *[photo(number) for number in range(1, 6)])
            gateway.end()
            gateway = Gateway(tmp_path, live.port, there.destination)
            assert store_until_confirmed(gateway.port, *[photo(number) for number in range(4, 9)])
            wait_for(lambda: len(there.kept) >= 2, seconds=60)
            gateway.end()
            there.close()
            gateway = Gateway(tmp_path, live.port, there.destination)
            assert store_until_confirmed(gateway.port, photo(9))
        # The server is gone as well.
        assert store_until_confirmed(gateway.port, photo(10))
        gateway.end()
        there.open()
        with start() as live:
            gateway = Gateway(tmp_path, live.port, there.destination)
            wait_for(lambda: len(there.kept) == 20, seconds=120)
            wait_for(lambda: is_empty(tmp_path), seconds=60)
            assert gateway.end(signal.SIGTERM) == 0
        assert there.sources() == sorted(f"1.2.3.{number}" for number in range(1, 11))


@pytest.mark.systems
@pytest.mark.skipif(shutil.which("Orthanc") is None, reason="Debian's Orthanc is not installed")
def test_kill_9_of_server_gateway_and_orthanc_in_turn(tmp_path: Path) -> None:
    """Each dies while photos pass through it; Orthanc ends with two objects for each photo that was confirmed."""
    (tmp_path / "orthanc").mkdir()
    orthanc, port = Orthanc(tmp_path / "orthanc"), free_port()
    server, gateway = Server(port), Gateway(tmp_path, port, orthanc.destination)
    sent = 0

    def send(number: int) -> None:
        nonlocal sent
        assert store_until_confirmed(gateway.port, *[photo(sent + n) for n in range(1, number + 1)])
        sent += number

    def wait_until_answers(number: int) -> None:
        wait_for(lambda: len(orthanc.instances()) >= number, seconds=120)

    try:
        send(8)
        wait_until_answers(2)
        server.kill()
        send(4)
        server = Server(port)
        wait_until_answers(sent)
        orthanc.kill()
        send(4)
        orthanc.start()
        send(4)
        wait_until_answers(sent)
        gateway.end()
        gateway = Gateway(tmp_path, port, orthanc.destination)
        send(2)
        wait_until_answers(2 * sent)
        wait_for(lambda: is_empty(tmp_path), seconds=60)
        found = orthanc.instances()
    finally:
        gateway.end()
        server.kill()
        orthanc.kill()
        orthanc.client.close()
    assert len(found) == len({one["SOPInstanceUID"] for one in found}) == 2 * sent == 44


@pytest.mark.systems
def test_memory_is_flat(tmp_path: Path, start: Start) -> None:
    """Some hundred photos in two associations at a time."""
    with archive() as there, start() as live:
        gateway = Gateway(tmp_path, live.port, there.destination)

        def pass_through(first: int, number: int) -> int:
            halves = [[photo(first + n) for n in range(number) if n % 2 == half] for half in (0, 1)]
            sending = [threading.Thread(target=store_until_confirmed, args=(gateway.port, *half)) for half in halves]
            for thread in sending:
                thread.start()
            for thread in sending:
                thread.join()
            wait_for(lambda: len(there.kept) == 2 * (first + number - 1), seconds=300)
            there.kept = dict.fromkeys(there.kept)  # the objects themselves are not needed
            return gateway.resident_bytes()

        try:
            before = pass_through(1, 60)
            after = pass_through(61, 240)
        finally:
            gateway.end()
    assert after - before < MAX_GROWTH
