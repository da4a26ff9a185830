"""Whether the process lives, whether it can serve, and how each part of it is."""

import re
import time
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import answers
from api.dependencies import SecuredRoute, caller_of, services_of
from api.openapi import PUBLIC
from api.services import Services
from store.types import Role

router = APIRouter(tags=["health"], route_class=SecuredRoute)

_NO_STORE = {"Cache-Control": "no-store"}


@router.get("/healthz", summary="Is the process alive?", openapi_extra=PUBLIC)
async def alive() -> Response:
    """Answers as long as the event loop turns; says nothing about the database."""
    return answers.json({"status": "ok"}, headers=_NO_STORE)


@router.get("/readyz", summary="Can requests be served?", openapi_extra=PUBLIC)
async def ready(request: Request) -> Response:
    """Answers 503 while the database does not."""
    return answers.json({"status": "ok", "database_ms": await _database_ms(services_of(request))}, headers=_NO_STORE)


@router.get("/health", summary="How is each part?")
async def parts(request: Request) -> Response:
    """The state of every part: a sink that lags or an embedder that is second best degrades the service, no more.

    What a part says of its error may name hosts and paths, so admins read it whole and others only of which kind it is.
    """
    services = services_of(request)
    report: dict[str, Any] = {
        "database": {"status": "ok", "latency_ms": await _database_ms(services)},
        "events": await services.events.health(),
        "embedder": {
            "status": "degraded" if services.embedder.degraded else "ok",
            "model": services.embedder.model,
        },
        "models": {"status": "ok", "kind": "offline rules" if services.deps.models.offline else "language model"},
    }
    events = report["events"]
    troubled = [sink for sink in events["sinks"].values() if sink["last_error"] or sink["parked"]]
    events["status"] = "degraded" if troubled else "ok"
    if caller_of(request).role is not Role.ADMIN:
        for part in (events, *events["sinks"].values()):
            part |= {name: _kind(part[name]) for name in ("error", "last_error") if part.get(name)}
    degraded = any(part["status"] != "ok" for part in report.values())
    return answers.json({"status": "degraded" if degraded else "ok", "parts": report}, headers=_NO_STORE)


def _kind(error: str) -> str:
    named = re.match(r"\w+", error)
    return named[0] if named else "error"


async def _database_ms(services: Services) -> float:
    started = time.perf_counter()
    await services.database.check()
    return round((time.perf_counter() - started) * 1000, 2)
