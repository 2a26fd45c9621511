"""Sends hostile requests to a real server and checks that none shakes it.

    python -m benchmarks.fuzz --count 100000 --seed 1 --out fuzz.json --failures failures/
    python -m benchmarks.fuzz --table fuzz.json                      its counts as docs/reliability.md shows them

Every answer must be 2xx, or 4xx, 503 or 504 as problem+json from the server's own table; no process may die; memory
must not grow; and a good photo must be answered all the while. The same seed sends the same requests in the same order.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import re
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11
import numpy as np
from PIL import Image, PngImagePlugin

from app.api.problems import BY_SLUG, MEDIA_TYPE
from app.process.memory import FREE_PAGES_S
from benchmarks.process_tree import memory_kib, processes

ROOT = Path(__file__).parents[1]
HEIC = sorted((ROOT / "tests" / "data").glob("*_*.heic"))
"""Without the one of 16 megapixels."""

CLIENTS = 8
QUARTERS = 4
"""After each, memory is looked at when every request has been answered."""

GROWTH_KIB = 16 * 1024
"""What the memory of all processes at rest may grow by from the second quarter to the last."""

DECODED_S = 60.0
"""Seconds until the decoder of a HEIC photo that nobody waits for any more has ended."""

MARKERS = (
    b"\xff\xd8",
    b"\xff\xd9",
    b"\xff\xdb",
    b"\xff\xc0",
    b"\xff\xc4",
    b"\xff\xda",
    b"IHDR",
    b"IDAT",
    b"iCCP",
    b"acTL",
    b"VP8X",
    b"ANIM",
    b"ALPH",
    b"meta",
    b"iloc",
    b"hvcC",
    b"ispe",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
)


@dataclass(slots=True)
class Case:
    """One request.

    Attributes:
        kind: what it tries.
        raw: the bytes of the whole request.
        good: whether it must be answered 200.
        cut: whether the connection is closed behind it instead of waiting for an answer.
    """

    kind: str
    raw: bytes
    good: bool = False
    cut: bool = False


def request(
    body: bytes, *, path: str = "/detect", method: str = "POST", headers: dict[str, str] | None = None
) -> bytes:
    """The bytes of an HTTP/1.1 request."""
    fields = {"Host": "clinic", "Content-Length": str(len(body)), "Accept": "application/json", **(headers or {})}
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head.encode("latin-1", "replace") + b"\r\n" + body


class Generator:
    """Makes cases; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._pictures = list(_pictures(np.random.default_rng(seed)))
        self._bombs = list(_bombs())
        self.good = self._pictures[0]

    def case(self) -> Case:
        """The next one."""
        makers: list[tuple[int, Callable[[], Case]]] = [
            (55, self._mutated),
            (8, self._truncated),
            (5, self._spliced),
            (3, self._bomb),
            (4, self._polyglot),
            (10, self._form),
            (5, self._batch),
            (6, self._parameters),
            (4, self._address),
            (4, self._protocol),
            (1, self._good),
        ]
        return self._chance.choices([maker for _, maker in makers], [weight for weight, _ in makers])[0]()

    def _wrapped(self, kind: str, body: bytes) -> Case:
        """As the body, or as the file of a form; for JSON or for a picture."""
        accept = self._chance.choice(("application/json", "image/png", "image/jpeg", "image/webp"))
        if self._chance.random() < 0.5:
            return Case(kind, request(body, headers={"Accept": accept, "Content-Type": "image/jpeg"}))
        form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + body + b"\r\n--b--\r\n"
        return Case(kind, request(form, headers={"Accept": accept, "Content-Type": "multipart/form-data; boundary=b"}))

    def _mutated(self) -> Case:
        data, chance = bytearray(self._chance.choice(self._pictures)), self._chance
        for _ in range(chance.choice((1, 1, 2, 4, 16, 64))):
            # Headers decide more than pixels.
            place = chance.randrange(min(len(data), chance.choice((64, 256, 1024, len(data)))))
            match chance.randrange(5):
                case 0:
                    data[place] ^= 1 << chance.randrange(8)
                case 1:
                    data[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
                case 2:
                    data[place : place + 4] = struct.pack(
                        chance.choice((">I", "<I")), chance.choice((0, 1, 2**16, 2**31 - 1, 2**32 - 1))
                    )
                case 3:
                    data[place:place] = chance.choice(MARKERS)
                case _:
                    del data[place : place + chance.randrange(1, 9)]
        return self._wrapped("mutated", bytes(data))

    def _truncated(self) -> Case:
        data = self._chance.choice(self._pictures)
        return self._wrapped("truncated", data[: self._chance.randrange(len(data))])

    def _spliced(self) -> Case:
        first, second = self._chance.choices(self._pictures, k=2)
        return self._wrapped(
            "spliced", first[: self._chance.randrange(len(first))] + second[self._chance.randrange(len(second)) :]
        )

    def _bomb(self) -> Case:
        return self._wrapped("bomb", self._chance.choice(self._bombs))

    def _polyglot(self) -> Case:
        data, chance = self._chance.choice(self._pictures), self._chance
        other = chance.choice(
            (
                b"PK\x03\x04" + bytes(40),
                b"GIF89a/*" + bytes(20),
                b"%PDF-1.7\n",
                b"<svg onload=alert(1)>",
                b"<!DOCTYPE html>",
                b"#!/bin/sh\n",
                b"\x7fELF",
                b"MZ",
                b"BM" + bytes(60),
                b"II*\0" + bytes(60),
                b"\0" * 128 + b"DICM",
                b"RIFF",
                b"\0\0\0\x18ftypavif",
                b"\0\0\0\x18ftypmp42",
                b"",
                b"{}",
                "치아".encode(),
                chance.randbytes(200),
            )
        )
        return self._wrapped("polyglot", chance.choice((other, other + data, data + other)))

    def _form(self) -> Case:
        chance, data = self._chance, self._chance.choice(self._pictures)
        part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
        odd_name = chance.randbytes(chance.randrange(1, 200)).hex().encode()
        body = chance.choice(
            (
                part + data,
                part + data + b"\r\n--b",
                data,
                b"",
                b"--b--",
                b"--b\r\n\r\n--b--",
                (part + b"x\r\n") * 1000 + b"--b--",
                part.replace(b"file", odd_name) + data + b"\r\n--b--",
                part.replace(b"form-data", b"") + data + b"\r\n--b--",
                b"--b\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n" + data + b"\r\n--b--",
                part * 2 + data + b"\r\n--b--",
                b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n" + data + b"\r\n--c--\r\n--b--",
                part.replace(b'"file"', b'"\xff\xfe"') + data + b"\r\n--b--",
                part[:-2] + data,
                chance.randbytes(500),
                b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--b--',
                part + data + b"\n--b--\n",
            )
        )
        kind = chance.choice(
            (
                "multipart/form-data; boundary=b",
                "multipart/form-data",
                "multipart/form-data; boundary=",
                "multipart/mixed",
                "multipart/form-data; boundary=" + "b" * 200,
                'multipart/form-data; boundary="b',
                "text/plain",
                "application/json",
                "multipart/form-data; boundary=b; boundary=c",
                "multipart/form-data; boundary=\x01",
                "",
                "image/",
                "/",
                "é",
            )
        )
        return Case("form", request(body, headers={"Content-Type": kind}))

    def _batch(self) -> Case:
        """Several photos, some of them spoilt, as a form or as an archive whose own bytes may be spoilt as well."""
        chance, photos = self._chance, []
        for _ in range(chance.choice((0, 1, 1, 2, 4, 40))):
            data = bytearray(chance.choice((*self._pictures, *self._bombs[:2], b"", b"PK\x03\x04" + bytes(40))))
            if data and chance.random() < 0.5:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            photos.append(bytes(data))
        accept = chance.choice(("application/json", "application/x-ndjson", "application/zip", "*/*"))
        if chance.random() < 0.4:
            head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
            body = b"".join(head + photo + b"\r\n" for photo in photos) + b"--b--\r\n"
            kind = "multipart/form-data; boundary=b"
        else:
            body, kind = bytearray(_archive(photos, chance)), "application/zip"
            for _ in range(chance.choice((0, 1, 1, 4))):
                # The directory, at the end, decides most.
                place = len(body) - 1 - chance.randrange(min(len(body), chance.choice((22, 100, 400, len(body)))))
                body[place] = chance.choice((0, 1, 8, 0x7F, 0xFF, chance.randrange(256)))
            if chance.random() < 0.1:
                del body[chance.randrange(len(body)) :]
        headers = {"Accept": accept, "Content-Type": kind}
        return Case("batch", request(bytes(body), path="/detect/batch", headers=headers))

    def _parameters(self) -> Case:
        chance = self._chance
        name = chance.choice(
            ("threshold", "max_boxes", "classes", "lang", "format", "model", "version", "x", "", "%00", "치아")
        )
        value = chance.choice(
            (
                "nan",
                "inf",
                "-inf",
                "-1",
                "0",
                "1",
                "1e400",
                "1" * 400,
                "0x1",
                "all",
                "caries",
                "ko",
                "png",
                "json",
                "..",
                "%00",
                "%ff",
                "a" * 5000,
                "null",
                "[]",
                "true",
                "",
                "1&threshold=0",
                "0.5",
                "5",
                "%2e%2e%2f",
                "치아",
                "stand-in",
                "1.0",
            )
        )
        accept = chance.choice(
            ("application/json", "*/*", "", "image/*;q=0", ";;;", "a" * 3000, "image/png;q=nan", "\xff")
        )
        path = f"/detect?{name}={value}".encode().decode("latin-1")
        return Case("parameters", request(self.good, path=path, headers={"Accept": accept}))

    def _address(self) -> Case:
        chance = self._chance
        path = (
            chance.choice(
                (
                    "/",
                    "//",
                    "/detect/",
                    "/detect/batch",
                    "/detect/batch?format=zip",
                    "/models",
                    "/models/../card",
                    "/models/%00/card",
                    "/models/x/card?version=0",
                    "/models/caries-ssd-mobilenet-v2-fpnlite/card",
                    "/models/reload",
                    "/problems/..",
                    "/problems/%2e",
                    "/docs",
                    "/%",
                    "/openapi.json",
                    "/metrics",
                    "/health/ready",
                    "/docs-static/../../etc/passwd",
                    "/" + "a" * 9000,
                    "*",
                    "/치아",
                )
            )
            .encode()
            .decode("latin-1")
        )
        method = chance.choice(
            ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "x" * 30)
        )
        body = chance.choice(
            (b"", b"{}", b'{"version": 1}', b'{"version": 1e400}', b"[" * 4000, b"\xff", b'{"model": "../x"}')
        )
        return Case("address", request(body, path=path, method=method))

    def _protocol(self) -> Case:
        chance, data = self._chance, self._chance.choice(self._pictures)
        whole = request(data)
        raw, cut = chance.choice(
            (
                (whole.replace(b"HTTP/1.1", b"HTTP/9.9"), False),
                (chance.randbytes(300) + b"\r\n\r\n", False),
                (request(data, headers={"Content-Length": "-1"}), False),
                (request(data, headers={"Content-Length": "x"}), False),
                (request(data, headers={"Content-Length": str(10**12)}), False),
                (whole[: len(whole) // 2], True),
                (request(b"zz\r\n" + data, headers={"Transfer-Encoding": "chunked", "X": "y"}), True),
                (request(data, headers={"Content-Encoding": "gzip"}), False),
                (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 9000, True),
                (request(data, headers={"X-Request-Id": "a\x00b"}), False),
                (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500), True),
                (request(data, headers={"Expect": "x"}), False),
                (request(data, headers={"Upgrade": "websocket"}), False),
                (request(data, headers={"Host": "elsewhere.example"}), False),
                (request(data, headers={"Origin": "null"}), False),
                (b"POST /detect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx", True),
                (request(data, headers={"Authorization": "Bearer caries_" + "0" * 8 + "_" + "0" * 64}), False),
            )
        )
        return Case("protocol", raw, cut=cut)

    def _good(self) -> Case:
        return Case("good", request(self.good), good=True)


def _pictures(chance: np.random.Generator) -> Iterator[bytes]:
    """Small valid pictures of every kind that is read; the first is a photo as a phone makes it."""
    rows, columns = np.mgrid[:72, :96]
    base = 128 + 60 * np.sin(columns / 9) * np.cos(rows / 7)
    pixels = np.stack([base + 40, base - 10, base - 20], axis=2) + chance.normal(0, 6, (72, 96, 3))
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    more = {"save_all": True, "append_images": [picture.transpose(Image.Transpose.ROTATE_180)]}
    text = PngImagePlugin.PngInfo()
    text.add_itxt("comment", "x" * 100, zip=True)
    profile = _profile()
    options: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (picture, "JPEG", {"quality": 90, "exif": exif}),
        (picture, "JPEG", {"progressive": True}),
        (picture.convert("CMYK"), "JPEG", {}),
        (picture.convert("L"), "JPEG", {"restart_marker_blocks": 3}),
        (picture, "JPEG", {"icc_profile": profile, "subsampling": 0}),
        (picture, "MPO", more),
        (picture, "PNG", {"exif": exif, "pnginfo": text, "icc_profile": profile}),
        (picture.quantize(16), "PNG", {}),
        (picture.convert("RGBA"), "PNG", {}),
        (picture.convert("LA"), "PNG", {}),
        (picture.convert("1"), "PNG", {}),
        (picture.convert("L"), "PNG", {}),
        (Image.fromarray((base * 256).astype(np.uint16)), "PNG", {}),
        (picture, "PNG", more),
        (picture, "WEBP", {"exif": exif}),
        (picture, "WEBP", {"lossless": True}),
        (picture.convert("RGBA"), "WEBP", {}),
        (picture, "WEBP", more),
    ]
    for image, kind, how in options:
        out = io.BytesIO()
        image.save(out, kind, **how)
        yield out.getvalue()
    for path in HEIC:
        yield path.read_bytes()


def _archive(photos: list[bytes], chance: random.Random) -> bytes:
    """A zip of photos, and of a bomb now and then."""
    out = io.BytesIO()
    with zipfile.ZipFile(
        out, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    ) as archive:
        for number, photo in enumerate(photos):
            folder = chance.choice(("", "", "", "../../", "__MACOSX/", ".", "치아/"))
            # A ZipInfo of its own has no time in it: the same seed makes the same bytes.
            archive.writestr(zipfile.ZipInfo(f"{folder}{number}.jpg"), photo, archive.compression)
        if chance.random() < 0.05:
            archive.writestr(zipfile.ZipInfo("bomb"), bytes(40_000_000), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _profile() -> bytes:
    from PIL import ImageCms

    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[24:36] = bytes(12)  # the time at which it was made
    return bytes(made)


def _bombs() -> Iterator[bytes]:
    """Little that announces or unpacks to very much."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head, end = b"\x89PNG\r\n\x1a\n", chunk(b"IEND", b"")
    zeros = zlib.compress(bytes(30_000_000), 9)
    for width, height in ((50_000, 50_000), (2**31 - 1, 2**31 - 1), (60_000, 1_000), (7_900, 8_000), (0, 5)):
        yield head + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zeros) + end
    small = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    yield head + small + chunk(b"iCCP", b"x\0\0" + zeros) + chunk(b"IDAT", zlib.compress(bytes(64 * 193))) + end
    yield head + small + chunk(b"iTXt", b"x\0\1\0\0\0" + zeros) + chunk(b"IDAT", zlib.compress(bytes(64 * 193))) + end
    yield head + small + chunk(b"zTXt", b"x\0\0" + zeros) * 8 + chunk(b"IDAT", zlib.compress(bytes(64 * 193))) + end
    yield (
        head
        + small
        + chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
        + chunk(b"IDAT", zlib.compress(bytes(64 * 193)))
        + end
    )
    out = io.BytesIO()
    Image.new("RGB", (32, 32)).save(out, "JPEG")
    jpeg = bytearray(out.getvalue())
    start = jpeg.index(b"\xff\xc0")
    jpeg[start + 5 : start + 9] = b"\xff\xff\xff\xff"
    yield bytes(jpeg)
    out = io.BytesIO()
    Image.new("RGB", (2000, 2000)).save(out, "JPEG", progressive=True)
    many, last = out.getvalue(), out.getvalue()[out.getvalue().rindex(b"\xff\xda") : -2]
    yield many[:-2] + last * 10_000 + many[-2:]
    yield many[:2] + b"\xff\xfe\x00\x02" * 100_000 + many[2:]
    yield head + small + chunk(b"none", b"") * 100_000 + chunk(b"IDAT", zlib.compress(bytes(64 * 193))) + end
    yield b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff" * 6
    for path in HEIC:
        data = bytearray(path.read_bytes())
        place = data.index(b"ispe") + 8
        data[place : place + 8] = struct.pack(">II", 2**20, 2**20)
        yield bytes(data)


@dataclass(slots=True)
class Report:
    """What came back.

    Attributes:
        counts: by kind and status; status 0 stands for no answer where none was waited for, or none was due.
        failures: one sentence for each wrong answer, with the number of its case.
        memory_kib: of all processes together, at rest after each quarter of the requests.
    """

    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    memory_kib: list[int] = field(default_factory=list)


async def exchange(port: int, case: Case, wait_s: float) -> tuple[int, dict[str, str], bytes]:
    """Sends a case on a connection of its own; status 0 if there is no answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(case.raw)
        if case.cut:
            writer.close()
            return 0, {}, b""
        connection = h11.Connection(h11.CLIENT)
        head = case.raw.split(b" ", 1)[0]
        # Only so that the parser expects an answer, and knows whether it has a body.
        connection.send(h11.Request(method="HEAD" if head == b"HEAD" else "GET", target="/", headers=[("Host", "a")]))
        connection.send(h11.EndOfMessage())
        status, headers, body = 0, {}, b""
        async with asyncio.timeout(wait_s):
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    data = await reader.read(2**16)
                    connection.receive_data(data)
                    if not data and status == 0:
                        return 0, {}, b""
                elif isinstance(event, h11.Response):
                    status = event.status_code
                    headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                    return status, headers, body
    except (ConnectionError, h11.RemoteProtocolError):
        return 0, {}, b""
    finally:
        writer.close()


def complaint(case: Case, status: int, headers: dict[str, str], body: bytes) -> str | None:
    """What is wrong with an answer, if anything is."""
    if status == 0:
        return None if case.cut or case.kind == "protocol" else "no answer"
    if case.good and status != 200:
        return f"a good photo was answered {status}"
    if status < 400:
        return "a photo of a batch was a mistake" if b"/problems/internal-error" in body else None
    if status >= 500 and status not in (503, 504):
        return f"status {status}"
    if case.raw.startswith(b"HEAD "):
        return None
    if headers.get("content-type") != MEDIA_TYPE:
        return f"status {status} is of type {headers.get('content-type')}"
    try:
        said = json.loads(body)
        row = BY_SLUG[said["type"].removeprefix("/problems/")]
    except (ValueError, KeyError, TypeError) as error:
        return f"status {status} is no problem of the table: {error!r}"
    if (said["title"], said["status"]) != (row.title, status) or not said["detail"] or "x-request-id" not in headers:
        return None if row.slug == "malformed-request" else f"status {status} does not say what the table says"
    return None


@contextmanager
def serving(*flags: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The port and the process of a real server on the committed bundle."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CARIES_")}
    command = [sys.executable, "-m", "app", "serve", "--port", "0", "--requests-per-minute", "0", "--precision", "int8"]
    command += ["--batches-open", str(CLIENTS)]
    process = subprocess.Popen(
        [*command, "--log-level", "warning", *flags], cwd=ROOT, env=clean, stderr=subprocess.DEVNULL, text=True
    )
    try:
        port = 0
        while not port:
            assert process.poll() is None, "the server ended at its start"
            time.sleep(0.1)
            port = _port_of(process.pid)
        yield port, process
    finally:
        process.terminate()
        process.wait(30)


def _port_of(pid: int) -> int:
    """The port that a process listens on; 0 if there is none yet."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found = re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink()))
        except OSError:
            continue
        inodes |= {found[1]} if found else set()
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        columns = line.split()
        if columns[3] == "0A" and columns[9] in inodes:
            return int(columns[1].rpartition(":")[2], 16)
    return 0


async def fuzz(port: int, server: int, count: int, seed: int, failures: Path | None = None) -> Report:
    """Sends `count` cases to the server with the process id `server`."""
    generator, report = Generator(seed), Report()
    good = Case("good", request(generator.good), good=True)
    while (await exchange(port, good, 30))[0] != 200:
        await asyncio.sleep(0.1)
    before, number = processes(server), 0

    async def client(end: int) -> None:
        nonlocal number
        while number < end:
            mine, case = number, generator.case()
            number += 1
            try:
                status, headers, body = await exchange(port, case, 60)
                said = complaint(case, status, headers, body)
            except TimeoutError:
                status, said = 0, "no answer within 60 s"
            report.counts[case.kind, status] += 1
            if said is not None:
                report.failures.append((mine, f"{case.kind}: {said}"))
                if failures is not None:
                    failures.mkdir(parents=True, exist_ok=True)
                    (failures / f"{seed}-{mine}.http").write_bytes(case.raw)

    for quarter in range(QUARTERS):
        await asyncio.gather(*(client(count * (quarter + 1) // QUARTERS) for _ in range(CLIENTS)))
        report.memory_kib.append(await held_at_rest(before))
    ends = time.monotonic() + DECODED_S
    while (after := processes(server)) != before and time.monotonic() < ends:
        await asyncio.sleep(0.1)
    if after != before:
        report.failures.append((count, f"processes were {before} and are {after}"))
    if report.memory_kib[3] - report.memory_kib[1] > GROWTH_KIB:
        report.failures.append((count, f"memory grew: {report.memory_kib} KiB in the four quarters"))
    if (await exchange(port, good, 30))[0] != 200:
        report.failures.append((count, "a good photo is not answered at the end"))
    return report


async def held_at_rest(pids: list[int]) -> int:
    """The least that processes hold, KiB, while the server gives its free pages back once; photos whose senders went
    away come on top until they are done."""
    looks = []
    ends = time.monotonic() + FREE_PAGES_S + 1
    while time.monotonic() < ends:
        looks.append(memory_kib(pids))
        await asyncio.sleep(0.2)
    return min(looks)


def table(result: dict[str, Any]) -> str:
    """The counts of a run as Markdown: a row for each kind, then one line on the whole."""
    lines = ["| what was tried | answers, by status |", "|---|---|"]
    for kind, statuses in result["statuses"].items():
        lines.append(f"| {kind} | {', '.join(f'{status}: {times:,}' for status, times in statuses.items())} |")
    quarters = ", ".join(str(round(kib / 1024)) for kib in result["memory_kib"])
    good = sum(result["statuses"].get("good", {}).values())
    lines += [
        "",
        f"{result['requests']:,} requests of seed {result['seed']} in {result['seconds']:,} s: "
        f"{len(result['failures'])} wrong answers; {good:,} good photos; at rest {quarters} MiB in the four quarters.",
    ]
    return "\n".join(lines)


def main() -> int:
    """Runs it; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the counts as JSON")
    parser.add_argument("--failures", type=Path, help="folder for requests that were answered wrongly")
    parser.add_argument("--table", type=Path, help="send nothing; print what --out wrote as Markdown")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(json.loads(arguments.table.read_text(encoding="utf-8"))))
        return 0
    started = time.monotonic()
    with serving() as (port, process):
        report = asyncio.run(fuzz(port, process.pid, arguments.count, arguments.seed, arguments.failures))
    statuses: dict[str, dict[str, int]] = {}
    for (kind, status), times in sorted(report.counts.items()):
        statuses.setdefault(kind, {})[str(status)] = times
    result = {
        "requests": sum(report.counts.values()),
        "seed": arguments.seed,
        "seconds": round(time.monotonic() - started),
        "statuses": statuses,
        "memory_kib": report.memory_kib,
        "failures": report.failures,
    }
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
