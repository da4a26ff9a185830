"""Completes the OpenAPI document: how to authenticate, and which problems every operation can answer with."""

from collections.abc import Callable, Container, Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse

from api.errors import MEDIA_TYPE

VERSION = "0.1.0"
DESCRIPTION = """
Plans, checks and guides a learner's work. Errors are RFC 9457 problem bodies whose `detail` is always one sentence.
`POST` takes an `Idempotency-Key`; single entities carry an `ETag` for `If-Match` and `If-None-Match`.
What is not yours answers exactly like what does not exist: 404.

Agents are reached under `/threads`, `/runs` and `/assistants`: that is LangGraph's protocol in both its versions, and
its SDKs, `useStream`, RemoteGraph and Studio work with this address and its tokens. There, what is not listed is passed
over, bodies are JSON whatever their content type says, and lists of parameters may be repeated, one JSON array, or
separated by commas. Where this service differs from LangGraph's own, on purpose, is told in its `docs/serving.md`.
"""

_WITHOUT_NETWORK = """
<p>This reader, Swagger UI, is loaded from cdn.jsdelivr.net. If it does not appear, your browser cannot reach that:
the document itself is <a href="/openapi.json">/openapi.json</a>, and any OpenAPI reader shows it.</p>
"""

PUBLIC: dict[str, Any] = {"security": []}
"""`openapi_extra` of a route that needs no token."""

_SECURITY_SCHEMES: dict[str, Any] = {
    "password": {
        "type": "oauth2",
        "flows": {"password": {"tokenUrl": "/auth/token", "refreshUrl": "/auth/refresh", "scopes": {}}},
    },
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "The same token, for SDKs."},
}
_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}, {"password": []}]

_FIELD_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {"type": "string"},
        "pointer": {"type": "string", "description": "JSON pointer to the culprit in the body."},
        "parameter": {"type": "string", "description": "Name of the culprit in path, query or headers."},
    },
}
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "An RFC 9457 problem.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was wrong and what to do, in a sentence."},
        "code": {"type": "string", "description": "The kind of problem, for programs."},
        "request_id": {"type": "string", "description": "Quote it when you report the problem."},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/FieldError"}},
    },
}


class _Example(NamedTuple):
    code: str
    title: str
    detail: str


_EXAMPLES: dict[int, _Example] = {
    400: _Example("malformed_json", "The body cannot be read", "The body is not valid JSON: unexpected character."),
    401: _Example("invalid_token", "Unauthorized", "The access token has expired. Sign in again for a new one."),
    403: _Example("forbidden", "Forbidden", "This needs the role instructor or admin; yours is learner."),
    404: _Example("not_found", "Not found", "There is no goal of that id here for you."),
    405: _Example("method_not_allowed", "Method Not Allowed", "Method Not Allowed"),
    408: _Example("body_timeout", "Request Timeout", "The body did not arrive within 10 seconds; send it again."),
    409: _Example(
        "illegal_transition", "That change of status is not allowed", "A cancelled goal cannot become paused."
    ),
    412: _Example("version_conflict", "The version has moved on", "It was changed since you read it. Read it again."),
    413: _Example("body_too_large", "Content Too Large", "The body is larger than 1048576 bytes; send less."),
    415: _Example("unsupported_media_type", "Unsupported Media Type", "Send the body as application/json."),
    422: _Example("validation_failed", "The request is not valid", "/title: Field required"),
    429: _Example("too_many_attempts", "Too Many Requests", "Too many attempts. Wait 60 seconds before you try again."),
    503: _Example("unavailable", "Temporarily unavailable", "The database does not answer at the moment."),
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: the problems it adds to those that every operation of its shape can have."""
    return {status: _response(status) for status in statuses}


class Described(NamedTuple):
    """Paths and component schemas of operations that FastAPI does not know."""

    paths: dict[str, dict[str, Any]]
    schemas: dict[str, Any]


def describe(app: FastAPI, others: Callable[[], Described]) -> None:
    """Give the application an OpenAPI document that tells the whole truth about errors and authentication.

    `others` tells what to list beside FastAPI's own routes; it is asked once, when somebody wants the document.
    """

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(title=app.title, version=VERSION, description=DESCRIPTION, routes=app.routes)
            more = others()
            _merge(found, more)
            app.openapi_schema = _complete(found, lenient=more.paths.keys())
        return app.openapi_schema

    app.openapi = document
    app.add_api_route("/docs", _reader, include_in_schema=False)


async def _reader() -> HTMLResponse:
    page = get_swagger_ui_html(
        openapi_url="/openapi.json", title="AI Goals Tracker", swagger_favicon_url="/page/icon.svg"
    )
    inside = '<div id="swagger-ui">'
    return HTMLResponse(bytes(page.body).decode().replace(inside, inside + _WITHOUT_NETWORK))


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (method, path, operation) for every operation of an OpenAPI document."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in {"get", "put", "post", "delete", "patch"}:
                yield method, path, operation


def _merge(document: dict[str, Any], others: Described) -> None:
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    known: dict[str, Any] = document["paths"]
    if twice := (schemas.keys() & others.schemas.keys()) | (known.keys() & others.paths.keys()):
        raise ValueError(f"Two different things have the same name in the document: {', '.join(sorted(twice))}")
    schemas |= others.schemas
    known |= others.paths


def _complete(document: dict[str, Any], lenient: Container[str]) -> dict[str, Any]:
    components = document.setdefault("components", {})
    schemas: dict[str, Any] = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _PROBLEM
    schemas["FieldError"] = _FIELD_ERROR
    components["securitySchemes"] = _SECURITY_SCHEMES
    document["security"] = _SECURITY
    for _, path, operation in operations(document):
        responses: dict[str, Any] = operation["responses"]
        usual = _usual(path, operation)
        if path in lenient:  # about content types
            usual.discard(415)
        for status in sorted(usual):
            if status == HTTPStatus.UNPROCESSABLE_ENTITY or str(status) not in responses:
                responses[str(status)] = _response(status)
        operation["responses"] = dict(sorted(responses.items()))
    return document


def _usual(path: str, operation: Mapping[str, Any]) -> set[int]:
    statuses = {400, 503}
    if operation.get("security") != []:
        statuses.add(401)
    if "{" in path:
        statuses.add(404)
    if "requestBody" in operation:
        statuses |= {408, 413, 415, 422}
    names = {entry["name"] for entry in operation.get("parameters", ())}
    if names:
        statuses.add(422)
    if "Idempotency-Key" in names:
        statuses.add(409)
    if "If-Match" in names:
        statuses.add(412)
    return statuses


def _response(status: int) -> dict[str, Any]:
    code, title, detail = _EXAMPLES[status]
    example = {
        "type": f"urn:goals:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": "0197a5a2-7c00-7000-8000-000000000000",
    }
    response: dict[str, Any] = {
        "description": title,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}},
    }
    if status in {429, 503}:
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}
    return response
