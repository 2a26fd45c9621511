"""Pictures of anything but mouths for the training, so that heaps of pale round objects are not detected as teeth."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from training.render.geometry import Floats, stream
from training.render.photograph import photograph


def render_other(seed: int, *, width: int = 640, height: int = 480) -> npt.NDArray[np.uint8]:
    """An RGB picture, uint8 `[height, width, 3]`: balls, panels, rings, strokes or stars on a cloudy background.

    They lie in a heap, or in rows like bricks, keys or beads. Even seeds use colours of mouths. The same arguments give
    the same picture.
    """
    rng = stream(seed, 6)
    palette = _palette(rng, of_mouths=seed % 2 == 0)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    canvas = _ground(rng, palette, height, width)
    shape = _SHAPES[seed // 2 % len(_SHAPES)]
    size = height * rng.uniform(0.03, 0.2)
    arrange = _rows if rng.random() < 0.4 else _heap
    for centre, angle, across in arrange(rng, size, width, height):
        colour = palette[rng.integers(len(palette))] * np.float32(rng.uniform(0.6, 1.15))
        dx, dy = x - centre[0], y - centre[1]
        u = (dx * np.cos(angle) + dy * np.sin(angle)) / across[0]
        v = (dy * np.cos(angle) - dx * np.sin(angle)) / across[1]
        cover, shade = shape(u, v, rng)
        canvas += cover[..., None] * (colour * shade[..., None] - canvas)
    return photograph(canvas, seed)


_Place = tuple[npt.NDArray[np.floating], float, npt.NDArray[np.floating]]
"""Centre x, y and half extents, in pixels, and angle in radians of a shape."""


def _heap(rng: np.random.Generator, size: float, width: int, height: int) -> Iterator[_Place]:
    for _ in range(int(rng.integers(4, 16 + int(1500 // size)))):
        yield rng.uniform(0, (width, height)), rng.uniform(0, np.pi), size * rng.uniform(0.4, 1.6, 2)


def _rows(rng: np.random.Generator, size: float, width: int, height: int) -> Iterator[_Place]:
    """Rows of equal shapes with joints between them, every second one shifted."""
    half = np.maximum(size, height * 0.05) * rng.uniform(0.5, 1.6, 2)
    pitch = half * rng.uniform(1.9, 2.6)
    angle, shift, tilt = rng.choice([0, rng.uniform(-0.2, 0.2)]), rng.choice([0, 0.5]), rng.uniform(-0.2, 0.2)
    first = int(rng.integers(0, 3)) * 0.1 * height
    for row in range(int((height - first) / pitch[1]) + 1 if rng.random() < 0.7 else 2):
        for column in range(-1, int(width / pitch[0]) + 2):
            centre_x = (column + shift * (row % 2)) * pitch[0]
            centre = np.array([centre_x, first + row * pitch[1] + tilt * centre_x])
            yield centre, angle, half * rng.uniform(0.95, 1.05, 2)


def _palette(rng: np.random.Generator, *, of_mouths: bool) -> Floats:
    """Reds, skin and enamel, or any colours: float32 `[n, 3]`."""
    if not of_mouths:
        return rng.uniform(0.03, 0.97, (5, 3)).astype(np.float32)
    reds = np.array([0.7, 0.35, 0.35]) + rng.normal(0, 0.1, (2, 3))
    pale = np.array([0.85, 0.8, 0.7]) + rng.normal(0, 0.06, (2, 3))
    dark = np.array([0.35, 0.22, 0.16]) + rng.normal(0, 0.06, (1, 3))
    return np.concatenate([reds, pale, dark]).clip(0.02, 1).astype(np.float32)


def _ground(rng: np.random.Generator, palette: Floats, height: int, width: int) -> Floats:
    """Two colours mixed in clouds or waves."""
    cells = rng.integers(2, 40)
    clouds = ndimage.zoom(rng.random((cells, cells)), (height / cells, width / cells), order=1)
    if rng.random() < 0.4:
        period = rng.uniform(0.03, 0.3) * width
        y, x = np.mgrid[:height, :width]
        clouds = (clouds + np.sin(2 * np.pi * (x + y * rng.uniform(-1, 1)) / period)) / 2
    share = ndimage.gaussian_filter(clouds, rng.uniform(0, 3)).clip(0, 1)[..., None]
    first, second = palette[rng.choice(len(palette), 2, replace=False)]
    return np.asarray(first + (second - first) * share, np.float32)


def _edge(distance: npt.NDArray[np.floating]) -> Floats:
    """1 inside, at negative distances, 0 outside, with a soft edge."""
    return np.asarray((0.5 - distance * 12).clip(0, 1), np.float32)


def _ball(u: Floats, v: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    radius = np.hypot(u, v)
    light = np.hypot(u + 0.35, v + 0.35)
    return _edge(radius - 1), np.asarray(1.15 - 0.5 * light.clip(0, 1.5), np.float32)


def _panel(u: Floats, v: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    corner = rng.uniform(0.02, 0.9)
    outside = np.hypot(np.maximum(abs(u) - 1 + corner, 0), np.maximum(abs(v) - 1 + corner, 0)) - corner
    return _edge(outside), np.asarray(1 - 0.15 * v.clip(-1, 1), np.float32)


def _ring(u: Floats, v: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    return _edge(abs(np.hypot(u, v) - 1) - rng.uniform(0.05, 0.4)), np.ones_like(u)


def _stroke(u: Floats, v: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    bend = v - rng.uniform(-1, 1) * np.sin(u * rng.uniform(0.5, 3))
    return _edge(np.maximum(abs(bend) * 4 - rng.uniform(0.2, 1), abs(u) - 2)), np.ones_like(u)


def _star(u: Floats, v: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    waves = 1 + rng.uniform(0, 0.5) * np.cos(np.arctan2(v, u) * rng.integers(2, 9))
    return _edge(np.hypot(u, v) - waves), np.asarray(1 - 0.2 * u.clip(-1, 1), np.float32)


_SHAPES = (_ball, _panel, _ring, _stroke, _star)
