"""Pictures without teeth, which a screening must not clear: drawn ones, random ones and those of scikit-image.

`pictures()` gives the same 366 every time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import skimage.data
import skimage.transform
from PIL import Image, ImageDraw

Picture = npt.NDArray[np.uint8]

SIZES = ((480, 640), (640, 480), (600, 600), (720, 1280))
"""Rows and columns."""

COLOURS = {
    "white": (238, 236, 230),
    "grey": (128, 128, 128),
    "enamel": (226, 214, 190),
    "gum": (196, 110, 112),
    "lip": (176, 72, 78),
    "skin": (224, 172, 150),
    "brown": (120, 76, 50),
    "red": (190, 30, 36),
    "green": (60, 130, 70),
    "blue": (50, 90, 170),
    "black": (14, 12, 12),
}

PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "cat", "cell", "clock", "coffee", "coins", "colorwheel", "grass", "gravel", "horse",
    "hubble_deep_field", "immunohistochemistry", "logo", "microaneurysms", "moon", "page", "retina", "rocket", "text",
)  # fmt: skip
"""Names in `skimage.data`."""


def pictures() -> Iterator[tuple[str, str, Picture]]:
    """Kind, name, and uint8 `[height, width, 3]` of each picture, one at a time."""
    random = np.random.default_rng(0)
    for kind, drawn in (
        ("one colour", _plain()),
        ("ramps", _ramps()),
        ("noise", _noise(random)),
        ("patterns", _patterns(random)),
        ("heaps of shapes", _heaps(random)),
        ("scikit-image's", _photographs()),
    ):
        for name, picture in drawn:
            yield kind, name, np.ascontiguousarray(picture)


def _plain() -> Iterator[tuple[str, Picture]]:
    for name, colour in COLOURS.items():
        for rows, columns in SIZES[:2]:
            yield f"{name} {columns}x{rows}", np.full((rows, columns, 3), colour, np.uint8)


def _ramps() -> Iterator[tuple[str, Picture]]:
    """From one colour to the next, across and from the centre outwards."""
    names = list(COLOURS)
    for number, (first, second) in enumerate(zip(names, names[1:] + names[:1], strict=True)):
        rows, columns = SIZES[number % len(SIZES)]
        y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
        for shape, share in (("across", (x + 1) / 2), ("round", np.hypot(x, y) / np.sqrt(2))):
            yield f"{first} to {second}, {shape}", _mixed(first, second, share)


def _noise(random: np.random.Generator) -> Iterator[tuple[str, Picture]]:
    """Independent pixels, and clouds in the colours of mouths and others."""
    for number in range(12):
        rows, columns = SIZES[number % len(SIZES)]
        level = random.integers(40, 220)
        grain = random.normal(level, 10 + 10 * number, (rows, columns, 3 if number % 2 else 1))
        yield f"grain {number}", np.broadcast_to(grain.clip(0, 255), (rows, columns, 3)).astype(np.uint8)
    pairs = [
        ("gum", "enamel"),
        ("lip", "skin"),
        ("brown", "enamel"),
        ("blue", "white"),
        ("gum", "white"),
        ("black", "red"),
    ]
    for number, (first, second) in enumerate(pairs * 9):
        rows, columns = SIZES[number % len(SIZES)]
        cells = 3 + 4 * (number // len(pairs))
        coarse = random.random((cells, cells + 1))
        cloud = skimage.transform.resize(coarse, (rows, columns), order=3).clip(0, 1)
        grained = _mixed(first, second, cloud).astype(np.int16) + random.integers(-9, 10, (rows, columns, 1))
        yield f"cloud of {first} and {second} {number}", grained.clip(0, 255).astype(np.uint8)


def _patterns(random: np.random.Generator) -> Iterator[tuple[str, Picture]]:
    """Rotated stripes, boards, tiles, bricks and dots, lit from one side."""
    pairs = [
        ("gum", "white"),
        ("lip", "enamel"),
        ("skin", "brown"),
        ("grey", "white"),
        ("red", "enamel"),
        ("green", "blue"),
    ]
    for number, (first, second) in enumerate(pairs * 12):
        rows, columns = SIZES[number % len(SIZES)]
        period = 16 + 14 * (number // len(pairs))
        angle = random.uniform(0, np.pi)
        y, x = np.mgrid[:rows, :columns]
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        u, v = along / period, across / period
        name, is_first = [
            ("stripes", u % 1 < 0.5),
            ("board", (u % 1 < 0.5) ^ (v % 1 < 0.5)),
            ("tiles", (u % 1 < 0.1) | (v % 1 < 0.1)),
            ("bricks", ((u + 0.5 * (np.floor(v) % 2)) % 1 < 0.08) | (v % 1 < 0.15)),
            ("dots", np.hypot(u % 1 - 0.5, v % 1 - 0.5) > 0.35),
            ("waves", np.sin(2 * np.pi * u + np.sin(2 * np.pi * v)) > 0),
        ][(number + number // len(pairs)) % 6]
        light = np.linspace(0.6, 1.1, columns)[:, np.newaxis]
        lit = _mixed(first, second, np.where(is_first, 0.0, 1.0)) * light + random.normal(0, 4, (rows, columns, 1))
        yield f"{name} of {first} and {second} {number}", lit.clip(0, 255).astype(np.uint8)


def _heaps(random: np.random.Generator) -> Iterator[tuple[str, Picture]]:
    """Ellipses and blocks in random colours: balls, pebbles, boxes, sweets, roofs."""
    names = list(COLOURS)
    for number in range(100):
        rows, columns = SIZES[number % len(SIZES)]
        ground, *colours = random.choice(names, 2 + number % 4, replace=False)
        canvas = Image.new("RGB", (columns, rows), COLOURS[ground])
        pen = ImageDraw.Draw(canvas)
        size = rows * random.uniform(0.04, 0.25)
        for _ in range(int(random.integers(5, 120))):
            x, y = random.uniform(0, columns), random.uniform(0, rows)
            wide, high = size * random.uniform(0.5, 1.5, 2)
            shade = random.uniform(0.6, 1.1)
            fill = tuple(int(min(255, part * shade)) for part in COLOURS[random.choice(colours)])
            box = (x - wide, y - high, x + wide, y + high)
            if number % 3 == 2:
                pen.rectangle(box, fill, COLOURS["black"] if number % 2 else None)
            else:
                pen.ellipse(box, fill, COLOURS["brown"] if number % 2 else None)
        grained = np.asarray(canvas, np.int16) + random.integers(-6, 7, (rows, columns, 1))
        yield f"{number}", grained.clip(0, 255).astype(np.uint8)


def _photographs() -> Iterator[tuple[str, Picture]]:
    """Each in full, its centre, mirrored at twice the contrast, and in the colours of a mouth."""
    for name in PHOTOGRAPHS:
        picture = getattr(skimage.data, name)()
        full = np.stack([picture] * 3, axis=2) if picture.ndim == 2 else picture[:, :, :3]
        if full.dtype == np.bool_:
            full = full * np.uint8(255)
        rows, columns, _ = full.shape
        light = full.mean(axis=2) / 255
        yield name, full
        yield f"{name}, its middle", full[rows // 4 : -(rows // 4), columns // 4 : -(columns // 4)]
        yield f"{name}, harder", ((full[:, ::-1].astype(np.int16) - 128) * 2 + 128).clip(0, 255).astype(np.uint8)
        yield f"{name}, in gum and enamel", _mixed("gum", "enamel", light)


def _mixed(first: str, second: str, share: npt.NDArray[np.float64]) -> Picture:
    """A mix of two colours; `share` of the second, 0 to 1, `[rows, columns]`."""
    from_, to = (np.array(COLOURS[name], np.float64) for name in (first, second))
    return (from_ + (to - from_) * share[:, :, np.newaxis]).clip(0, 255).astype(np.uint8)
