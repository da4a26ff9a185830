"""Prometheus metrics: one middleware that measures requests, and the endpoint that shows everything measured.

Where several processes serve one port, each keeps what it measures in files of one folder, and whichever is asked adds
them up. prometheus_client decides between memory and files when it is first imported.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from hmac import compare_digest
from pathlib import Path

import psutil
from fastapi import APIRouter
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    values,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.dependencies import presented_token, services_of
from api.errors import Problem
from api.services import Services
from store.errors import StoreError

router = APIRouter(include_in_schema=False)

REQUESTS = Counter("goals_http_requests_total", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram(
    "goals_http_request_seconds",
    "Time from the request to the head of its answer.",
    ["method", "route"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
IN_FLIGHT = Gauge(
    "goals_http_requests_in_flight",
    "Requests being answered now, open streams included.",
    multiprocess_mode="livesum",
)
POOL = Gauge(
    "goals_database_pool",
    "Connections of the database pool and requests waiting for one.",
    ["state"],
    multiprocess_mode="livesum",
)
TASKS = Gauge("goals_asyncio_tasks", "Tasks of the event loop.", multiprocess_mode="livesum")
REFRESH_SECONDS = 2.0


class Measured:
    """Counts and times every request under the template of its route, so that ids never become labels."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; only HTTP is measured here."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        IN_FLIGHT.inc()

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "unknown")
                REQUESTS.labels(scope["method"], route, message["status"]).inc()
                SECONDS.labels(scope["method"], route).observe(time.perf_counter() - started)
            await send(message)

        try:
            await self.app(scope, receive, measured)
        finally:
            IN_FLIGHT.dec()


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Everything measured by all processes of this service; asks for METRICS_TOKEN as bearer token when one is set."""
    services = services_of(request)
    wanted = services.settings.metrics_token
    if wanted is not None and not compare_digest(
        (presented_token(request) or "").encode(), wanted.get_secret_value().encode()
    ):
        raise Problem(401, "unauthenticated", "Send METRICS_TOKEN as bearer token.")
    with suppress(StoreError):  # without the database the rest is wanted all the more
        await services.events.measure()
    _measure_here(services)
    return Response(generate_latest(_everything()), media_type=CONTENT_TYPE_LATEST)


async def keep_measuring(services: Services) -> None:
    """Keep the gauges of this process fresh, for when another one is asked."""
    while True:
        _measure_here(services)
        await asyncio.sleep(REFRESH_SECONDS)


def _measure_here(services: Services) -> None:
    services.events.measure_here()
    TASKS.set(len(asyncio.all_tasks()))
    for state, value in services.database.pool.get_stats().items():
        POOL.labels(state).set(value)


def _everything() -> CollectorRegistry:
    if values.ValueClass is values.MutexValue:
        return REGISTRY
    registry = CollectorRegistry()
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    MultiProcessCollector(registry, str(folder))
    registry.register(_Processes(folder))
    return registry


class _Processes(Collector):
    """Memory, processor time and descriptors of each living process; in one process prometheus_client tells them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """Look at every process; the files of live gauges go with theirs."""
        memory = GaugeMetricFamily("process_resident_memory_bytes", "Resident memory size in bytes.", labels=["pid"])
        descriptors = GaugeMetricFamily("process_open_fds", "Number of open file descriptors.", labels=["pid"])
        processor = CounterMetricFamily("process_cpu_seconds", "Total user and system CPU time.", labels=["pid"])
        for pid in sorted({file.stem.rpartition("_")[2] for file in self._folder.glob("gauge_live*.db")}):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process = psutil.Process(int(pid))
                with process.oneshot():
                    memory.add_metric([pid], process.memory_info().rss)
                    descriptors.add_metric([pid], process.num_fds())
                    processor.add_metric([pid], sum(process.cpu_times()[:2]))
        yield from (memory, descriptors, processor)
