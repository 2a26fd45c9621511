"""Photos of folders, zip archives and patterns, on the file systems of fsspec."""

import zipfile
from pathlib import Path

import pytest

pytest.importorskip("fsspec", reason="the extra ray is not installed")

import fsspec

from app.archive.listing import absolute, list_archive, read_photo
from app.errors import PhotoTooLarge, UnreadablePhoto


def write(path: Path, data: bytes = b"photo") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_zip(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, f"bytes of {name}")
    return path


def test_folders_files_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "in"
    for name in ("b.JPG", "sub/a.dcm", "notes.txt", ".hidden/c.jpg", "sub/.d.jpg", "sub/[Result]a.png"):
        write(folder / name)
    odd = write(tmp_path / "photo.raw")
    write(folder / "out" / "pictures" / "e.png")
    expected = [str(folder / "b.JPG"), str(folder / "sub" / "a.dcm")]
    assert list_archive([str(folder), str(folder / "b.JPG")], str(folder / "out")) == (expected, [])
    assert list_archive([str(odd)], "out") == ([str(odd)], [])
    assert list_archive([f"{tmp_path}/*/sub/*"], "out") == (expected[1:], [])
    monkeypatch.chdir(tmp_path)
    assert list_archive(["in/"], "in/out")[0] == expected


def test_inputs_without_a_photo_are_failures(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "broken.zip")
    inputs = [str(tmp_path / name) for name in ("empty", "nothing.jpg", "*.png", "broken.zip")]
    photos, failures = list_archive([*inputs, "nosuch://bucket/a.jpg"], "out")
    assert photos == []
    assert [name for name, _ in failures] == [*inputs, "nosuch://bucket/a.jpg"]
    reasons = [reason for _, reason in failures]
    assert reasons[0].startswith("no photo is there (.dcm, ")
    assert reasons[2].startswith("no photo is there")
    assert all(reason.startswith("it cannot be listed: ") for reason in (reasons[1], *reasons[3:]))


def test_zip_archives(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.ZIP", "x/1.jpg", "2.png", "__MACOSX/3.jpg", ".4.jpg", "5.txt")
    photos, failures = list_archive([str(archive)], "out")
    assert photos == [f"zip://2.png::{archive}", f"zip://x/1.jpg::{archive}"]
    assert failures == []
    assert [read_photo(photo, 100) for photo in photos] == [b"bytes of 2.png", b"bytes of x/1.jpg"]
    with pytest.raises(UnreadablePhoto, match="cannot be unpacked"):
        read_photo(f"zip://3.png::{archive}", 100)
    with pytest.raises(PhotoTooLarge, match="more than 10 bytes"):
        read_photo(photos[0], 10)


def test_other_file_systems() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/bucket/a/1.jpg": b"one", "/bucket/a/2.txt": b"", "/bucket/b/3.jpg": b"three"})
    expected = ["memory://bucket/a/1.jpg", "memory://bucket/b/3.jpg"]
    assert [url.replace(":///", "://") for url in list_archive(["memory://bucket"], "out")[0]] == expected
    assert [url.replace(":///", "://") for url in list_archive(["memory://bucket/*/*"], "out")[0]] == expected
    assert read_photo(expected[1], 5) == b"three"
    with pytest.raises(PhotoTooLarge):
        read_photo(expected[1], 4)
    with pytest.raises(FileNotFoundError):
        read_photo("memory://bucket/none.jpg", 4)


def test_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("out/") == str(tmp_path / "out")
    assert absolute("memory://bucket/out/").replace(":///", "://") == "memory://bucket/out"
