"""`caries gateway`: the receivers and the threads that work off the queue."""

from __future__ import annotations

import logging
import socket
import sqlite3
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from app.errors import SettingsError
from app.gateway.credentials import read_credentials
from app.gateway.delivery import Archive, DicomWebArchive, StoreArchive
from app.gateway.health import Health
from app.gateway.queue import Queue, open_queue
from app.gateway.receiver import IDLE_S, Receiver
from app.gateway.screening import Server
from app.gateway.web import Web
from app.gateway.work import Record, Work
from app.peers import Destination
from app.records.audit import AuditLog
from app.records.key_file import KeyFile
from app.settings import Settings, variable

logger = logging.getLogger(__name__)

SCREENING_THREADS = 2
DELIVERY_THREADS = 2
"""For each archive: pynetdicom sleeps 10 ms for each object."""

PAUSE_S = 0.2
"""Seconds between looks into the queue while nothing is due or new."""

EXPIRY_S = 3600.0
"""Seconds between deletions of what was given up long ago."""

AUDIT_S = 0.5
"""Seconds between looks for lines that the audit log does not have."""

PROBE_PAUSE_S = 60.0
"""Seconds between questions to a server that has not answered, or refuses the gateway."""


def run(settings: Settings, stop: threading.Event, *, ready: Callable[[Receiver, Web | None], None]) -> None:
    """Receive, screen and deliver until `stop` is set; then end what is in hand.

    Args:
        ready: called once the gateway listens.

    Raises:
        SettingsError: a setting is missing or cannot be used.
    """
    if not settings.gateway_archives:
        raise SettingsError(f"no archive is configured; set {variable('gateway_archives')}")
    if not settings.gateway_peers and settings.gateway_web_port is None:
        raise SettingsError(
            f"no one may send photos; set {variable('gateway_peers')} or {variable('gateway_web_port')}"
        )
    # A scanner of ports would fill the log; what fails is in the queue.
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    incoming, outgoing = tls_contexts(settings.gateway_tls)
    credentials = read_credentials(settings.gateway_credentials)
    with closing(open_queue(settings.gateway, own=True)) as queue, _audit(settings) as record:
        archives: dict[str, Archive] = {
            str(each): _archive(each, settings.gateway_title, outgoing, credentials)
            for each in settings.gateway_archives
        }
        if gone := queue.give_up_archives(archives):
            logger.warning("%d answers for archives that are no longer configured were given up", gone)
        url, key = settings.gateway_server.rstrip("/"), _key(settings.gateway_server_key)
        server = Server(url, key, settings.gateway_lang.value)
        work = Work(
            queue,
            server,
            archives,
            give_up_s=settings.gateway_give_up_h * 3600,
            keep_s=settings.gateway_keep_days * 86400,
            record=record,
        )
        try:
            receiver = Receiver(
                queue,
                title=settings.gateway_title,
                host=settings.gateway_host,
                port=settings.gateway_port,
                peers=settings.gateway_peers,
                max_bytes=settings.max_bytes,
                associations=settings.gateway_associations,
                tls=incoming,
            )
        except OSError as error:
            raise SettingsError(f"port {settings.gateway_port} cannot be used: {error.strerror}") from error
        health = Health(work)
        with closing(receiver), _web(queue, settings, health) as web:
            pause, expiry_pause = partial(queue.wait, PAUSE_S), partial(stop.wait, EXPIRY_S)
            threads = [_repeat(work.screen_one, f"screening-{n}", stop, pause) for n in range(SCREENING_THREADS)]
            threads += [
                _repeat(partial(work.deliver, name), f"delivery-{name}-{n}", stop, pause)
                for name in archives
                for n in range(DELIVERY_THREADS)
            ]
            threads.append(_repeat(work.expire, "expiry", stop, expiry_pause))
            threads.append(_repeat(work.write_audit, "audit", stop, partial(stop.wait, AUDIT_S)))
            threads.append(_repeat(work.probe, "probe", stop, partial(stop.wait, PROBE_PAUSE_S)))
            health.threads = [receiver.thread, *threads]
            ready(receiver, web)
            stop.wait()
        for thread in threads:
            thread.join()
        with suppress(OSError, sqlite3.Error):  # the next start writes what is left
            while work.write_audit():
                pass


def _repeat(
    step: Callable[[], bool], name: str, stop: threading.Event, pause: Callable[[], object]
) -> threading.Thread:
    """Call a step in a thread, with a pause whenever it found nothing to do or failed."""

    def work() -> None:
        while not stop.is_set():
            try:
                if not step():
                    pause()
            except Exception as error:  # a full disk, or a bug that one photo meets, does not end the gateway
                logger.error("%s failed: %s", name, type(error).__name__)
                stop.wait(PAUSE_S)

    thread = threading.Thread(target=work, name=name)
    thread.start()
    return thread


@contextmanager
def _web(queue: Queue, settings: Settings, health: Health) -> Iterator[Web | None]:
    if settings.gateway_web_port is None:
        yield None
        return
    keys = KeyFile(settings.keys) if settings.keys is not None else None
    try:
        web = Web(
            queue,
            host=settings.gateway_host,
            port=settings.gateway_web_port,
            keys=keys,
            max_bytes=settings.batch_bytes,
            max_photo_bytes=settings.max_bytes,
            problem=health.problem,
        )
    except OSError as error:
        raise SettingsError(f"port {settings.gateway_web_port} cannot be used: {error.strerror}") from error
    with closing(web):
        yield web


@contextmanager
def _audit(settings: Settings) -> Iterator[Record]:
    if settings.audit is None:
        yield lambda _: None
        return
    with closing(AuditLog(settings.audit, max_bytes=settings.audit_bytes, fsync=settings.audit_fsync)) as log:
        yield log.append


def _archive(
    destination: Destination, title: str, tls: ssl.SSLContext | None, credentials: Mapping[str, str]
) -> Archive:
    if destination.url:
        return DicomWebArchive(destination.url, credentials.get(destination.url, ""))
    return StoreArchive(destination, title, tls)


def _key(path: Path | None) -> str:
    try:
        return path.read_text(encoding="ascii").strip() if path is not None else ""
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"{path} with the server's API key cannot be read: {error}") from error


def tls_contexts(folder: Path | None) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """Contexts for associations that come in and that go out; both sides show a certificate that `peers.pem` signs."""
    if folder is None:
        return None, None
    incoming, outgoing = _IncomingContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (incoming, outgoing):
        try:
            context.load_verify_locations(folder / "peers.pem")
            context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"the certificates in {folder} cannot be used: {error}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return incoming, outgoing


class _IncomingContext(ssl.SSLContext):
    """Leave the handshake to the association's thread; in pynetdicom's own, a silent client would block all others."""

    def wrap_socket(self, sock: socket.socket, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        sock.settimeout(IDLE_S)
        return super().wrap_socket(sock, *arguments, **{**options, "do_handshake_on_connect": False})
