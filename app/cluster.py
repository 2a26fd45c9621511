"""The Ray cluster for work that is too large for one machine. Ray is part of the extra `ray`."""

import logging
import os
import socket
from importlib.util import find_spec
from typing import Any

from app.errors import ClusterError, SettingsError

EXTRA = "ray"
PACKAGES = ("ray", "fsspec", "pyarrow")
CONNECT_S = 10.0


def require_extra() -> None:
    """Raise SettingsError if a package of the extra `ray` is not installed."""
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise SettingsError(
            f"--ray needs {', '.join(missing)}, not installed here; run: pip install 'caries-screen[{EXTRA}]'"
        )


def join(address: str) -> Any:
    """The module `ray`, connected to the cluster.

    Args:
        address: HOST:PORT of the head node; `auto` for the cluster that this machine is part of; `local` to start one.

    Raises:
        SettingsError: the extra `ray` is not installed.
        ClusterError: no cluster answers.
    """
    require_extra()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to Ray's makers
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # of this process; those of the nodes have files
    import ray

    host, colon, port = address.rpartition(":")
    try:
        if colon:  # Ray itself gives up after many minutes
            socket.create_connection((host, int(port)), CONNECT_S).close()
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ClusterError(f"no Ray cluster can be joined at {address}: {reason}") from error
    return ray


def cores(ray: Any) -> int:
    """Cores of all nodes, as the cluster counts them; at least 1."""
    return max(1, int(ray.cluster_resources().get("CPU", 0)))
