"""Photos decoded in a separate process: its limits, its end and its errors, shown on HEIC."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from app.errors import DeadlineExceeded, Overloaded, PhotoTooCostly, PhotoTooLarge, UnreadablePhoto
from app.photo import separate
from app.photo.decoding import decode
from app.photo.limits import Limits
from tests.app.photo.pictures import DATA, FLAT, FOUR_COLOURS, HARD, of_tiles

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


@pytest.mark.slow
def test_decoding_for_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separate, "CPU_S", 1)
    started = time.monotonic()
    with pytest.raises(PhotoTooLarge, match="more than 1 s of a processor"):
        decode(HARD)
    assert time.monotonic() - started < 60


def test_decoding_with_too_much_memory_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder does not always know the cause of its error."""
    monkeypatch.setattr(separate, "BYTES_PER_PIXEL", 0)
    errors = []
    for more in (60, 80, 100):
        monkeypatch.setattr(separate, "EXTRA_BYTES", more * 1_000_000)
        assert decode(FOUR_COLOURS).width == 64
        with pytest.raises((PhotoTooLarge, UnreadablePhoto)) as raised:
            decode(FLAT)
        errors.append(str(raised.value))
    assert any("more memory" in error for error in errors), errors


def test_a_photo_of_the_most_accepted_pixels_is_decoded() -> None:
    pixels = decode(FLAT, Limits(max_pixels=4096 * 4096)).pixels
    assert pixels.shape == (4096, 4096, 3)
    assert np.abs(pixels[::64, ::64].astype(int) - (200, 120, 120)).max() <= 3


MEMORY = """
import sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from app.photo.decoding import decode

def most() -> tuple[int, int]:
    return tuple(getrusage(whose).ru_maxrss * 1024 for whose in (RUSAGE_SELF, RUSAGE_CHILDREN))

small, large = (Path(name).read_bytes() for name in sys.argv[1:])
decode(small)
before = most()
pixels = decode(large).pixels
print(*((after - least) / (pixels.size / 3) for after, least in zip(most(), before)))
"""


@pytest.mark.slow
def test_decoding_stays_within_its_documented_memory() -> None:
    """As in docs/install.md. Shared samples count for neither process until the server reads them."""
    command = [sys.executable, "-c", MEMORY, str(DATA / "four_colours.heic"), str(DATA / "flat.heic")]
    done = subprocess.run(command, cwd=DATA.parents[1], capture_output=True, text=True, check=True)
    server, decoder = map(float, done.stdout.split())
    assert decoder + 3 < 8 + 1
    assert server < 8 + 1


def saying(*lines: str) -> Any:
    """Replaces `start_module`: a decoder that runs other code, as one does that crashed or that a photo took over.

    `memory` is the descriptor of the shared memory.
    """
    code = "\n".join(("import json, os, signal, sys, time", "memory = int(sys.argv[1])", *lines))

    def start(_: str, arguments: Sequence[object], **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], **options)

    return start


FOUND = "print(json.dumps({'pictures': 1, 'size': [64, 48]}), flush=True); sys.stdin.read(1)"
DECODED = "print(json.dumps({'mode': 'L', 'size': [64, 48], 'stride': 64, 'samples': 3072}), flush=True)"
ENDS_BY = "os.kill(os.getpid(), signal.%s)"


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        (["time.sleep(60)"], PhotoTooCostly, "more than 0.5 s"),
        ([FOUND, "time.sleep(60)"], PhotoTooCostly, "more than 0.5 s"),
        (["os.close(1)", "time.sleep(60)"], UnreadablePhoto, "damaged"),
        ([FOUND, DECODED, "time.sleep(60)"], UnreadablePhoto, "damaged"),
        ([ENDS_BY % "SIGSEGV"], UnreadablePhoto, "its decoder crashed"),
        ([FOUND, ENDS_BY % "SIGBUS"], UnreadablePhoto, "its decoder crashed"),
        ([FOUND, ENDS_BY % "SIGABRT"], PhotoTooLarge, "more memory"),
        ([ENDS_BY % "SIGKILL"], Overloaded, "was ended .SIGKILL"),
        ([FOUND, ENDS_BY % "SIGTERM"], Overloaded, "was ended .SIGTERM"),
        (["print(json.dumps({'error': 'setup', 'detail': 'no libheif'}))"], Overloaded, "does not start"),
        (["print('[]' * 3000)"], UnreadablePhoto, "damaged"),
        (["print('{}')"], UnreadablePhoto, "damaged"),
        (["print(json.dumps({'pictures': 99, 'size': [64, 48]}))"], PhotoTooLarge, "99 pictures"),
        (["print(json.dumps({'pictures': 1, 'size': ['64', None]}))"], UnreadablePhoto, "damaged"),
        ([FOUND, DECODED.replace("64, 48", "64, -48")], UnreadablePhoto, "at least 1x1"),
        ([FOUND, DECODED.replace("64, 48", "6400, 4800")], UnreadablePhoto, "damaged"),
        ([FOUND, DECODED.replace("64, 48", "64000, 48")], PhotoTooLarge, "64000x48"),
        ([FOUND, DECODED.replace("3072", "'all'")], UnreadablePhoto, "damaged"),
        (["os.ftruncate(memory, 10**9)", FOUND, DECODED], UnreadablePhoto, "damaged"),
    ],
)
def test_a_misbehaving_decoder_costs_one_photo(
    monkeypatch: pytest.MonkeyPatch, lines: list[str], error: type[Exception], message: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(separate, "start_module", saying(*lines))
        patched.setattr(separate, "HANG_S", 0.5 if error is PhotoTooCostly else 60.0)
        patched.setattr(separate, "END_S", 0.5)
        with pytest.raises(error, match=message):
            decode(FOUR_COLOURS)
    assert decode(FOUR_COLOURS).width == 64


def test_a_crash_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(separate, "start_module", saying(ENDS_BY % "SIGSEGV"))
    with pytest.raises(UnreadablePhoto):
        decode(FOUR_COLOURS)
    assert "SIGSEGV" in caplog.text


def test_decoding_stops_when_the_photo_is_not_wanted_any_more() -> None:
    ends = time.monotonic() + 1
    with pytest.raises(DeadlineExceeded):
        decode(HARD, wanted=lambda: time.monotonic() < ends)
    assert time.monotonic() < ends + 10


def test_photos_are_decoded_concurrently() -> None:
    photos = [FOUR_COLOURS, of_tiles(2, 2), FOUR_COLOURS[:300], of_tiles(1, 3)] * 3
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(_size, photos))
    assert found == [(64, 48), (128, 128), None, (192, 64)] * 3


def _size(photo: bytes) -> tuple[int, int] | None:
    try:
        decoded = decode(photo)
    except UnreadablePhoto:
        return None
    return decoded.width, decoded.height


def test_a_decoder_that_does_not_start_is_no_fault_of_the_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(Overloaded, match="No such file"):
        decode(FOUR_COLOURS)


def test_a_refused_photo_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separate, "CPU_S", 1)
    with pytest.raises(PhotoTooLarge, match=r"1920x1920 pixels; at most 1000000 in all"):
        decode(HARD, Limits(max_pixels=1_000_000))


@pytest.mark.slow
def test_small_photos_are_decoded_side_by_side_at_a_small_limit() -> None:
    limits = Limits(max_pixels=64 * 48)
    with ThreadPoolExecutor(6) as threads:
        photos = list(threads.map(lambda _: decode(FOUR_COLOURS, limits), range(100)))
    assert {(photo.width, photo.height) for photo in photos} == {(64, 48)}
