"""Archives that take answers, by C-STORE or by STOW-RS (DICOM PS3.18, 10.5)."""

from __future__ import annotations

import http.client
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian, JPEGBaseline8Bit, SecondaryCaptureImageStorage
from pynetdicom import AE

from app.gateway.related import join_related
from app.peers import Destination

logger = logging.getLogger(__name__)

TIMEOUT_S = 30.0
FINAL = frozenset({*range(0xA900, 0xAA00), *range(0xC000, 0xD000)})
"""Statuses of C-STORE that the same object would get again (PS3.4, B.2.3)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an object: `error` is empty if the archive has it; `final` means that it never will."""

    error: str = ""
    final: bool = False


class Archive(Protocol):
    """Takes objects."""

    def send(self, paths: Sequence[Path]) -> list[Outcome]:
        """Send DICOM files; an outcome for each."""


@dataclass(frozen=True, slots=True)
class StoreArchive:
    """An archive that takes objects by C-STORE, several in one association."""

    destination: Destination
    title: str
    tls: ssl.SSLContext | None = None

    def send(self, paths: Sequence[Path]) -> list[Outcome]:
        """Send DICOM files; an outcome for each."""
        entity = AE(self.title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = TIMEOUT_S
        entity.connection_timeout = TIMEOUT_S
        entity.add_requested_context(Comprehensive3DSRStorage, ExplicitVRLittleEndian)
        entity.add_requested_context(SecondaryCaptureImageStorage, JPEGBaseline8Bit)
        to = self.destination
        tls = (self.tls, to.host) if self.tls else None
        association = entity.associate(to.host, to.port, ae_title=to.title, tls_args=tls)
        if not association.is_established:
            return [Outcome("the archive does not accept an association")] * len(paths)
        try:
            return [self._send_one(association, path) for path in paths]
        finally:
            association.release() if association.is_established else association.abort()

    @staticmethod
    def _send_one(association: object, path: Path) -> Outcome:
        try:
            status = association.send_c_store(path)  # type: ignore[attr-defined]
        except ValueError:
            return Outcome("the archive does not accept this kind of object or its transfer syntax", final=True)
        except (RuntimeError, OSError):
            return Outcome("the association ended")
        code = status.get("Status") if status else None
        if code is None:
            return Outcome("the archive did not answer")
        # 0xB000 and others of that row: stored, with a warning
        stored = code == 0 or 0xB000 <= code < 0xC000
        return Outcome() if stored else Outcome(f"the archive refused the object: 0x{code:04X}", code in FINAL)


@dataclass(frozen=True, slots=True)
class WebArchive:
    """An archive that takes objects by STOW-RS."""

    url: str
    authorization: str = ""

    def send(self, paths: Sequence[Path]) -> list[Outcome]:
        """Send DICOM files, a request each; an outcome for each."""
        return [self._send_one(path.read_bytes()) for path in paths]

    def _send_one(self, data: bytes) -> Outcome:
        body, kind = join_related([data])
        headers = {
            "Content-Type": kind,
            "Accept": "application/dicom+json",
            **({"Authorization": self.authorization} if self.authorization else {}),
        }
        try:
            with urlopen(Request(f"{self.url}/studies", body, headers), timeout=TIMEOUT_S):
                return Outcome()
        except HTTPError as error:
            with error:
                return Outcome(f"the archive answered {error.code}", final=error.code in (400, 409, 415))
        except (OSError, URLError, http.client.HTTPException) as error:
            return Outcome(f"the archive does not answer: {type(error).__name__}")
