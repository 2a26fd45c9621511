"""Which DICOM photos are read: SOP classes, transfer syntaxes and kinds of pixels. Imports no library of pictures."""

import re
from collections.abc import Mapping

from app.errors import UnreadablePhoto, UnsupportedPhoto
from app.photo.dicom_file import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, DicomFile

SOP_CLASS, SAMPLES, PHOTOMETRIC = 0x0008_0016, 0x0028_0002, 0x0028_0004
BITS_ALLOCATED, BITS_STORED = 0x0028_0100, 0x0028_0101

SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.77.1.4": "VL Photographic Image",
    "1.2.840.10008.5.1.4.1.1.77.1.4.1": "Video Photographic Image",
    "1.2.840.10008.5.1.4.1.1.77.1.1": "VL Endoscopic Image",
    "1.2.840.10008.5.1.4.1.1.77.1.1.1": "Video Endoscopic Image",
    "1.2.840.10008.5.1.4.1.1.7": "Secondary Capture Image",
    "1.2.840.10008.5.1.4.1.1.7.4": "Multi-frame True Color Secondary Capture Image",
}
"""The SOP classes that are read."""

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

NATIVE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG})
JPEG = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
"""Baseline, and extended, of which the 8-bit kind is read."""

JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
RLE = "1.2.840.10008.1.2.5"
TRANSFER_SYNTAXES = (*sorted(NATIVE), *sorted(JPEG), *JPEG_LS, *JPEG_2000, RLE)

PALETTE = "PALETTE COLOR"
TRANSFORMED = frozenset({"YBR_FULL", "YBR_FULL_422"})
"""Photometric interpretations whose samples are luminance and two colour differences."""
DECODED = frozenset({"RGB", "YBR_RCT", "YBR_ICT"})
"""Photometric interpretations whose samples are red, green and blue, in JPEG 2000 once they are decoded."""

PHOTOMETRICS = TRANSFORMED | DECODED | {PALETTE}
"""The photometric interpretations that are read."""

OTHER_PHOTOMETRIC = frozenset(
    {"MONOCHROME1", "MONOCHROME2", "HSV", "ARGB", "CMYK", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "XYB"}
)
"""The standard's other photometric interpretations (PS3.3, C.7.6.3.1.2), which are refused by name."""

STANDARD_ROOT = "1.2.840.10008."
"""Of the UIDs that the standard defines."""


def check_kind(file: DicomFile, sop_classes: Mapping[str, str] = SOP_CLASSES) -> None:
    """Look at the header only.

    Args:
        sop_classes: that are read, with their names.

    Raises:
        UnsupportedPhoto: it is not of an 8-bit colour photo in a transfer syntax that is read.
        UnreadablePhoto: it contradicts itself.
    """
    sop_class, photometric = file.text(SOP_CLASS), file.text(PHOTOMETRIC)
    if sop_class not in sop_classes:
        name = OTHER_SOP_CLASSES.get(sop_class) or f"of SOP class {_shown(sop_class)}"
        accepted = ", ".join(sop_classes.values())
        raise UnsupportedPhoto(f"the DICOM file is {name} and not a colour photo; accepted are {accepted}")
    if photometric not in PHOTOMETRICS:
        raise UnsupportedPhoto(
            f"the DICOM file is not a colour photo: its photometric interpretation is {_shown(photometric)}"
        )
    if file.transfer_syntax not in TRANSFER_SYNTAXES:
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
