"""What every route of the protocol does first: who is asking, what the body says, which engine answers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from api.bodies import decode
from api.dependencies import current_caller
from api.errors import Problem
from api.runs.engine import Engine
from api.runs.intake import many, uuid_text
from api.runs.wire import is_object
from store.errors import Invalid
from store.principal import Principal


def engine_of(connection: HTTPConnection) -> Engine:
    """The engine of the running application."""
    engine: Engine = connection.app.state.services.runs
    return engine


async def arrive(request: Request) -> tuple[Engine, Principal]:
    """Return the engine and the verified caller; raises Problem 401 before anything else is looked at."""
    return engine_of(request), await current_caller(request)


async def body_of(request: Request) -> dict[str, Any]:
    """Return the JSON object a request carries, whatever its content type claims; an empty body is an empty object."""
    raw = await request.body()
    value: object = decode(raw) if raw else {}
    if value is None:
        return {}
    if not is_object(value):
        raise Problem(422, "invalid", "The body must be a JSON object.")
    return value


def thread_of(request: Request) -> str:
    """Return the thread id of the path; raises Invalid when it is no UUID."""
    return uuid_text(request.path_params["thread_id"], "thread")


def run_of(request: Request) -> str:
    """Return the run id of the path; raises Invalid when it is no UUID."""
    return uuid_text(request.path_params["run_id"], "run")


def listed(request: Request, *names: str) -> list[str]:
    """Return a list parameter in any of its encodings: repeated, one JSON array, or commas."""
    return [item for name in names for item in many(request.query_params.getlist(name))]


def position_in(value: object) -> int | None:
    """Return the place in a thread's log that an id of ours names, or None for anything else."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def page_of(values: Mapping[str, Any], *, limit: int = 10) -> tuple[int, int]:
    """Return (limit, offset) of a search; raises Invalid."""
    try:
        size, offset = int(values.get("limit") or limit), int(values.get("offset") or 0)
    except (TypeError, ValueError):
        raise Invalid("'limit' and 'offset' must be whole numbers.") from None
    if not 1 <= size <= 1000 or not 0 <= offset < 2**31:
        raise Invalid("'limit' must be between 1 and 1000, 'offset' 0 or more.")
    return size, offset


PAGINATION = {
    "X-Pagination-Total": "How many there are.",
    "X-Pagination-Next": "The offset of the next page, while there is one.",
}


def paged(items: list[Any], total: int, offset: int) -> Response:
    """Answer a search: a bare array, with the pagination in headers."""
    headers = {"x-pagination-total": str(total)}
    if offset + len(items) < total:
        headers["x-pagination-next"] = str(offset + len(items))
    return json_response(items, headers=headers)


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(orjson.dumps(value, default=str), status, headers, "application/json")


def raw_json(text: str) -> Response:
    """Answer with JSON text that is ready."""
    return Response(text, media_type="application/json")


def empty(status: int = 204) -> Response:
    """Answer without a body."""
    return Response(status_code=status)


def stamp(moment: datetime) -> str:
    """Return a time as the protocol writes it."""
    return moment.isoformat()


def wants_nothing_back(request: Request) -> bool:
    """Whether the client sent `Prefer: return=minimal`."""
    return "return=minimal" in request.headers.get("prefer", "")
