"""The receiver: C-ECHO and C-STORE from named peers (DICOM PS3.4, annexes A and B; PS3.7)."""

from __future__ import annotations

import logging
import sqlite3
import ssl
from collections.abc import Sequence
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from app.errors import PhotoError, PhotoTooLarge
from app.gateway.intake import keep
from app.gateway.store import Store
from app.peers import Peer
from app.photo.dicom import CODESTREAMS, JPEG, NATIVE, SOP_CLASSES

logger = logging.getLogger(__name__)

SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
"""Statuses of C-STORE (PS3.4, B.2.3)."""

IDLE_S = 60.0
"""Seconds that a peer may be silent in an association, or while it begins or ends one."""

VERIFICATION = "1.2.840.10008.1.1"
"""The SOP class of C-ECHO."""


class Receiver:
    """Accepts associations until it is closed."""

    def __init__(
        self,
        store: Store,
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
        self._store, self._peers, self._max_bytes = store, peers, max_bytes
        entity = AE(title)
        entity.require_called_aet = True
        entity.require_calling_aet = sorted({peer.title for peer in peers})
        entity.maximum_associations = associations
        entity.network_timeout = entity.acse_timeout = entity.dimse_timeout = IDLE_S
        entity.add_supported_context(VERIFICATION)
        for sop_class in SOP_CLASSES:
            entity.add_supported_context(sop_class, [*sorted(NATIVE), *sorted(JPEG), *CODESTREAMS])
        handlers: list[Any] = [(evt.EVT_C_STORE, self._on_store), (evt.EVT_C_ECHO, lambda _: SUCCESS)]
        handlers.append((evt.EVT_REQUESTED, self._on_requested))
        server = entity.start_server((host, port), block=False, ssl_context=tls, evt_handlers=handlers)
        assert isinstance(server, ThreadedAssociationServer)
        self._server, self._entity = server, entity

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Abort the associations and stop listening."""
        self._entity.shutdown()

    def _on_requested(self, event: evt.Event) -> None:
        """Abort an association from an address that its AE title does not have; titles are checked by pynetdicom."""
        requestor = event.assoc.requestor
        title, address = str(requestor.primitive.calling_ae_title).strip(), requestor.address
        if not any(peer.title == title and peer.allows(address) for peer in self._peers):
            logger.warning("an association was rejected: its AE title or address is not that of a peer")
            event.assoc.acse.send_reject(0x01, 0x01, 0x03)
            event.assoc.kill()

    def _on_store(self, event: evt.Event) -> int:
        """Keep a photo; success means that it is on disk."""
        try:
            keep(self._store, event.encoded_dataset(), self._max_bytes)
        except PhotoTooLarge as error:
            logger.warning("%s", error)
            return OUT_OF_RESOURCES
        except PhotoError:
            return CANNOT_UNDERSTAND
        except (OSError, sqlite3.Error) as error:
            logger.error("a photo cannot be kept: %s", type(error).__name__)
            return OUT_OF_RESOURCES
        return SUCCESS
