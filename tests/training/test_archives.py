import io
import tarfile
from pathlib import Path

import pytest

from training.archives import ArchiveError, unpack


def write(path: Path, *members: tuple[str, bytes, bytes]) -> Path:
    """An archive of members: name, type, content."""
    with tarfile.open(path, "w:gz") as archive:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.mode = kind, len(content), 0o777
            archive.addfile(member, io.BytesIO(content))
    return path


def test_files_and_folders_are_unpacked(tmp_path: Path) -> None:
    archive = write(
        tmp_path / "a.tar.gz",
        ("a", tarfile.DIRTYPE, b""),
        ("a/b", tarfile.REGTYPE, b"1"),
        ("/c/d", tarfile.REGTYPE, b"2"),
    )
    unpack(archive, tmp_path / "out", max_bytes=2)
    assert (tmp_path / "out/a/b").read_bytes() == b"1"
    assert (tmp_path / "out/c/d").read_bytes() == b"2"
    assert not (tmp_path / "out/a/b").stat().st_mode & 0o111


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("../escaped", tarfile.REGTYPE, "outside the destination"),
        ("a/../../escaped", tarfile.REGTYPE, "outside the destination"),
        ("link", tarfile.SYMTYPE, "neither a file nor a folder"),
        ("hard", tarfile.LNKTYPE, "neither a file nor a folder"),
        ("device", tarfile.CHRTYPE, "neither a file nor a folder"),
    ],
)
def test_hostile_members_are_refused(name: str, kind: bytes, message: str, tmp_path: Path) -> None:
    archive = write(tmp_path / "a.tar.gz", (name, kind, b""))
    with pytest.raises(ArchiveError, match=message):
        unpack(archive, tmp_path / "in" / "out", max_bytes=10)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["a.tar.gz"]


def test_limits_and_damage(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.tar.gz", ("a", tarfile.REGTYPE, b"1" * 9), ("b", tarfile.REGTYPE, b"2"))
    with pytest.raises(ArchiveError, match="or 9 bytes"):
        unpack(archive, tmp_path / "out", max_bytes=9)
    with pytest.raises(ArchiveError, match="more than 1 files"):
        unpack(archive, tmp_path / "out", max_bytes=99, max_members=1)
    (tmp_path / "b.tar.gz").write_bytes(archive.read_bytes()[:-20])
    with pytest.raises(ArchiveError, match="damaged"):
        unpack(tmp_path / "b.tar.gz", tmp_path / "out", max_bytes=99)
