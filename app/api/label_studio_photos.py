"""Photos of tasks, fetched from the configured Label Studio alone.

A task comes from a client, so that it may name any address. Only a path of `FOLDERS` on the configured host is
requested, since the request has the operator's token; no redirect is followed; bytes and time of an answer are limited.
"""

import http.client
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Self
from urllib.parse import SplitResult, quote, unquote, urlsplit

from app.api.problems import quoted
from app.errors import InvalidParameter, LabelStudioError, PhotoTooLarge, SettingsError
from app.settings import Settings, variable

MAX_ADDRESS = 2048
"""Characters of a photo's address."""

FOLDERS = ("/data/", "/tasks/", "/storage-data/")
"""Where Label Studio serves photos: uploads and local files, cloud storages, and cloud storages of old versions."""

CHUNK_BYTES = 2**16
PORTS = {"http": 80, "https": 443}


class LabelStudioPhotos:
    """Fetches photos. Thread-safe.

    Attributes:
        threads: in which to fetch, so that a slow Label Studio delays only its own requests.
    """

    def __init__(self, address: str, token: str, *, max_bytes: int, timeout_s: float, threads: int = 1) -> None:
        """Fetch from `address`, at most `max_bytes` within `timeout_s`."""
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix="label-studio")
        self._base = urlsplit(address)
        self._token = token
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    @classmethod
    def from_settings(cls, address: str, settings: Settings) -> Self:
        """The Label Studio at an address, with the token and the limits of the settings.

        Raises:
            SettingsError: the token cannot be read.
        """
        name = variable("label_studio_token")
        if settings.label_studio_token is None:
            raise SettingsError(f"{variable('label_studio')} is set and {name} is empty; name the file with its token")
        try:
            token = Path(settings.label_studio_token).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name}: {settings.label_studio_token} cannot be read ({error})") from None
        if not token or not token.isprintable():
            raise SettingsError(f"{name}: {settings.label_studio_token} has no token")
        limits = {"max_bytes": settings.max_bytes, "threads": settings.batches_open}
        return cls(address, token, timeout_s=settings.upload_s, **limits)

    def fetch(self, address: str) -> bytes:
        """The photo at a path, or at a URL of the configured Label Studio.

        Raises:
            InvalidParameter: the address is elsewhere.
            PhotoTooLarge: it has too many bytes.
            LabelStudioError: it cannot be fetched.
        """
        path = self._path(address)
        end = time.monotonic() + self._timeout_s
        try:
            with closing(self._connection()) as connection:
                connection.connect()
                # A peer that sends a byte now and then would never exceed the timeout of a read.
                cut = threading.Timer(self._timeout_s, _shut_down, [connection.sock])
                cut.daemon = True
                cut.start()
                try:
                    data = self._get(connection, path)
                finally:
                    cut.cancel()
            if time.monotonic() >= end:  # an answer without a length looks complete when it is cut
                raise TimeoutError
            return data
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() >= end:
                raise LabelStudioError(
                    f"Label Studio did not send the photo within {self._timeout_s:g} seconds"
                ) from None
            raise LabelStudioError(f"Label Studio cannot be reached ({type(error).__name__})") from None

    def _path(self, address: str) -> str:
        """What to request."""
        base = self._base
        try:
            sent = urlsplit(address)
            if sent.netloc and (_origin(sent) != _origin(base) or sent.username is not None):
                raise ValueError
            if sent.scheme not in ("", base.scheme) or (sent.scheme and not sent.netloc):
                raise ValueError
            if not sent.path.startswith(FOLDERS) or ".." in re.split(r"[/\\]", unquote(sent.path)):
                raise ValueError
            if len(address) > MAX_ADDRESS or not address.isprintable():
                raise ValueError
        except ValueError:
            raise InvalidParameter(
                f"the photo's address is {quoted(address)}; it must be a path of {', '.join(FOLDERS)} on"
                f" {base.scheme}://{base.netloc}"
            ) from None
        query = f"?{quote(sent.query, safe='/%=&?~+:;,@!*()$')}" if sent.query else ""
        return quote(sent.path, safe="/%~+:;,@!*()$=&") + query

    def _connection(self) -> http.client.HTTPConnection:
        scheme, host, port = _origin(self._base)
        kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        return kind(host, port, timeout=self._timeout_s)

    def _get(self, connection: http.client.HTTPConnection, path: str) -> bytes:
        connection.request("GET", path, headers={"Authorization": f"Token {self._token}", "Accept": "*/*"})
        response = connection.getresponse()
        if response.status != 200:
            hint = "; redirects are not followed" if 300 <= response.status < 400 else ""
            raise LabelStudioError(f"Label Studio answered the photo's address with {response.status}{hint}")
        data = bytearray()
        while chunk := response.read(CHUNK_BYTES):
            data += chunk
            if len(data) > self._max_bytes:
                raise PhotoTooLarge(f"the photo has more than {self._max_bytes} bytes, the maximum")
        if response.length:
            raise LabelStudioError("Label Studio sent less of the photo than it announced")
        return bytes(data)


def _origin(url: SplitResult) -> tuple[str, str, int]:
    return url.scheme, (url.hostname or "").lower(), url.port or PORTS.get(url.scheme, 0)


def _shut_down(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
