"""The three answers to a batch: one JSON object at the end, a line for each finished photo, or a zip of pictures.

A result is `{"index": ..., ...}` with the JSON answer of one photo or its problem. Indices count from 1 in the order
sent.
"""

import json
import zipfile
from typing import Any, BinaryIO, ClassVar, cast

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from app.api.negotiation import BATCH_MEDIA_TYPES, BatchFormat

HEADERS = {"Vary": "Accept", "Cache-Control": "no-store"}
INDEX = "results.json"
"""The zip's file with the JSON answer."""

Result = dict[str, Any]


class AsJson:
    """All results at the end, in the order sent; `begun` once the answer has begun."""

    begun = False

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._asgi = scope, receive, send
        self._results: list[Result] = []

    async def begin(self) -> None:
        """Send nothing yet."""

    async def add(self, result: Result, picture: bytes | None) -> None:
        self._results.append(result)

    async def end(self) -> None:
        self.begun = True
        await JSONResponse(_in_order(self._results), headers=HEADERS)(*self._asgi)


class AsLines:
    """Newline-delimited JSON in the order in which photos finish; `begun` as in `AsJson`."""

    begun = False
    media_type = BATCH_MEDIA_TYPES[BatchFormat.NDJSON]
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._send = send

    async def begin(self) -> None:
        self.begun = True
        # Proxies must not collect the lines.
        fields = {**HEADERS, "Content-Type": self.media_type, "X-Accel-Buffering": "no", **self.headers}
        headers = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def add(self, result: Result, picture: bytes | None) -> None:
        await self._part(_json(result) + b"\n")

    async def end(self) -> None:
        await self._part(b"", more=False)

    async def _part(self, data: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})


class AsZip(AsLines):
    """A zip of the annotated photos in the order in which they finish, `0001.png` for the first one sent, then the
    results. Pictures are stored, since they are compressed already.
    """

    media_type = BATCH_MEDIA_TYPES[BatchFormat.ZIP]
    headers: ClassVar[dict[str, str]] = {"Content-Disposition": 'attachment; filename="caries.zip"'}

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        self._results: list[Result] = []
        self._window = Window()
        self._archive = zipfile.ZipFile(cast(BinaryIO, self._window), "w", zipfile.ZIP_STORED)

    async def add(self, result: Result, picture: bytes | None) -> None:
        self._results.append(result)
        if picture is not None:
            self._archive.writestr(f"{result['index']:04}.png", picture)
            await self._part(self._window.taken())

    async def end(self) -> None:
        self._archive.writestr(INDEX, _json(_in_order(self._results)))
        self._archive.close()
        await self._part(self._window.taken(), more=False)


class Window:
    """A file whose beginning is sent and dropped; `zipfile` seeks back no further than the member it is writing."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._gone = self._at = 0

    def write(self, data: bytes) -> int:
        start = self._at - self._gone
        self._data[start : start + len(data)] = data
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def seek(self, place: int) -> int:
        self._at = place
        return place

    def flush(self) -> None:
        pass

    def taken(self) -> bytes:
        """The bytes written since the last call."""
        data = bytes(self._data)
        self._data.clear()
        self._gone += len(data)
        return data


WRITERS: dict[BatchFormat, type[AsJson | AsLines]] = {
    BatchFormat.JSON: AsJson,
    BatchFormat.NDJSON: AsLines,
    BatchFormat.ZIP: AsZip,
}


def _in_order(results: list[Result]) -> dict[str, list[Result]]:
    return {"results": sorted(results, key=lambda result: int(result["index"]))}


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
