"""Messages between the server and a worker process."""

import os
import socket

import numpy as np
import pytest

from app.detector.detections import Detections
from app.detector.runtimes.messages import pack, receive, send, shared_array, unpack
from tests.app.detector.listed import listed


def test_detections_of_several_photos_arrive_unchanged() -> None:
    boxes = np.array([[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]], np.float32)
    sent = [listed(boxes, [0.9, 0.25], [2, 1]), Detections.empty(), listed(boxes[:1], [0.5], [1])]
    for before, after in zip(sent, unpack(b"".join(map(pack, sent)), len(sent)), strict=True):
        assert (after.boxes == before.boxes).all()
        assert after.scores == pytest.approx(before.scores)
        assert after.class_ids.tolist() == before.class_ids.tolist()


def test_messages_arrive_one_by_one_until_the_other_side_ends() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for message in (b"", b"a", bytes(range(256))):
            send(ours, message)
        assert [receive(theirs) for _ in range(3)] == [b"", b"a", bytes(range(256))]
        ours.sendall(b"\0\0\0\5half")
        ours.close()
        with pytest.raises(EOFError):
            receive(theirs)


def test_two_arrays_of_one_memory_share_their_samples() -> None:
    memory = os.memfd_create("photos")
    os.ftruncate(memory, 12)
    first, second = shared_array(memory, (2, 2, 3)), shared_array(memory, (12,))
    os.close(memory)
    first[1, 1, 2] = 7
    assert second[11] == 7
