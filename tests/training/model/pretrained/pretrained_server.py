"""A small archive in the layout of the zoo, and a server whose transfers break, ignore ranges or change the file."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


class FileServer(ThreadingHTTPServer):
    """Serves `content` under any name, with faults to simulate, and records the requests."""

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.version = '"one"'
        self.cut_after: int | None = None
        self.knows_ranges = True
        self.requests: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.requests.append((self.path, asked))
        if "missing" in self.path:
            self.send_error(404)
            return
        start = 0
        if asked and server.knows_ranges and self.headers.get("If-Range") == server.version:
            start = int(asked.removeprefix("bytes=").partition("-")[0])
        body = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", server.version)
        self.end_headers()
        if server.cut_after is not None:
            body, server.cut_after = body[: server.cut_after], None
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(content: bytes) -> Iterator[FileServer]:
    """The server, until the block ends."""
    server = FileServer(content)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


NAME = "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8"


def packed(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as members:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{NAME}/{name}")
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
    return data.getvalue()


SMALL = packed(
    {
        "checkpoint/ckpt-0.index": b"index",
        "checkpoint/ckpt-0.data-00000-of-00001": np.random.default_rng(0).bytes(300_000),
        "pipeline.config": b"model {}",
        "saved_model/saved_model.pb": b"not needed",
    }
)
"""In the layout of the zoo, without weights that could be restored."""
