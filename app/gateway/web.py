"""The gateway's own HTTP: STOW-RS for photos (DICOM PS3.18, 10.5), health and metrics."""

from __future__ import annotations

import json
import logging
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from app.dicom.related import split_related
from app.errors import KeysError, PhotoError, PhotoTooLarge, UnsupportedPhoto
from app.gateway.intake import SOP_INSTANCE_UID, keep
from app.gateway.queue import Queue
from app.photo.dicom_file import read_structure
from app.photo.dicom_uids import SOP_CLASS
from app.records.key_file import KEY, KeyFile

logger = logging.getLogger(__name__)

MAX_CONNECTIONS, MAX_UPLOADS = 32, 2
"""At the same time. An upload is in memory, with its photos twice."""

MAX_CONNECTION_S = 120.0
"""Seconds from which a connection, which is for one request, is ended."""

MAX_WRONG_KEYS = 20
"""In a minute from an address, from which its keys are not compared."""

PIECE = 2**16
MAX_DRAINED = 2**20
"""Bytes of a refused request that are read, so that most clients see the answer."""

PREFIX = "caries_gateway_"
STORED, FAILED = "00081199", "00081198"
NOT_SUPPORTED, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0122, 0xA700, 0xC000
"""Failure reasons of STOW-RS (PS3.18, table 10.5.3-2, and PS3.4, B.2.3)."""


@dataclass(slots=True)
class WrongKeys:
    """Counts wrong keys by address, minute by minute."""

    clock: Callable[[], float] = time.monotonic
    _minute: int = 0
    _counts: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, address: str) -> None:
        """Count one."""
        with self._lock:
            self._counts[address] += 1

    def too_many(self, address: str) -> bool:
        """Whether an address has sent `MAX_WRONG_KEYS` in this minute."""
        with self._lock:
            if self._minute != (minute := int(self.clock() // 60)):
                self._minute, self._counts = minute, Counter()
            return self._counts[address] >= MAX_WRONG_KEYS


@dataclass(frozen=True, slots=True)
class _Intake:
    """What the requests share."""

    queue: Queue
    keys: KeyFile | None
    max_bytes: int
    max_photo_bytes: int
    problem: Callable[[], str]
    wrong_keys: WrongKeys = field(default_factory=WrongKeys)
    uploads: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(MAX_UPLOADS))


class Web:
    """Serves until it is closed."""

    def __init__(
        self,
        queue: Queue,
        *,
        host: str,
        port: int,
        keys: KeyFile | None,
        max_bytes: int,
        max_photo_bytes: int,
        problem: Callable[[], str] = lambda: "",
    ) -> None:
        """Listen.

        Args:
            keys: the API keys that may send photos; None refuses them all.
            max_bytes: of a request.
            max_photo_bytes: of each photo in it.
            problem: why the gateway is not ready; empty if it is.

        Raises:
            OSError: the port cannot be used.
        """
        self._server = _Server((host, port), _Intake(queue, keys, max_bytes, max_photo_bytes, problem))
        self._thread = threading.Thread(target=self._server.serve_forever, name="web", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_port

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """Bounds the number of connections and the duration of each."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], intake: _Intake) -> None:
        self.intake = intake
        self._begun: dict[Any, float] = {}
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        with self._lock:
            if len(self._begun) >= MAX_CONNECTIONS:
                return False
            self._begun[request] = time.monotonic()
            return True

    def service_actions(self) -> None:
        with self._lock:
            old = [one for one, begun in self._begun.items() if begun <= time.monotonic() - MAX_CONNECTION_S]
        for connection in old:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._begun.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing of a client that left, and nothing that has its address."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = MAX_CONNECTION_S
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "caries-gateway", ""

    def do_GET(self) -> None:
        self.close_connection = True
        if self.path == "/health/live":
            self._answer_json(200, {"status": "live"})
        elif self.path == "/health/ready":
            if problem := self.server.intake.problem():
                self._answer_json(503, {"status": "not ready", "reason": problem})
            else:
                self._answer_json(200, {"status": "ready"})
        elif self.path == "/metrics":
            self._answer(200, "text/plain; version=0.0.4", metrics(self.server.intake.queue).encode())
        else:
            self._answer(404, "text/plain", b"")

    def do_POST(self) -> None:
        self.close_connection = True
        intake, length = self.server.intake, self.headers.get("Content-Length", "")
        if not length.isdecimal() or len(length) > 18:
            self._refuse(411)
            return
        size = int(length)
        refusal = 404 if self.path != "/studies" else self._refusal_of_key()
        if not refusal and size > intake.max_bytes:
            refusal = 413
        if refusal:
            self._refuse(refusal, size)
        elif not intake.uploads.acquire(blocking=False):
            self._refuse(503, size)
        else:
            try:
                body = self.rfile.read(size)
                if len(body) == size:
                    self._keep_all(body)
            finally:
                intake.uploads.release()

    def _keep_all(self, body: bytes) -> None:
        header = Message()
        header["Content-Type"] = self.headers.get("Content-Type", "")
        try:
            parts = split_related(body, header)
        except ValueError:
            self._refuse(415)
            return
        stored, failed, is_full = list[dict[str, Any]](), list[dict[str, Any]](), False
        for part in parts:
            try:
                keep(self.server.intake.queue, part, self.server.intake.max_photo_bytes)
            except PhotoTooLarge:
                failed.append(_item(part, OUT_OF_RESOURCES))
            except UnsupportedPhoto:
                failed.append(_item(part, NOT_SUPPORTED))
            except PhotoError:
                failed.append(_item(part, CANNOT_UNDERSTAND))
            except (OSError, sqlite3.Error) as error:
                logger.error("a photo cannot be kept: %s", type(error).__name__)
                failed.append(_item(part, OUT_OF_RESOURCES))
                is_full = True
            else:
                stored.append(_item(part))
        status = 200 if not failed else 202 if stored else 503 if is_full else 409
        answer = {name: {"vr": "SQ", "Value": items} for name, items in ((STORED, stored), (FAILED, failed)) if items}
        self._answer(status, "application/dicom+json", json.dumps(answer).encode())

    def _refusal_of_key(self) -> int:
        """The status that refuses the request's key; 0 if it is right."""
        intake, address = self.server.intake, str(self.client_address[0])
        if intake.wrong_keys.too_many(address):
            return 429
        sent = self.headers.get("X-API-Key") or self.headers.get("Authorization", "").removeprefix("Bearer ")
        found = KEY.fullmatch(sent)
        if intake.keys is not None and found is not None:
            try:
                key = intake.keys.read().get(found[1])
            except KeysError as error:
                logger.error("%s", error)
                return 503
            if key is not None and key.matches(found[2]):
                return 0
        intake.wrong_keys.add(address)
        return 401

    def _refuse(self, status: int, unread: int = 0) -> None:
        """Answer without a photo; of what the client still sends a little is read, or it would not see the answer."""
        self._answer(status, "text/plain", b"")
        unread = min(unread, MAX_DRAINED)
        while unread > 0 and (part := self.rfile.read(min(unread, PIECE))):
            unread -= len(part)

    def _answer_json(self, status: int, content: dict[str, str]) -> None:
        self._answer(status, "application/json", json.dumps(content).encode())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing: paths of DICOMweb contain UIDs."""


def metrics(queue: Queue) -> str:
    """The queue's figures in Prometheus' text format."""
    lines = []
    for name, value in queue.counts().items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# TYPE {PREFIX}{name} {kind}", f"{PREFIX}{name} {value:g}"]
    return "\n".join(lines) + "\n"


def _item(part: bytes, reason: int = 0) -> dict[str, Any]:
    """A photo as the answer to STOW-RS names it, with the reason if it is refused."""
    item: dict[str, Any] = {}
    with suppress(PhotoError):
        file = read_structure(part)
        for name, tag in (("00081150", SOP_CLASS), ("00081155", SOP_INSTANCE_UID)):
            if uid := file.text(tag):
                item[name] = {"vr": "UI", "Value": [uid]}
    return {**item, "00081197": {"vr": "US", "Value": [reason]}} if reason else item
