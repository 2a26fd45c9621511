"""Prometheus metrics of one server. Counts and times only: nothing that identifies a photo or a patient."""

import functools
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST

# A `_created` series for every counter would double the stored data, and nothing reads it.
disable_created_metrics()  # type: ignore[no-untyped-call]

STAGE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From an int8 inference on a GPU to a 64-megapixel photo on a slow CPU."""

SCORE_BUCKETS = tuple(step / 10 for step in range(1, 11))


class Metrics:
    """The metrics of one application, in its own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        counter = functools.partial(Counter, registry=self.registry)
        gauge = functools.partial(Gauge, registry=self.registry)
        histogram = functools.partial(Histogram, registry=self.registry)
        self._requests = counter("caries_requests", "HTTP requests answered.", ["route", "method", "status"])
        self._problems = counter("caries_problems", "Problem answers by type.", ["type"])
        self._disconnected = counter("caries_disconnected", "Clients that left before their answer.")
        self._stages = histogram(
            "caries_stage_seconds", "Time a photo spent in a stage.", ["stage"], buckets=STAGE_BUCKETS_S
        )
        self._verdicts = counter("caries_verdicts", "Photos by verdict.", ["verdict"])
        self._reasons = counter("caries_not_assessable_reasons", "Why photos were not assessable.", ["reason"])
        self._scores = histogram("caries_score", "Scores of the boxes answered.", buckets=SCORE_BUCKETS)
        self._waiting = gauge("caries_queue_depth", "Requests waiting or being answered.")
        self._ready = gauge("caries_ready", "1 when photos are taken.")
        self._reloads = counter(
            "caries_reloads", "Reloads by outcome: loaded, unchanged, refused, or busy with another one.", ["outcome"]
        )
        self._model = gauge(
            "caries_model_info", "The live models; always 1.", ["name", "version", "sha256", "runtime", "device"]
        )

    def request(self, route: str, method: str, status: int) -> None:
        """Count an answer; `route` is the pattern, never the requested URL."""
        self._requests.labels(route, method, str(status)).inc()

    def problem(self, slug: str) -> None:
        """Count a problem answer."""
        self._problems.labels(slug).inc()

    def disconnected(self) -> None:
        """Count a client that left before its answer."""
        self._disconnected.inc()

    def screened(
        self, verdict: str, reasons: tuple[str, ...], scores: list[float], timings_ms: Mapping[str, float]
    ) -> None:
        """Count a screened photo, with the scores of its boxes and the time of each stage."""
        self._verdicts.labels(verdict).inc()
        for reason in reasons:
            self._reasons.labels(reason).inc()
        for score in scores:
            self._scores.observe(score)
        for stage, milliseconds in timings_ms.items():
            self._stages.labels(stage).observe(milliseconds / 1000)

    def reload(self, outcome: str) -> None:
        """Count a reload."""
        self._reloads.labels(outcome).inc()

    def live(self, models: Iterable[Mapping[str, str]]) -> None:
        """Set the live models: name, version, sha256, runtime and device of each."""
        self._model.clear()
        for model in models:
            self._model.labels(**model).set(1)

    def watch_ready(self, ready: Callable[[], bool]) -> None:
        """Call `ready` at every scrape."""
        self._ready.set_function(ready)

    def watch_queue(self, depth: Callable[[], int]) -> None:
        """Call `depth` at every scrape."""
        self._waiting.set_function(depth)

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)
