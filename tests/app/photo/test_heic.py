"""HEIC photos and the process that decodes them."""

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
from app.photo import heic
from app.photo.decoding import decode
from app.photo.limits import Limits
from tests.app.photo.pictures import DATA, FLAT, FOUR_COLOURS, HARD, assert_four_colours, of_tiles

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


def test_tiles_are_joined() -> None:
    """The test picture shows 64x48 of its 64x64 pixels."""
    whole = decode(FOUR_COLOURS).pixels
    tiled = decode(of_tiles(3, 2)).pixels
    assert tiled.shape == (3 * 64, 2 * 64, 3)
    for top in (0, 64, 128):
        for left in (0, 64):
            np.testing.assert_array_equal(tiled[top : top + 48, left : left + 64], whole)


@pytest.mark.slow
def test_decoding_for_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heic, "CPU_S", 1)
    started = time.monotonic()
    with pytest.raises(PhotoTooLarge, match="more than 1 s of a processor"):
        decode(HARD)
    assert time.monotonic() - started < 60


def test_decoding_with_too_much_memory_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder does not always know the cause of its error."""
    monkeypatch.setattr(heic, "BYTES_PER_PIXEL", 0)
    errors = []
    for more in (60, 80, 100):
        monkeypatch.setattr(heic, "EXTRA_BYTES", more * 1_000_000)
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
        patched.setattr(heic, "start_module", saying(*lines))
        patched.setattr(heic, "HANG_S", 0.5 if error is PhotoTooCostly else 60.0)
        patched.setattr(heic, "END_S", 0.5)
        with pytest.raises(error, match=message):
            decode(FOUR_COLOURS)
    assert decode(FOUR_COLOURS).width == 64


def test_a_crash_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(heic, "start_module", saying(ENDS_BY % "SIGSEGV"))
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
    monkeypatch.setattr(heic, "CPU_S", 1)
    with pytest.raises(PhotoTooLarge, match=r"1920x1920 pixels; at most 1000000 in all"):
        decode(HARD, Limits(max_pixels=1_000_000))


def with_rotation(heic: bytes, quarter_turns: int) -> bytes:
    """The HEIC with an `irot` property (ISO 23008-12, 6.5.10: quarter turns anticlockwise) on its primary picture."""

    def box(data: bytes | bytearray, name: bytes) -> tuple[int, int]:
        start = data.index(name) - 4
        return start, start + int.from_bytes(data[start : start + 4], "big")

    def grow(data: bytearray, name: bytes, by: int) -> None:
        start, end = box(data, name)
        data[start : start + 4] = (end - start + by).to_bytes(4, "big")

    out = bytearray(heic)
    primary = int.from_bytes(out[box(out, b"pitm")[0] + 12 : box(out, b"pitm")[1]], "big")
    start, end = box(out, b"ipco")
    at, properties = start + 8, 0
    while at < end:
        at, properties = at + int.from_bytes(out[at : at + 4], "big"), properties + 1
    for name in (b"meta", b"iprp", b"ipco"):
        grow(out, name, 9)
    out[end:end] = (9).to_bytes(4, "big") + b"irot" + bytes([quarter_turns])
    start, _ = box(out, b"ipma")
    at = start + 16  # header, version and flags, entry count
    while int.from_bytes(out[at : at + 2], "big") != primary:
        at += 3 + out[at + 2]
    for name in (b"meta", b"iprp", b"ipma"):
        grow(out, name, 1)
    out[at + 3 + out[at + 2] : at + 3 + out[at + 2]] = bytes([0x80 | (properties + 1)])
    out[at + 2] += 1
    start, _ = box(out, b"iloc")
    assert out[start + 8 : start + 14] == bytes([1, 0, 0, 0, 0x44, 0x40]), "iloc: version 1, 4-byte fields, no index"
    at = start + 16
    for _ in range(int.from_bytes(out[start + 14 : start + 16], "big")):
        if out[at + 3] == 0:  # placed by its offset in the file
            out[at + 6 : at + 10] = (int.from_bytes(out[at + 6 : at + 10], "big") + 10).to_bytes(4, "big")
        at += 12 + 8 * int.from_bytes(out[at + 10 : at + 12], "big")
    return bytes(out)


def test_heic_rotation_is_applied_once() -> None:
    """Phones write the container's rotation and, for other readers, the same in EXIF."""
    stored_turned = with_rotation((DATA / "four_colours_turned.heic").read_bytes(), quarter_turns=3)
    assert_four_colours(decode(stored_turned).pixels, tolerance=8)


def test_heic_exif_orientation_is_ignored() -> None:
    photo = decode((DATA / "four_colours_turned.heic").read_bytes())
    assert (photo.width, photo.height) == (48, 64)


def test_10_bit_heic_grey_keeps_its_range() -> None:
    row = decode((DATA / "grey_10bit.heic").read_bytes()).pixels[24, :, 0].astype(int)
    assert row[0] < 20
    assert row[-1] > 235
    assert (np.diff(row) >= -3).all()


@pytest.mark.slow
def test_small_photos_are_decoded_side_by_side_at_a_small_limit() -> None:
    limits = Limits(max_pixels=64 * 48)
    with ThreadPoolExecutor(6) as threads:
        photos = list(threads.map(lambda _: decode(FOUR_COLOURS, limits), range(100)))
    assert {(photo.width, photo.height) for photo in photos} == {(64, 48)}
