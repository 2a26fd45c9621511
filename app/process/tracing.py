"""Optional OpenTelemetry traces: a span per request, with a child span for each stage of its photo.

They are on if the standard environment variables name a destination, `OTEL_EXPORTER_OTLP_ENDPOINT` (HTTP) or
`OTEL_TRACES_EXPORTER=console`, and the extra `tracing` is installed. Spans contain the route's pattern, the method and
the status: no URL, no file name, nothing about a photo.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_tracer: Any = None


def configure() -> bool:
    """Turn tracing on if the environment requests it and the packages are installed; returns whether it is on."""
    global _tracer
    has_endpoint = any(map(os.environ.get, ENDPOINTS))
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "otlp" if has_endpoint else "none")
    if exporter == "none" or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

        if exporter == "console":
            from opentelemetry.sdk.trace.export import ConsoleSpanExporter

            sender: SpanExporter = ConsoleSpanExporter()
        elif exporter == "otlp":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            sender = OTLPSpanExporter()
        else:
            logger.warning(
                "traces are not sent: OTEL_TRACES_EXPORTER is %r; it must be otlp, console or none", exporter
            )
            return False
    except ImportError:
        logger.warning("traces are asked for and not sent: install caries-screen[tracing]")
        return False
    os.environ.setdefault("OTEL_SERVICE_NAME", "caries-screen")
    provider = TracerProvider(resource=Resource.create())
    provider.add_span_processor(BatchSpanProcessor(sender))
    _tracer = provider.get_tracer("caries-screen")
    return True


@contextmanager
def request_span(headers: Mapping[str, str]) -> Iterator[Callable[[str, str, int], None]]:
    """A span for a request, current inside the block; a child of the client's own if it sent `traceparent`.

    Yields:
        a function that describes the answer: route, method, status. It does nothing if tracing is off.
    """
    if _tracer is None:
        yield lambda route, method, status: None
        return
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent = TraceContextTextMapPropagator().extract(headers)
    with _tracer.start_as_current_span(
        "request", parent, SpanKind.SERVER, record_exception=False, set_status_on_exception=False
    ) as span:

        def describe(route: str, method: str, status: int) -> None:
            span.update_name(f"{method} {route}")
            span.set_attributes(
                {"http.request.method": method, "http.route": route, "http.response.status_code": status}
            )

        yield describe


def record(stage: str, milliseconds: float) -> None:
    """Record a span for a stage of the current request that has just ended; does nothing if tracing is off."""
    if _tracer is not None:
        ended = time.time_ns()
        _tracer.start_span(stage, start_time=ended - int(milliseconds * 1e6)).end(ended)
