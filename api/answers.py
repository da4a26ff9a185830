"""Shapes answers: entities with their ETag, pages with their links, and the conditions clients put on them."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from api.errors import Problem
from store.principal import Principal
from store.types import Page

JSON = "application/json"
_TAG = re.compile(r'(?:W/)?"(\d{1,18})"')
_OPTIONS = orjson.OPT_UTC_Z

_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "example": '"3"'},
    "description": "The ETag you read. The change is refused with 412 if the entity has moved on.",
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "example": '"3"'},
    "description": "The ETag you have. The answer is 304, without a body, if it is still the newest.",
}
GUARDED: dict[str, Any] = {"parameters": [_IF_MATCH]}
"""`openapi_extra` of a route that honours If-Match."""
CACHED: dict[str, Any] = {"parameters": [_IF_NONE_MATCH], "responses": {"304": {"description": "Still the newest."}}}
"""`openapi_extra` of a route that honours If-None-Match."""


class Versioned(Protocol):
    """A row with a version."""

    @property
    def version(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Paged:
    items: list[Any]
    total: int
    skip: int
    limit: int


def entity(row: Versioned, status: int = 200, *, location: str | None = None) -> Response:
    """One entity; its version is its ETag."""
    headers = {"ETag": f'"{row.version}"', "Cache-Control": "private, no-cache"}
    if location is not None:
        headers["Location"] = quote(location)  # ids may be any text, headers only ASCII
    return Response(orjson.dumps(row, option=_OPTIONS), status, headers=headers, media_type=JSON)


def entity_or_unchanged(request: Request, row: Versioned) -> Response:
    """One entity, or 304 if the client has this version already."""
    for name, value in request.scope["headers"]:
        if name == b"if-none-match":
            given = value.decode("latin-1")
            if given.strip() == "*" or str(row.version) in _TAG.findall(given):
                headers = {"ETag": f'"{row.version}"', "Cache-Control": "private, no-cache"}
                return Response(status_code=304, headers=headers)
    return entity(row)


def page(request: Request, found: Page[Any], skip: int, limit: int) -> Response:
    """One page of a listing; `Link` leads to the neighbours (RFC 8288)."""
    headers = {"Cache-Control": "private, no-cache"}
    links = _links(request, found.total, skip, limit)
    if links:
        headers["Link"] = links
    content = orjson.dumps(_Paged(found.items, found.total, skip, limit), option=_OPTIONS)
    return Response(content, headers=headers, media_type=JSON)


def nothing() -> Response:
    """204: done, and there is nothing to show."""
    return Response(status_code=204)


def json(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Any other JSON answer."""
    return Response(orjson.dumps(content, option=_OPTIONS), status, headers=headers, media_type=JSON)


def expected_version(request: Request) -> int | None:
    """The version a change is meant for, from If-Match; None without the header or with `*`."""
    given = request.headers.get("if-match")
    if given is None or given.strip() == "*":
        return None
    tags = _TAG.findall(given)
    if len(tags) != 1:
        detail = 'If-Match needs the one ETag you read, such as "3"; read the entity again.'
        raise Problem(412, "version_conflict", detail, title="The version has moved on")
    return int(tags[0])


def for_eyes_of(caller: Principal, row: Any) -> Any:  # noqa: ANN401 - any row with a user_id
    """The row as the caller may see it: what others share arrives without their identity."""
    return row if row.user_id == caller.user_id else dataclasses.replace(row, user_id=None)


def page_for_eyes_of(caller: Principal, found: Page[Any]) -> Page[Any]:
    """The same for a whole page."""
    return Page([for_eyes_of(caller, row) for row in found.items], found.total)


def _links(request: Request, total: int, skip: int, limit: int) -> str:
    targets: dict[str, int] = {}
    if skip + limit < total:
        targets["next"] = skip + limit
        targets["last"] = (total - 1) // limit * limit
    if skip > 0:
        targets["first"] = 0
        targets["prev"] = max(skip - limit, 0)
    if not targets:
        return ""
    query = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    others = [(name, value) for name, value in query if name not in ("skip", "limit")]
    path = quote(request.scope["path"])
    return ", ".join(
        f'<{path}?{urlencode([*others, ("skip", str(start)), ("limit", str(limit))])}>; rel="{relation}"'
        for relation, start in targets.items()
    )


def moment(value: datetime) -> str:
    """A time as all answers write it."""
    return orjson.dumps(value, option=_OPTIONS).decode().strip('"')
