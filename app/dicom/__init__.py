"""DICOM objects with the answer for a DICOM photo: a structured report, and a picture as a Secondary Capture.

Both are in the photo's study and refer to it. The modules of this package import pydicom, of the extra `dicom`.
"""

from importlib.util import find_spec

from app.errors import NotAcceptable

EXTRA = "dicom"

MANUFACTURER = "caries-screen"
"""Of the objects, by which the gateway recognizes them."""


def require_extra() -> None:
    """Raise NotAcceptable if the package that writes DICOM objects is not installed."""
    if find_spec("pydicom") is None:
        raise NotAcceptable(
            f"answers in DICOM need pydicom, which this server lacks; install 'caries-screen[{EXTRA}]' or ask for JSON"
        )
