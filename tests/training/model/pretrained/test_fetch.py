"""Weights fetched from a real server that misbehaves, and verified."""

import hashlib

import pytest

from tests.training.model.pretrained.pretrained_server import NAME, SMALL, packed, serving
from training.cli import main
from training.model.pretrained.catalogue import PretrainedWeightsError
from training.model.pretrained.fetch import fetch, verify
from training.model.pretrained.restore import fine_tune_source


@pytest.fixture
def server():
    with serving(SMALL) as server:
        yield server


def test_an_archive_is_fetched_once_from_a_mirror(server, tmp_path, capsys) -> None:
    arguments = ["pretrained", "fetch", NAME, "--mirror", server.address + "/zoo/", "--cache", str(tmp_path)]
    assert main(arguments) == 0
    digest = hashlib.sha256(SMALL).hexdigest()
    out = capsys.readouterr().out
    assert digest in out
    assert "publishes no sha256" in out
    assert server.requests == [(f"/zoo/{NAME}.tar.gz", None)]
    kept = {path.relative_to(tmp_path / NAME).as_posix() for path in (tmp_path / NAME).rglob("*") if path.is_file()}
    data = "checkpoint/ckpt-0.data-00000-of-00001"
    assert kept == {"checkpoint/ckpt-0.index", data, "pipeline.config", "source.json"}
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert main(arguments) == 0
    assert len(server.requests) == 1, "what is there is not fetched again"
    assert main(["pretrained", "verify", NAME, "--cache", str(tmp_path)]) == 0
    (tmp_path / NAME / data).write_bytes(b"altered")
    assert main(["pretrained", "verify", NAME, "--cache", str(tmp_path)]) == 1
    assert "was altered" in capsys.readouterr().err


def test_a_broken_transfer_resumes(server, tmp_path) -> None:
    server.cut_after = 100_000
    fetch(NAME, tmp_path, source=server.address + "/a.tar.gz")
    (_, first), (_, second) = server.requests
    assert first is None
    assert second == "bytes=100000-"
    assert verify(NAME, tmp_path) == hashlib.sha256(SMALL).hexdigest()


def test_without_ranges_a_transfer_restarts(server, tmp_path) -> None:
    server.cut_after, server.knows_ranges = 100_000, False
    fetch(NAME, tmp_path, source=server.address + "/a.tar.gz")
    assert verify(NAME, tmp_path) == hashlib.sha256(SMALL).hexdigest()


def test_a_changed_file_restarts_a_transfer(server, tmp_path) -> None:
    partial = tmp_path / f"{NAME}.tar.gz.partial"
    partial.write_bytes(b"x" * 5000)
    partial.with_suffix(".etag").write_text('"older"')
    fetch(NAME, tmp_path, source=server.address + "/a.tar.gz")
    assert server.requests == [("/a.tar.gz", "bytes=5000-")]
    assert verify(NAME, tmp_path) == hashlib.sha256(SMALL).hexdigest()


def test_an_unavailable_archive_gives_advice(server, tmp_path) -> None:
    with pytest.raises(PretrainedWeightsError, match=r"answers 404\).*--from FILE"):
        fetch(NAME, tmp_path, source=server.address + "/missing.tar.gz")
    with pytest.raises(PretrainedWeightsError, match=r"127\.0\.0\.1:1/.*copy the archive"):
        fetch(NAME, tmp_path, source="http://127.0.0.1:1/a.tar.gz")
    with pytest.raises(PretrainedWeightsError, match="is not a file"):
        fetch(NAME, tmp_path, source=str(tmp_path / "none.tar.gz"))
    with pytest.raises(PretrainedWeightsError, match="nothing to fetch"):
        fetch("coco-backbone", tmp_path)
    with pytest.raises(PretrainedWeightsError, match="the nearest name is ssd_resnet50"):
        fetch("ssd_resnet50", tmp_path)
    with pytest.raises(PretrainedWeightsError, match=f"pretrained fetch {NAME}"):
        fine_tune_source(NAME, "ssd_mobilenet_v2_fpnlite", tmp_path, cache=tmp_path)


def test_a_wrong_checksum_is_refused_and_no_file_remains(server, tmp_path) -> None:
    with pytest.raises(PretrainedWeightsError, match="expected is 00"):
        fetch(NAME, tmp_path, source=server.address + "/a.tar.gz", sha256="00")
    assert not list(tmp_path.iterdir())
    fetch(NAME, tmp_path, source=server.address + "/a.tar.gz", sha256=hashlib.sha256(SMALL).hexdigest().upper())


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (b"no archive", "not an archive of weights"),
        (SMALL[:-5000], "not an archive of weights"),
        (packed({"../../escaped": b"x"}), "not an archive of weights"),
        (packed({"pipeline.config": b"x"}), "has 0 files ckpt-0.index"),
    ],
)
def test_an_invalid_archive_is_refused(tmp_path, archive, message) -> None:
    (tmp_path / "in.tar.gz").write_bytes(archive)
    cache = tmp_path / "a" / "cache"
    with pytest.raises(PretrainedWeightsError, match=message):
        fetch(NAME, cache, source=str(tmp_path / "in.tar.gz"))
    assert not list(cache.iterdir())
    assert not list(tmp_path.rglob("escaped"))
