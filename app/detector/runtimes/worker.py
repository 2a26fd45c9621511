"""The worker process, in which a runtime detects. `app.detector.runtimes.process` starts it.

Every worker pays for its imports, so they are few. A TFLite model arrives verified, in shared memory, through a file
descriptor; reading and hashing bundles is not needed here.
"""

import contextlib
import faulthandler
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

from app.detector.runtimes import Runtime
from app.detector.runtimes.litert import LiteRTRuntime, time_models
from app.detector.runtimes.messages import DONE, FAILED, MODEL, pack, receive, send, shared_array
from app.process.memory import keep_freed_blocks, unmap_pages
from app.process.subprocesses import ignore_shutdown_signals


def load(job: dict[str, Any]) -> Runtime:
    """The runtime of a job.

    Raises:
        RuntimeUnavailable, BundleError: it cannot be loaded.
    """
    if job["model"] is not None:
        try:
            return LiteRTRuntime(_file(job["models"][job["model"]]), mapped=True, **job["options"])
        finally:
            for memory in job["models"].values():
                os.close(memory)
            # LiteRT has packed the weights into its own memory. Pages that are read again are mapped again.
            unmap_pages(MODEL)
    keep_freed_blocks()
    from app.detector.bundle import read_bundle
    from app.detector.runtimes.load import load_runtime
    from app.errors import RuntimeUnavailable

    # A replacement worker starts long after the server verified the files.
    bundle = read_bundle(Path(job["path"]))
    if bundle.sha256 != job["sha256"]:
        raise RuntimeUnavailable(f"{bundle.path} was replaced while it was live; reload to use the new files")
    return load_runtime(bundle, job["kind"], **job["options"])


def _file(memory: int) -> Path:
    return Path(f"/proc/self/fd/{memory}")


def serve(connection: socket.socket, memory: int) -> None:
    """Load the runtime, then answer calls until the server closes the socket or ends.

    Args:
        connection: to the server.
        memory: file descriptor of the shared memory for photos.
    """
    job = json.loads(receive(connection))
    try:
        if job.get("time"):
            models = {name: _file(memory) for name, memory in job["models"].items()}
            times = time_models(models, threads=job["options"].get("threads", 1), mapped=True)
            send(connection, json.dumps({"times": times}).encode())
            job = json.loads(receive(connection))
        runtime = load(job)
    except Exception as error:
        send(connection, json.dumps({"error": str(error)}).encode())
        return
    inputs = shared_array(memory, tuple(job["shape"]))
    loaded = {
        "name": runtime.name,
        "device": runtime.device,
        "batch_size": runtime.batch_size,
        "detects_alone": runtime.detects_alone,
    }
    send(connection, json.dumps(loaded).encode())
    while True:
        slot, photos, alone = receive(connection)
        try:
            if photos > 1:
                found = runtime.detect_batch(list(inputs[slot : slot + photos]))
            else:
                found = [(runtime.detect_alone if alone else runtime.detect)(inputs[slot])]
        except Exception as error:  # one photo's failure must not end the worker
            send(connection, FAILED + f"{type(error).__name__}: {error}".encode())
            continue
        send(connection, DONE + b"".join(map(pack, found)))


def main() -> None:
    """Serve on the file descriptors given on the command line: the socket and the photos' memory."""
    faulthandler.enable()
    ignore_shutdown_signals()  # the server decides when its workers end
    with contextlib.suppress(EOFError, ConnectionError), socket.socket(fileno=int(sys.argv[1])) as connection:
        serve(connection, int(sys.argv[2]))


if __name__ == "__main__":
    main()
