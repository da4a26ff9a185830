"""Prometheus metrics: one middleware that measures requests, and the endpoint that shows everything measured."""

import time
from hmac import compare_digest

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.dependencies import presented_token, services_of
from api.errors import Problem

router = APIRouter(include_in_schema=False)

REQUESTS = Counter("goals_http_requests_total", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram(
    "goals_http_request_seconds",
    "Time from the request to the head of its answer.",
    ["method", "route"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
IN_FLIGHT = Gauge("goals_http_requests_in_flight", "Requests being answered now, open streams included.")
POOL = Gauge("goals_database_pool", "Connections of the database pool and requests waiting for one.", ["state"])


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
    """Everything measured in this process; asks for METRICS_TOKEN as bearer token when one is configured."""
    services = services_of(request)
    wanted = services.settings.metrics_token
    if wanted is not None and not compare_digest(
        (presented_token(request) or "").encode(), wanted.get_secret_value().encode()
    ):
        raise Problem(401, "unauthenticated", "Send METRICS_TOKEN as bearer token.")
    await services.events.measure()
    for state, value in services.database.pool.get_stats().items():
        POOL.labels(state).set(value)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
