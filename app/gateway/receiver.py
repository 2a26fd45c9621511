"""The receiver: C-ECHO and C-STORE from named peers (DICOM PS3.4, annexes A and B; PS3.7)."""

from __future__ import annotations

import logging
import sqlite3
import ssl
import threading
from collections.abc import Sequence
from typing import Any

from pynetdicom import AE, evt

from app.errors import PhotoError, PhotoTooLarge
from app.gateway.connections import MAX_PDU_BYTES, BoundedServer
from app.gateway.intake import keep
from app.gateway.queue import Queue
from app.peers import Peer
from app.photo.dicom_uids import NATIVE, SOP_CLASSES, TRANSFER_SYNTAXES

logger = logging.getLogger(__name__)

SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
"""Statuses of C-STORE (PS3.4, B.2.3)."""

IDLE_S = 60.0
"""Seconds that a peer may be silent in an association, or while it begins or ends one, and that a PDU may take."""

REJECTED, REJECTED_FOR_NOW = 1, 2
USER, PRESENTATION = 1, 3
CALLING_TITLE, CALLED_TITLE, LIMIT = 3, 7, 2
"""Results, sources and reasons of a rejection (PS3.8, 9.3.4)."""

VERIFICATION = "1.2.840.10008.1.1"
"""The SOP class of C-ECHO."""


class Receiver:
    """Accepts associations until it is closed.

    Attributes:
        thread: that accepts them.
    """

    def __init__(
        self,
        queue: Queue,
        *,
        title: str,
        host: str,
        port: int,
        peers: Sequence[Peer],
        max_bytes: int,
        associations: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Listen.

        Args:
            title: AE title of the gateway.
            peers: that may associate; all others are rejected.
            max_bytes: of a photo.
            associations: at the same time.

        Raises:
            OSError: the port cannot be used.
        """
        self._queue, self._title, self._peers, self._max_bytes = queue, title, peers, max_bytes
        entity = AE(title)
        entity.network_timeout = entity.acse_timeout = entity.dimse_timeout = None  # bounded by the sockets
        entity.maximum_pdu_size = MAX_PDU_BYTES
        entity.maximum_associations = 2**16  # bounded by the server, which does not count strangers
        entity.add_supported_context(VERIFICATION, sorted(NATIVE))
        for sop_class in SOP_CLASSES:
            entity.add_supported_context(sop_class, [*TRANSFER_SYNTAXES])
        handlers: list[Any] = [(evt.EVT_C_STORE, self._on_store), (evt.EVT_C_ECHO, self._on_echo)]
        handlers.append((evt.EVT_REQUESTED, self._on_requested))
        self._server: BoundedServer = entity.make_server(
            (host, port),
            ssl_context=tls,
            evt_handlers=handlers,
            server_class=BoundedServer,
            allows=lambda address: any(peer.allows(address) for peer in peers),
            max_associations=associations,
            max_bytes=max_bytes,
            idle_s=IDLE_S,
        )
        self.thread = threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True)
        self.thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """End the associations and stop listening."""
        self._server.close()

    def _on_requested(self, event: evt.Event) -> None:
        """Reject an association of an unknown AE title, from an address not registered for it, or above the limit."""
        requestor = event.assoc.requestor
        title, address = str(requestor.primitive.calling_ae_title).strip(), requestor.address
        if not any(peer.title == title and peer.allows(address) for peer in self._peers):
            reason = REJECTED, USER, CALLING_TITLE
        elif str(requestor.primitive.called_ae_title).strip() != self._title:
            reason = REJECTED, USER, CALLED_TITLE
        elif not self._server.admit(event.assoc):
            reason = REJECTED_FOR_NOW, PRESENTATION, LIMIT
        else:
            return
        logger.warning("an association was rejected: %s", _REASONS[reason])
        event.assoc.acse.send_reject(*reason)
        event.assoc.kill()

    def _on_echo(self, event: evt.Event) -> int:
        with event.assoc.dul.socket.handles_message():
            return SUCCESS

    def _on_store(self, event: evt.Event) -> int:
        """Keep a photo; success means that it is on disk."""
        try:
            with event.assoc.dul.socket.handles_message():
                keep(self._queue, event.encoded_dataset(), self._max_bytes)
        except PhotoTooLarge as error:
            logger.warning("%s", error)
            return OUT_OF_RESOURCES
        except PhotoError:
            return CANNOT_UNDERSTAND
        except (OSError, sqlite3.Error) as error:
            logger.error("a photo cannot be kept: %s", type(error).__name__)
            return OUT_OF_RESOURCES
        return SUCCESS


_REASONS = {
    (REJECTED, USER, CALLING_TITLE): "its AE title or address is not that of a peer",
    (REJECTED, USER, CALLED_TITLE): "it calls another AE title",
    (REJECTED_FOR_NOW, PRESENTATION, LIMIT): "too many are open",
}
