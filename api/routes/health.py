"""Whether the process lives, whether it can serve, and how each part of it is."""

import time

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dependencies import services_of
from api.openapi import PUBLIC

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Is the process alive?", openapi_extra=PUBLIC)
async def alive() -> Response:
    """Answers as long as the event loop turns; says nothing about the database."""
    return _json({"status": "ok"})


@router.get("/readyz", summary="Can requests be served?", openapi_extra=PUBLIC)
async def ready(request: Request) -> Response:
    """Answers 503 while the database does not."""
    started = time.perf_counter()
    await services_of(request).database.check()
    return _json({"status": "ok", "database_ms": round((time.perf_counter() - started) * 1000, 2)})


def _json(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, headers={"Cache-Control": "no-store"}, media_type="application/json")
