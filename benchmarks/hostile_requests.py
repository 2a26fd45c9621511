"""Hostile requests: mutated photos, decompression bombs, broken forms and archives, odd parameters and protocols.

The same seed generates the same requests in the same order.
"""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from benchmarks.hostile_routes import PHOTO, PHOTOS, route_case

HEIC = sorted((Path(__file__).parents[1] / "tests" / "data").glob("*_*.heic"))
"""The small ones: not the one of 16 megapixels."""

MARKERS = (
    b"\xff\xd8", b"\xff\xd9", b"\xff\xdb", b"\xff\xc0", b"\xff\xc4", b"\xff\xda", b"IHDR", b"IDAT", b"iCCP", b"acTL",
    b"VP8X", b"ANIM", b"ALPH", b"meta", b"iloc", b"hvcC", b"ispe", b"\0\0\0\0", b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
)  # fmt: skip
FOREIGN = (
    b"PK\x03\x04" + bytes(40), b"GIF89a/*" + bytes(20), b"%PDF-1.7\n", b"<svg onload=alert(1)>", b"<!DOCTYPE html>",
    b"#!/bin/sh\n", b"\x7fELF", b"MZ", b"BM" + bytes(60), b"II*\0" + bytes(60), b"\0" * 128 + b"DICM", b"RIFF",
    b"\0\0\0\x18ftypavif", b"\0\0\0\x18ftypmp42", b"", b"{}", "치아".encode(),
)  # fmt: skip
"""Beginnings of other files."""

CONTENT_TYPES = (
    "multipart/form-data; boundary=b", "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed",
    "multipart/form-data; boundary=" + "b" * 200, 'multipart/form-data; boundary="b', "text/plain", "application/json",
    "multipart/form-data; boundary=b; boundary=c", "multipart/form-data; boundary=\x01", "", "image/", "/", "é",
)  # fmt: skip
PARAMETERS = (
    "threshold", "max_boxes", "classes", "lang", "plain", "evidence", "format", "model", "version", "x", "", "%00",
    "치아",
)  # fmt: skip
VALUES = (
    "nan", "inf", "-inf", "-1", "0", "1", "1e400", "1" * 400, "0x1", "all", "caries", "ko", "png", "json", "..", "%00",
    "%ff", "a" * 5000, "null", "[]", "true", "", "1&threshold=0", "0.5", "5", "%2e%2e%2f", "치아", "stand-in", "1.0",
)  # fmt: skip
ACCEPTS = ("application/json", "text/html", "*/*", "", "image/*;q=0", ";;;", "a" * 3000, "image/png;q=nan", "\xff")
PATHS = (
    "/", "//", "/detect/", "/detect/batch", "/detect/batch?format=zip", "/models", "/models/../card",
    "/models/%00/card", "/models/x/card?version=0", "/models/caries-ssd-mobilenet-v2-fpnlite-320/card",
    "/models/reload", "/problems/..", "/problems/%2e", "/docs", "/%", "/openapi.json", "/metrics", "/health/ready",
    "/docs-static/../../etc/passwd", "/page/../index.html", "/page/%2e%2e/index.html", "/page/%00", "/page/",
    "/" + "a" * 9000, "*", "/치아",
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "x" * 30)
BODIES = (b"", b"{}", b'{"version": 1}', b'{"version": 1e400}', b"[" * 4000, b"\xff", b'{"model": "../x"}')


@dataclass(slots=True)
class Case:
    """One request.

    Attributes:
        kind: such as `mutated` or `bomb`.
        raw: the bytes of the request.
        good: whether it must be answered 200.
        cut: whether the client closes the connection instead of waiting for an answer.
    """

    kind: str
    raw: bytes
    good: bool = False
    cut: bool = False

    @property
    def path(self) -> str:
        """Without the query; empty if there is none."""
        return (self.raw.split(b"\r\n", 1)[0].split(b" ")[1:2] or [b""])[0].partition(b"?")[0].decode("latin-1")


def request(
    body: bytes, *, path: str = "/detect", method: str = "POST", headers: dict[str, str] | None = None
) -> bytes:
    """The bytes of an HTTP/1.1 request."""
    fields = {"Host": "clinic", "Content-Length": str(len(body)), "Accept": "application/json", **(headers or {})}
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head.encode("latin-1", "replace") + b"\r\n" + body


def with_key(raw: bytes, key: str) -> bytes:
    """A request that sends this API key."""
    return raw.replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\nX-API-Key: " + key.encode() + b"\r\n", 1)


class Generator:
    """Generates cases from a seed."""

    def __init__(self, seed: int, key: str | None = None) -> None:
        """`key` is the API key that most requests send."""
        self._chance = random.Random(seed)
        self._key = key
        self._pictures = list(_pictures(np.random.default_rng(seed)))
        self._bombs = list(_bombs())
        self.good = self._pictures[0]

    def case(self) -> Case:
        """The next one."""
        weighted: dict[Callable[[], Case], int] = {
            self._mutated: 55, self._truncated: 8, self._spliced: 5, self._bomb: 3, self._polyglot: 4, self._form: 10,
            self._batch: 5, self._parameters: 6, self._address: 4, self._route: 15, self._protocol: 4, self._good: 1,
        }  # fmt: skip
        case = self._chance.choices(list(weighted), list(weighted.values()))[0]()
        if self._key is not None and (case.good or self._chance.random() < 0.9):
            case.raw = with_key(case.raw, self._key)
        return case

    def _wrapped(self, kind: str, body: bytes) -> Case:
        """As the body, or as the file of a form; with any `Accept`."""
        accept = self._chance.choice(("application/json", "image/png", "image/jpeg", "image/webp"))
        if self._chance.random() < 0.5:
            return Case(kind, request(body, headers={"Accept": accept, "Content-Type": "image/jpeg"}))
        form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + body + b"\r\n--b--\r\n"
        return Case(kind, request(form, headers={"Accept": accept, "Content-Type": "multipart/form-data; boundary=b"}))

    def _mutated(self) -> Case:
        data, chance = bytearray(self._chance.choice(self._pictures)), self._chance
        for _ in range(chance.choice((1, 1, 2, 4, 16, 64))):
            # Headers matter more than pixels.
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
        other = chance.choice((*FOREIGN, chance.randbytes(200)))
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
        kind = chance.choice(CONTENT_TYPES)
        return Case("form", request(body, headers={"Content-Type": kind}))

    def _batch(self) -> Case:
        """Several photos, some corrupted, as a form or as an archive that may be corrupted as well."""
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
            archive, kind = bytearray(_archive(photos, chance)), "application/zip"
            for _ in range(chance.choice((0, 1, 1, 4))):
                # The central directory, at the end, matters most.
                place = (
                    len(archive) - 1 - chance.randrange(min(len(archive), chance.choice((22, 100, 400, len(archive)))))
                )
                archive[place] = chance.choice((0, 1, 8, 0x7F, 0xFF, chance.randrange(256)))
            if chance.random() < 0.1:
                del archive[chance.randrange(len(archive)) :]
            body = bytes(archive)
        headers = {"Accept": accept, "Content-Type": kind}
        return Case("batch", request(body, path="/detect/batch", headers=headers))

    def _parameters(self) -> Case:
        name, value, accept = (self._chance.choice(choices) for choices in (PARAMETERS, VALUES, ACCEPTS))
        path = f"/detect?{name}={value}".encode().decode("latin-1")
        return Case("parameters", request(self.good, path=path, headers={"Accept": accept}))

    def _address(self) -> Case:
        path = self._chance.choice(PATHS).encode().decode("latin-1")
        method = self._chance.choice(METHODS)
        return Case("address", request(self._chance.choice(BODIES), path=path, method=method))

    def _route(self) -> Case:
        chance, wanted = self._chance, route_case(self._chance)
        headers = {"Cookie": f"caries-session={chance.randbytes(32).hex()[:43]}"} if chance.random() < 0.1 else {}
        if wanted.photos == PHOTO:
            picture = chance.choice(self._pictures)
            body = picture if chance.random() < 0.7 else picture[: chance.randrange(len(picture))]
        elif wanted.photos == PHOTOS:
            body, headers["Content-Type"] = _archive(chance.choices(self._pictures, k=2), chance), "application/zip"
        else:
            body, headers["Content-Type"] = wanted.body, "application/json"
        if wanted.path.startswith("/session") and self._key is not None and chance.random() < 0.5:
            body = json.dumps({"key": self._key}).encode()
        path = wanted.path.encode().decode("latin-1")
        return Case("route", request(body, path=path, method=wanted.method, headers=headers))

    def _protocol(self) -> Case:
        chance, data = self._chance, self._chance.choice(self._pictures)
        valid = request(data)
        raw, cut = chance.choice(
            (
                (valid.replace(b"HTTP/1.1", b"HTTP/9.9"), False),
                (chance.randbytes(300) + b"\r\n\r\n", False),
                (request(data, headers={"Content-Length": "-1"}), False),
                (request(data, headers={"Content-Length": "x"}), False),
                (request(data, headers={"Content-Length": str(10**12)}), False),
                (valid[: len(valid) // 2], True),
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
    """Small valid pictures in every supported format; the first is like a photo of a phone."""
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
    """A zip of photos, sometimes with a bomb."""
    out = io.BytesIO()
    with zipfile.ZipFile(
        out, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    ) as archive:
        for number, photo in enumerate(photos):
            folder = chance.choice(("", "", "", "../../", "__MACOSX/", ".", "치아/"))
            # An explicit ZipInfo has a fixed time, so that the same seed gives the same bytes.
            archive.writestr(zipfile.ZipInfo(f"{folder}{number}.jpg"), photo, archive.compression)
        if chance.random() < 0.05:
            archive.writestr(zipfile.ZipInfo("bomb"), bytes(40_000_000), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _profile() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)  # its time of creation
    return bytes(profile)


def _bombs() -> Iterator[bytes]:
    """Small files that announce, or unpack to, very large ones."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head, end = b"\x89PNG\r\n\x1a\n", chunk(b"IEND", b"")
    zeros = zlib.compress(bytes(30_000_000), 9)
    for width, height in ((50_000, 50_000), (2**31 - 1, 2**31 - 1), (60_000, 1_000), (7_900, 8_000), (0, 5)):
        yield head + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zeros) + end
    small = head + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    rest = chunk(b"IDAT", zlib.compress(bytes(64 * 193))) + end
    yield small + chunk(b"iCCP", b"x\0\0" + zeros) + rest
    yield small + chunk(b"iTXt", b"x\0\1\0\0\0" + zeros) + rest
    yield small + chunk(b"zTXt", b"x\0\0" + zeros) * 8 + rest
    yield small + chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)) + rest
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
    yield small + chunk(b"none", b"") * 100_000 + rest
    yield b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff" * 6
    for path in HEIC:
        data = bytearray(path.read_bytes())
        place = data.index(b"ispe") + 8
        data[place : place + 8] = struct.pack(">II", 2**20, 2**20)
        yield bytes(data)
