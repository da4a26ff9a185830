"""A route of the protocol together with what the OpenAPI document says of it, so that neither is without the other."""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, TypeAdapter
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp

from api import queries
from api.openapi import Described, problems

Endpoint = Callable[[Request], Awaitable[ASGIApp]]


class Stream(NamedTuple):
    """An answer of server-sent events: what they look like, and what their data is where that is always the same."""

    example: str
    data: type[BaseModel] | None = None

    def content(self, data: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return its media type object."""
        text: dict[str, Any] = {"type": "string", "contentMediaType": "application/json"}
        if data is not None:
            text["contentSchema"] = data
        members = {"event": {"type": "string"}, "data": text, "id": {"type": "string"}}
        item = {"type": "object", "properties": members, "required": ["event", "data"]}
        return {"itemSchema": item, "example": self.example}


class Operation(Route):
    """One method of one path. Plain Starlette when it is served: FastAPI's layers cost per call.

    The summary is the first line of the endpoint's docstring, unless one is given. `answer` is a type, a `Stream`, or
    None for an empty body; `answers` has one for each status where there are several, `also` names the problems beyond
    those every operation of its shape can have.
    """

    def __init__(
        self,
        method: str,
        path: str,
        endpoint: Endpoint,
        *,
        summary: str | None = None,
        body: type[BaseModel] | None = None,
        query: type[BaseModel] | None = None,
        headers: Mapping[str, str] | None = None,
        answer: object = None,
        answers: Mapping[int, object] | None = None,
        answer_headers: Mapping[str, str] | None = None,
        also: Iterable[int] = (),
        public: bool = False,
    ) -> None:
        super().__init__(path, endpoint, methods=[method])
        self.method = method.lower()
        self.documented_path = path.replace(":path}", "}")
        self._text = inspect.getdoc(endpoint) or ""
        self._summary = summary or self._text.partition("\n")[0].partition(". ")[0].rstrip(".")
        self._body, self._query, self._headers = body, query, headers or {}
        self._answers = answers or {204 if answer is None else 200: answer}
        self._answer_headers = answer_headers or {}
        self._problems = tuple(also)
        self._public = public

    @property
    def key(self) -> tuple[str, str]:
        """What tells this operation from every other."""
        return self.method, self.documented_path

    def types(self) -> dict[str, Any]:
        """The types of body and answers, by the names under which `entry` wants their schemas."""
        bare = {status: a.data if isinstance(a, Stream) else a for status, a in self._answers.items()}
        found = {str(status): answer for status, answer in bare.items() if answer is not None}
        return found if self._body is None else {"body": self._body, **found}

    def entry(self, tag: str, schemas: Mapping[str, Any]) -> dict[str, Any]:
        """Return the operation as OpenAPI has it; problems that every operation of its shape has are added later."""
        entry: dict[str, Any] = {
            "tags": [tag],
            "summary": self._summary,
            "operationId": re.sub(r"\W+", "_", f"{self.path}_{self.method}").strip("_"),
            "responses": {
                **{str(status): self._response(status, schemas) for status in self._answers},
                **{str(status): response for status, response in problems(*self._problems).items()},
            },
        }
        if self._text.rstrip(".") != self._summary:
            entry["description"] = self._text
        if parameters := [*self._in_path(), *self._in_query(), *_all_headers(self._headers)]:
            entry["parameters"] = parameters
        if self._body is not None:
            entry["requestBody"] = {
                "required": _is_required(self._body),
                "content": {"application/json": {"schema": schemas["body"]}},
            }
        if self._public:
            entry["security"] = []
        return entry

    def _response(self, status: int, schemas: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._answers[status]
        response: dict[str, Any] = {"description": "As asked." if answer is not None else "Done."}
        if isinstance(answer, Stream):
            response["description"] = "Events as they happen, a comment every five seconds."
            response["content"] = {"text/event-stream": answer.content(schemas.get(str(status)))}
        elif answer is not None:
            response["content"] = {"application/json": {"schema": schemas[str(status)]}}
        if self._answer_headers:
            response["headers"] = {
                name: {"description": text, "schema": {"type": "string"}} for name, text in self._answer_headers.items()
            }
        return response

    def _in_path(self) -> list[dict[str, Any]]:
        ids = {"type": "string", "format": "uuid"}
        return [
            {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS.get(name, ids)}
            for name in self.param_convertors
        ]

    def _in_query(self) -> list[dict[str, Any]]:
        return queries.parameters(self._query)["parameters"] if self._query is not None else []


_PATH_SCHEMAS: dict[str, Any] = {
    "assistant_id": {"type": "string", "minLength": 1, "example": "goal_planning"},
    "namespace": {"type": "string", "minLength": 1},
}


def _all_headers(headers: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": text}
        for name, text in headers.items()
    ]


def _is_required(body: type[BaseModel]) -> bool:
    """An empty body is an empty object."""
    return any(field.is_required() for field in body.model_fields.values())


def described(groups: Mapping[str, Iterable[Operation]]) -> Described:
    """Return what the document says of all operations; the groups' names become tags."""
    tagged = [(tag, operation) for tag, operations in groups.items() for operation in operations]
    found, components = TypeAdapter.json_schemas(
        [
            ((*operation.key, name), "validation", TypeAdapter[Any](kind))
            for _, operation in tagged
            for name, kind in operation.types().items()
        ],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for tag, operation in tagged:
        schemas = {name: found[(*operation.key, name), "validation"] for name in operation.types()}
        paths.setdefault(operation.documented_path, {})[operation.method] = operation.entry(tag, schemas)
    return Described(paths, components.get("$defs", {}))
