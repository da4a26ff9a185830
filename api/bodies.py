"""Reads JSON bodies strictly: what a later step would choke on or misread is refused here, with the reason."""

import json
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, cast

import orjson
from fastapi import params
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.errors import Problem

MAX_DEPTH = 64
MAX_INTEGER = 2**53 - 1
"""Beyond this a JSON number is no longer the same number for every reader (RFC 7493)."""


class _Repeated(Exception):
    """An object named the same key twice."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Repeated(key)
            seen.add(key)
    return members


_decoder = json.JSONDecoder(object_pairs_hook=_unique)


def decode(raw: bytes) -> object:
    """Parse one JSON document; raises Problem 400 for anything two readers could understand differently.

    orjson judges first (UTF-8, lone surrogates, NaN, overflow); the standard decoder then sees repeated keys,
    which orjson silently drops. Both together take 3 us for the body of a goal.
    """
    try:
        orjson.loads(raw)
        value = _decoder.decode(raw.decode())
    except _Repeated as error:
        _refuse(f"The key {str(error)[:80]!r} occurs twice in one object; keep one of them.")
    except orjson.JSONDecodeError as error:
        reason = error.msg.split(":")[0]
        _refuse(f"The body is not valid JSON: {reason} (line {error.lineno}, column {error.colno}).")
    except RecursionError:
        _refuse(f"The body is nested deeper than {MAX_DEPTH} levels; flatten it.")
    except ValueError:
        _refuse("A number in the body has too many digits; send it as a string.")
    _inspect(value)
    return value


def _inspect(root: object) -> None:
    waiting: list[tuple[object, int]] = [(root, 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, str):
            if "\x00" in value:
                _refuse("The body contains the character U+0000, which PostgreSQL cannot store; remove it.")
        elif isinstance(value, dict | list):
            if depth > MAX_DEPTH:
                _refuse(f"The body is nested deeper than {MAX_DEPTH} levels; flatten it.")
            if isinstance(value, dict):
                members = cast("dict[str, object]", value)
                waiting.extend((key, depth) for key in members)
                waiting.extend((item, depth + 1) for item in members.values())
            else:
                waiting.extend((item, depth + 1) for item in cast("list[object]", value))
        elif isinstance(value, int) and not -MAX_INTEGER <= value <= MAX_INTEGER:
            _refuse("An integer in the body is beyond 2^53, where readers disagree about its value; send a string.")


def _refuse(detail: str) -> NoReturn:
    raise Problem(400, "malformed_json", detail, title="The body cannot be read")


class StrictRequest(Request):
    """A request whose JSON body was read by `decode`."""

    _strict: object = None

    async def load(self) -> None:
        """Read the body and judge it; raises Problem 400 or 415."""
        raw = await self.body()
        if not raw:
            return
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            sent = f"not {media_type!r}" if media_type else "and the request names no type"
            detail = f"Send the body as application/json, {sent}."
            raise Problem(415, "unsupported_media_type", detail, headers={"Accept": "application/json"})
        self._strict = decode(raw)

    async def json(self) -> Any:  # noqa: ANN401 - the signature of the base class
        """Return the decoded body; FastAPI calls this."""
        return self._strict


class StrictRoute(APIRoute):
    """A route whose body, if it has a JSON one, is read strictly. Use as `APIRouter(route_class=StrictRoute)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler; routes without a JSON body are left as they are."""
        handler = super().get_route_handler()
        if self.body_field is None or isinstance(self.body_field.field_info, params.Form):
            return handler

        async def strict(request: Request) -> Response:
            strict_request = StrictRequest(request.scope, request.receive)
            await strict_request.load()
            return await handler(strict_request)

        return strict
