"""The `caries` command, run in this process on a stand-in detector and as a process on the committed bundle."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from app.cli import main
from app.records.key_file import KEY
from app.settings import StoreLocation
from tests.app.api.live_server import POINTS, write_bundle
from tests.conftest import ROOT


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


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--threshold", "1.5"], ["--threshold", "x"], ["--max-boxes", "0"], ["--max-boxes", "101"]),
        *(["--classes", "normal"], ["--format", "gif"]),
    ],
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
    write_bundle(store, version=2, operating_points=POINTS)
    assert main(["models"]) == 0
    assert "image 1.50, operating points balanced, specific (default balanced)  /" in capsys.readouterr().out
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
    assert "'detect', 'review', 'admin'" in capsys.readouterr().err


def test_reviews_without_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CARIES_REVIEWS", raising=False)
    out = str(tmp_path / "out")
    for arguments in (["export", "--out", out], ["delete", "--photo", "1"]):
        assert main(["reviews", *arguments]) == 2
        assert "no review store is set; set CARIES_REVIEWS" in capsys.readouterr().err
    assert main(["reviews", "delete", "--reviews", str(tmp_path)]) == 2
    assert "nothing is selected; give --photo, --patient or --older-than-days" in capsys.readouterr().err


def test_the_extra_of_the_reviews_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.reviews.find_spec", lambda name: None if name == "pg8000" else name)
    for arguments in (["serve", "--port", "0"], ["reviews", "export", "--out", str(tmp_path / "out")], ["restore"]):
        assert main([*arguments, "--reviews", str(tmp_path / "reviews")]) == 2
        said = capsys.readouterr().err
        assert said.endswith(
            "CARIES_REVIEWS needs pg8000, not installed here; run: pip install 'caries-screen[reviews]'\n"
        )
    assert not (tmp_path / "reviews").exists()


@pytest.mark.parametrize("missing", [("pynetdicom",), ("pydicom", "pynetdicom")])
def test_the_extra_of_the_gateway_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: tuple[str, ...]
) -> None:
    monkeypatch.setattr("app.gateway.find_spec", lambda name: None if name in missing else name)
    monkeypatch.setenv("CARIES_GATEWAY", str(tmp_path / "gateway"))
    backfill = ["backfill", "--archive", "http://127.0.0.1:9", "--study-date", "20260101-20261231"]
    for arguments in (["run"], backfill):
        assert main(["gateway", *arguments]) == 2
        assert capsys.readouterr().err.endswith(
            f"the gateway needs {', '.join(missing)}, not installed here; run: pip install 'caries-screen[dicom]'\n"
        )
    assert not (tmp_path / "gateway").exists()


def test_reviews_are_exported_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("alembic", reason="the extra reviews is not installed")
    from app.records.audit import AuditLog
    from app.reviews.store import ReviewStore
    from tests.app.reviews.samples import keep, read

    monkeypatch.setenv("CARIES_REVIEWS", str(tmp_path / "reviews"))
    assert main(["reviews", "export", "--out", str(tmp_path / "out")]) == 1
    assert "contains no review store" in capsys.readouterr().err
    with closing(ReviewStore(StoreLocation(tmp_path / "reviews", None))) as store:
        for place in range(4):
            read(store, keep(store, place, patient=f"p{place}"), "a", 0)
        digests = [photo.sha256 for photo in store.photos()]
    assert main(["reviews", "export", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err == f"caries: 4 photos are in {tmp_path / 'out'}\n"
    assert len(list((tmp_path / "out" / "img_train").iterdir())) == 4
    monkeypatch.setenv("CARIES_AUDIT", str(tmp_path / "audit"))
    assert main(["reviews", "delete", "--patient", "p1"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == (f"2 {digests[1]}\n", "caries: 1 photos are deleted\n")
    assert main(["reviews", "delete", "--photo", "1", "--patient", "p1"]) == 0
    assert main(["reviews", "delete", "--older-than-days", "1"]) == 0
    with closing(AuditLog(tmp_path / "audit")):
        assert main(["reviews", "delete", "--photo", "1"]) == 1
        assert "another server writes the audit log" in capsys.readouterr().err
    assert main(["reviews", "delete", "--older-than-days", "0"]) == 0
    assert capsys.readouterr().out == "".join(f"{number} {digests[number - 1]}\n" for number in (1, 3, 4))
    lines = [line for path in (tmp_path / "audit").glob("*.jsonl") for line in path.read_text().splitlines()]
    assert [json.loads(line)["picture_sha256"] for line in lines] == [digests[place] for place in (1, 0, 2, 3)]
    assert main(["audit", "verify"]) == 0


def test_logs_of_several_servers_are_verified_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from app.records.audit import AuditLog

    folders = [tmp_path / "one", tmp_path / "two"]
    for number, folder in enumerate(folders, 1):
        with closing(AuditLog(folder)) as log:
            for _ in range(number):
                log.append({"status": 200})
    names = [str(folder) for folder in folders]
    assert main(["audit", "verify", *names]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(";")[0] for line in lines] == [
        f"{names[0]}: 1 lines, 1 to 1, unbroken",
        f"{names[1]}: 2 lines, 1 to 2, unbroken",
    ]
    (path,) = folders[0].glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b"200", b"201"))
    assert main(["audit", "verify", *names, str(tmp_path / "none")]) == 1
    said = capsys.readouterr()
    assert f"{names[0]}: 1 lines, 1 to 1, broken" in said.out
    assert f"{names[1]}: 2 lines, 1 to 2, unbroken" in said.out, "the others are still verified"
    assert f"caries: {tmp_path / 'none'}: " in said.err
    assert main(["audit", "verify", "--noted", 64 * "0", *names]) == 2


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
    assert "contains no bundle" in said


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
    server = run("serve", "--port", "0", CARIES_RUNTIME="litert", CARIES_PRECISION="float32")
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
