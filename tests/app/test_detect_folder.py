"""`caries detect` on photos and folders, run in this process on a stand-in detector."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app import detect_folder as folder
from app.cli import main
from tests.app.api.live_server import POINTS, write_bundle
from tests.app.photo import dicom_files
from tests.conftest import ROOT


def write_photo(path: Path, width: int = 320, height: int = 240, light: int = 128) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:height, :width]
    base = light + 60 * np.sin(columns / 3) * np.cos(rows / 4)
    Image.fromarray(np.stack([base + 20, base - 10, base - 20], axis=2).clip(0, 255).astype(np.uint8)).save(path)
    return path


def read_table(out: Path) -> list[dict[str, str]]:
    with (out / "detections.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.usefixtures("store")
def test_detect_writes_pictures_and_the_table(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    carious, sound = (
        write_photo(tmp_path / "in" / "a.jpg"),
        write_photo(tmp_path / "in" / "sub" / "b.PNG", 180, 150, light=90),
    )
    out = tmp_path / "out"
    assert main(["detect", str(tmp_path / "in"), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["[Result]a.png", "[Result]b.png", "detections.csv"]
    for name in ("[Result]a.png", "[Result]b.png"):
        with Image.open(out / name) as picture:
            picture.load()
            assert picture.format == "PNG"
    rows = read_table(out)
    assert list(rows[0]) == list(folder.COLUMNS)
    assert rows == [
        {
            **{"file": str(carious), "verdict": "caries_suspected", "reasons": "", "teeth_seen": "3"},
            **{"class": "caries", "class_id": "2", "score": "0.8"},
            **{"xmin": "160.0", "ymin": "24.0", "xmax": "240.0", "ymax": "120.0"},
            **{"hidden_by_max_boxes": "0", "operating_point": "", "result": "[Result]a.png", "frame": ""},
        },
        {
            **{"file": str(sound), "verdict": "no_caries_found", "reasons": "", "teeth_seen": "3"},
            **dict.fromkeys(("class", "class_id", "score", "xmin", "ymin", "xmax", "ymax"), ""),
            **{"hidden_by_max_boxes": "0", "operating_point": "", "result": "[Result]b.png", "frame": ""},
        },
    ]
    said = capfd.readouterr()
    assert said.out == ""
    assert "2/2" in said.err


@pytest.mark.usefixtures("store")
def test_detect_options(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photo = write_photo(tmp_path / "a.jpg")
    options = [
        "--classes",
        "all",
        "--threshold",
        "0.6",
        "--max-boxes",
        "2",
        "--format",
        "jpeg",
        "--lang",
        "ko",
        "--json",
    ]
    assert main(["detect", str(photo), "--out", str(tmp_path / "out"), *options]) == 0
    with Image.open(tmp_path / "out" / "[Result]a.jpg") as picture:
        assert picture.format == "JPEG"
    answer = json.loads(capfd.readouterr().out)
    assert answer["file"] == str(photo)
    assert [box["class"] for box in answer["detections"]] == ["normal", "caries"]
    assert answer["hidden_by_max_boxes"] == 1
    assert answer["operating_point"]["sensitivity"] is None
    assert [row["hidden_by_max_boxes"] for row in read_table(tmp_path / "out")] == ["1", "1"]


def test_detect_at_a_named_operating_point(
    tmp_path: Path, store: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(store, version=2, operating_points=POINTS)
    photo, out = write_photo(tmp_path / "a.jpg"), tmp_path / "out"
    monkeypatch.setenv("CARIES_OPERATING_POINT", "balanced")
    command = ["detect", str(photo), "--out", str(out), "--json"]
    for flags, name, threshold in (
        ([], "balanced", 0.5),
        (["--operating-point", "specific"], "specific", 0.7),
        (["--threshold", "0.6"], None, 0.6),
    ):
        assert main([*command, *flags]) == 0
        point = json.loads(capfd.readouterr().out)["operating_point"]
        assert (point["name"], point["score_threshold"]) == (name, threshold)
        assert {row["operating_point"] for row in read_table(out)} == {name or ""}
    assert main([*command, "--operating-point", "keen"]) == 1
    assert "'keen' is unknown; those of stand-in 2 are: balanced, specific" in capfd.readouterr().err


@pytest.mark.usefixtures("store")
def test_photos_of_the_same_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    photos = [
        write_photo(tmp_path / "one" / "a.jpg", 320),
        write_photo(tmp_path / "one" / "a.png", 330),
        write_photo(tmp_path / "two" / "A.jpg", 340),
        write_photo(tmp_path / "two" / "a (2).jpg", 350),
    ]
    out = tmp_path / "out"
    assert main(["detect", *map(str, photos), str(tmp_path / "one"), "--out", str(out)]) == 0
    results = {row["file"]: row["result"] for row in read_table(out)}
    assert len(results) == 4
    assert len({name.casefold() for name in results.values()}) == 4
    for photo, width in zip(photos, (320, 330, 340, 350), strict=True):
        with Image.open(out / results[str(photo)]) as picture:
            assert picture.width == width
    assert main(["detect", *map(str, photos), "--out", str(out)]) == 0
    assert len(list(out.iterdir())) == 5


@pytest.mark.usefixtures("store")
def test_bad_files_are_listed_and_do_not_stop_the_rest(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder_in = tmp_path / "in"
    write_photo(folder_in / "a.jpg")
    write_photo(folder_in / "c.jpg")
    (folder_in / "b.jpg").write_bytes((folder_in / "a.jpg").read_bytes()[:700])
    (folder_in / "notes.txt").write_text("hello", encoding="utf-8")
    (folder_in / "empty.jpg").touch()
    (tmp_path / "nothing").mkdir()
    inputs = [folder_in, tmp_path / "missing.jpg", tmp_path / "nothing", folder_in / "notes.txt"]
    assert main(["detect", *map(str, inputs), "--out", str(tmp_path / "out")]) == 1
    said = capfd.readouterr().err
    for line in (
        f"{tmp_path / 'missing.jpg'}: there is no such file or folder",
        f"{tmp_path / 'nothing'}: the folder contains no photo",
        f"{folder_in / 'b.jpg'}: the JPEG photo is damaged",
        f"{folder_in / 'empty.jpg'}: the photo has no bytes",
        f"{folder_in / 'notes.txt'}: the bytes are not a known picture format",
        "5 failed",
    ):
        assert line in said
    assert [Path(row["file"]).name for row in read_table(tmp_path / "out")] == ["a.jpg", "c.jpg"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("[Result]a.png", "[Result]c.png", "detections.csv")
    ]


@pytest.mark.usefixtures("store")
def test_dicom_photos_of_folders(tmp_path: Path) -> None:
    photo = Image.open(write_photo(tmp_path / "a.png"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.DCM").write_bytes(dicom_files.native(np.asarray(photo)))
    assert main(["detect", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    assert Image.open(tmp_path / "out" / "[Result]b.png").width == 320


@pytest.mark.usefixtures("store")
def test_frames_are_screened_one_by_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pictures = [np.asarray(Image.open(write_photo(tmp_path / "a.png", light=light))) for light in (128, 90, 128)]
    folder_in = tmp_path / "in"
    sound = write_photo(folder_in / "a.jpg", light=90)
    (folder_in / "b.dcm").write_bytes(dicom_files.frames(pictures))
    named = write_photo(folder_in / "b#2.jpg")
    last = write_photo(folder_in / "c.jpg")
    out = tmp_path / "out"
    assert main(["detect", str(folder_in), "--out", str(out), "--json"]) == 0
    said = capfd.readouterr()
    assert "6/6" in said.err
    scan = str(folder_in / "b.dcm")
    carious, none = "caries_suspected", "no_caries_found"
    found = [(row["file"], row["frame"], row["verdict"], row["result"]) for row in read_table(out)]
    assert found == [
        (str(sound), "", none, "[Result]a.png"),
        (str(named), "", carious, "[Result]b#2.png"),
        (scan, "1", carious, "[Result]b#1.png"),
        (scan, "2", none, "[Result]b#2 (2).png"),
        (scan, "3", carious, "[Result]b#3.png"),
        (str(last), "", carious, "[Result]c.png"),
    ]
    answers = [json.loads(line) for line in said.out.splitlines()]
    assert [(answer["file"], answer.get("frame")) for answer in answers] == [
        (file, int(frame) if frame else None) for file, frame, *_ in found
    ]
    for light, result in zip((128, 90, 128), (*(row[3] for row in found if row[1]),), strict=True):
        assert abs(np.asarray(Image.open(out / result))[:240].mean() - light) < 25
    assert sorted(path.name for path in out.iterdir()) == [*sorted(row[3] for row in found), "detections.csv"]


@pytest.mark.usefixtures("store")
def test_a_frame_that_fails_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    picture = np.asarray(Image.open(write_photo(tmp_path / "a.png")))
    data = dicom_files.frames([picture, picture])
    second = data.rindex(b"\xff\xd8\xff")
    scan = tmp_path / "b.dcm"
    scan.write_bytes(data[:second] + bytes(200) + data[second + 200 :])
    assert main(["detect", str(scan), "--out", str(tmp_path / "out")]) == 1
    assert f"1 failed:\n  {scan}#2: the DICOM photo is damaged" in capfd.readouterr().err
    assert [row["frame"] for row in read_table(tmp_path / "out")] == ["1"]
    monkeypatch.setenv("CARIES_MAX_FRAMES", "1")
    assert main(["detect", str(scan), "--out", str(tmp_path / "out")]) == 1
    assert f"1 failed:\n  {scan}: the file contains 2 pictures; at most 1" in capfd.readouterr().err


@pytest.mark.usefixtures("store")
def test_results_in_the_folder_itself_are_not_screened_again(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a.jpg")
    for _ in range(2):
        assert main(["detect", str(tmp_path / "in"), "--out", str(tmp_path / "in")]) == 0
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == ["[Result]a.png", "a.jpg", "detections.csv"]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("out", [".", "..", "in/results"])
def test_results_around_and_inside_the_folder(tmp_path: Path, out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photo(tmp_path / "work" / "in" / "a.jpg")
    write_photo(tmp_path / "work" / "in" / "results" / "other.jpg")
    monkeypatch.chdir(tmp_path / "work")
    taken = ["in/a.jpg"] if out == "in/results" else ["in/a.jpg", "in/results/other.jpg"]
    for _ in range(2):
        assert main(["detect", "in", "--out", out]) == 0
        assert [row["file"] for row in read_table(Path(out))] == taken


@pytest.mark.usefixtures("store")
def test_names_that_are_not_utf_8(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Archives of Korean Windows leave names in CP949."""
    named = os.fsdecode("충치".encode("cp949"))
    photos = [write_photo(tmp_path / "in" / f"{name}.jpg") for name in ("a", "나", named)]
    (tmp_path / "in" / f"{named}.png").touch()
    assert main(["detect", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--json"]) == 1
    said = capfd.readouterr()
    assert {json.loads(line)["file"] for line in said.out.splitlines()} == set(map(str, photos))
    assert "1 failed" in said.err
    assert ".png: the photo has no bytes" in said.err
    escaped = named.encode(errors="backslashreplace").decode()
    assert {row["result"] for row in read_table(tmp_path / "out")} == {
        *("[Result]a.png", "[Result]나.png", f"[Result]{escaped}.png")
    }
    assert (tmp_path / "out" / f"[Result]{named}.png").stat().st_size > 0


@pytest.mark.slow
def test_detect_stops_when_the_reader_of_its_output_leaves(tmp_path: Path, example_photos: list[Path]) -> None:
    for number in range(30):
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(example_photos[0], tmp_path / "in" / f"{number}.jpg")
    command = [sys.executable, "-m", "app", "detect", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as detect:
        assert detect.stdout is not None
        assert detect.stderr is not None
        assert json.loads(detect.stdout.readline())["verdict"] == "caries_suspected"
        detect.stdout.close()
        said = detect.stderr.read()
    assert detect.returncode == 1
    assert "failed" not in said
    assert "Error" not in said
    assert 0 < len(list((tmp_path / "out").iterdir())) < 30


@pytest.mark.usefixtures("store")
def test_limits_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    photo = write_photo(tmp_path / "a.jpg")
    monkeypatch.setenv("CARIES_MAX_BYTES", "1024")
    assert main(["detect", str(photo), "--out", str(tmp_path / "out")]) == 1
    assert "at most 1024" in capfd.readouterr().err
