"""The bytes of a photo to upright sRGB pixels, under limits.

The format is recognized by the first bytes, and only its decoder runs, never Pillow's search through all its plugins.
No file is written. HEIC and some DICOM files are decoded in a separate process (`app.photo.separate`).
`benchmarks/pixels.py` compares libraries.
"""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from traceback import clear_frames

from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from app.errors import CariesError, InvalidParameter, PhotoTooLarge, UnreadablePhoto, UnsupportedPhoto
from app.photo.dicom import read_dicom
from app.photo.formats import PhotoFormat, format_name
from app.photo.jpeg import read_jpeg
from app.photo.limits import DEFAULT_LIMITS, Limits
from app.photo.pixels import Pixels, upright_samples
from app.photo.separate import read_separately

MAX_CHUNKS = 2**16
"""Chunks of a PNG. Pillow takes microseconds for each; 32 MiB in the usual chunks of 8 KiB are 4,096."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo.

    Attributes:
        pixels: uint8 `[rows, columns, 3]`, sRGB, upright, read-only; fewer than the photo has if it was scaled.
        width, height: of the upright photo, pixels.
        sha256: hexadecimal digest of the bytes as they were sent.
    """

    pixels: Pixels
    width: int
    height: int
    sha256: str

    @property
    def is_full_size(self) -> bool:
        """Whether `pixels` are all of the photo, unscaled."""
        return self.pixels.shape[:2] == (self.height, self.width)


def decode(
    data: bytes,
    limits: Limits = DEFAULT_LIMITS,
    *,
    shorter_side: int | None = None,
    frame: int | None = None,
    wanted: Callable[[], bool] = lambda: True,
) -> Photo:
    """The upright sRGB photo in `data`.

    EXIF orientation is applied (in HEIC the container's own rotation, as ISO 23008-12 asks; its EXIF orientation is
    information only). Embedded colour profiles are converted to sRGB; a broken one is ignored. Transparent parts become
    white, as a viewer would show them. 16-bit samples are scaled to 8 bits. Of an animation the first frame is taken.
    The pixels of a DICOM file are not turned (`app.photo.dicom`).

    Args:
        shorter_side: pixels that are enough. A JPEG of at least twice as many is decoded at 1/2, 1/4 or 1/8 of its
            size, not below them; every other photo in full. None decodes every photo in full.
        frame: of a DICOM file, counted from 1; None for its only one. Of other photos, 1 is the only one.
        wanted: whether the caller still waits; decoding in a separate process stops if not.

    Raises:
        UnreadablePhoto: no bytes, or damaged ones.
        UnsupportedPhoto: not of an accepted format.
        PhotoTooLarge: a limit is passed; PhotoTooCostly, that of time.
        InvalidParameter: there is no such frame.
        Overloaded: a separate decoder cannot be started, or was ended from outside.
        DeadlineExceeded: the photo is not wanted any more.
    """
    if not data:
        raise UnreadablePhoto(f"the photo has no bytes; send {limits.accepted}")
    if len(data) > limits.max_bytes:
        raise PhotoTooLarge(f"the photo has {len(data)} bytes; at most {limits.max_bytes} are accepted")
    name = format_name(data)
    if name.lower() not in limits.formats:
        what = f"{name} files are not accepted" if name else "the bytes are not a known picture format"
        raise UnsupportedPhoto(f"{what}; send {limits.accepted}")
    try:
        pixels, width, height = _read(PhotoFormat(name.lower()), data, limits, shorter_side, frame, wanted)
    except CariesError as error:
        clear_frames(error.__traceback__)
        raise
    except MemoryError as error:
        clear_frames(error.__traceback__)
        raise PhotoTooLarge("the photo needs more memory than is free; send a smaller one") from None
    except Exception as error:  # decoders raise errors of any kind on damaged bytes
        # The traceback keeps its frames alive, and with them the pixels decoded so far. Awaiting a thread makes a cycle
        # with the error, so all of it would stay until the next garbage collection.
        clear_frames(error.__traceback__)
        raise UnreadablePhoto(f"the {name} photo is damaged or incomplete and cannot be decoded") from error
    pixels.flags.writeable = False
    return Photo(pixels, width, height, hashlib.sha256(data).hexdigest())


def _read(
    photo_format: PhotoFormat,
    data: bytes,
    limits: Limits,
    shorter_side: int | None,
    frame: int | None,
    wanted: Callable[[], bool],
) -> tuple[Pixels, int, int]:
    """Pixels, and width and height of the full photo, all upright."""
    if photo_format is not PhotoFormat.DICOM and frame not in (None, 1):
        raise InvalidParameter(f"frame is {frame}; only DICOM files have frames other than 1")
    match photo_format:
        case PhotoFormat.JPEG:
            return read_jpeg(data, limits, shorter_side)
        case PhotoFormat.PNG:
            image = _open_png(data, limits)
        case PhotoFormat.WEBP:
            image = _open_webp(data, limits)
        case PhotoFormat.HEIC:
            image = _open_heic(data, limits, wanted)
        case PhotoFormat.DICOM:
            return read_dicom(data, limits, shorter_side, frame, wanted)
    pixels = upright_samples(image)
    height, width, _ = pixels.shape
    return pixels, width, height


def _open_png(data: bytes, limits: Limits) -> Image.Image:
    _check_chunks(data)
    image = PngImageFile(io.BytesIO(data))
    limits.check_size(*image.size)
    limits.check_frames(getattr(image, "n_frames", 1))
    return image


def _check_chunks(data: bytes) -> None:
    """Raises PhotoTooLarge for a PNG of more chunks than `MAX_CHUNKS`."""
    at = 8
    for _ in range(MAX_CHUNKS):
        if at >= len(data) or data[at + 4 : at + 8] == b"IEND":
            return
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    raise PhotoTooLarge(f"the PNG has more than {MAX_CHUNKS} chunks, the most that are accepted")


def _open_webp(data: bytes, limits: Limits) -> Image.Image:
    # Pillow's reader allocates the canvas when it opens the file, so the size is read from the header here.
    if data[12:16] == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        limits.check_size(width, height)
    image = WebPImageFile(io.BytesIO(data))
    limits.check_size(*image.size)
    limits.check_frames(image.n_frames)
    # Its `load` would copy the samples once more, in addition to the decoder's two canvases.
    samples, _, _ = image._get_next()
    first = Image.frombuffer(image.rawmode, image.size, samples, "raw", image.rawmode, 0, 1)
    first.info = {name: image.info[name] for name in ("icc_profile", "exif") if name in image.info}
    return first


def _open_heic(data: bytes, limits: Limits, wanted: Callable[[], bool]) -> Image.Image:
    def check(pictures: int, width: int, height: int) -> None:
        limits.check_frames(pictures)
        limits.check_size(width, height)

    try:
        return read_separately("HEIC", "app.photo.heic_decoder", data, limits.max_pixels, check, wanted)
    except ValueError as error:
        if "maximum image size" in str(error):  # libheif's own limit, 2**30 pixels, is met before ours
            raise PhotoTooLarge(f"the photo has over 2**30 pixels; at most {limits.max_pixels} are accepted") from None
        raise
