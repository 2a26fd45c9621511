"""The `caries` command, run in this process on a stand-in detector and as a process on the committed bundle."""

import csv
import functools
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from app import detect_folder as folder
from app.cli import main
from app.detector.bundle import write_manifest
from app.detector.detections import Detections
from app.detector.engine import open_engine
from app.detector.runtimes import Runtime
from app.records.key_file import KEY

ROOT = Path(__file__).parents[2]
STORE = ROOT / "model_store"


class StandIn(Runtime):
    """A runtime that sees three teeth, the second carious; on dark photos three sound ones."""

    name = "litert"
    device = "cpu"

    def detect(self, pixels: np.ndarray) -> Detections:
        """Boxes of fixed scores."""
        second = 2 if pixels.mean() > 110 else 1
        boxes = np.array([[0.1, 0.1, 0.5, 0.3], [0.1, 0.5, 0.5, 0.75], [0.6, 0.6, 0.9, 0.9]], np.float32)
        return Detections(boxes, np.array([0.9, 0.8, 0.7]), np.array([1, second, 1]))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with one bundle, run by the stand-in."""
    for name in [name for name in os.environ if name.startswith("CARIES_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "store" / "stand-in" / "1"
    path.mkdir(parents=True)
    (path / "MODEL_CARD.md").write_text("# stand-in\n", encoding="utf-8")
    manifest = {
        "model": {"name": "stand-in", "version": 1},
        "classes": [{"id": 1, "name": "normal"}, {"id": 2, "name": "caries"}],
        "screened_class": "caries",
        "input": {"height": 320, "width": 320},
        "operating_point": {
            "score_threshold": 0.5,
            "max_boxes": 5,
            "sensitivity": 0.8,
            "false_positives_per_image": None,
            "measured_on": "nothing",
        },
    }
    write_manifest(path, manifest)
    monkeypatch.setattr(folder, "open_engine", functools.partial(open_engine, load=lambda *_, **__: StandIn()))
    monkeypatch.setenv("CARIES_MODEL_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


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
            **{"hidden_by_max_boxes": "0", "result": "[Result]a.png"},
        },
        {
            **{"file": str(sound), "verdict": "no_caries_found", "reasons": "", "teeth_seen": "3"},
            **dict.fromkeys(("class", "class_id", "score", "xmin", "ymin", "xmax", "ymax"), ""),
            **{"hidden_by_max_boxes": "0", "result": "[Result]b.png"},
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


@pytest.mark.parametrize("command", ["models", "settings"])
def test_folder_names_that_are_not_utf_8_are_printed(store: Path, command: str) -> None:
    other = store.rename(store.with_name(os.fsdecode("모델".encode("cp949"))))
    said = subprocess.run(
        [sys.executable, "-m", "app", command],
        cwd=ROOT,
        env={**os.environ, "CARIES_MODEL_STORE": str(other), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(other).encode(errors="backslashreplace").decode() in said.stdout


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


@pytest.mark.parametrize(
    "arguments",
    [["--threshold", "1.5"], ["--threshold", "x"], ["--max-boxes", "0"], ["--classes", "normal"], ["--format", "gif"]],
)
def test_bad_option(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["detect", "a.jpg", "--out", "out", *arguments])
    assert stopped.value.code == 2
    assert arguments[1] in capsys.readouterr().err


def test_models(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("* stand-in 1  threshold 0.5, sensitivity 0.80, false positives per image not measured")
    assert main(["models", "--model-store", str(store / "nothing")]) == 1
    assert "no bundle" in capsys.readouterr().err


def test_settings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CARIES_PORT", "81")
    assert main(["settings"]) == 0
    assert "CARIES_PORT  (default 8000, set to 81)" in capsys.readouterr().out
    monkeypatch.setenv("CARIES_PORTS", "81")
    assert main(["settings"]) == 2
    assert "did you mean CARIES_PORT?" in capsys.readouterr().err


def test_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CARIES_KEYS", str(tmp_path / "keys.json"))
    assert main(["keys", "add", "--name", "front desk"]) == 0
    said = capsys.readouterr()
    found = KEY.fullmatch(said.out.removesuffix("\n"))
    assert found, "standard output must contain the key alone"
    assert found[2] not in said.err
    assert main(["keys", "add", "--name", "operator", "--role", "admin"]) == 0
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    said = capsys.readouterr()
    first, second = said.out.splitlines()
    assert re.fullmatch(rf"{found[1]}  detect  \d{{4}}-\d\d-\d\d \d\d:\d\d UTC  front desk", first)
    assert second.endswith("operator")
    assert second.split()[1] == "admin"
    assert main(["keys", "revoke", found[1]]) == 0
    assert main(["keys", "revoke", "operator"]) == 0
    capsys.readouterr()
    assert main(["keys", "list", "--keys", str(tmp_path / "keys.json")]) == 0
    assert capsys.readouterr().out == ""
    assert main(["keys", "revoke", "operator"]) == 1
    assert "'operator'" in capsys.readouterr().err


def test_keys_without_a_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("CARIES_KEYS", raising=False)
    for arguments in (["add", "--name", "x"], ["list"], ["revoke", "x"]):
        assert main(["keys", *arguments]) == 2
        assert "set CARIES_KEYS" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["keys", "add", "--name", "x", "--role", "owner"])
    assert "'detect', 'admin'" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert re.match(r"caries \d", capsys.readouterr().out)


def run(*arguments: str, **environment: str) -> subprocess.Popen[Any]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CARIES_")}
    return subprocess.Popen(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT,
        env={**clean, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_serve_without_a_model_exits_with_the_reason(tmp_path: Path) -> None:
    server = run("serve", "--port", "0", "--model-store", str(tmp_path))
    _, said = server.communicate(timeout=60)
    assert server.returncode == 1
    assert "holds no bundle" in said


def test_serve_on_a_network_without_keys_is_refused(tmp_path: Path) -> None:
    server = run("serve", "--port", "0", "--host", "0.0.0.0", "--model-store", str(tmp_path))
    _, said = server.communicate(timeout=60)
    assert server.returncode == 2
    assert said == f"{said.splitlines()[0]}\n", "the message has more than one line"
    assert "set CARIES_KEYS to a file" in said


@pytest.mark.slow
def test_serve_creates_the_first_key_and_shows_it_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    for shown in (1, 0):
        server = run("serve", "--port", "0", "--model-store", str(tmp_path), CARIES_KEYS=str(path))
        _, said = server.communicate(timeout=60)
        assert len(KEY.findall(said)) == shown, said
        assert KEY.search(path.read_text(encoding="utf-8")) is None
    path.write_text("{", encoding="utf-8")
    server = run("serve", "--port", "0", "--model-store", str(tmp_path), CARIES_KEYS=str(path))
    _, said = server.communicate(timeout=60)
    assert server.returncode == 1
    assert said == f"caries: {path} is not a file of API keys; restore it or start a new one\n"


@pytest.mark.slow
def test_serve_on_the_committed_bundle(tmp_path: Path) -> None:
    started = time.monotonic()
    server = run("serve", "--port", "0", CARIES_RUNTIME="litert")
    assert server.stderr is not None
    said = ""
    while "ready:" not in said:
        line = server.stderr.readline()
        assert line, said
        said += line
    took = time.monotonic() - started
    found = re.search(r"http://127\.0\.0\.1:\d+", said)
    assert found, said
    assert main(["health", "--port", found[0].rpartition(":")[2]]) == 0
    photo = io.BytesIO()
    Image.new("RGB", (320, 240), "white").save(photo, "PNG")
    answer = httpx.post(f"{found[0]}/detect?format=json", files={"file": ("Hong.png", photo.getvalue())})
    assert answer.json()["verdict"] == "not_assessable"
    server.send_signal(signal.SIGTERM)
    _, rest = server.communicate(timeout=30)
    assert "Hong" not in said + rest
    assert "POST /detect 200" in rest
    assert "format=json" not in said + rest
    assert main(["health", "--port", found[0].rpartition(":")[2]]) == 1
    assert took < 10, f"ready after {took:.1f} s"


def test_sigterm_before_the_server_listens_stops_it() -> None:
    code = (
        "import os, signal, sys, app.cli\n"
        "app.cli.Settings.read = lambda *_: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(app.cli.main(['serve']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
