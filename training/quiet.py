"""Keep TensorFlow's start-up messages out of a command's output, unless `TF_CPP_MIN_LOG_LEVEL` is set.

Its libraries write to the error stream while they are loaded, before a log level applies. Another process filters the
stream meanwhile, so that the message of a crash still passes.
"""

import importlib.abc
import importlib.machinery
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
DRIVER = Path("/proc/driver/nvidia")

FILTER = r"""
import re, sys
noise = re.compile(rb"WARNING: All log messages before absl::InitializeLog|[IW]\d{4} [\d:.]+ +\d+ \w+\.cc:\d+\]")
for line in sys.stdin.buffer:
    if not noise.match(line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""


def quieten_tensorflow() -> None:
    """Filter the error stream during the first import of TensorFlow, and hide its warnings afterwards."""
    if LOG_LEVEL in os.environ or "tensorflow" in sys.modules:
        return
    # Without a GPU the errors logged are that there is none, and what this processor lacks; Python raises the others.
    os.environ[LOG_LEVEL] = "2" if DRIVER.exists() else "3"
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = partial(_filtered, spec.loader.exec_module)  # type: ignore[method-assign]
        return spec


def _filtered(load: Callable[[ModuleType], None], module: ModuleType) -> None:
    command = [sys.executable, "-I", "-c", FILTER]
    sys.stderr.flush()
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdin is not None
        original = os.dup(2)
        os.dup2(child.stdin.fileno(), 2)
        try:
            load(module)
        finally:
            os.dup2(original, 2)
            os.close(original)
