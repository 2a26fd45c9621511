"""A screened photo, the DICOM photo it answers, and the check of objects by Debian's dciodvfy."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import JPEGBaseline8Bit

from app.detector.bundle import Bundle
from app.detector.detections import Detections
from app.dicom.source import Source, read_source
from app.photo.encoding import encode
from app.photo.quality import Reason
from app.screen_photo import Options, ScreenedPhoto
from app.screening import ClassSelection, Screening, Verdict
from app.settings import Precision
from tests.app.photo import dicom_files

BOXES = np.array([[0.1, 0.2, 0.5, 0.61], [0.3, 0.4, 0.55, 0.7], [0.2, 0.2, 0.4, 0.4]], np.float32)
SCORES = np.array([0.91237, 0.5, 0.4], np.float32)
KOREAN: dict[str, Any] = {
    "SpecificCharacterSet": ["", "ISO 2022 IR 149"],
    "PatientName": "Hong^Gildong=洪^吉洞=홍^길동",
    "StudyDescription": "구강 사진",
}
"""A Korean patient in the character set of Korean archives (PS3.5, I.2)."""

KOREAN_CHARSETS = ["\\ISO 2022 IR 149", "ISO 2022 IR 149", "ISO_IR 149", "ISO IR 149"]
"""It, and what devices write for it."""

OPTIONS = Options(classes=ClassSelection.ALL, media_type="image/jpeg")


def screened(bundle: Bundle, **changes: Any) -> ScreenedPhoto:
    """Two carious teeth and a sound one on a photo of 64x48 pixels."""
    detections = Detections(BOXES, SCORES, np.array([2, 2, 1]))
    given = {
        "bundle": bundle,
        "width": 64,
        "height": 48,
        "sha256": "",
        "screening": Screening(Verdict.CARIES_SUSPECTED, (), 3, detections, 0),
        "detections": detections,
        "operating_point": bundle.operating_point,
        "timings_ms": {},
        "picture": encode(np.full((60, 64, 3), 90, np.uint8), "image/jpeg"),
        "evidence": None,
        "precision": Precision.INT8,
    }
    return ScreenedPhoto(**{**given, **changes})


def not_assessable(bundle: Bundle) -> ScreenedPhoto:
    """A photo without boxes."""
    none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int))
    return screened(bundle, screening=Screening(Verdict.NOT_ASSESSABLE, (Reason.BLURRED,), 0, none, 0))


def korean(charset: str, syntax: str = JPEGBaseline8Bit, **attributes: Any) -> bytes:
    """The photo of a Korean patient, with escapes, whose character set has one of these names."""
    codestream = encode(np.full((48, 64, 3), 90, np.uint8), "image/jpeg")
    pixels: bytes | list[bytes] = [codestream] if syntax == JPEGBaseline8Bit else bytes(64 * 48 * 3)
    data = dicom_files.written(dicom_files.dataset(**KOREAN, **attributes), syntax, pixels=pixels)
    return data.replace(KOREAN_CHARSETS[0].encode(), charset.ljust(16).encode())


def source(data: bytes | None = None, frame: int | None = None) -> Source:
    return read_source(dicom_files.jpeg() if data is None else data, frame)


def assert_conforms(data: bytes, folder: Path) -> None:
    """Checked by dciodvfy, of Debian's package dicom3tools; skips the test where it is missing."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dicom3tools is not installed")
    path = folder / "object.dcm"
    path.write_bytes(data)
    done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, errors="replace", check=False)
    assert "Error" not in done.stderr + done.stdout, done.stderr
    assert done.returncode == 0
