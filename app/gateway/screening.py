"""The screening server as the gateway sees it: a photo in, the objects that answer it out, by HTTP."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from app.dicom.related import split_related
from app.errors import PhotoError
from app.gateway.http_client import Reply, ask
from app.gateway.intake import SOP_INSTANCE_UID
from app.gateway.queue import MAX_DELAY_S, DicomObject
from app.photo.dicom_file import read_structure

RELATED, DICOM = 'multipart/related; type="application/dicom"', "application/dicom"
FINAL_STATUSES = frozenset({400, 413, 415, 422})
"""Answers of the server that the same photo would get again. Not 406, of a server without the extra `dicom`."""

LASTING_STATUSES = frozenset({*range(300, 400), 401, 403, 404, 405, 406})
"""Answers of the server that do not depend on the photo and do not pass by themselves: of a wrong key or address."""

MAX_ANSWER_BYTES = 2**27
OBJECTS_PER_FRAME = 2
PROBE_S = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The objects for every frame of a photo, and the bundle: its name and version, and its digest.

    Attributes:
        sha256: empty if the server does not tell it.
    """

    bundle: str
    objects: list[DicomObject]
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no answer.

    Attributes:
        final: the same photo would be refused again.
        after_s: seconds that the server asks to wait.
        status: of the server's answer; 0 if it gave none, or no whole one.
    """

    reason: str
    final: bool
    after_s: float = 0.0
    status: int = 0

    @property
    def is_lasting(self) -> bool:
        """Whether the server refuses every photo until the operator mends it, such as a wrong key."""
        return self.status in LASTING_STATUSES


@dataclass(frozen=True, slots=True)
class Server:
    """Where photos are screened.

    Attributes:
        url: of the server, without a path.
        key: its API key; empty for none.
        lang: of the verdict, `en` or `ko`.
        timeout_s: for one answer.
    """

    url: str
    key: str = ""
    lang: str = "en"
    timeout_s: float = 60.0

    def screen(self, data: bytes) -> Answer | Refusal:
        """Ask for the objects that answer a photo, frame by frame."""
        try:
            frames = read_structure(data).frames
        except PhotoError as error:
            return Refusal(str(error), final=True)
        whole: Answer | None = None
        for frame in range(1, frames + 1):
            answer = self._ask(data, frame)
            if isinstance(answer, Refusal):
                return answer
            if whole is None:
                whole = answer
            elif (answer.bundle, answer.sha256) != (whole.bundle, whole.sha256):
                return Refusal("the server's model changed between two frames", final=False)
            else:
                whole.objects.extend(answer.objects)
        assert whole is not None  # a file has frames
        return whole

    def probe(self) -> Answer | Refusal:
        """Ask without a photo; a final refusal is that of the empty photo, so the server is fine."""
        return replace(self, timeout_s=PROBE_S)._ask(b"", frame=1)

    def _ask(self, data: bytes, frame: int) -> Answer | Refusal:
        headers = {"Content-Type": DICOM, "Accept": RELATED, **({"X-API-Key": self.key} if self.key else {})}
        url = f"{self.url}/detect?lang={self.lang}&frame={frame}"
        try:
            reply = ask(url, headers, data, timeout_s=self.timeout_s, max_bytes=MAX_ANSWER_BYTES)
        except OSError as error:
            return Refusal(f"the server does not answer: {type(error).__name__}", final=False)
        if not reply.is_ok:
            return _refusal(reply)
        try:
            objects = [_made(part) for part in split_related(reply.body, reply.headers)]
        except (ValueError, PhotoError):
            objects = []
        bundle = reply.headers.get("X-Caries-Model")
        if not bundle or len(objects) != OBJECTS_PER_FRAME:
            return Refusal("the server's answer is not the one asked for", final=False)
        return Answer(bundle, objects, reply.headers.get("X-Caries-Model-SHA256", ""))


def _made(data: bytes) -> DicomObject:
    uid = read_structure(data).text(SOP_INSTANCE_UID)
    if not uid:
        raise ValueError("no SOP Instance UID")
    return DicomObject(uid, data)


def _refusal(reply: Reply) -> Refusal:
    try:
        detail = str(json.loads(reply.body)["detail"])
    except (ValueError, KeyError, TypeError):
        detail = ""
    after = reply.headers.get("Retry-After", "")
    return Refusal(
        f"{reply.status}: {detail}"[:300],
        final=reply.status in FINAL_STATUSES,
        after_s=min(float(after), MAX_DELAY_S) if after.isdecimal() else 0.0,
        status=reply.status,
    )
