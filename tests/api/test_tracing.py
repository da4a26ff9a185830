"""Traces: one tree from the request to the tools, without a word of what was said, sent to a collector that is real."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typing_extensions import override

from tests.postgres import Urls

CANARY = "quokka"
NOT_RECORDING = """
from store.spans import span, traceparent
with span('work') as work:
    print(work.is_recording(), traceparent())
"""


class Collector(ThreadingHTTPServer):
    """Speaks as much OTLP over HTTP as an exporter needs."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def spans(self) -> list[Any]:
        """Every span that arrived."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [s for r in requests for of in r.resource_spans for scope in of.scope_spans for s in scope.spans]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200 if self.path == "/v1/traces" else 404)
        self.send_header("content-length", "0")
        self.end_headers()

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing on stderr."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector on a free port."""
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def started(urls: Urls, folder: Path, endpoint: str, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run Python in a process of its own: OpenTelemetry's provider is one for a whole process, and for good."""
    settings = {"DATABASE_URL": urls.login, "DATA_DIR": str(folder), "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **settings},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_run_is_one_tree_that_keeps_what_was_said_to_itself(tmp_path: Path, urls: Urls, collector: Collector) -> None:
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    done = started(urls, tmp_path, endpoint, "-m", "tests.api.traced", CANARY)
    assert done.stdout.strip().endswith("200"), done.stdout + done.stderr
    spans = {span.span_id: span for span in collector.spans}
    run = next(span for span in spans.values() if span.name == "invoke_agent goal_planning")
    assert spans[run.parent_span_id].name == "POST /threads/{thread_id}/runs/wait"
    inside = {span.name for span in spans.values() if span.trace_id == run.trace_id}
    assert "chat" in inside
    assert any(name.startswith("execute_tool get_") for name in inside)
    said = b"".join(collector.bodies)
    assert "GET /search" in {span.name for span in spans.values()}
    assert CANARY.encode() not in said


def test_traces_that_cannot_be_sent_are_refused_at_the_start(tmp_path: Path, urls: Urls) -> None:
    hidden = "import sys; sys.modules['opentelemetry.exporter'] = None; sys.argv[1:] = ['serve']"
    command = f"{hidden}\nfrom api.cli import main; main()"
    done = started(urls, tmp_path, "http://127.0.0.1:9", "-c", command)
    assert done.returncode == 1
    assert "ai-goals-tracker[traces]" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_collector_nothing_is_recorded() -> None:
    done = subprocess.run([sys.executable, "-c", NOT_RECORDING], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "None"]
