"""The actor, in this process, on a stand-in detector."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fsspec", reason="the extra ray is not installed")
pytest.importorskip("pyarrow", reason="the extra ray is not installed")

from pyarrow import parquet

from app.archive import shards
from app.archive.shards import ShardScreener, item
from app.detector.engine import build_engine_from_settings
from app.errors import BundleError, WorkerDied
from app.screen_photo import Options
from app.settings import Precision, Settings
from tests.app.conftest import ThreeTeeth
from tests.app.test_detect_folder import write_photo


class Crashing(ThreeTeeth):
    """A runtime whose process dies with the first photo after the warm-up, and on every dark photo."""

    def __init__(self) -> None:
        self.photos = 0

    def detect(self, pixels: np.ndarray) -> Any:
        self.photos += 1
        if pixels.any() and (self.photos == 2 or pixels.mean() < 110):
            raise WorkerDied("the detector's process ended before it answered")
        return super().detect(pixels)


def screener(store: Path, out: Path, monkeypatch: pytest.MonkeyPatch, runtime: Any, **options: Any) -> ShardScreener:
    build = functools.partial(build_engine_from_settings, load=lambda *_, **__: runtime)
    monkeypatch.setattr(shards, "build_engine_from_settings", build)
    settings = Settings(model_store=store, precision=Precision.FLOAT32)
    return ShardScreener(settings, Options(**options), str(out), build(settings).bundle.sha256)


def batch(number: int, photos: tuple[str, ...]) -> Any:
    return {name: np.array([value]) for name, value in item(number, photos).items()}


def test_a_shard_becomes_a_part_file_and_pictures(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    carious, sound = write_photo(tmp_path / "a.jpg"), write_photo(tmp_path / "sub" / "A.jpg", light=90)
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    photos = (str(carious), str(tmp_path / "b.jpg"), str(sound), str(tmp_path / "none.jpg"))
    out = tmp_path / "out"
    screened = screener(store, out, monkeypatch, ThreeTeeth(), media_type="image/png")
    assert screened(batch(3, photos)) == {"shard": np.array([3]), "photos": np.array([4])}
    rows = parquet.read_table(out / "photos" / "shard-00003.parquet").to_pylist()
    assert [row["file"] for row in rows] == list(photos)
    first, second, third, fourth = rows
    assert first["verdict"] == "caries_suspected"
    (box,) = first["boxes"]
    assert (box["class"], box["score"], box["xmin"], box["ymax"]) == ("caries", 0.8, 160.0, 120.0)
    assert (first["width"], first["height"], first["model"], first["error"]) == (320, 240, "stand-in", None)
    assert (third["verdict"], third["boxes"]) == ("no_caries_found", [])
    assert "format" in second["error"]
    assert (second["verdict"], second["boxes"]) == (None, None)
    assert fourth["error"].startswith("the file cannot be read")
    pictures = [first["picture"], third["picture"]]
    assert pictures == [f"pictures/shard-00003/{name}" for name in ("[Result]a.png", "[Result]A (2).png")]
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_a_crash_of_the_detector_costs_no_photo_unless_it_repeats(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = (str(write_photo(tmp_path / "a.jpg")), str(write_photo(tmp_path / "b.jpg", light=80)))
    screener(store, tmp_path / "out", monkeypatch, Crashing())(batch(0, photos))
    rows = parquet.read_table(tmp_path / "out" / "photos").to_pylist()
    assert [row["verdict"] for row in rows] == ["caries_suspected", None]
    assert "process ended" in rows[1]["error"]


def test_a_node_with_another_model_is_refused(tmp_path: Path, store: Path) -> None:
    settings = Settings(model_store=store, precision=Precision.FLOAT32)
    with pytest.raises(BundleError, match="another model than on the machine of the command"):
        ShardScreener(settings, Options(), str(tmp_path), "0" * 64)
