"""Bytes to an upright RGB array under limits, and back to bytes without metadata.

Accepted: JPEG, PNG, WebP and HEIC. The kind is told from the first bytes and only that kind's decoder runs; Pillow's
search through all its plugins is never used. No file is written. HEIC is decoded in another process (`app.photo.heic`).
Which library does what follows from the measurements of `benchmarks/pixels.py`.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import re
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from traceback import clear_frames
from typing import Literal

import numpy as np
import numpy.typing as npt
import simplejpeg
from cykooz_resizer import FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer
from isal import isal_zlib
from PIL import ExifTags, Image, ImageCms
from PIL.JpegImagePlugin import MARKER, JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from app.errors import CariesError, PhotoTooLarge, UnreadablePhoto, UnsupportedPhoto
from app.photo.heic import read_heic

Pixels = npt.NDArray[np.uint8]
MediaType = Literal["image/png", "image/jpeg", "image/webp"]

MAX_ICC_BYTES = 4 * 2**20
"""Colour profiles above this size are ignored; the largest press profiles in use are about 3 MB."""

JPEG_QUALITY = 90
WEBP_QUALITY = 90

WEBP_METHOD = 2
"""The strongest that does not hold what it is about to write of the whole picture: up to 17 bytes a pixel more."""

FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WebP", "heic": "HEIC"}
"""The formats that can be read, by the names that settings give them."""

PNG_STRIP = 2**18
"""Bytes of rows that are filtered and packed at a time, so that they stay in the processor's cache."""

STRIP = 2**20
"""Pixels that go from or to Pillow's own layout at a time."""

MAX_SEGMENTS = 2**16
"""Parts of a JPEG's header, or of a PNG; Pillow takes microseconds for each. 32 MiB of PNG in the usual parts of 8 KiB
are 4,096."""

MAX_SCANS = 32
"""Scans of a JPEG. The usual progressive one has 10, one of four colours 18. Each is a pass over all pixels, for which
14 bytes of the file are enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a photo may be at most. All but the bytes are read from its header, before a pixel is decoded.

    Attributes:
        max_bytes: as sent. A 48-megapixel phone JPEG is 10 to 20 MiB.
        max_pixels: width times height. Decoding takes up to 12 bytes a pixel, of most photos 3 to 7.
        max_side: pixels of width and of height; an answer as WebP, legend included, cannot have more than 16,383.
        max_frames: pictures of an animated PNG or WebP, or of a HEIC collection, of which one is screened. What a JPEG
            holds behind its picture, such as a phone's depth map, is never looked at.
        formats: of `FORMATS`.
    """

    max_bytes: int = 32 * 2**20
    max_pixels: int = 64_000_000
    max_side: int = 15_000
    max_frames: int = 32
    formats: frozenset[str] = frozenset(FORMATS)

    @property
    def accepted(self) -> str:
        """The formats as a sentence names them."""
        names = [shown for name, shown in FORMATS.items() if name in self.formats]
        return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)

    def check_size(self, width: int, height: int) -> None:
        """Raises PhotoTooLarge, or UnreadablePhoto for no pixels at all."""
        if width < 1 or height < 1:
            raise UnreadablePhoto(f"the photo's header says {width}x{height} pixels; at least 1x1 is needed")
        if width * height > self.max_pixels:
            raise PhotoTooLarge(f"the photo has {width}x{height} pixels; at most {self.max_pixels} in all are accepted")
        if max(width, height) > self.max_side:
            raise PhotoTooLarge(f"the photo has {width}x{height} pixels; at most {self.max_side} a side are accepted")

    def check_frames(self, frames: int) -> None:
        """Raises PhotoTooLarge."""
        if frames > self.max_frames:
            raise PhotoTooLarge(f"the file holds {frames} pictures; at most {self.max_frames} are accepted")


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo.

    Attributes:
        pixels: uint8 `[rows, columns, 3]`, sRGB, upright. Read-only. Fewer than the photo has if it was decoded scaled.
        width, height: of the upright photo, pixels.
        sha256: hexadecimal digest of the bytes as they were sent.
    """

    pixels: Pixels
    width: int
    height: int
    sha256: str

    @property
    def whole(self) -> bool:
        """Whether `pixels` are all that the photo has."""
        return self.pixels.shape[:2] == (self.height, self.width)


def decode(
    data: bytes,
    limits: Limits = DEFAULT_LIMITS,
    *,
    shorter_side: int | None = None,
    wanted: Callable[[], bool] = lambda: True,
) -> Photo:
    """The upright sRGB photo in `data`.

    EXIF orientation is applied (in HEIC the container's own rotation, as ISO 23008-12 asks; its EXIF orientation is
    information only). Embedded colour profiles are converted to sRGB; one that is broken is ignored. Transparent parts
    become white, as a viewer would show them. 16-bit samples are scaled to 8 bits. Of an animation the first frame is
    taken.

    Args:
        data: the photo as it was sent.
        limits: what is accepted.
        shorter_side: pixels that are enough. A JPEG of at least twice as many is decoded at 1/2, 1/4 or 1/8 of its
            size, which keeps at least these; any other photo whole. None decodes every photo whole.
        wanted: whether anybody still waits for the photo; the decoding of a HEIC photo stops where it is false.

    Raises:
        UnreadablePhoto: no bytes, or damaged ones.
        UnsupportedPhoto: not of an accepted format.
        PhotoTooLarge: a limit is passed; PhotoTooCostly, that of time.
        Overloaded: a HEIC photo's decoder cannot be started, or was ended from outside.
        DeadlineExceeded: the photo is not wanted any more.
    """
    if not data:
        raise UnreadablePhoto(f"the photo has no bytes; send {limits.accepted}")
    if len(data) > limits.max_bytes:
        raise PhotoTooLarge(f"the photo has {len(data)} bytes; at most {limits.max_bytes} are accepted")
    kind = _kind(data)
    if kind.lower() not in limits.formats:
        what = f"{kind} files are not accepted" if kind else "the bytes are not a known picture format"
        raise UnsupportedPhoto(f"{what}; send {limits.accepted}")
    try:
        if kind == "JPEG":
            pixels, width, height = _read_jpeg(data, limits, shorter_side)
        else:
            pixels = _upright(_read_heic(data, limits, wanted) if kind == "HEIC" else _READERS[kind](data, limits))
            height, width, _ = pixels.shape
    except CariesError as error:
        clear_frames(error.__traceback__)
        raise
    except MemoryError as error:
        clear_frames(error.__traceback__)
        raise PhotoTooLarge("the photo needs more memory than is free; send a smaller one") from None
    except Exception as error:  # decoders raise whatever comes to hand on damaged bytes
        # The error knows the frames that it came through, and these what was decoded so far. What awaits a thread
        # makes a cycle with the error, so that all would stay until Python looks for garbage the next time.
        clear_frames(error.__traceback__)
        raise UnreadablePhoto(f"the {kind} photo is damaged or incomplete and cannot be decoded") from error
    pixels.flags.writeable = False
    return Photo(pixels, width, height, hashlib.sha256(data).hexdigest())


def encode(pixels: Pixels, media_type: MediaType, *, threads: int = 1) -> bytes:
    """`pixels` (uint8 `[height, width, 3]`, sRGB) as a picture file that holds no metadata.

    Args:
        pixels: the picture.
        media_type: of the file.
        threads: that pack a PNG; the others are made by one.

    Raises:
        ValueError: `media_type` is not PNG, JPEG or WebP.
    """
    out = io.BytesIO()
    match media_type:
        case "image/png":
            return _png(pixels, threads)
        case "image/jpeg":
            Image.fromarray(pixels).save(out, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0")
        case "image/webp":
            Image.fromarray(pixels).save(out, "WEBP", quality=WEBP_QUALITY, method=WEBP_METHOD)
        case _:
            raise ValueError(f"media type {media_type!r} cannot be written; image/png, image/jpeg and image/webp can")
    return out.getvalue()


def _png(pixels: Pixels, threads: int) -> bytes:
    """A truecolour PNG (ISO 15948) of uint8 `[height, width, 3]`.

    Pillow tries all five filters on every row. One filter, Up, for all rows and ISA-L's level 1 take a fortieth of the
    time of Pillow's default, for a file about a tenth larger. Each thread packs a band of rows; a stream that is
    flushed to a whole byte may be followed by another (RFC 1951).
    """
    height, width, _ = pixels.shape
    samples = pixels.reshape(height, width * 3)
    edges = np.linspace(0, height, min(threads, height) + 1).astype(int).tolist()
    bands = list(itertools.pairwise(edges))
    if len(bands) == 1:
        packed = [_packed(samples, 0, height)]
    else:
        with ThreadPoolExecutor(len(bands)) as pool:
            packed = list(pool.map(lambda band: _packed(samples, *band), bands))
    checksum = 1
    for (top, end), (_, of_band) in zip(bands, packed, strict=True):
        checksum = _adler32_combined(checksum, of_band, (end - top) * (1 + width * 3))
    parts = [b"\x78\x01", *(part for stream, _ in packed for part in stream), struct.pack(">I", checksum)]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), *((b"IDAT", part) for part in parts if part), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        piece
        for name, body in chunks
        for piece in (struct.pack(">I", len(body)), name, body, struct.pack(">I", _checksum(name, body)))
    )


def _packed(samples: npt.NDArray[np.uint8], top: int, end: int) -> tuple[list[bytes], int]:
    """Rows filtered and packed, without the header and the checksum of a zlib stream; and their Adler-32."""
    height, row_bytes = samples.shape
    packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
    packed, checksum = [], 1
    strip = max(1, PNG_STRIP // (1 + row_bytes))
    filtered = np.empty((strip, 1 + row_bytes), np.uint8)
    filtered[:, 0] = 2  # filter type Up
    for first in range(top, end, strip):
        rows = filtered[: min(strip, end - first)]
        last = first + len(rows)
        if first:
            np.subtract(samples[first:last], samples[first - 1 : last - 1], out=rows[:, 1:])
        else:
            rows[0, 1:] = samples[0]
            np.subtract(samples[1:last], samples[: last - 1], out=rows[1:, 1:])
        packed.append(packer.compress(rows.data))
        checksum = isal_zlib.adler32(rows.data, checksum)
    packed.append(packer.flush(isal_zlib.Z_FINISH if end == height else isal_zlib.Z_FULL_FLUSH))
    return packed, checksum


def _adler32_combined(first: int, second: int, size: int) -> int:
    """The Adler-32 (RFC 1950) of one text behind another, out of theirs and the size of the second in bytes."""
    low = (first & 0xFFFF) + (second & 0xFFFF) - 1
    high = (first >> 16) + (second >> 16) + size * ((first & 0xFFFF) - 1)
    return (high % 65521) << 16 | low % 65521


def _checksum(name: bytes, body: bytes) -> int:
    return isal_zlib.crc32(body, isal_zlib.crc32(name))


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """`pixels` squeezed to uint8 `[height, width, 3]`, aspect ratio not kept: the resize of every model input.

    Antialiased bilinear, within a rounding step of Pillow's. Large photos are first shrunk by whole-number boxes, to
    three times the size asked for or more, which costs a fraction of the time and differs by rounding as well.
    """
    boxes = max(1, pixels.shape[1] // (3 * width)), max(1, pixels.shape[0] // (3 * height))
    if boxes != (1, 1):
        strip = boxes[1] * max(1, STRIP // (boxes[1] * pixels.shape[1]))
        strips = (pixels[top : top + strip] for top in range(0, len(pixels), strip))
        pixels = np.concatenate([np.asarray(Image.fromarray(rows).reduce(boxes)) for rows in strips])
    source = ImageData(pixels.shape[1], pixels.shape[0], PixelType.U8x3, pixels.tobytes())
    target = ImageData(width, height, PixelType.U8x3)
    Resizer().resize(source, target, ResizeOptions(ResizeAlg.convolution(FilterType.bilinear)))
    return np.frombuffer(target.get_buffer(), np.uint8).reshape(height, width, 3)


def _kind(data: bytes) -> str:
    """Name of the format that the first bytes announce; empty when they announce none that is known."""
    if data[8:12] == b"WEBP" and data[:4] == b"RIFF":
        return "WebP"
    if data[4:8] == b"ftyp":
        if b"avif" in data[8:64]:
            return "AVIF"
        return "HEIC" if data[8:12] in _HEIC_BRANDS else "Video or other ISO media"
    if data[128:132] == b"DICM":
        return "DICOM"
    return next((kind for signature, kind in _SIGNATURES if data.startswith(signature)), "")


# ISO 23008-12, annex B: HEVC pictures and collections, and the general brands of pictures.
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"BM", "BMP"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "ZIP"),
    (b"%!PS", "PostScript"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
)


def _read_jpeg(data: bytes, limits: Limits, shorter_side: int | None) -> tuple[Pixels, int, int]:
    """Pixels, scaled as `decode` says, and width and height of the whole photo, all upright."""
    _check_jpeg_header(data)
    _check_scans(data)
    image = JpegImageFile(io.BytesIO(data))
    width, height = image.size
    limits.check_size(width, height)
    scale = 1
    while scale < 8 and shorter_side is not None and min(width, height) >= 2 * scale * shorter_side:
        scale *= 2
    orientation = _orientation(image)
    pixels = _decode_jpeg(data, -(-width // scale), -(-height // scale)) if image.mode == "RGB" else None
    if pixels is None:
        image.draft(None, (width // scale, height // scale))
        pixels = _samples(image)
        image.close()
    elif (profile := _profile(image.info.get("icc_profile"))) is not None:
        to_srgb = _ToSrgb(profile)
        for rows in _strips(pixels):
            rows[:] = np.asarray(to_srgb(Image.fromarray(rows)))
    if orientation >= 5:
        width, height = height, width
    return _turned(pixels, orientation), width, height


def _check_jpeg_header(data: bytes) -> None:
    """Raises PhotoTooLarge for more parts than `MAX_SEGMENTS` as Pillow steps through them, stray bytes included."""
    at, parts = 2, 0
    while parts <= MAX_SEGMENTS:
        marker = data.find(b"\xff", at)
        code = data[marker : marker + 2]
        if marker < 0 or len(code) < 2 or code == _START_OF_SCAN:
            return
        parts += 1 + marker - at
        at = marker + (1 if code == b"\xff\xff" else 2)
        _, _, has_length = MARKER.get(int.from_bytes(code, "big"), ("", "", None))
        if has_length:
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
    raise PhotoTooLarge(f"the JPEG's header has more than {MAX_SEGMENTS} parts, the most that are accepted")


def _check_scans(data: bytes) -> None:
    """Raises PhotoTooLarge for more scans than `MAX_SCANS`, as libjpeg sees them: in no segment, and before the end.

    Thumbnails are in segments; a phone's depth maps and films come behind the end.
    """
    if data.count(_START_OF_SCAN) <= MAX_SCANS:
        return
    at, scans, markers = 2, 0, 0
    while (found := _MARKER.search(data, at)) and found[0] != _END_OF_IMAGE:
        at = found.end()
        markers += 1
        if found[0][1] >= 0xC0:
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
            scans += found[0] == _START_OF_SCAN
        if scans > MAX_SCANS or markers > MAX_SEGMENTS:
            raise PhotoTooLarge(f"the JPEG has more than {MAX_SCANS} scans, the most that are accepted")


_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"

_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
"""Any but those that libjpeg passes over (ITU-T T.81, B.1.1.3): TEM and restarts. Behind 0xff, 0 and 0xff are none."""


def _decode_jpeg(data: bytes, width: int, height: int) -> Pixels | None:
    """A colour JPEG at the scale that has just these pixels; None if that takes Pillow.

    It stops at every remark of libjpeg's. Pillow, over the same library, knows what can be mended.
    """
    smallest = {"min_width": width, "min_height": height}
    try:
        # Two readers of one header may be made to disagree; the limits were checked on what Pillow read.
        if simplejpeg.decode_jpeg_header(data, **smallest)[:2] != (height, width):
            return None
        pixels: Pixels = simplejpeg.decode_jpeg(data, **smallest)
    except ValueError:
        return None
    return pixels


def _check_chunks(data: bytes) -> None:
    """Raises PhotoTooLarge for a PNG of more chunks than `MAX_SEGMENTS`."""
    at = 8
    for _ in range(MAX_SEGMENTS):
        if at >= len(data) or data[at + 4 : at + 8] == b"IEND":
            return
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    raise PhotoTooLarge(f"the PNG has more than {MAX_SEGMENTS} chunks, the most that are accepted")


def _read_png(data: bytes, limits: Limits) -> Image.Image:
    _check_chunks(data)
    image = PngImageFile(io.BytesIO(data))
    limits.check_size(*image.size)
    limits.check_frames(getattr(image, "n_frames", 1))
    return image


def _read_webp(data: bytes, limits: Limits) -> Image.Image:
    # Pillow's reader allocates the canvas when it opens the file, so the size is read from the header here.
    if data[12:16] == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        limits.check_size(width, height)
    image = WebPImageFile(io.BytesIO(data))
    limits.check_size(*image.size)
    limits.check_frames(image.n_frames)
    # Its `load` would hold the samples once more, beside the decoder's two canvases.
    samples, _, _ = image._get_next()
    first = Image.frombuffer(image.rawmode, image.size, samples, "raw", image.rawmode, 0, 1)
    first.info = {name: image.info[name] for name in ("icc_profile", "exif") if name in image.info}
    return first


def _read_heic(data: bytes, limits: Limits, wanted: Callable[[], bool]) -> Image.Image:
    def check(pictures: int, width: int, height: int) -> None:
        limits.check_frames(pictures)
        limits.check_size(width, height)

    try:
        return read_heic(data, limits.max_pixels, check, wanted)
    except ValueError as error:
        if "maximum image size" in str(error):  # libheif's own limit, 2**30 pixels, is met before ours
            raise PhotoTooLarge(f"the photo has over 2**30 pixels; at most {limits.max_pixels} are accepted") from None
        raise


_READERS: dict[str, Callable[[bytes, Limits], Image.Image]] = {
    "PNG": _read_png,
    "WebP": _read_webp,
}


def _upright(image: Image.Image) -> Pixels:
    """The samples of the image in sRGB, its EXIF orientation applied; the image is closed."""
    pixels = _samples(image)
    orientation = _orientation(image)  # in a PNG, EXIF may come after the samples
    image.close()
    return _turned(pixels, orientation)


def _samples(image: Image.Image) -> Pixels:
    """The samples of an image in 8-bit sRGB; of a large one strip by strip, since what a step needs adds up."""
    image.load()
    to_srgb = _ToSrgb(_profile(image.info.get("icc_profile")))
    if image.width * image.height <= STRIP:
        return np.asarray(_rgb(image, to_srgb))
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    top = 0
    for rows in _strips(pixels):
        rows[:] = np.asarray(_rgb(image.crop((0, top, image.width, top + len(rows))), to_srgb))
        top += len(rows)
    return pixels


def _strips(pixels: Pixels) -> Iterator[Pixels]:
    """Views of all rows, of about `STRIP` pixels each."""
    strip = max(1, STRIP // pixels.shape[1])
    return (pixels[top : top + strip] for top in range(0, len(pixels), strip))


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation (Exif 2.32, tag 0x0112), 1 to 8; 1, which is upright, for one that cannot be told."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return orientation if orientation in _TURNS else 1
    except Exception:  # damaged EXIF does not spoil the pixels
        return 1


_TURNS: dict[int, Callable[[npt.NDArray[np.void]], npt.NDArray[np.void]]] = {
    2: lambda rows: rows[:, ::-1],
    3: lambda rows: rows[::-1, ::-1],
    4: lambda rows: rows[::-1],
    5: lambda rows: rows.T,
    6: lambda rows: rows[::-1].T,
    7: lambda rows: rows[::-1, ::-1].T,
    8: lambda rows: rows[:, ::-1].T,
}
"""What makes a photo of this EXIF orientation upright."""


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """The photo made upright."""
    if orientation == 1:
        return pixels
    # Moved as items of three bytes, it takes less than half the time.
    turned = np.ascontiguousarray(_TURNS[orientation](np.ascontiguousarray(pixels).view("V3")[..., 0]))
    return turned.view(np.uint8).reshape(*turned.shape, 3)


def _rgb(image: Image.Image, to_srgb: _ToSrgb) -> Image.Image:
    """The image in 8-bit sRGB, its transparent parts on white."""
    if image.mode.startswith("I"):
        samples = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((samples * 255 + 32767) // 65535).clip(0, 255).astype(np.uint8))
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("P", "PA") or "transparency" in image.info:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.mode in ("RGBa", "La"):
        image = image.convert(image.mode.upper())
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    if alpha is not None:
        image = image.convert("L" if image.mode == "LA" else "RGB")
    image = to_srgb(image)
    if alpha is not None:
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=alpha)
        return white
    return image


_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _profile(icc: object) -> ImageCms.ImageCmsProfile | None:
    """The embedded profile to convert from; None where that is sRGB, or is none that can be read."""
    if isinstance(icc, bytes) and 0 < len(icc) <= MAX_ICC_BYTES:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            if not ImageCms.getProfileDescription(profile).startswith("sRGB"):
                return profile
        except Exception:  # a broken profile
            pass
    return None


class _ToSrgb:
    """Makes L, RGB or CMYK images sRGB, by a profile where that is usable: all strips of a photo by one transform."""

    def __init__(self, profile: ImageCms.ImageCmsProfile | None) -> None:
        self._profile = profile
        self._transform: ImageCms.ImageCmsTransform | None = None

    def __call__(self, image: Image.Image) -> Image.Image:
        if self._profile is not None:
            try:
                if self._transform is None:
                    self._transform = ImageCms.buildTransform(
                        self._profile, _SRGB, image.mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC
                    )
                converted = ImageCms.applyTransform(image, self._transform)
                if converted is not None:
                    return converted
            except Exception:  # a profile for another number of channels
                self._profile = None
        return image if image.mode == "RGB" else image.convert("RGB")
