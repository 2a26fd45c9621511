"""The gateway's own HTTP: STOW-RS for photos (DICOM PS3.18, 10.5), health and metrics."""

from __future__ import annotations

import json
import logging
import sqlite3
import ssl
import threading
from collections.abc import Callable
from email.message import Message
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from app.errors import PhotoError, PhotoTooLarge
from app.gateway.intake import keep
from app.gateway.related import split_related
from app.gateway.store import Store
from app.records.key_file import KEY, KeyFile

logger = logging.getLogger(__name__)

IDLE_S = 60.0
"""Seconds that a client may be silent."""

PIECE = 2**16
MAX_DRAINED = 4
"""Multiple of the largest request that is still read before it is refused."""

PREFIX = "caries_gateway_"


class Web:
    """Serves until it is closed."""

    def __init__(
        self,
        store: Store,
        *,
        host: str,
        port: int,
        keys: KeyFile | None,
        max_bytes: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Listen.

        Args:
            keys: the API keys that may send photos; None refuses them all.
            max_bytes: of a request.

        Raises:
            OSError: the port cannot be used.
        """
        self._server = ThreadingHTTPServer((host, port), partial(_Handler, store, keys, max_bytes))
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
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


class _Handler(BaseHTTPRequestHandler):
    timeout = IDLE_S
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "caries-gateway", ""

    def __init__(self, store: Store, keys: KeyFile | None, max_bytes: int, *arguments: object) -> None:
        self._store, self._keys, self._max_bytes = store, keys, max_bytes
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        answers: dict[str, Callable[[], tuple[str, bytes]]] = {
            "/health/live": lambda: ("application/json", b'{"status": "live"}'),
            "/metrics": lambda: ("text/plain; version=0.0.4", metrics(self._store).encode()),
        }
        answer = answers.get(self.path)
        if answer is None:
            self._answer(404, "text/plain", b"")
            return
        self._answer(200, *answer())

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._refuse(411)
            return
        size = int(length)
        unread = size if size <= MAX_DRAINED * self._max_bytes else 0
        if self.path != "/studies":
            self._refuse(404, unread)
        elif not self._has_key():
            self._refuse(401, unread)
        elif size > self._max_bytes:
            self._refuse(413, unread)
        else:
            self._keep_all(self.rfile.read(size))

    def _keep_all(self, body: bytes) -> None:
        header = Message()
        header["Content-Type"] = self.headers.get("Content-Type", "")
        try:
            parts = split_related(body, header)
        except ValueError:
            self._refuse(415)
            return
        failed = 0
        for part in parts:
            try:
                keep(self._store, part, self._max_bytes)
            except PhotoTooLarge:
                self._refuse(413)
                return
            except PhotoError:
                failed += 1
            except (OSError, sqlite3.Error) as error:
                logger.error("a photo cannot be kept: %s", type(error).__name__)
                self._refuse(503)
                return
        status = 200 if not failed else 409 if failed == len(parts) else 202
        self._answer(status, "application/dicom+json", json.dumps({}).encode())

    def _has_key(self) -> bool:
        sent = self.headers.get("X-API-Key") or self.headers.get("Authorization", "").removeprefix("Bearer ")
        found = KEY.fullmatch(sent)
        if self._keys is None or found is None:
            return False
        key = self._keys.read().get(found[1])
        return key is not None and key.matches(found[2])

    def _refuse(self, status: int, unread: int = 0) -> None:
        """Answer without a photo; what the client still sends is read, or it would not see the answer."""
        self.close_connection = True
        while unread > 0 and (part := self.rfile.read(min(unread, PIECE))):
            unread -= len(part)
        self._answer(status, "text/plain", b"")

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing: paths of DICOMweb contain UIDs."""


def metrics(store: Store) -> str:
    """The queue's figures in Prometheus' text format."""
    lines = []
    for name, value in store.counts().items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# TYPE {PREFIX}{name} {kind}", f"{PREFIX}{name} {value:g}"]
    return "\n".join(lines) + "\n"
