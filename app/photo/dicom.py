"""The colour photo in a DICOM file to sRGB pixels, under limits: single frames and frames of multi-frame objects.

Boxes of a DICOM photo are in the pixel matrix, as every viewer shows it. So the EXIF orientation of a JPEG inside is
ignored, and so is Patient Orientation, which names the directions of the matrix and turns nothing.
"""

import re
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.errors import InvalidParameter, SeveralFrames, UnreadablePhoto, UnsupportedPhoto
from app.photo.codestream_decoder import Codestream
from app.photo.dicom_file import PIXEL_DATA, DicomFile, read_structure
from app.photo.dicom_uids import JPEG, JPEG_2000, JPEG_LS, NATIVE, RLE, SOP_CLASS, SOP_CLASSES
from app.photo.jpeg import read_jpeg
from app.photo.limits import Limits
from app.photo.pixels import Pixels, convert_to_srgb, strips
from app.photo.separate import read_separately

OTHER_SOP_CLASSES = {
    "1.2.840.10008.1.3.10": "a media directory",
    "1.2.840.10008.5.1.4.1.1.1": "a computed radiograph",
    "1.2.840.10008.5.1.4.1.1.1.1": "a digital radiograph",
    "1.2.840.10008.5.1.4.1.1.1.3": "an intra-oral radiograph",
    "1.2.840.10008.5.1.4.1.1.1.3.1": "an intra-oral radiograph for processing",
    "1.2.840.10008.5.1.4.1.1.2": "a CT image",
    "1.2.840.10008.5.1.4.1.1.4": "an MR image",
}
"""SOP classes that are refused by name; others are refused by their UID."""

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

PALETTE = "PALETTE COLOR"
TRANSFORMED = frozenset({"YBR_FULL", "YBR_FULL_422"})
"""Photometric interpretations whose samples are luminance and two colour differences."""
DECODED = frozenset({"RGB", "YBR_RCT", "YBR_ICT"})
"""Photometric interpretations whose samples are red, green and blue, in JPEG 2000 once they are decoded."""

OTHER_PHOTOMETRIC = frozenset(
    {"MONOCHROME1", "MONOCHROME2", "HSV", "ARGB", "CMYK", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "XYB"}
)
"""The standard's other photometric interpretations (PS3.3, C.7.6.3.1.2), which are refused by name."""

STANDARD_ROOT = "1.2.840.10008."
"""Of the UIDs that the standard defines."""

SAMPLES, PHOTOMETRIC, PLANAR = 0x0028_0002, 0x0028_0004, 0x0028_0006
ROWS, COLUMNS, BITS_ALLOCATED, BITS_STORED = 0x0028_0010, 0x0028_0011, 0x0028_0100, 0x0028_0101
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
    _check_kind(file)
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


def _check_kind(file: DicomFile) -> None:
    """Raise UnsupportedPhoto for what is not an 8-bit colour photo in a transfer syntax that is read."""
    sop_class, photometric = file.text(SOP_CLASS), file.text(PHOTOMETRIC)
    if sop_class not in SOP_CLASSES:
        name = OTHER_SOP_CLASSES.get(sop_class) or f"of SOP class {_shown(sop_class)}"
        accepted = ", ".join(SOP_CLASSES.values())
        raise UnsupportedPhoto(f"the DICOM file is {name} and not a colour photo; accepted are {accepted}")
    if photometric not in TRANSFORMED | DECODED | {PALETTE}:
        raise UnsupportedPhoto(
            f"the DICOM file is not a colour photo: its photometric interpretation is {_shown(photometric)}"
        )
    if file.transfer_syntax not in NATIVE | JPEG | CODESTREAMS.keys():
        raise UnsupportedPhoto(
            f"the DICOM file's transfer syntax is {_shown(file.transfer_syntax)}; send it uncompressed or in JPEG"
            " baseline, JPEG 2000, JPEG-LS or RLE"
        )
    bits = file.number(BITS_ALLOCATED), file.number(BITS_STORED)
    if bits != (8, 8):
        raise UnsupportedPhoto(f"the DICOM file has {bits[1]} bits a sample, stored in {bits[0]}; 8 in 8 are accepted")
    if photometric == PALETTE and file.transfer_syntax in JPEG:
        raise UnsupportedPhoto("the DICOM file's palette indices are in a JPEG, which changes them; send RGB")
    samples = file.number(SAMPLES)
    if samples != (1 if photometric == PALETTE else 3):
        raise UnreadablePhoto(f"the DICOM file has {samples} samples a pixel, which {photometric} does not have")


def _shown(value: str) -> str:
    """A value as messages repeat it, if the standard defines it: any other may be misplaced data of a patient."""
    is_uid = value.startswith(STANDARD_ROOT) and re.fullmatch(r"[0-9.]{15,32}", value)
    return value if is_uid or value in OTHER_PHOTOMETRIC else "(none that is known)"


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
