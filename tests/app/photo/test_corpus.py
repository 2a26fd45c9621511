"""pydicom's test files, and variants that dcmtk writes: each is read, or refused in words, within seconds."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pydicom
import pytest

from app.dicom.source import read_source
from app.errors import PhotoError
from app.gateway.intake import keep
from app.gateway.queue import Queue
from app.photo.decoding import decode
from tests.app.photo import dicom_files

TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
MAX_S = 5.0
"""For one file; the slowest takes a tenth."""

OPTIONS = [
    *(["+ti"], ["+te"], ["+tb"], ["+td"], ["-e"], ["+e"], ["+g=", "+ti"], ["+p", "512", "512"], ["-F"]),
    *(["+u", "+te"], ["-u", "+te"]),
]
"""Of dcmconv: encodings, deflated, lengths of sequences and groups, padding, no file header."""

READ = {"+ti", "+te", "+tb", "-e", "+e", "+g=", "+p", "+u", "-u"}


def outcomes(data: bytes, queue: Queue) -> list[str]:
    """What decoding, the queue and the answers in DICOM say: empty for yes, else the error."""
    found = []
    for step in (lambda: decode(data), lambda: keep(queue, data, 2**25), lambda: read_source(data, 1)):
        start = time.monotonic()
        try:
            step()
        except PhotoError as error:
            found.append(str(error))
        else:
            found.append("")
        assert time.monotonic() - start < MAX_S
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_files_of_pydicom(tmp_path: Path) -> None:
    files = sorted(path for path in TEST_FILES.rglob("*") if path.is_file())
    assert len(files) > 100
    with closing(Queue(tmp_path)) as queue:
        found = {path.name: outcomes(path.read_bytes(), queue) for path in files}
    decoded = {name for name, (error, *_) in found.items() if not error}
    assert len(decoded) >= 20
    for name, (_, kept, _) in found.items():
        assert not (name in decoded and kept), "what can be screened is accepted"
    assert "deflated" in found["image_dfl.dcm"][0]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("dcmconv") is None, reason="dcmtk is not installed")
@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_variants_that_dcmtk_writes(tmp_path: Path, options: list[str]) -> None:
    source, out = tmp_path / "photo.dcm", tmp_path / "variant.dcm"
    source.write_bytes(dicom_files.native(OtherPatientIDsSequence=[pydicom.Dataset()]))
    subprocess.run(["dcmconv", *options, source, out], check=True, capture_output=True)
    with closing(Queue(tmp_path / "queue")) as queue:
        found = outcomes(out.read_bytes(), queue)
    if options[0] in READ:
        assert found == ["", "", ""]
    else:
        assert all(found)
