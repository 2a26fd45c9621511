"""What may enter the queue."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from app.errors import PhotoTooLarge, UnreadablePhoto, UnsupportedPhoto
from app.gateway.intake import keep
from app.gateway.queue import Kind, Queue
from app.photo.dicom_uids import PHOTOMETRICS, SOP_CLASSES
from tests.app.gateway.archives import grey_scan, photo
from tests.app.photo import dicom_files
from tests.conftest import ROOT


def test_what_enters(tmp_path: Path) -> None:
    with closing(Queue(tmp_path)) as store:
        assert keep(store, photo(), 10**6)
        assert not keep(store, photo(), 10**6)
        assert not keep(store, photo(2, Manufacturer="caries-screen"), 10**6)
        with pytest.raises(PhotoTooLarge):
            keep(store, photo(3), 1000)
        with pytest.raises(UnreadablePhoto):
            keep(store, photo(3)[:300], 10**6)
        with pytest.raises(UnreadablePhoto, match="no SOP Instance UID"):
            keep(store, dicom_files.native(SOPInstanceUID=None), 10**6)
        with pytest.raises(UnsupportedPhoto):
            keep(store, dicom_files.native(SOPClassUID="1.2.840.10008.5.1.4.1.1.1.3"), 10**6)
        with pytest.raises(UnsupportedPhoto, match="MONOCHROME2"):
            keep(store, grey_scan(), 10**6)
        with pytest.raises(UnsupportedPhoto, match="12 bits a sample"):
            keep(store, dicom_files.native(BitsAllocated=16, BitsStored=12), 10**6)
        assert len(store.due(Kind.PHOTO, limit=9)) == 1


def test_orthanc_sends_what_enters() -> None:
    script = (ROOT / "deploy" / "orthanc" / "caries.lua").read_text(encoding="utf-8")
    listed = set(re.findall(r"^  \['(.+?)'\] = true", script, re.MULTILINE))
    assert listed == {*SOP_CLASSES, *PHOTOMETRICS}


def test_the_gateway_imports_no_library_of_pictures() -> None:
    code = "import sys, app.gateway.intake, app.gateway.screening, app.gateway.web, app.gateway.backfill as _\n"
    code += "assert not {'numpy', 'PIL', 'pydicom'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
