"""The colour photo in a DICOM file to sRGB pixels, under limits: single frames and frames of multi-frame objects.

Boxes of a DICOM photo are in the pixel matrix, as every viewer shows it. So the EXIF orientation of a JPEG inside is
ignored, and so is Patient Orientation, which names the directions of the matrix and turns nothing.
"""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.errors import InvalidParameter, SeveralFrames, UnreadablePhoto, UnsupportedPhoto
from app.photo.codestream_decoder import Codestream
from app.photo.dicom_file import PIXEL_DATA, DicomFile, read_structure
from app.photo.dicom_uids import (
    JPEG,
    JPEG_2000,
    JPEG_LS,
    PALETTE,
    PHOTOMETRIC,
    RLE,
    SAMPLES,
    SOP_CLASSES,
    TRANSFORMED,
    check_kind,
)
from app.photo.jpeg import read_jpeg
from app.photo.limits import Limits
from app.photo.pixels import Pixels, convert_to_srgb, strips
from app.photo.separate import read_separately

CODESTREAMS = {
    **dict.fromkeys(JPEG_LS, Codestream.JPEG_LS),
    **dict.fromkeys(JPEG_2000, Codestream.JPEG_2000),
    RLE: Codestream.RLE,
}
"""Transfer syntaxes whose frames a separate process decodes."""

EXTRA = "dicom"
"""The extra with the decoder of JPEG-LS."""

JPEG_LS_BYTES = 512 * 2**20
"""Address space of the JPEG-LS decoder besides that of other decoders: it imports numpy."""

PLANAR, ROWS, COLUMNS = 0x0028_0006, 0x0028_0010, 0x0028_0011
PALETTE_DESCRIPTORS, PALETTE_VALUES = (0x0028_1101, 0x0028_1102, 0x0028_1103), (0x0028_1201, 0x0028_1202, 0x0028_1203)
ICC_PROFILE = 0x0028_2000


def read_dicom(
    data: bytes, limits: Limits, shorter_side: int | None, frame: int | None, wanted: Callable[[], bool]
) -> tuple[Pixels, int, int]:
    """The pixels of a frame, scaled as `app.photo.decoding.decode` says, and width and height of the full frame.

    Args:
        frame: counted from 1; None for the only one.
        wanted: whether the caller still waits.

    Raises:
        UnsupportedPhoto: not a colour photo, or in a transfer syntax that is not read; SeveralFrames for several.
        UnreadablePhoto: damaged or incomplete.
        PhotoTooLarge: a limit is passed.
        InvalidParameter: there is no such frame.
        Exception: of any kind for damaged bytes.
    """
    file = read_structure(data)
    check_kind(file, SOP_CLASSES)
    if not file.fragments and PIXEL_DATA not in file.values:
        raise UnreadablePhoto("the DICOM file contains no pixels")
    width, height, frames = file.number(COLUMNS), file.number(ROWS), file.frames
    limits.check_size(width, height)
    limits.check_frames(frames)
    if frame is None and frames > 1:
        raise SeveralFrames(
            f"the DICOM file contains {frames} frames; name one with frame, or send the file to /detect/batch or to"
            " caries detect without --ray",
            frames,
        )
    number = frame or 1
    if number > frames:
        raise InvalidParameter(f"frame is {number}; the DICOM file contains {frames}")
    photometric, icc = file.text(PHOTOMETRIC), file.value(ICC_PROFILE)
    if file.transfer_syntax in JPEG:
        pixels, *size = read_jpeg(
            file.encapsulated_frame(number), limits, shorter_side, upright=False, rgb=photometric == "RGB", icc=icc
        )
        if size != [width, height]:
            raise UnreadablePhoto(f"the DICOM file says {width}x{height} pixels; its JPEG has {size[0]}x{size[1]}")
        return pixels, width, height
    if file.transfer_syntax in CODESTREAMS:
        samples = _decoded(file, number, (width, height), limits, wanted)
    else:
        samples = _native(file, number, frames, (width, height))
    pixels = _coloured(file, samples) if photometric == PALETTE else np.array(samples, order="C")
    if photometric in TRANSFORMED:
        convert_from_ybr(pixels)
    convert_to_srgb(pixels, icc)
    return pixels, width, height


def _decoded(
    file: DicomFile, frame: int, size: tuple[int, int], limits: Limits, wanted: Callable[[], bool]
) -> Pixels | npt.NDArray[np.uint8]:
    """The samples of a compressed frame: uint8 `[height, width, 3]`, of a palette `[height, width]`."""
    codestream = CODESTREAMS[file.transfer_syntax]
    needs_extra = codestream is Codestream.JPEG_LS
    if needs_extra and find_spec("jpeg_ls") is None:
        raise UnsupportedPhoto(
            f"DICOM files in JPEG-LS need a decoder that this server lacks; install 'caries-screen[{EXTRA}]' or send"
            " another transfer syntax"
        )

    def check(_: int, width: int, height: int) -> None:
        limits.check_size(width, height)
        if (width, height) != size:
            raise UnreadablePhoto(f"the DICOM file says {size[0]}x{size[1]} pixels; its frame has {width}x{height}")

    image = read_separately(
        "DICOM",
        "app.photo.codestream_decoder",
        file.encapsulated_frame(frame),
        limits.max_pixels,
        check,
        wanted,
        (codestream.value, *size, file.number(SAMPLES)),
        JPEG_LS_BYTES if needs_extra else 0,
    )
    return np.array(image)


def _native(file: DicomFile, frame: int, frames: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The samples of an uncompressed frame: uint8 `[height, width, 3]`, of a palette `[height, width]`."""
    width, height = size
    samples, halved = file.number(SAMPLES), file.text(PHOTOMETRIC) == "YBR_FULL_422"
    length = width * height * (2 if halved else samples)
    at, stored = file.values.get(PIXEL_DATA, (0, 0))
    if stored not in (frames * length, frames * length + frames * length % 2):
        raise UnreadablePhoto(
            f"the DICOM file has {stored} bytes of pixels; {frames} frames of {width}x{height} take {frames * length}"
        )
    values = np.frombuffer(file.data, np.uint8, stored, at)
    if not file.encoding.little and file.representations[PIXEL_DATA] == b"OW":
        values = values.view(np.uint16).byteswap().view(np.uint8)  # PS3.5, 8.1.1: words are swapped, bytes are not
    values = values[(frame - 1) * length : frame * length]
    if halved:
        return _full(values.reshape(height, width // 2, 4))
    if samples == 1:
        return values.reshape(height, width)
    if file.number(PLANAR) == 1:
        return values.reshape(3, height, width).transpose(1, 2, 0)
    return values.reshape(height, width, 3)


def _full(pairs: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Pairs of pixels that share their colour differences (PS3.3, C.7.6.3.1.2), as uint8 `[height, width, 3]`."""
    height, half, _ = pairs.shape
    pixels = np.empty((height, half, 2, 3), np.uint8)
    pixels[..., 0] = pairs[..., :2]
    pixels[..., 1:] = pairs[:, :, None, 2:]
    return pixels.reshape(height, half * 2, 3)


def _coloured(file: DicomFile, indices: npt.NDArray[np.uint8]) -> Pixels:
    """The colours of a palette's indices (PS3.3, C.7.9)."""
    tables = np.empty((256, 3), np.uint8)
    number = file.encoding.number
    for channel, (descriptor, values) in enumerate(zip(PALETTE_DESCRIPTORS, PALETTE_VALUES, strict=True)):
        described, stored = file.value(descriptor), file.value(values)
        if len(described) != 6 or not stored:
            raise UnsupportedPhoto("the DICOM file's palette is missing or segmented; send RGB")
        entries, first, bits = (number(described[at : at + 2]) for at in (0, 2, 4))
        entries = entries or 2**16
        big = not file.encoding.little
        if len(stored) >= 2 * entries:
            words = np.frombuffer(stored, ">u2" if big else "<u2", entries)
            table = (words >> (8 if bits == 16 else 0)).astype(np.uint8)
        else:
            swapped = big and file.representations[values] == b"OW"
            raw = np.frombuffer(stored, np.uint8)
            table = (raw.view(np.uint16).byteswap().view(np.uint8) if swapped else raw)[:entries]
        if len(table) < entries:
            raise UnreadablePhoto(f"the DICOM file's palette has {len(table)} entries; {entries} are stated")
        tables[:, channel] = table[np.clip(np.arange(256) - first, 0, entries - 1)]
    return tables[indices]


def convert_from_ybr(pixels: Pixels) -> None:
    """Convert full-range luminance and colour differences to RGB in place."""
    for rows in strips(pixels):
        height, width, _ = rows.shape
        image = Image.frombytes("YCbCr", (width, height), rows.tobytes())
        rows[:] = np.asarray(image.convert("RGB"))
