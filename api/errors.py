"""Turns every error into one RFC 9457 problem body; the only place that knows which status an error has."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple, NotRequired, cast

import orjson
import psycopg
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from psycopg import errors as pg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope
from typing_extensions import TypedDict

from store.errors import (
    Conflict,
    Forbidden,
    IllegalTransition,
    Invalid,
    NotFound,
    PayloadRejected,
    StoreError,
    TooMany,
    Unavailable,
    VersionConflict,
)

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2


class FieldError(TypedDict):
    """One thing wrong with a request; `pointer` is a JSON pointer into the body, else `parameter` names the culprit."""

    detail: str
    pointer: NotRequired[str]
    parameter: NotRequired[str]


class Verdict(NamedTuple):
    """What a client is told about one kind of error."""

    status: int
    code: str
    title: str


class Problem(HTTPException):
    """An answer that is an error: routes and dependencies raise it, the handler below turns it into a body.

    It is an HTTPException because FastAPI swallows every other exception raised while a body is being read.
    """

    detail: str

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[FieldError] = (),
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.code = code
        self.title = title or HTTPStatus(status).phrase
        self.errors = list(errors)


# Most specific first: the first class an error is an instance of decides.
STORE_ERRORS: tuple[tuple[type[StoreError], Verdict], ...] = (
    (VersionConflict, Verdict(412, "version_conflict", "The version has moved on")),
    (IllegalTransition, Verdict(409, "illegal_transition", "That change is not allowed")),
    (PayloadRejected, Verdict(422, "payload_rejected", "The payload was rejected")),
    (NotFound, Verdict(404, "not_found", "Not found")),
    (Conflict, Verdict(409, "conflict", "Conflict")),
    (Forbidden, Verdict(403, "forbidden", "Forbidden")),
    (TooMany, Verdict(429, "too_many_runs", "Too Many Requests")),
    (Invalid, Verdict(422, "invalid", "The request cannot be carried out")),
    (Unavailable, Verdict(503, "unavailable", "Temporarily unavailable")),
)

# Driver errors that slipped past the store. Their texts quote SQL and values, so none of them reaches a client.
DRIVER_ERRORS: tuple[tuple[tuple[type[Exception], ...], Verdict, str], ...] = (
    (
        (pg.DiskFull, pg.OutOfMemory),
        Verdict(507, "storage_full", "Storage is full"),
        "The database has no room left; nothing was saved.",
    ),
    (
        (pg.QueryCanceled, pg.SerializationFailure, pg.DeadlockDetected, pg.LockNotAvailable),
        Verdict(503, "busy", "Temporarily unavailable"),
        "The database was too busy to finish; nothing was saved, so the request can be repeated.",
    ),
    (
        (pg.InsufficientPrivilege,),
        Verdict(404, "not_found", "Not found"),
        "There is nothing here that you may change.",
    ),
    (
        (psycopg.IntegrityError,),
        Verdict(409, "conflict", "Conflict"),
        "The change contradicts what is already stored; read the entity again and repeat.",
    ),
    (
        (psycopg.DataError,),
        Verdict(422, "invalid", "The request cannot be carried out"),
        "A value does not fit what the database can hold.",
    ),
    (
        (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed, TooManyRequests, ConnectionError),
        Verdict(503, "unavailable", "Temporarily unavailable"),
        "The database cannot be reached right now; nothing was saved, so the request can be repeated.",
    ),
)


def as_problem(error: Exception) -> Problem:
    """Translate any exception; what nobody foresaw becomes a 500 whose body says nothing about its cause."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, StoreError):
        return _from_store(error)
    if isinstance(error, RequestValidationError):
        return _from_validation(error)
    if isinstance(error, HTTPException):
        return _from_http(error)
    for kinds, verdict, detail in DRIVER_ERRORS:
        if isinstance(error, kinds):
            return _verdict(verdict, detail)
    detail = "Something went wrong on our side. Quote the request id when you report it."
    return Problem(500, "internal_error", detail)


def problem_response(problem: Problem, request_id: str | None) -> Response:
    """Render one problem; `detail` is always a string, whatever the cause."""
    body: dict[str, object] = {
        "type": f"urn:goals:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status_code,
        "detail": problem.detail,
        "code": problem.code,
    }
    if request_id is not None:
        body["request_id"] = request_id
    if problem.errors:
        body["errors"] = problem.errors
    return Response(orjson.dumps(body), problem.status_code, headers=problem.headers, media_type=MEDIA_TYPE)


def request_id_of(scope: Scope) -> str | None:
    """The id that the outermost middleware gave this request."""
    return scope.get("state", {}).get("request_id")


async def handle(request: Request, error: Exception) -> Response:
    """The exception handler of the whole application."""
    problem = as_problem(error)
    request_id = request_id_of(request.scope)
    if problem.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        level = logging.ERROR if problem.code == "internal_error" else logging.WARNING
        logger.log(level, "request %s failed: %s", request_id, problem.code, exc_info=error)
    return problem_response(problem, request_id)


def install(app: FastAPI) -> None:
    """Register the one handler; the catch-all for unforeseen errors lives in the middleware, which never re-raises."""
    for kind in (Problem, StoreError, RequestValidationError, HTTPException, psycopg.Error, PoolTimeout, PoolClosed):
        app.add_exception_handler(kind, handle)


def _from_store(error: StoreError) -> Problem:
    for kind, verdict in STORE_ERRORS:
        if isinstance(error, kind):
            return _verdict(verdict, str(error))
    return Problem(500, "internal_error", "Something went wrong on our side.")


def _verdict(verdict: Verdict, detail: str) -> Problem:
    later = verdict.status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
    retry = {"Retry-After": str(RETRY_AFTER_SECONDS)} if later else None
    return Problem(verdict.status, verdict.code, detail, title=verdict.title, headers=retry)


def _from_http(error: HTTPException) -> Problem:
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_").replace("-", "_")
    given = cast("object", error.detail)  # annotated as text, but FastAPI's own HTTPException takes anything
    detail = given if isinstance(given, str) else HTTPStatus(error.status_code).phrase
    if error.status_code == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = "There is no such path; the document at /openapi.json lists them all."
    return Problem(error.status_code, code, detail, headers=error.headers)


def _from_validation(error: RequestValidationError) -> Problem:
    problems = [_field_error(entry) for entry in error.errors()]
    first = problems[0] if problems else FieldError(detail="invalid")
    where = first.get("pointer") or first.get("parameter") or "body"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    detail = f"{where}: {first['detail']}{more}"
    return Problem(422, "validation_failed", detail, title="The request is not valid", errors=problems)


_PLAINER = {
    "extra_forbidden": "There is no such field or parameter here.",
    "model_attributes_type": "Send an object.",
    "model_type": "Send an object.",
}
"""Where Pydantic speaks of its own classes."""


def _field_error(entry: Mapping[str, object]) -> FieldError:
    parts = [str(part) for part in cast("Sequence[object]", entry.get("loc") or ())]
    # Pydantic's message never quotes the input here; `input` and `ctx` are left out because they do.
    detail = _PLAINER.get(str(entry.get("type"))) or str(entry.get("msg", "invalid")).removeprefix("Value error, ")
    if parts and parts[0] == "body":
        pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts[1:])
        return FieldError(pointer=pointer, detail=detail)
    return FieldError(parameter=parts[-1] if parts else "request", detail=detail)
