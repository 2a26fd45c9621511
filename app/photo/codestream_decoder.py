"""The process that decodes one frame of a DICOM file in JPEG 2000, JPEG-LS or RLE.

`app.photo.separate` starts it and describes the protocol. Its own arguments: a `Codestream`, width, height, and samples
per pixel.
"""

import importlib
import io
import os
import struct
import sys
from collections.abc import Sequence
from enum import StrEnum
from types import ModuleType

from PIL import Image

from app.photo.separate_decoder import Size, give_back, read_photo, run, size_is_accepted


class Codestream(StrEnum):
    """What a frame is compressed by."""

    JPEG_2000 = "JPEG 2000"
    JPEG_LS = "JPEG-LS"
    RLE = "RLE"


LIBRARIES = {Codestream.JPEG_2000: "PIL.Jpeg2KImagePlugin", Codestream.JPEG_LS: "jpeg_ls", Codestream.RLE: "struct"}
"""Modules that decode."""

MAX_PADDING = 2
"""Bytes behind the samples of a segment in RLE: to an even number, of the segment and of the fragment."""

MODES = {1: "L", 3: "RGB"}
"""Pillow's name for samples, by their number per pixel."""


def decode_jpeg_2000(library: ModuleType, data: bytes) -> Image.Image:
    """The samples as they are after the inverse of the codestream's own colour transform, if it has one."""
    image: Image.Image = library.Jpeg2KImageFile(io.BytesIO(data))
    image.load()
    return image


def decode_jpeg_ls(library: ModuleType, data: bytes) -> Image.Image:
    """The samples as they were compressed: by pixel, or plane after plane (ISO 14495-1, interleave mode 0)."""
    samples, found = library.decode_pixel_data(data)
    size, components = (found["width"], found["height"]), found["components"]
    if found["bits_per_sample"] != 8:
        raise ValueError(f"{found['bits_per_sample']} bits a sample")
    if components == 1 or found["interleave_mode"] != 0:
        return Image.frombytes(MODES[components], size, bytes(samples))
    return from_planes(bytes(samples), size)


def decode_rle(data: bytes, size: Size, samples: int) -> Image.Image:
    """The samples of a frame in RLE, a segment each (PS3.5, annex G)."""
    count, *offsets = struct.unpack_from("<16I", data)
    if count != samples:
        raise ValueError(f"{count} segments")
    ends = [*offsets[1:count], len(data)]
    plane = size[0] * size[1]
    planes = [unpack_bits(data[start:end], plane) for start, end in zip(offsets[:count], ends, strict=True)]
    return Image.frombytes("L", size, planes[0]) if samples == 1 else from_planes(b"".join(planes), size)


def unpack_bits(segment: bytes, length: int) -> bytes:
    """A segment in full, of `length` bytes.

    Raises:
        ValueError: it has fewer or more.
    """
    out, at = bytearray(), 0
    while len(out) < length and at < len(segment):
        control = segment[at]
        if control < 128:
            out += segment[at + 1 : at + 2 + control]
            at += 2 + control
        elif control > 128:
            out += segment[at + 1 : at + 2] * (257 - control)
            at += 2
        else:
            at += 1
    if len(out) != length or len(segment) - at > MAX_PADDING:
        raise ValueError("not the samples of the picture")
    return bytes(out)


def from_planes(samples: bytes, size: Size) -> Image.Image:
    """Three planes, one after the other, as one image."""
    plane = size[0] * size[1]
    parts = [Image.frombytes("L", size, samples[start : start + plane]) for start in range(0, 3 * plane, plane)]
    return Image.merge("RGB", parts)


def load(codestream: str) -> ModuleType:
    """The library that decodes."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy, which JPEG-LS imports, would reserve memory for each core
    return importlib.import_module(LIBRARIES[Codestream(codestream)])


def decode(memory: int, library: ModuleType, arguments: Sequence[str]) -> None:
    """Replace the codestream in the memory by its samples."""
    name, *numbers = arguments
    width, height, samples = map(int, numbers)
    size = (width, height)
    if not size_is_accepted(1, size):
        return
    data = read_photo(memory)
    match Codestream(name):
        case Codestream.JPEG_2000:
            image = decode_jpeg_2000(library, data)
        case Codestream.JPEG_LS:
            image = decode_jpeg_ls(library, data)
        case Codestream.RLE:
            image = decode_rle(data, size, samples)
    if (image.size, image.mode) != (size, MODES[samples]):
        raise ValueError(f"the codestream has {image.size} pixels of mode {image.mode}")
    give_back(memory, image.mode, size, 0, image.tobytes())


if __name__ == "__main__":
    run(lambda: load(sys.argv[5]), decode)
