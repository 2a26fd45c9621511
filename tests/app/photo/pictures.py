"""Pictures of known colours in every format, and ways to compare them."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

DATA = Path(__file__).parents[2] / "data"


RED, GREEN, BLUE, GREY = (220, 40, 40), (40, 180, 60), (40, 60, 220), (120, 120, 120)


ORIENTATION = 0x0112


def four_colours(width: int = 64, height: int = 48) -> np.ndarray:
    """Red top left, green top right, grey bottom left, blue bottom right."""
    picture = np.empty((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    picture[:top, :left], picture[:top, left:] = RED, GREEN
    picture[top:, :left], picture[top:, left:] = GREY, BLUE
    return picture


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def corners(pixels: np.ndarray) -> np.ndarray:
    """Colours well inside the four quarters."""
    height, width, _ = pixels.shape
    rows, columns = (height // 4, height * 3 // 4), (width // 4, width * 3 // 4)
    return np.array([pixels[row, column] for row in rows for column in columns], np.int16)


def assert_four_colours(pixels: np.ndarray, tolerance: int = 6) -> None:
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    assert pixels.shape[1] > pixels.shape[0], "not upright"
    assert np.abs(corners(pixels) - np.array([RED, GREEN, GREY, BLUE])).max() <= tolerance


PICTURE = Image.fromarray(four_colours())


LOSSY = {"quality": 95}


KINDS = {
    "jpeg": saved(PICTURE, "JPEG", **LOSSY),
    "jpeg progressive": saved(PICTURE, "JPEG", progressive=True, **LOSSY),
    "png": saved(PICTURE, "PNG"),
    "webp lossy": saved(PICTURE, "WEBP", **LOSSY),
    "webp lossless": saved(PICTURE, "WEBP", lossless=True),
    "heic": (DATA / "four_colours.heic").read_bytes(),
    "dicom": (DATA / "four_colours.dcm").read_bytes(),
    "palette": saved(PICTURE.quantize(8), "PNG"),
    "alpha png": saved(PICTURE.convert("RGBA"), "PNG"),
    "alpha webp": saved(PICTURE.convert("RGBA"), "WEBP", lossless=True),
    "animated png": saved(PICTURE, "PNG", save_all=True, append_images=[Image.new("RGB", PICTURE.size, "white")]),
    "animated webp": saved(
        PICTURE, "WEBP", save_all=True, append_images=[Image.new("RGB", PICTURE.size, "white")], lossless=True
    ),
    "mpo": saved(PICTURE, "MPO", save_all=True, append_images=[Image.new("RGB", PICTURE.size, "white")], **LOSSY),
}


TO_STORED = {  # from upright to the pixels that a camera stores with this orientation
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def camera_photo(width: int = 700, height: int = 525) -> Image.Image:
    """Four colours with noise."""
    noise = np.random.default_rng(3).normal(0, 12, (height, width, 3))
    return Image.fromarray((four_colours(width, height) + noise).clip(0, 255).astype(np.uint8))


def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def display_p3() -> bytes:
    """An ICC profile (v2, matrix) with Display P3 primaries adapted to D50 and, for brevity, a gamma of 2.2."""
    columns = {b"rXYZ": (0.51512, 0.24120, -0.00105), b"gXYZ": (0.29198, 0.69225, 0.04189)}
    columns |= {b"bXYZ": (0.15710, 0.06657, 0.78407), b"wtpt": (0.9642, 1.0, 0.8249)}
    tags = {name: b"XYZ \0\0\0\0" + b"".join(map(fixed, xyz)) for name, xyz in columns.items()}
    gamma = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma)
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", 8) + b"wide p3\0" + bytes(80)
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI4s4s4s", start + len(body), b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + b"".join(map(fixed, (0.9642, 1, 0.8249)))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


PEAK = """
import re, sys
from pathlib import Path
import numpy as np
from app.photo.decoding import decode
from app.photo.encoding import encode
from app.process.memory import return_large_blocks

def most():
    return int(re.findall(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[0]) * 1024

return_large_blocks()
"""
"""Code that gives `most()`, the most resident memory of its process so far in bytes."""


FOUR_COLOURS = (DATA / "four_colours.heic").read_bytes()


FLAT = (DATA / "flat.heic").read_bytes()


def box(name: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + name + body


def of_tiles(rows: int, columns: int, *, tile: bytes = FOUR_COLOURS, side: int = 64) -> bytes:
    """A grid that repeats one picture, `side` pixels a side, cut to 64 pixels each.

    ISO 23008-12, 6.6.2.3. Each tile is a separate item, since a grid may not refer to one twice; all have the same
    bytes.
    """
    tiles = range(1, rows * columns + 1)
    grid = len(tiles) + 1

    def number(value: int, size: int = 2) -> bytes:
        return value.to_bytes(size, "big")

    def kept(name: bytes) -> bytes:
        """A box of the picture, complete."""
        at = tile.index(name) - 4
        return tile[at : at + int.from_bytes(tile[at : at + 4], "big")]

    def info(item: int, kind: bytes, hidden: bool) -> bytes:
        return box(b"infe", number(2, 1) + number(hidden, 3) + number(item) + bytes(2) + kind + b"\0")

    def place(item: int, where: int, offset: int, size: int) -> bytes:
        """Of an item: in the file (0) or in `idat` (1)."""
        return number(item) + number(where) + bytes(2) + number(1) + number(offset, 4) + number(size, 4)

    height, width, hevc = rows * 64, columns * 64, kept(b"mdat")[8:]
    extents = [box(b"ispe", bytes(4) + number(w, 4) + number(h, 4)) for w, h in ((side, side), (width, height))]
    properties = box(b"ipco", kept(b"hvcC") + b"".join(extents) + kept(b"pixi"))
    of_items = b"".join(number(item) + bytes([2, 0x81, 2]) for item in tiles) + number(grid) + bytes([2, 3, 4])
    refers = number(grid) + number(len(tiles)) + b"".join(map(number, tiles))

    def head(offset: int) -> bytes:
        places = b"".join(place(item, 0, offset, len(hevc)) for item in tiles) + place(grid, 1, 0, 8)
        infos = b"".join(info(item, b"hvc1", True) for item in tiles) + info(grid, b"grid", False)
        meta = [
            kept(b"hdlr"),
            box(b"pitm", bytes(4) + number(grid)),
            box(b"idat", bytes([0, 0, rows - 1, columns - 1]) + number(width) + number(height)),
            box(b"iloc", b"\1\0\0\0\x44\0" + number(grid) + places),
            box(b"iinf", bytes(4) + number(grid) + infos),
            box(b"iprp", properties + box(b"ipma", bytes(4) + number(grid, 4) + of_items)),
            box(b"iref", bytes(4) + box(b"dimg", refers)),
        ]
        return kept(b"ftyp") + box(b"meta", bytes(4) + b"".join(meta))

    return head(len(head(0)) + 8) + box(b"mdat", hevc)


HARD = of_tiles(30, 30, tile=FLAT, side=4096)
"""44 kB: the picture has 1920x1920 pixels, its 900 tiles have 16 million each and take minutes."""
