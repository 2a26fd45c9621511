"""Zip archives of photos: those of ordinary programs are read, and all others do no harm."""

import io
import random
import shutil
import subprocess
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from app.errors import BadArchive, BatchTooLarge, CariesError, PhotoTooLarge
from app.photo.zip_photos import list_photos

PHOTOS = [random.Random(number).randbytes(3000 + number) for number in range(4)]


class Stream(io.RawIOBase):
    """A file that is not seekable, so that sizes follow the members."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.data += bytes(data)
        return len(data)


def written(method: int = zipfile.ZIP_DEFLATED, *, streamed: bool = False) -> bytes:
    out = Stream() if streamed else io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for number, photo in enumerate(PHOTOS):
            archive.writestr(f"{9 - number}.jpg", photo)
    return out.data if isinstance(out, Stream) else out.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("streamed", [False, True])
def test_photos_in_the_order_of_the_archive(method: int, streamed: bool) -> None:
    for archive in (written(method, streamed=streamed), bytearray(written(method, streamed=streamed))):
        assert [member.read(10_000) for member in list_photos(archive, max_photos=4)] == PHOTOS


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_the_first_bytes_of_a_photo(method: int) -> None:
    heads = [member.head(3) for member in list_photos(written(method), max_photos=4)]
    assert heads == [b"" if method == zipfile.ZIP_BZIP2 else photo[:3] for photo in PHOTOS]
    damaged = bytearray(written(method))
    damaged[40:60] = b"\xff" * 20
    assert len(list_photos(damaged, max_photos=4)[0].head(3)) <= 3


@pytest.mark.skipif(shutil.which("zip") is None, reason="zip is not installed")
@pytest.mark.parametrize("flags", ["-qr", "-qr0"])
def test_archives_of_info_zip(tmp_path: Path, flags: str) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, photo in enumerate(PHOTOS):
        (folder / f"{number}.jpg").write_bytes(photo)
    for target in ("a.zip", "-"):
        done = subprocess.run(["zip", flags, target, "photos"], cwd=tmp_path, check=True, stdout=subprocess.PIPE)
        archive = done.stdout if target == "-" else (tmp_path / target).read_bytes()
        assert sorted(member.read(10_000) for member in list_photos(archive, max_photos=4)) == sorted(PHOTOS)


def test_a_limit_is_exact() -> None:
    (member, *_) = list_photos(written(), max_photos=4)
    assert member.read(3000) == PHOTOS[0]
    with pytest.raises(PhotoTooLarge, match="2999"):
        member.read(2999)
    with pytest.raises(BatchTooLarge, match="more than 3 photos"):
        list_photos(written(), max_photos=3)


def test_a_bomb_takes_no_more_memory_than_its_limit() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(200_000_000))
    (member,) = list_photos(out.getvalue(), max_photos=1)
    tracemalloc.start()
    with pytest.raises(PhotoTooLarge):
        member.read(2**20)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 6 * 2**20


def test_a_million_entries_are_not_read() -> None:
    entry = b"PK\x01\x02" + bytes(42)
    directory = entry * 1_000_000
    end = b"PK\x05\x06" + bytes(8) + len(directory).to_bytes(4, "little") + bytes(6)
    seconds = []
    for _ in range(3):
        started = time.process_time()
        with pytest.raises((BadArchive, BatchTooLarge)):
            list_photos(directory + end, max_photos=32)
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.1


def test_damage_is_reported_as_damage() -> None:
    chance, outcomes = random.Random(5), set()
    for _ in range(3000):
        data = bytearray(written(chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))))
        directory = data.rindex(b"PK\x01\x02") - 200
        for _ in range(chance.choice((1, 2, 8))):
            place = chance.choice((chance.randrange(len(data)), chance.randrange(directory, len(data))))
            data[place] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
        if chance.random() < 0.1:
            del data[chance.randrange(len(data)) :]
        try:
            read = [member.read(10_000) for member in list_photos(data, max_photos=8)]
            assert all(photo in PHOTOS for photo in read)
            outcomes.add("read")
        except CariesError as error:
            outcomes.add(type(error).__name__)
    assert outcomes >= {"read", "BadArchive", "UnreadablePhoto", "UnsupportedPhoto"}
