"""Logs: one line per event, as text or JSON, with the id of its request."""

import logging
import time
from contextvars import ContextVar

from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Id of the current request; None outside of requests."""

OURS = ("app", "uvicorn")
"""Loggers that never log anything about a photo or its sender."""


def configure(level: str, *, as_json: bool) -> None:
    """Log to standard error, libraries and warnings included.

    Args:
        level: lowest level that is shown, such as `info`; of libraries never less than warnings.
        as_json: one object a line instead of text, with `time` (ISO 8601, UTC), `level`, `logger`, `message`, `request`
            (id or null), `exception` if there is one, and what the event adds.
    """
    handler = logging.StreamHandler()
    handler.addFilter(_add_request)
    if as_json:
        handler.setFormatter(_Json())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(shown_request)s%(message)s"))
    # Libraries that decode photos write metadata to their debug logs: names, dates, places.
    chosen = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(chosen, logging.WARNING), handlers=[handler], force=True)
    for ours in OURS:
        logging.getLogger(ours).setLevel(chosen)
    logging.captureWarnings(True)


def _add_request(record: logging.LogRecord) -> bool:
    current = request_id.get()
    record.__dict__["request"] = current
    record.__dict__["shown_request"] = f"{current} " if current else ""
    return True


_RENAMED = {"asctime": "time", "levelname": "level", "name": "logger", "exc_info": "exception", "stack_info": "stack"}


class _Json(JsonFormatter):
    converter = staticmethod(time.gmtime)
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__(
            "{asctime}{levelname}{name}{message}{request}",
            style="{",
            datefmt=None,
            rename_fields=_RENAMED,
            reserved_attrs=[*vars(logging.makeLogRecord({})), "asctime", "message", "shown_request", "color_message"],
        )
        self.default_time_format = "%Y-%m-%dT%H:%M:%S"
