"""The receiver's connections under bounds.

pynetdicom alone waits for ever for the rest of a PDU of up to 4 GiB. Its timers follow the wall clock and run while a
message is handled: a clock that is set, or a slow disk, would end an association whose peer waits for an answer.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseServer
from typing import Any

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

MAX_PDU_BYTES = 2**17
"""Of a PDU received, as peers are asked."""

MAX_OVERHEAD = 2**20
"""Bytes around a photo: the headers of its PDUs, and the command."""

MAX_STRANGERS = 64
"""Connections without an association; a further one ends the oldest."""

PIECE = 2**16


class BoundedSocket(AssociationSocket):  # type: ignore[misc]
    """Ends connections that are silent or in a PDU for more than `idle_s`, or send `max_bytes` without an answer."""

    def __init__(self, association: Association, connection: socket.socket, max_bytes: int, idle_s: float) -> None:
        super().__init__(association, client_socket=connection)
        self._connection, self._max_bytes, self._idle_s = connection, max_bytes, idle_s
        self._unanswered, self._last, self._handles = 0, time.monotonic(), False
        connection.settimeout(idle_s)

    @property
    def ready(self) -> bool:
        """Whether there is something to read; polled by pynetdicom, so a silent peer is noticed here."""
        if not self._handles and time.monotonic() - self._last > self._idle_s:
            self.end()
        return bool(super().ready)

    def recv(self, nr_bytes: int) -> bytearray:
        """Read a PDU's header or its rest; shorter if the peer has left. Raises OSError if a bound is passed."""
        self._unanswered += nr_bytes
        if nr_bytes > MAX_PDU_BYTES or self._unanswered > self._max_bytes:
            raise OSError(f"more than {MAX_PDU_BYTES} bytes in a PDU, or {self._max_bytes} in a message")
        received, end = bytearray(), time.monotonic() + self._idle_s
        while len(received) < nr_bytes:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._connection.settimeout(left)
            piece = self._connection.recv(min(nr_bytes - len(received), PIECE))
            if not piece:
                break
            received += piece
        self._connection.settimeout(self._idle_s)
        self._last = time.monotonic()
        return received

    @contextmanager
    def handles_message(self) -> Iterator[None]:
        """Allow the peer to be silent, and count its bytes from 0 unless it has sent more without waiting."""
        if self.assoc.dimse.msg_queue.empty():
            self._unanswered = 0
        self._handles = True
        try:
            yield
        finally:
            self._last, self._handles = time.monotonic(), False

    def end(self) -> None:
        """End the connection, from any thread."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        if not self.assoc.is_established:
            self.assoc.dul.to_user_queue.put(None)  # its thread waits for a request


class BoundedServer(ThreadedAssociationServer):  # type: ignore[misc]
    """Accepts connections from allowed addresses; only those with an association count as one."""

    def __init__(
        self,
        *arguments: Any,
        allows: Callable[[str], bool],
        max_associations: int,
        max_bytes: int,
        idle_s: float,
        **options: Any,
    ) -> None:
        self.max_bytes, self.idle_s = max_bytes + MAX_OVERHEAD, idle_s
        self._allows, self._max_associations = allows, max_associations
        self._lock = threading.Lock()
        self._strangers, self._admitted = list[Association](), list[Association]()
        super().__init__(*arguments, request_handler=_Handler, **options)

    def verify_request(self, request: object, client_address: tuple[Any, ...]) -> bool:
        """Whether the connection's address may be that of a peer."""
        return self._allows(client_address[0])

    def begin(self, association: Association) -> None:
        """Register a connection, which is a stranger's until it is admitted."""
        with self._lock:
            self._strangers = [*filter(_runs, self._strangers), association]
            oldest = self._strangers.pop(0) if len(self._strangers) > MAX_STRANGERS else None
        if oldest is not None:
            oldest.dul.socket.end()

    def admit(self, association: Association) -> bool:
        """Let a peer associate; False if the limit is reached."""
        with self._lock:
            self._admitted = [*filter(_runs, self._admitted)]
            if len(self._admitted) >= self._max_associations:
                return False
            self._admitted.append(association)
            self._strangers = [one for one in self._strangers if one is not association]
            return True

    def close(self) -> None:
        """Stop listening and end every connection, even if its peer does not answer."""
        BaseServer.shutdown(self)  # pynetdicom's own needs a server that its AE has started
        self.server_close()
        with self._lock:
            connections = [*self._strangers, *self._admitted]
        for association in filter(_runs, connections):
            association.dul.socket.end()
        for association in filter(_runs, connections):
            association.join(timeout=self.idle_s)


class _Handler(RequestHandler):  # type: ignore[misc]
    def _create_association(self) -> Association:
        association = super()._create_association()
        association.dul.event_queue.get_nowait()  # the event of the socket that is replaced
        association.dul.socket = BoundedSocket(association, self.request, self.server.max_bytes, self.server.idle_s)
        self.server.begin(association)
        return association


def _runs(association: Association) -> bool:
    """Whether its thread has not ended."""
    return association.ident is None or association.is_alive()
