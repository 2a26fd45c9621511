"""The cost of decoding, resizing and encoding a photo with each installed library: CPU ms, bytes and equality.

    python -m benchmarks.pixels [--rounds 7] [--sizes 640x480,1600x1200,4032x3024]

Every library runs once in each round, so that other work on the machine affects all alike; the lowest CPU time of the
rounds is shown. Photos are an example photo at each size with sensor noise, as a JPEG of quality 90 with 4:2:0 chroma.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
import zlib
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.photo.decoding import decode
from app.photo.encoding import encode
from app.photo.pixels import Pixels
from app.photo.quality import screened_side
from app.photo.resizing import resize

ROOT = Path(__file__).parents[1]
NOISE = 3.0
"""Standard deviation of the noise, on a scale to 255."""

MODEL_INPUT = (320, 320)

Call = Callable[[], Any]


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", default="640x480,1600x1200,4032x3024", help="WIDTHxHEIGHT,…")
    arguments = parser.parse_args()
    for size in arguments.sizes.split(","):
        width, height = map(int, size.split("x"))
        data = photo(width, height)
        pixels = decode(data).pixels
        for subject, calls in (("decode", decoders(data)), ("resize", resizers(pixels)), ("PNG", encoders(pixels))):
            print(f"\n| {subject} {size} | CPU ms | result |\n|---|---|---|")
            times: dict[str, float] = {}
            results = {name: call() for name, call in calls.items()}
            for _ in range(arguments.rounds):
                for name, call in calls.items():
                    started = time.process_time()
                    call()
                    times[name] = min(times.get(name, 1e9), (time.process_time() - started) * 1000)
            first = next(iter(results.values()))
            for name, result in results.items():
                print(f"| {name} | {times[name]:.2f} | {described(result, first)} |", flush=True)
    return 0


def photo(width: int, height: int) -> bytes:
    """The first example photo at this size, as a JPEG."""
    example = Image.open(min((ROOT / "examples" / "img_train").glob("*.jpg"))).resize((width, height))
    noise = np.random.default_rng(0).normal(0, NOISE, (height, width, 3))
    out = io.BytesIO()
    noisy = (np.asarray(example) + noise).clip(0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(out, "JPEG", quality=90, subsampling="4:2:0")
    return out.getvalue()


def decoders(data: bytes) -> dict[str, Call]:
    """Calls that decode a JPEG, in full and scaled."""

    def pillow(scale: int) -> np.ndarray:
        image = Image.open(io.BytesIO(data))
        image.draft(None, (image.width // scale, image.height // scale))
        return np.asarray(image)

    calls: dict[str, Call] = {
        "Pillow": partial(pillow, 1),
        "app.photo": lambda: decode(data).pixels,
        "app.photo, scaled": lambda: decode(data, shorter_side=screened_side(*MODEL_INPUT)).pixels,
    }
    width, height = Image.open(io.BytesIO(data)).size
    scales = [scale for scale in (2, 4, 8) if min(width, height) >= scale * min(MODEL_INPUT)]
    for scale in scales:
        calls[f"Pillow 1/{scale}"] = partial(pillow, scale)
    if simplejpeg := found("simplejpeg"):
        calls["simplejpeg"] = lambda: simplejpeg.decode_jpeg(data)
        for scale in scales:
            least = {"min_height": height // scale, "min_width": width // scale}
            calls[f"simplejpeg 1/{scale}"] = partial(simplejpeg.decode_jpeg, data, **least)
    if cv2 := found("cv2"):
        encoded = np.frombuffer(data, np.uint8)
        calls["OpenCV"] = lambda: cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
        for scale in scales:
            calls[f"OpenCV 1/{scale}"] = partial(cv2.imdecode, encoded, getattr(cv2, f"IMREAD_REDUCED_COLOR_{scale}"))
    return calls


def resizers(pixels: Pixels) -> dict[str, Call]:
    """Calls that resize a photo to the model's input."""
    image = Image.fromarray(pixels)
    calls: dict[str, Call] = {
        "Pillow, exact": lambda: np.asarray(image.resize(MODEL_INPUT, Image.Resampling.BILINEAR)),
        "app.photo": lambda: resize(pixels, *MODEL_INPUT),
        "Pillow, gap 3, from an image": lambda: np.asarray(
            image.resize(MODEL_INPUT, Image.Resampling.BILINEAR, reducing_gap=3.0)
        ),
    }
    if cv2 := found("cv2"):
        cv2.setNumThreads(1)
        calls["OpenCV area"] = lambda: cv2.resize(pixels, MODEL_INPUT, interpolation=cv2.INTER_AREA)
    if resizer := found("cykooz_resizer"):
        calls["cykooz-resizer"] = lambda: resized_by(resizer, pixels)
    return calls


def resized_by(library: Any, pixels: Pixels) -> np.ndarray:
    """Antialiased bilinear by cykooz-resizer."""
    height, width, _ = pixels.shape
    source = library.ImageData(width, height, library.PixelType.U8x3, pixels.tobytes())
    target = library.ImageData(*MODEL_INPUT, library.PixelType.U8x3)
    options = library.ResizeOptions(resize_alg=library.ResizeAlg.convolution(library.FilterType.bilinear))
    library.Resizer().resize(source, target, options)
    return np.frombuffer(target.get_buffer(), np.uint8).reshape(*MODEL_INPUT[::-1], 3)


def encoders(pixels: Pixels) -> dict[str, Call]:
    """Calls that encode a photo as PNG, or, named `rows`, that compress its rows after the Up filter."""

    def pillow(level: int) -> bytes:
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG", compress_level=level)
        return out.getvalue()

    samples = pixels.reshape(pixels.shape[0], -1)
    rows = np.empty((samples.shape[0], samples.shape[1] + 1), np.uint8)
    rows[:, 0], rows[0, 1:] = 2, samples[0]
    np.subtract(samples[1:], samples[:-1], out=rows[1:, 1:])

    def packed(library: Any, level: int, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> bytes:
        packer = library.compressobj(level, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL + 1, strategy)
        stream: bytes = packer.compress(rows.data) + packer.flush()
        return stream

    calls: dict[str, Call] = {
        "Pillow, level 6": partial(pillow, 6),
        "Pillow, level 1": partial(pillow, 1),
        "app.photo": lambda: encode(pixels, "image/png"),
        "rows, zlib level 1 RLE": partial(packed, zlib, 1, zlib.Z_RLE),
        "rows, zlib Huffman": partial(packed, zlib, 1, zlib.Z_HUFFMAN_ONLY),
    }
    if ng := found("zlib_ng.zlib_ng"):
        calls |= {f"rows, zlib-ng level {level}": partial(packed, ng, level) for level in (1, 2, 3)}
        calls["rows, zlib-ng RLE"] = partial(packed, ng, 1, zlib.Z_RLE)
        calls["rows, zlib-ng RLE, level 2"] = partial(packed, ng, 2, zlib.Z_RLE)
        calls["rows, zlib-ng Huffman"] = partial(packed, ng, 2, zlib.Z_HUFFMAN_ONLY)
    if isal := found("isal.isal_zlib"):
        calls |= {f"rows, isal level {level}": partial(isal.compress, rows.data, level) for level in (0, 1, 2, 3)}
    if deflate := found("deflate"):
        calls["rows, libdeflate level 1"] = lambda: deflate.zlib_compress(rows.data, 1)
    if cv2 := found("cv2"):
        calls["OpenCV"] = lambda: cv2.imencode(".png", pixels)[1].tobytes()
    if fpng := found("fpng"):
        calls["fpng"] = lambda: fpng.from_ndarray(pixels)
    return calls


def found(module: str) -> Any:
    """The module, or None if it is not installed."""
    try:
        return import_module(module)
    except ImportError:
        return None


def described(result: Any, first: Any) -> str:
    """A file's size relative to the first; the shape of samples and their difference from the first."""
    if isinstance(result, bytes | bytearray):
        return f"{len(result)} bytes, {len(result) / len(first):.2f} x"
    shape = "x".join(map(str, result.shape[1::-1]))
    if result.shape != first.shape:
        return shape
    difference = np.abs(result.astype(np.int16) - first)
    return f"{shape}, differs by at most {difference.max()}, {difference.mean():.3f} on average"


if __name__ == "__main__":
    sys.exit(main())
