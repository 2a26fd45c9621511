"""The SOP classes and transfer syntaxes of the DICOM photos that are read. Imports no library of pictures."""

from app.photo.dicom_file import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE

SOP_CLASS = 0x0008_0016
"""The tag of SOP Class UID."""

SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.77.1.4": "VL Photographic Image",
    "1.2.840.10008.5.1.4.1.1.77.1.4.1": "Video Photographic Image",
    "1.2.840.10008.5.1.4.1.1.77.1.1": "VL Endoscopic Image",
    "1.2.840.10008.5.1.4.1.1.77.1.1.1": "Video Endoscopic Image",
    "1.2.840.10008.5.1.4.1.1.7": "Secondary Capture Image",
    "1.2.840.10008.5.1.4.1.1.7.4": "Multi-frame True Color Secondary Capture Image",
}
"""The SOP classes that are read."""

NATIVE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG})
JPEG = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
"""Baseline, and extended, of which the 8-bit kind is read."""

JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
RLE = "1.2.840.10008.1.2.5"
TRANSFER_SYNTAXES = (*sorted(NATIVE), *sorted(JPEG), *JPEG_LS, *JPEG_2000, RLE)
