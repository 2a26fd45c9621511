"""Archives that take answers, by C-STORE or by STOW-RS (DICOM PS3.18, 10.5)."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian, JPEGBaseline8Bit, SecondaryCaptureImageStorage
from pynetdicom import AE, Association, _config

from app.dicom.related import join_related
from app.errors import PhotoError
from app.gateway.http_client import ask, authorized
from app.gateway.intake import SOP_INSTANCE_UID
from app.peers import Destination
from app.photo.dicom_file import read_structure

logger = logging.getLogger(__name__)

# Objects are sent as they are on disk, and not read as data sets before.
_config.STORE_SEND_CHUNKED_DATASET = True

TIMEOUT_S = 30.0
FINAL = frozenset({*range(0xA900, 0xAA00), *range(0xC000, 0xD000)})
"""Statuses of C-STORE that the same object would get again (PS3.4, B.2.3)."""

MAX_ANSWER_BYTES = 2**20
STORED, FAILED, REFERENCED_UID, FAILURE_REASON = "00081199", "00081198", "00081155", "00081197"
"""Attributes of the answer to STOW-RS (PS3.18, table 10.5.3-2)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an object: `error` is empty if the archive has it; `final` means that it never will."""

    error: str = ""
    final: bool = False


class Archive(Protocol):
    """Takes objects."""

    def send(self, paths: Sequence[Path]) -> list[Outcome]:
        """Send DICOM files; an outcome for each."""


class Checkpoint(threading.Event):
    """Pauses the reactor of an association that sends.

    pynetdicom's thread takes answers from the network while no message is sent; a sender clears the event and waits
    until the thread says that it is paused. Its own event lets the thread through when it is set and cleared again at
    once, as it is between two messages; the thread may then take the answer to the second, and the sender waits for it
    until its timeout. A thread that passes this one is no longer paused before the event can be cleared.
    """

    def __init__(self, association: Association) -> None:
        super().__init__()
        self._association = association
        self._changed = threading.Condition()
        self._is_reached = False
        self.set()

    def set(self) -> None:
        with self._changed:
            super().set()
            self._changed.notify_all()

    def clear(self) -> None:
        with self._changed:
            super().clear()

    def wait(self, timeout: float | None = None) -> bool:
        with self._changed:
            self._is_reached = True
            if is_passed := self._changed.wait_for(self.is_set, timeout):
                self._association._is_paused = False
            return is_passed

    @classmethod
    def install(cls, association: Association) -> None:
        """Replace the event of an association that has just begun; returns when its thread uses the new one."""
        checkpoint = association._reactor_checkpoint = cls(association)
        while association.is_alive() and not checkpoint._is_reached:
            time.sleep(0.001)


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
        Checkpoint.install(association)
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
        except RuntimeError:
            return Outcome("the association ended")
        except Exception as error:  # of reading a damaged or missing file, which must not end the association
            return Outcome(f"the object cannot be sent: {type(error).__name__}")
        code = status.get("Status") if status else None
        if code is None:
            return Outcome("the archive did not answer")
        # 0xB000 and others of that row: stored, with a warning
        stored = code == 0 or 0xB000 <= code < 0xC000
        return Outcome() if stored else Outcome(f"the archive refused the object: 0x{code:04X}", code in FINAL)


@dataclass(frozen=True, slots=True)
class DicomWebArchive:
    """An archive that takes objects by STOW-RS.

    Attributes:
        authorization: the header's value; empty for none.
    """

    url: str
    authorization: str = field(default="", repr=False)

    def send(self, paths: Sequence[Path]) -> list[Outcome]:
        """Send DICOM files, a request each; an outcome for each."""
        return [self._send_one(path) for path in paths]

    def _send_one(self, path: Path) -> Outcome:
        try:
            data = path.read_bytes()
            uid = read_structure(data).text(SOP_INSTANCE_UID)
        except (OSError, PhotoError) as error:
            return Outcome(f"the object cannot be sent: {type(error).__name__}")
        body, kind = join_related([data])
        headers = {"Content-Type": kind, "Accept": "application/dicom+json", **authorized(self.authorization)}
        try:
            reply = ask(f"{self.url}/studies", headers, body, timeout_s=TIMEOUT_S, max_bytes=MAX_ANSWER_BYTES)
        except OSError as error:
            return Outcome(f"the archive does not answer: {type(error).__name__}")
        if not reply.is_ok:
            return Outcome(f"the archive answered {reply.status}", final=reply.status in (400, 409, 415))
        return _stored(reply.body, uid)


def _stored(body: bytes, uid: str) -> Outcome:
    """What an answer of status 2xx says of an object: only one that is named as stored is delivered."""
    try:
        answer = json.loads(body)
        stored, failed = (
            [item[REFERENCED_UID]["Value"][0] for item in answer.get(name, {}).get("Value", [])]
            for name in (STORED, FAILED)
        )
        reasons = [
            item.get(FAILURE_REASON, {}).get("Value", [0])[0] for item in answer.get(FAILED, {}).get("Value", [])
        ]
        if uid in stored:
            return Outcome()
        if uid in failed:
            reason = int(reasons[failed.index(uid)])
            return Outcome(f"the archive refused the object: 0x{reason:04X}", final=reason in FINAL)
    except (AttributeError, LookupError, TypeError, ValueError):
        pass
    return Outcome("the archive's answer does not name the object as stored")
