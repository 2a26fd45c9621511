"""`caries detect --ray` on two nodes, and the other tests of this folder in an environment with Ray."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.api.live_server import make_photo
from tests.conftest import ROOT
from tests.deploy.test_haproxy import free_port
from tests.ray_clusters import TwoNodes, two_nodes

pytestmark = [pytest.mark.slow, pytest.mark.systems]

ROWS = """
import json, sys
from fsspec.core import url_to_fs
from pyarrow import parquet
files, path = url_to_fs(sys.argv[1] + "/photos")
print(json.dumps(parquet.read_table(path, filesystem=files).to_pylist()))
"""
S3 = """
import sys
from fsspec.core import url_to_fs
files, bucket = url_to_fs("s3://archive")
files.mkdir(bucket)
for path in sys.argv[1:]:
    files.put_file(path, f"{bucket}/{path.rpartition('/')[2]}")
"""
"""Put files into a new bucket."""


@pytest.fixture(scope="module")
def cluster(ray_python: Path) -> Iterator[TwoNodes]:
    """Two nodes whose S3 is moto's."""
    port = free_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        **{"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"},
    }
    s3 = subprocess.Popen([ray_python, "-m", "moto.server", "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        with two_nodes(ray_python, environment) as running:
            yield running
    finally:
        s3.kill()
        s3.wait()


def detect(cluster: TwoNodes, *arguments: str) -> subprocess.CompletedProcess[str]:
    return cluster.run("-m", "app", "detect", "--ray", cluster.address, "--precision", "int8", *arguments)


def read_rows(cluster: TwoNodes, out: str) -> list[dict[str, Any]]:
    done = cluster.run("-c", ROWS, out)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def write_archive(folder: Path, count: int) -> list[Path]:
    """Copies of two photos, and one damaged file, which is the first of them."""
    folder.mkdir()
    paths = [folder / f"{number:04d}.jpg" for number in range(count)]
    photos = [make_photo(640, 480, light=light) for light in (120, 140)]
    for number, path in enumerate(paths):
        path.write_bytes(photos[number % 2])
    paths[0].write_bytes(photos[0][:2000])
    return paths


def parts(out: Path) -> dict[str, int]:
    """Name and time of every finished part."""
    return {path.name: path.stat().st_mtime_ns for path in out.glob("photos/shard-*.parquet")}


def test_each_photo_is_once_in_the_output_though_a_node_dies(cluster: TwoNodes, tmp_path: Path) -> None:
    paths, out = write_archive(tmp_path / "in", 1000), tmp_path / "out"
    process = cluster.start(
        "-m", "app", "detect", str(tmp_path / "in"), "--out", str(out), "--ray", cluster.address, "--precision", "int8"
    )
    cluster.wait(process, lambda: bool(parts(out)))
    cluster.kill_node()
    unfinished = 16 - len(parts(out))
    _, said = process.communicate(timeout=300)
    cluster.add_node()
    assert unfinished > 4, "the node died too late to matter"
    assert process.returncode == 1, said
    assert "1000/1000" in said
    assert f"caries: 1 failed:\n  {paths[0]}: " in said
    rows = read_rows(cluster, str(out))
    assert Counter(row["file"] for row in rows) == Counter(map(str, paths))
    assert [row["file"] for row in rows if row["error"]] == [str(paths[0])]
    assert {(row["width"], row["height"], row["picture"]) for row in rows if not row["error"]} == {(640, 480, None)}


def test_a_killed_command_is_resumed(cluster: TwoNodes, tmp_path: Path) -> None:
    paths, out = write_archive(tmp_path / "in", 600), tmp_path / "out"
    arguments = ["-m", "app", "detect", str(tmp_path / "in"), "--out", str(out), "--ray", cluster.address]
    process = cluster.start(*arguments)
    cluster.wait(process, lambda: len(parts(out)) > 1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(3)  # Ray ends the actors of a command that is gone
    finished = parts(out)
    added = tmp_path / "in" / "added.jpg"
    added.write_bytes(make_photo())
    done = cluster.run(*arguments)
    assert done.returncode == 1, done.stderr
    assert f"caries: 1 failed:\n  {paths[0]}: " in done.stderr
    assert len(finished) < len(parts(out))
    assert {name: parts(out)[name] for name in finished} == finished, "finished photos are not screened again"
    assert Counter(row["file"] for row in read_rows(cluster, str(out))) == Counter(map(str, [*paths, added]))
    again = cluster.run(*arguments)
    assert again.returncode == 1
    assert again.stderr.endswith(done.stderr[done.stderr.index("caries: 1 failed") :])
    assert "photo/s" not in again.stderr
    other = cluster.run(*arguments, "--threshold", "0.9")
    assert other.returncode == 1
    assert "threshold 0.9; choose another folder" in other.stderr


def test_an_archive_in_s3(cluster: TwoNodes, tmp_path: Path) -> None:
    photo, file = ROOT / "examples" / "img_train", tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(photo.glob("*.jpg"))[:2]:
            archive.write(path, path.name)
    files = [str(path) for path in (file, *sorted(photo.glob("*.jpg"))[2:4], ROOT / "tests/data/four_colours.dcm")]
    put = cluster.run("-c", S3, *files)
    assert put.returncode == 0, put.stderr
    inputs, out = ["s3://archive/*.zip", "s3://archive/"], "s3://archive/out"
    done = detect(cluster, *inputs, "--out", out, "--format", "jpeg")
    assert done.returncode == 0, done.stderr
    rows = read_rows(cluster, out)
    assert len({row["file"] for row in rows}) == len(rows) == 5
    assert sum(row["file"].startswith("zip://") for row in rows) == 2
    assert {row["file"].rpartition(".")[2] for row in rows if not row["file"].startswith("zip://")} == {"jpg", "dcm"}
    listed = cluster.run("-c", "import s3fs; print(*s3fs.S3FileSystem().find('archive/out/pictures'), sep='\\n')")
    assert sorted(listed.stdout.split("\n")[:-1]) == sorted(f"archive/out/{row['picture']}" for row in rows)


def test_the_answers_are_those_of_the_command_without_ray(cluster: TwoNodes, tmp_path: Path) -> None:
    photos = str(ROOT / "examples" / "img_train")
    done = cluster.run("-m", "app", "detect", photos, "--out", str(tmp_path / "a"), "--json", "--precision", "int8")
    answers = {answer["file"]: answer for answer in map(json.loads, done.stdout.splitlines())}
    assert len(answers) > 4
    assert detect(cluster, photos, "--out", str(tmp_path / "b")).returncode == 0
    rows = read_rows(cluster, str(tmp_path / "b"))
    assert len(rows) == len(answers)
    for row in rows:
        answer = answers[row["file"]]
        for name in ("verdict", "reasons", "teeth_seen", "hidden_by_max_boxes"):
            assert row[name] == answer[name]
        boxes = [{**box, **box["box"]} for box in answer["detections"]]
        assert [box["class"] for box in row["boxes"]] == [box["class"] for box in boxes]
        for box, expected in zip(row["boxes"], boxes, strict=True):
            assert {name: box[name] for name in ("score", "xmin", "ymin", "xmax", "ymax")} == pytest.approx(
                {name: expected[name] for name in ("score", "xmin", "ymin", "xmax", "ymax")}, abs=1e-3
            )
        assert (row["sha256"], row["width"]) == (answer["image"]["sha256"], answer["image"]["width"])


def test_the_tests_that_need_the_packages(ray_python: Path) -> None:
    command = [str(ray_python), "-m", "pytest", "-q", str(Path(__file__).parent)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
