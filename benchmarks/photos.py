"""The photos of the benchmarks: mouths that the project renders, as a camera would save them, and real ones if there.

A rendered photo depends on its seed and size alone. They are kept in `build/benchmark-photos`, which is not under
version control, because a photo of 12 megapixels takes seconds.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
CACHE = ROOT / "build" / "benchmark-photos"
REAL = ROOT.parent / "shared" / "data" / "tooth-photos"

SMALL, MEDIUM, LARGE = (640, 480), (1600, 1200), (4032, 3024)
SIZES = (SMALL, MEDIUM, LARGE)
"""Width and height: an intraoral camera's, a web upload's and a phone's photo."""

JPEG_QUALITY = 92
"""With 4:2:0 subsampling, as phones save."""


def rendered(size: tuple[int, int], count: int = 1) -> list[Path]:
    """JPEG files of `count` rendered mouths of this width and height."""
    width, height = size
    paths = [CACHE / f"{width}x{height}-{seed}.jpg" for seed in range(count)]
    for seed, path in enumerate(paths):
        if path.exists():
            continue
        from training.render import render_mouth

        CACHE.mkdir(parents=True, exist_ok=True)
        # Twelve megapixels are drawn at half the size: its teeth are as sharp as a phone's, which smooths more.
        scale = 2 if width > 2000 else 1
        pixels = render_mouth(seed, width=width // scale, height=height // scale, caries=3, view="retracted").image
        picture = (
            Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC) if scale > 1 else Image.fromarray(pixels)
        )
        partial = path.with_suffix(".partial")
        picture.save(partial, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0")
        partial.replace(path)
    return paths


def real(folder: Path = REAL, count: int = 40) -> list[Path]:
    """Up to `count` real photos, evenly over the folder in the order of their names; none if it is not there."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    step = max(1, len(found) // count)
    return found[::step][:count]


def named() -> dict[str, list[Path]]:
    """Size, as a name, to photos: the rendered ones, and `real` where there are any."""
    photos = {f"{width}x{height}": rendered((width, height)) for width, height in SIZES}
    return {**photos, "real": found} if (found := real()) else photos
