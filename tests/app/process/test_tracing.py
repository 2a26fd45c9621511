"""Traces, as a collector gets them from a real server."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

pytest.importorskip("opentelemetry.sdk", reason="the extra tracing is not installed")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


@pytest.fixture
def collector() -> Iterator[tuple[str, list]]:
    """The address of an OTLP collector, and the spans that it has got."""
    spans: list = []

    class Collect(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
            for resource in sent.resource_spans:
                for scope in resource.scope_spans:
                    spans.extend(scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collect)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", spans
    server.shutdown()
    thread.join()
    server.server_close()


def serve(program: str, *flags: str, **environment: str) -> str:
    """What a server said that screened a photo and ended."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CARIES_", "OTEL_"))}
    command = [sys.executable, "-c", program, "serve", "--port", "0", *flags]
    server = subprocess.Popen(command, cwd=ROOT, env={**clean, **environment}, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    said = ""
    while "ready:" not in said:
        line = server.stderr.readline()
        assert line, said
        said += line
    address = said[said.index("http://127.0.0.1:") :].split()[0]
    photo = (ROOT / "examples" / "img_train").glob("*.jpg")
    answer = httpx.post(
        f"{address}/detect?lang=ko",
        files={"file": ("Hong.jpg", next(photo).read_bytes())},
        headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"},
    )
    assert answer.status_code == 200
    server.terminate()
    return said + server.communicate(timeout=60)[1]


PLAIN = "import sys; from app.cli import main; sys.exit(main(sys.argv[1:]))"


def test_a_request_and_its_stages_are_spans_of_the_clients_trace(collector: tuple[str, list]) -> None:
    address, spans = collector
    serve(PLAIN, OTEL_EXPORTER_OTLP_ENDPOINT=address)
    (request,) = (span for span in spans if span.name == "POST /detect")
    assert request.trace_id.hex() == "ab" * 16
    assert request.parent_span_id.hex() == "cd" * 8
    assert {entry.key for entry in request.attributes} == {
        "http.request.method", "http.route", "http.response.status_code",
    }  # fmt: skip
    stages = [span for span in spans if span.parent_span_id == request.span_id]
    assert [span.name for span in sorted(stages, key=lambda span: span.start_time_unix_nano)] == [
        "decode", "inference", "draw", "encode",
    ]  # fmt: skip
    for span in stages:
        assert request.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= request.end_time_unix_nano
        assert not span.attributes
    assert b"Hong" not in b"".join(span.SerializeToString() for span in spans)


def test_the_server_starts_without_the_tracing_packages_and_says_so() -> None:
    missing = "import sys; sys.modules['opentelemetry.sdk.resources'] = None; " + PLAIN
    assert "install caries-screen[tracing]" in serve(missing, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")


def test_nothing_is_sent_by_default() -> None:
    code = "import sys\nfrom app.process import tracing\nprint(tracing.configure(), 'opentelemetry' in sys.modules)"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    for extra in ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=ROOT, env={**clean, **extra}, capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["False", "False"]
