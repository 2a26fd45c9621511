"""No patient data remains: everything that a real server wrote is searched for marks from its requests."""

import base64
import io
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from app.records.key_file import KeyFile, Role

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
MARK = "HongGildong19700101"
"""Put wherever a client can put text."""

PATTERN = np.random.default_rng(7).integers(0, 256, (24, 24, 3), np.uint8)
"""A block of every marked photo's pixels."""


def exif() -> Image.Exif:
    entries = Image.Exif()
    entries[0x010E] = f"description {MARK}"
    entries[0x013B] = f"artist {MARK}"
    entries[0xA431] = f"serial {MARK}"
    entries.get_ifd(0x8825)[29] = f"gps {MARK}"
    return entries


def marked_photos(example: Path) -> dict[str, bytes]:
    """The same mouth with marked pixels and metadata, in each format that has them."""
    image = Image.open(example).convert("RGB")
    image.paste(Image.fromarray(PATTERN), (8, 8))
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{MARK}</x:xmpmeta>'.encode()
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", MARK)
    text.add_itxt("Patient", MARK, zip=True)
    photos = {}
    for kind, options in (
        ("JPEG", {"quality": 95, "comment": MARK.encode(), "xmp": xmp}),
        ("PNG", {"pnginfo": text}),
        ("WEBP", {"lossless": True, "xmp": xmp}),
    ):
        out = io.BytesIO()
        image.save(out, kind, exif=exif(), **options)
        assert MARK.encode() in out.getvalue()
        photos[kind] = out.getvalue()
    return photos


def traces(data: bytes) -> list[str]:
    """The marks found in it, plain or in usual encodings."""
    needles = {
        "text": MARK.encode(),
        "utf-16": MARK.encode("utf-16-le"),
        "base64": base64.b64encode(MARK.encode())[:20],
        "pixels": PATTERN[12].tobytes(),
        "pixels base64": base64.b64encode(PATTERN[12].tobytes())[4:40],
        "pixels hex": PATTERN[12].tobytes().hex().encode(),
        "pixels list": ", ".join(str(value) for value in PATTERN[12].reshape(-1)[:6]).encode(),
    }
    return [name for name, needle in needles.items() if needle.lower() in data.lower()]


class Server:
    """A real server whose every file is below one folder."""

    def __init__(self, folder: Path, role: Role = Role.DETECT, *more: str) -> None:
        self.folder = folder
        for name in ("tmp", "home", "work"):
            (folder / name).mkdir()
        _, self.key = KeyFile(folder / "keys.json").add("reception", role)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("CARIES_", "OTEL_"))}
        flags = ["--port", "0", "--model-store", str(ROOT / "model_store"), "--keys", str(folder / "keys.json")]
        flags += ["--precision", "float32"]
        flags += [
            "--audit",
            str(folder / "audit"),
            "--log-format",
            "json",
            "--log-level",
            "debug",
            "--upload-s",
            "2",
            *more,
        ]
        self._log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve", *flags],
            cwd=folder / "work",
            env={**clean, "TMPDIR": str(folder / "tmp"), "HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)},
            stdout=self._log,
            stderr=self._log,
        )
        while "ready:" not in self.log:
            assert self.process.poll() is None, self.log
        address = re.findall(r"http://127\.0\.0\.1:\d+", self.log)[0]
        self.client = httpx.Client(base_url=address, headers={"Authorization": f"Bearer {self.key}"}, timeout=60)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8")

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(30)
        self._log.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path)
    yield started
    started.stop()


def test_no_trace_of_a_photo_or_its_sender_remains(server: Server, example_photos: list[Path]) -> None:
    client = server.client
    headers = {"User-Agent": MARK, "Referer": f"http://pacs/{MARK}", "X-Patient": MARK, "Cookie": f"name={MARK}"}
    seen = b""
    for data in marked_photos(example_photos[0]).values():
        for accept in ("application/json", "image/png", "image/jpeg", "image/webp"):
            answer = client.post(
                "/detect", files={"file": (f"{MARK}.jpg", data)}, headers={**headers, "Accept": accept}
            )
            assert answer.status_code == 200
            assert not set(traces(answer.content)) & {"text", "utf-16", "base64"}
            if accept.startswith("image/"):
                picture = Image.open(io.BytesIO(answer.content))
                picture.load()
                assert len(picture.getexif()) == 0
                assert not set(picture.info) & {"exif", "xmp", "comment", "Comment", "Patient", "icc_profile"}
                seen += np.asarray(picture.convert("RGB"))[8:32, 8:32].tobytes()
    assert "pixels" in traces(seen), "the marked pixels are there to be found"
    several = [(f"{MARK}{kind}", data) for kind, data in [*marked_photos(example_photos[0]).items(), ("x", b"x")]]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in several:
            zipped.writestr(f"{MARK}/{name}", data)
        zipped.comment = MARK.encode()
    for sent in ({"content": archive.getvalue()}, {"files": [("files", entry) for entry in several]}):
        for accept in ("application/json", "application/x-ndjson", "application/zip"):
            answer = client.post("/detect/batch", headers={**headers, "Accept": accept}, **sent)
            assert answer.status_code == 200
            assert answer.content.count(b'"verdict"') == 3
            assert not set(traces(answer.content)) & {"text", "utf-16", "base64"}
    refused = [
        client.post("/detect/batch", content=archive.getvalue()[:-1], headers=headers),
        client.post("/detect/batch", files={MARK: (f"{MARK}.jpg", b"x")}),
        client.post("/detect", files={"file": (f"{MARK}.pdf", b"%PDF-1.7 " + MARK.encode())}, headers=headers),
        client.post("/detect", files={"file": (f"{MARK}.jpg", marked_photos(example_photos[0])["JPEG"][:9000])}),
        client.post("/detect", files={MARK: (f"{MARK}.jpg", b"x")}),
        client.post("/detect", data={"patient": MARK}),
        client.post(f"/detect?{MARK}=1", content=b"x", headers=headers),
        client.post(f"/detect?threshold={MARK}", content=b"x"),
        client.post("/detect", content=b"x", headers={"Content-Type": MARK}),
        client.post("/detect", content=b"x", headers={"X-Request-Id": f"{MARK} {MARK}"}),
        client.get(f"/patients/{MARK}"),
        client.post("/detect", content=b"x", headers={"Authorization": f"Bearer {MARK}"}),
        client.post("/session", json={"key": MARK}),
        client.post("/session", json={"key": {MARK: 1}}),
        client.get("/models", headers={"Authorization": "", "Cookie": f"caries-session={MARK}"}),
    ]
    assert all(400 <= answer.status_code < 500 for answer in refused)
    with pytest.raises(httpx.HTTPError):
        # The client leaves in the middle of a photo.
        client.post("/detect", content=half_of(marked_photos(example_photos[0])["PNG"]), timeout=1)
    metrics = client.get("/metrics").content
    assert b"caries_verdicts_total" in metrics
    assert traces(metrics) == []
    limits = Path(f"/proc/{server.process.pid}/limits").read_text(encoding="ascii")
    assert re.search(r"^Max core file size\s+[01]\s+[01]\s", limits, re.MULTILINE), (
        "a crash would write memory to a disk"
    )
    server.stop()
    written = [path for path in server.folder.rglob("*") if path.is_file()]
    assert {path.relative_to(server.folder).parts[0] for path in written} == {"keys.json", "audit", "log"}
    for path in written:
        assert traces(path.read_bytes()) == [], path
    entries = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    assert sum(entry.get("route") == "/detect" for entry in entries) >= 20
    assert "127.0.0.1" not in "".join(json.dumps(entry) for entry in entries if "route" in entry)
    assert (server.folder / "audit").stat().st_size > 0


def test_a_kept_photo_has_its_pixels_and_no_more(tmp_path: Path, example_photos: list[Path]) -> None:
    pytest.importorskip("alembic", reason="the extra reviews is not installed")
    server = Server(tmp_path, Role.ADMIN, "--reviews", str(tmp_path / "reviews"))
    try:
        for kind, data in marked_photos(example_photos[0]).items():
            files = {"file": (f"{MARK}.jpg", data)}
            kept = server.client.post("/reviews/photos", files=files, headers={"User-Agent": MARK, "X-Patient": MARK})
            assert kept.status_code == (200 if kind == "WEBP" else 201), "it has the pixels of the PNG"
            assert kept.json()["media_type"] == ("image/jpeg" if kind == "JPEG" else "image/png")
            picture = server.client.get(f"/reviews/photos/{kept.json()['id']}/picture")
            assert traces(kept.content) == []
            assert not set(traces(picture.content)) & {"text", "utf-16", "base64"}
        several = [("files", (f"{MARK}.jpg", data)) for data in marked_photos(example_photos[1]).values()]
        batch = server.client.post("/reviews/batch?patient=p-17", files=several)
        jpeg, png, webp = (result.get("photo") for result in batch.json()["results"])
        assert png == webp
        assert {jpeg, png} == {3, 4}  # by which was decoded first
        refused = [
            server.client.post(f"/reviews/photos?patient={MARK} {MARK}", files=files),
            server.client.get(f"/reviews/photos?reader={MARK}"),
            server.client.delete(f"/reviews/patients/{MARK}!"),
        ]
        assert [answer.status_code for answer in refused] == [422, 403, 422]
        for path in (path for path in tmp_path.rglob("*") if path.is_file()):
            assert not set(traces(path.read_bytes())) & {"text", "utf-16", "base64"}, path
        wrong = server.client.put(
            "/reviews/photos/1/reading", json={"version": 0, "verdict": MARK, "boxes": [], "note": MARK}
        )
        assert wrong.status_code == 422
        note = {"version": 0, "verdict": "sound", "boxes": [], "note": "PrivateNote"}
        assert server.client.put("/reviews/photos/1/reading", json=note).status_code == 200
        assert b"PrivateNote" in b"".join(path.read_bytes() for path in (tmp_path / "reviews").iterdir())
        assert server.client.delete("/reviews/photos?kept_before=2100-01-01").json() == {"deleted": 4}
    finally:
        server.stop()
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert traces(path.read_bytes()) == [], path
        assert b"PrivateNote" not in path.read_bytes(), path


def test_a_key_and_the_token_of_its_session_are_in_no_file(tmp_path: Path) -> None:
    pytest.importorskip("alembic", reason="the extra reviews is not installed")
    server = Server(tmp_path, Role.REVIEW, "--reviews", str(tmp_path / "reviews"))
    try:
        del server.client.headers["Authorization"]
        assert server.client.post("/session", json={"key": server.key}).status_code == 201
        token = server.client.cookies["caries-session"].encode()
        assert server.client.get("/reviews/photos").status_code == 200
        own = {"Origin": str(server.client.base_url)}
        assert server.client.delete("/session?everywhere=true", headers=own).status_code == 204
    finally:
        server.stop()
    secrets = (token, server.key.rpartition("_")[2].encode())
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert not any(secret in path.read_bytes() for secret in secrets), path


def half_of(data: bytes) -> Iterator[bytes]:
    """The first half, then nothing for longer than the client waits."""
    yield data[: len(data) // 2]
    time.sleep(1.5)
    raise httpx.WriteTimeout("enough")


def test_the_search_finds_planted_traces() -> None:
    assert traces(b"x" + MARK.encode() + b"y") == ["text"]
    assert traces(MARK.lower().encode()) == ["text"]
    assert "pixels" in traces(PATTERN.tobytes())
    assert "pixels list" in traces(str(PATTERN.reshape(-1).tolist()).encode())
