"""Photos for the benchmarks: rendered mouths, saved as a camera would, and real photos if there are any.

A rendered photo depends only on its seed and size. The files are cached in `build/benchmark-photos`, since rendering 12
megapixels takes seconds.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
CACHE = ROOT / "build" / "benchmark-photos"
REAL = ROOT.parent / "shared" / "data" / "tooth-photos"

SMALL, MEDIUM, LARGE = (640, 480), (1600, 1200), (4032, 3024)
SIZES = (SMALL, MEDIUM, LARGE)
"""Width and height: an intraoral camera, a web upload, a phone."""

JPEG_QUALITY = 92
"""With 4:2:0 subsampling, as phones save."""


def rendered(size: tuple[int, int], count: int = 1) -> list[Path]:
    """JPEG files of `count` rendered mouths of this width and height."""
    width, height = size
    paths = [CACHE / f"{name_of(size)}-{seed}.jpg" for seed in range(count)]
    for seed, path in enumerate(paths):
        if path.exists():
            continue
        from training.render import render_mouth

        CACHE.mkdir(parents=True, exist_ok=True)
        # 12 megapixels are rendered at half the size and enlarged: as smooth as a phone's photo, and faster.
        scale = 2 if width > 2000 else 1
        pixels = render_mouth(seed, width=width // scale, height=height // scale, caries=3, view="retracted").image
        picture = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
        partial = path.with_suffix(".partial")
        picture.save(partial, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0")
        partial.replace(path)
    return paths


def name_of(size: tuple[int, int]) -> str:
    """Such as `640x480`."""
    return "{}x{}".format(*size)


def real(folder: Path = REAL, count: int = 40) -> list[Path]:
    """Up to `count` real photos, evenly spaced over the sorted folder; none if there is no folder."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    step = max(1, len(found) // count)
    return found[::step][:count]


def named() -> dict[str, list[Path]]:
    """Name of a size to its rendered photos, and `real` to the real ones if there are any."""
    photos = {name_of(size): rendered(size) for size in SIZES}
    return {**photos, "real": found} if (found := real()) else photos
