"""An archive that keeps what it gets, a modality that sends, and a clock that a test turns."""

from __future__ import annotations

import io
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import UID, SecondaryCaptureImageStorage
from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from app.gateway.delivery import Checkpoint
from app.peers import Destination
from tests.app.photo import dicom_files
from tests.app.photo.pictures import camera_photo

OBJECTS = ("1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.7")
SYNTAXES = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"]


class Clock:
    """Seconds that pass only on request."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def photo(number: int = 1, **attributes: Any) -> bytes:
    """A DICOM photo with the SOP Instance UID 1.2.3.NUMBER, large enough to be assessed."""
    return dicom_files.jpeg(camera_photo(320, 240), SOPInstanceUID=f"1.2.3.{number}", **attributes)


def grey_scan(number: int = 1, **attributes: Any) -> bytes:
    """A Secondary Capture of 64x48 grey pixels of 16 bits with the SOP Instance UID 1.2.3.NUMBER."""
    given = {
        "SOPClassUID": SecondaryCaptureImageStorage,
        "SOPInstanceUID": f"1.2.3.{number}",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "PlanarConfiguration": None,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        **attributes,
    }
    return dicom_files.written(dicom_files.dataset(**given), pixels=bytes(64 * 48 * 2), vr="OW")


class Archive:
    """An archive.

    Attributes:
        arrived: SOP Instance UIDs in the order of arrival, with repetitions.
        kept: objects by SOP Instance UID.
        status: with which C-STORE is answered.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.arrived: list[str] = []
        self.kept: dict[str, Dataset] = {}
        self.status = 0
        self._lock = threading.Lock()
        self._server: ThreadedAssociationServer | None = None
        self.port = 0

    def open(self) -> None:
        """Listen, on the same port every time."""
        entity = AE("ARCHIVE")
        for sop_class in OBJECTS:
            entity.add_supported_context(sop_class, SYNTAXES)
        server = entity.start_server(
            ("127.0.0.1", self.port), block=False, ssl_context=self.tls, evt_handlers=[(evt.EVT_C_STORE, self._keep)]
        )
        assert isinstance(server, ThreadedAssociationServer)
        self._server, self.port = server, int(server.server_address[1])

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    @property
    def destination(self) -> Destination:
        return Destination("ARCHIVE", "127.0.0.1", self.port)

    def sources(self) -> list[str]:
        """SOP Instance UIDs of the photos that the reports refer to, sorted."""
        found = []
        for kept in self.kept.values():
            if kept.Modality == "SR":
                (series,) = kept.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
                found.append(str(series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID))
        return sorted(found)

    def _keep(self, event: evt.Event) -> int:
        if self.status == 0:
            read = dcmread(io.BytesIO(event.encoded_dataset()))
            with self._lock:
                self.arrived.append(str(read.SOPInstanceUID))
                self.kept[str(read.SOPInstanceUID)] = read
        return self.status


@contextmanager
def archive(tls: ssl.SSLContext | None = None) -> Iterator[Archive]:
    """An open archive."""
    made = Archive(tls)
    made.open()
    try:
        yield made
    finally:
        made.close()


PATIENCE_S = 120.0
"""Seconds that a modality waits for an answer: longer than a disk that is busy with the rest of the tests takes."""


def store(
    port: int, *photos: bytes, title: str = "CLINIC", called: str = "CARIES", tls: ssl.SSLContext | None = None
) -> list[int | None]:
    """Send photos in one association; their statuses, None for one without an answer, none if it was refused."""
    entity = AE(title)
    entity.dimse_timeout = entity.network_timeout = PATIENCE_S
    read = [dcmread(io.BytesIO(data)) for data in photos]
    for sop_class, syntax in {(str(one.SOPClassUID), str(one.file_meta.TransferSyntaxUID)) for one in read}:
        entity.add_requested_context(UID(sop_class), UID(syntax))
    secured = (tls, "127.0.0.1") if tls else None
    association = entity.associate("127.0.0.1", port, ae_title=called, tls_args=secured)
    if not association.is_established:
        return []
    Checkpoint.install(association)
    statuses = list[int | None]()
    for one in read:
        answer = association.send_c_store(one) if association.is_established else {}
        statuses.append(answer.get("Status"))
    if association.is_established:
        association.release()
    return statuses


def store_until_confirmed(port: int, *photos: bytes, tries: int = 3) -> bool:
    """Send photos, and again those without an answer, as a modality does; False if one is refused."""
    left = list(photos)
    for _ in range(tries):
        statuses = store(port, *left)
        if len(statuses) != len(left) or not {*statuses} <= {0, None}:
            return False
        left = [one for one, status in zip(left, statuses, strict=True) if status is None]
        if not left:
            return True
    return False


def echo(port: int, *, title: str = "CLINIC", called: str = "CARIES") -> bool:
    """Whether the gateway answers C-ECHO."""
    entity = AE(title)
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate("127.0.0.1", port, ae_title=called)
    if not association.is_established:
        return False
    try:
        return bool(association.send_c_echo().get("Status") == 0)
    finally:
        association.release()
