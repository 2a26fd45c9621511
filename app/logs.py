"""Logs: one line for each event, for a person or as JSON, with the id of the request that it belongs to."""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar

from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Id of the request that is being worked on; None outside of requests."""


def configure(level: str, form: str) -> None:
    """Sends everything that this process logs, libraries and warnings included, to the error stream.

    Args:
        level: lowest level that is shown, such as `info`.
        form: `console` or `json`. A JSON object has `time` (ISO 8601, UTC), `level`, `logger`, `message`, `request`
            (id or null), `exception` where there is one, and what the event adds.
    """
    handler = logging.StreamHandler()
    handler.addFilter(_add_request)
    if form == "json":
        handler.setFormatter(_Json())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(shown_request)s%(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)


def _add_request(record: logging.LogRecord) -> bool:
    current = request_id.get()
    record.__dict__["request"] = current
    record.__dict__["shown_request"] = f"{current} " if current else ""
    return True


class _Json(JsonFormatter):
    converter = staticmethod(time.gmtime)
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__(
            "{asctime}{levelname}{name}{message}{request}",
            style="{",
            datefmt=None,
            rename_fields={
                "asctime": "time",
                "levelname": "level",
                "name": "logger",
                "exc_info": "exception",
                "stack_info": "stack",
            },
            reserved_attrs=[
                *logging.makeLogRecord({}).__dict__,
                "asctime",
                "message",
                "shown_request",
                "color_message",
            ],
        )
        self.default_time_format = "%Y-%m-%dT%H:%M:%S"
