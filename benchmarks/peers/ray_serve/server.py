"""Ray Serve: `python -m benchmarks.peers.ray_serve.server PORT best|quick`."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from benchmarks.peers.detector import Detector, Plain, Tuned


class Best:
    """The photo as the body, one replica with one thread for each core."""

    def __init__(self) -> None:
        self.detector: Detector = Tuned()

    async def __call__(self, request: Request) -> dict[str, Any]:
        return self.detector.answer(await request.body())


class Quick(Best):
    """The photo as the body, one replica, defaults otherwise."""

    def __init__(self) -> None:
        self.detector = Plain()


if __name__ == "__main__":
    port, how = int(sys.argv[1]), sys.argv[2]
    cores = len(os.sched_getaffinity(0))
    # The proxy and the controller reserve cores as well; the replicas, one for each core, must fit too.
    ray.init(
        num_cpus=cores + 2,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=tempfile.mkdtemp(prefix="ray-"),
        runtime_env={"env_vars": {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}},
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    if how == "best":
        application = serve.deployment(num_replicas=cores, max_ongoing_requests=16)(Best).bind()
    else:
        application = serve.deployment(Quick).bind()
    serve.run(application, route_prefix="/detect")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    ray.shutdown()
