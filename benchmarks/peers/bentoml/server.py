"""BentoML: `python -m benchmarks.peers.bentoml.server PORT best|quick`."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import bentoml
from PIL import Image

from benchmarks.peers.detector import Plain, Tuned


@bentoml.service(workers="cpu_count", traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Best:
    """The photo as the body, one worker process with one thread for each core."""

    def __init__(self) -> None:
        self.detector = Tuned()

    @bentoml.api  # type: ignore[untyped-decorator]
    def detect(self, photo: bytes, /) -> dict[str, Any]:
        return self.detector.answer(photo)


@bentoml.service
class Quick:
    """A form with a picture, defaults otherwise."""

    def __init__(self) -> None:
        self.detector = Plain()

    @bentoml.api  # type: ignore[untyped-decorator]
    def detect(self, photo: Image.Image) -> dict[str, Any]:
        out = io.BytesIO()
        photo.save(out, "BMP")
        return self.detector.answer(out.getvalue())


if __name__ == "__main__":
    port, how = sys.argv[1:3]
    service = f"benchmarks.peers.bentoml.server:{'Best' if how == 'best' else 'Quick'}"
    os.environ["BENTOML_DO_NOT_TRACK"] = "true"
    bento = str(Path(sys.executable).parent / "bentoml")
    os.execv(bento, [bento, "serve", service, "--host", "127.0.0.1", "--port", port])
