"""Calls simple endpoints directly: what FastAPI would find out on every request is found out once, when it is added."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from starlette.requests import Request
from starlette.responses import Response

from api.bodies import StrictRequest


@dataclass(frozen=True, slots=True)
class _Field:
    """One argument of an endpoint, and how to read it."""

    name: str
    alias: str
    adapter: TypeAdapter[Any]


def handler_of(route: APIRoute) -> Callable[[Request], Coroutine[Any, Any, Response]] | None:
    """Return a handler for an endpoint that takes the request, path parameters and at most one JSON body, else None.

    Such endpoints return their own Response, so nothing of what FastAPI's handler does is missed: it would cost 60 us
    of a request's 600, for looking at dependencies, headers and cookies nobody declared.
    """
    known = route.dependant
    bodies = known.body_params
    declared = (known.dependencies, known.query_params, known.header_params, known.cookie_params)
    if any(declared) or len(bodies) > 1 or any(isinstance(field.field_info, params.Form) for field in bodies):
        return None
    path = [_Field(field.name, field.alias, _adapter(field.field_info)) for field in known.path_params]
    body = _Field(bodies[0].name, "body", _adapter(bodies[0].field_info)) if bodies else None
    endpoint, wants_request = route.endpoint, known.request_param_name

    async def handle(request: Request) -> Response:
        arguments: dict[str, Any] = {wants_request: request} if wants_request else {}
        found: list[Any] = []
        for field in path:
            _read(field, ("path", field.alias), request.path_params[field.alias], arguments, found)
        if body is not None:
            strict = StrictRequest(request.scope, request.receive)
            await strict.load()
            _read(body, ("body",), await strict.json(), arguments, found)
            if wants_request:
                arguments[wants_request] = strict
        if found:
            raise RequestValidationError(found)
        return await endpoint(**arguments)

    return handle


def _read(field: _Field, where: tuple[str, ...], value: object, arguments: dict[str, Any], found: list[Any]) -> None:
    try:
        arguments[field.name] = field.adapter.validate_python(value)
    except ValidationError as error:
        reasons = error.errors(include_url=False, include_input=False, include_context=False)
        found += [{**reason, "loc": (*where, *reason["loc"])} for reason in reasons]


def _adapter(info: FieldInfo) -> TypeAdapter[Any]:
    annotated: Any = Annotated[info.annotation, info]  # built at run time, so no type checker can follow
    return TypeAdapter(annotated)
