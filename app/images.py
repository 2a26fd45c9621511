"""Bytes to an upright RGB array under limits, and back to bytes without metadata.

Accepted: JPEG, PNG, WebP and HEIC. The kind is told from the first bytes and only that kind's decoder runs; Pillow's
search through all its plugins is never used. No file is written.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

import _pi_heif  # type: ignore[import-not-found]
import numpy as np
import numpy.typing as npt
import pi_heif
from PIL import ExifTags, Image, ImageCms
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from app.errors import PhotoError, PhotoTooLarge, UnreadablePhoto, UnsupportedPhoto

Pixels = npt.NDArray[np.uint8]
MediaType = Literal["image/png", "image/jpeg", "image/webp"]

MAX_ICC_BYTES = 4 * 2**20
"""Colour profiles above this size are ignored; the largest press profiles in use are about 3 MB."""

JPEG_QUALITY = 90
WEBP_QUALITY = 90

FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WebP", "heic": "HEIC"}
"""The formats that can be read, by the names that settings give them."""

HEIF_THREADS = 2
"""Threads that decode the tiles of one HEIC photo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a photo may be at most. All but the bytes are read from its header, before a pixel is decoded.

    Attributes:
        max_bytes: as sent. A 48-megapixel phone JPEG is 10 to 20 MiB.
        max_pixels: width times height. Decoding 64 megapixels takes up to about 650 MB, 12 about 90 MB.
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
        pixels: uint8 `[height, width, 3]`, sRGB, upright. Read-only.
        sha256: hexadecimal digest of the bytes as they were sent.
    """

    pixels: Pixels
    sha256: str

    @property
    def width(self) -> int:
        """In pixels, upright."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """In pixels, upright."""
        return int(self.pixels.shape[0])


def decode(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Photo:
    """The upright sRGB photo in `data`.

    EXIF orientation is applied (in HEIC the container's own rotation, as ISO 23008-12 asks; its EXIF orientation is
    information only). Embedded colour profiles are converted to sRGB; one that is broken is ignored. Transparent parts
    become white, as a viewer would show them. 16-bit samples are scaled to 8 bits. Of an animation the first frame is
    taken.

    Args:
        data: the photo as it was sent.
        limits: what is accepted.

    Raises:
        UnreadablePhoto: no bytes, or damaged ones.
        UnsupportedPhoto: not of an accepted format.
        PhotoTooLarge: a limit is passed.
    """
    if not data:
        raise UnreadablePhoto(f"the photo has no bytes; send {limits.accepted}")
    if len(data) > limits.max_bytes:
        raise PhotoTooLarge(f"the photo has {len(data)} bytes; at most {limits.max_bytes} are accepted")
    kind = _kind(data)
    reader = _READERS.get(kind)
    if reader is None or kind.lower() not in limits.formats:
        what = f"{kind} files are not accepted" if kind else "the bytes are not a known picture format"
        raise UnsupportedPhoto(f"{what}; send {limits.accepted}")
    try:
        pixels = np.asarray(_rgb(reader(data, limits)))
    except PhotoError:
        raise
    except MemoryError:
        raise PhotoTooLarge("the photo needs more memory than is free; send a smaller one") from None
    except Exception as error:  # decoders raise whatever comes to hand on damaged bytes
        raise UnreadablePhoto(f"the {kind} photo is damaged or incomplete and cannot be decoded") from error
    pixels.flags.writeable = False
    return Photo(pixels, hashlib.sha256(data).hexdigest())


def encode(pixels: Pixels, media_type: MediaType) -> bytes:
    """`pixels` (uint8 `[height, width, 3]`, sRGB) as a picture file that holds no metadata.

    Raises:
        ValueError: `media_type` is not PNG, JPEG or WebP.
    """
    out = io.BytesIO()
    match media_type:
        case "image/png":
            return _png(pixels)
        case "image/jpeg":
            Image.fromarray(pixels).save(out, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0")
        case "image/webp":
            Image.fromarray(pixels).save(out, "WEBP", quality=WEBP_QUALITY)
        case _:
            raise ValueError(f"media type {media_type!r} cannot be written; image/png, image/jpeg and image/webp can")
    return out.getvalue()


def _png(pixels: Pixels) -> bytes:
    """A truecolour PNG (ISO 15948) of uint8 `[height, width, 3]`.

    Pillow tries all five filters on every row. One filter, Up, for all rows and zlib's run-length strategy take a third
    of the time of Pillow's level 1 and a tenth of its default's, for a file about as small as its default's.
    """
    height, width, _ = pixels.shape
    samples = pixels.reshape(height, width * 3)
    rows = np.empty((height, 1 + width * 3), np.uint8)
    rows[:, 0] = 2  # filter type Up
    rows[:1, 1:] = samples[:1]
    np.subtract(samples[1:], samples[:-1], out=rows[1:, 1:])
    packer = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    packed = packer.compress(rows.data) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))
        for name, body in chunks
    )


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """`pixels` squeezed to uint8 `[height, width, 3]`, aspect ratio not kept: the resize of every model input.

    Antialiased bilinear. `reducing_gap` first shrinks large photos by whole-number boxes, to three times the size asked
    for or more, which costs a fraction of the time and differs from the exact filter by rounding.
    """
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.array(image)


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
    (b"%!PS", "PostScript"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
)


def _read_jpeg(data: bytes, limits: Limits) -> Image.Image:
    image = JpegImageFile(io.BytesIO(data))
    limits.check_size(*image.size)
    return _upright(image)


def _read_png(data: bytes, limits: Limits) -> Image.Image:
    image = PngImageFile(io.BytesIO(data))
    limits.check_size(*image.size)
    limits.check_frames(getattr(image, "n_frames", 1))
    return _upright(image)


def _read_webp(data: bytes, limits: Limits) -> Image.Image:
    # Pillow's reader allocates the canvas when it opens the file, so the size is read from the header here.
    if data[12:16] == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        limits.check_size(width, height)
    image = WebPImageFile(io.BytesIO(data))
    limits.check_size(*image.size)
    limits.check_frames(image.n_frames)
    return _upright(image)


def _read_heif(data: bytes, limits: Limits) -> Image.Image:
    """The primary picture, turned as the container says.

    Goes below `pi_heif.open_heif`, which reads the metadata of every picture in the file: in version 1.4.0 a metadata
    item whose type is not UTF-8 ends the process with a segmentation fault. None of that metadata is needed.
    """
    try:
        pictures = _pi_heif.load_file(data, HEIF_THREADS, True, False, True, True, "", False)
    except RuntimeError as error:
        if "maximum image size" in str(error):  # libheif's own limit, 2**30 pixels, is met before ours
            raise PhotoTooLarge(f"the photo has over 2**30 pixels; at most {limits.max_pixels} are accepted") from None
        raise
    pictures = [picture for picture in pictures if picture is not None]
    limits.check_frames(len(pictures))
    primary = next((picture for picture in pictures if picture.primary), pictures[0])
    (width, height), _ = primary.size_mode
    limits.check_size(width, height)
    image = cast(Image.Image, pi_heif.heif.BaseImage(primary).to_pillow())
    limits.check_size(*image.size)
    profile = primary.color_profile
    if profile and profile["type"] in ("rICC", "prof"):
        image.info["icc_profile"] = profile["data"]
    return image


_READERS: dict[str, Callable[[bytes, Limits], Image.Image]] = {
    "JPEG": _read_jpeg,
    "PNG": _read_png,
    "WebP": _read_webp,
    "HEIC": _read_heif,
}

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _upright(image: Image.Image) -> Image.Image:
    """The image with its EXIF orientation (Exif 2.32, tag 0x0112) applied to the pixels."""
    image.load()
    try:
        turn = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF does not spoil the pixels
        turn = None
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.info = image.info
    return turned


def _rgb(image: Image.Image) -> Image.Image:
    """The image in 8-bit sRGB, its transparent parts on white."""
    icc = image.info.get("icc_profile")
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
    image = _to_srgb(image, icc)
    if alpha is not None:
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=alpha)
        return white
    return image


_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _to_srgb(image: Image.Image, icc: object) -> Image.Image:
    """An L, RGB or CMYK image in sRGB, by its embedded profile where there is a usable one."""
    if isinstance(icc, bytes) and 0 < len(icc) <= MAX_ICC_BYTES:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            if image.mode == "RGB" and ImageCms.getProfileDescription(profile).startswith("sRGB"):
                return image
            converted = ImageCms.profileToProfile(
                image, profile, _SRGB, renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC, outputMode="RGB"
            )
            if converted is not None:
                return converted
        except Exception:  # a broken profile, or one for another number of channels
            pass
    return image.convert("RGB")
