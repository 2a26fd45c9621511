"""MLServer: `python -m benchmarks.peers.mlserver.server PORT best|quick`. Speaks the V2 inference protocol."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import Base64Codec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.detector import Detector, Plain, Tuned


class Best(MLModel):  # type: ignore[misc]
    """The photo in base64, as the protocol's JSON requires; a pool of one process for each core."""

    detector_class: type[Detector] = Tuned

    async def load(self) -> bool:
        self.detector = self.detector_class()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        (data,) = Base64Codec.decode_input(payload.inputs[0])
        answer = json.dumps(self.detector.answer(data))
        output = StringCodec.encode_output("answer", [answer])
        return InferenceResponse(model_name=self.name, outputs=[output])


class Quick(Best):
    """The same with the default pool of one process."""

    detector_class = Plain


if __name__ == "__main__":
    port, how = int(sys.argv[1]), sys.argv[2]
    folder = Path(tempfile.mkdtemp(prefix="mlserver-"))
    cores = len(os.sched_getaffinity(0)) if how == "best" else 1
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    (folder / "settings.json").write_text(json.dumps({**settings, "parallel_workers": cores, "debug": False}))
    implementation = f"benchmarks.peers.mlserver.server.{'Best' if how == 'best' else 'Quick'}"
    (folder / "model-settings.json").write_text(json.dumps({"name": "caries", "implementation": implementation}))
    mlserver = str(Path(sys.executable).parent / "mlserver")
    os.execv(mlserver, [mlserver, "start", str(folder)])
