"""Every operation the application answers, documented or not, ready to be asked by anybody."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fastapi import FastAPI
from starlette.routing import Route

from api.openapi import operations

PUBLIC_ROUTES = frozenset({"/", "/page/{name}", "/metrics", "/docs", "/openapi.json"})
"""Undocumented routes that are meant for everybody; none of them shows anybody's data."""


class Operation(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    body: Any = None
    """The documented example of its body."""
    form: bool = False
    public: bool = False
    query: tuple[str, ...] = ()
    """Names of its query parameters."""

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of its path parameters."""
        names = [part.partition("}")[0].partition(":")[0] for part in self.path.split("{")[1:]]
        return tuple(names)

    def url(self, ids: Mapping[str, str]) -> str:
        """The path with its parameters filled in; a KeyError means that somebody added a parameter nobody covers."""
        return self.path.replace(":path}", "}").format_map(ids)


def all_operations(app: FastAPI) -> list[Operation]:
    """The documented operations, then the raw routes that are not: the page, the metrics, the document itself."""
    document = app.openapi()
    found = {
        (method, path): _documented(method, path, operation, document)
        for method, path, operation in operations(document)
    }
    for operation in served_raw(app.routes):
        found.setdefault((operation.method, operation.path), operation)
    return list(found.values())


def _documented(method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> Operation:
    content = operation.get("requestBody", {}).get("content", {})
    form = "application/x-www-form-urlencoded" in content
    body = None
    if "application/json" in content:
        schema = content["application/json"]["schema"]
        named = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        body = named["examples"][0]
    query = tuple(entry["name"] for entry in operation.get("parameters", ()) if entry["in"] == "query")
    public = operation.get("security") == [] or {} in operation.get("security", ())
    return Operation(method, path, body, form, public, query)


def served_raw(routes: Any) -> Iterator[Operation]:
    """Yield the operations of plain Starlette routes, which no document of FastAPI's own knows."""
    for route in routes:
        nested = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None)
        if nested:
            yield from served_raw(nested)
        elif isinstance(route, Route):
            for method in sorted((route.methods or set()) - {"HEAD", "OPTIONS"}):
                yield Operation(
                    method.lower(),
                    route.path.replace(":path}", "}"),
                    {} if method in {"POST", "PUT", "PATCH"} else None,
                )
