"""Assistants: one per graph, read-only."""

from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response

from api.protocol.common import PAGINATION, arrive, body_of, json_response, listed, page_of, paged, position_in
from api.protocol.operation import Operation
from api.protocol.shapes import assistant_json
from api.runs.engine import Engine
from api.runs.intake import object_in, uuid_text
from api.runs.registry import Assistant as Known
from api.runs.registry import Compiled
from api.schemas.assistants import (
    Assistant,
    AssistantCount,
    AssistantSchemas,
    AssistantSearch,
    DrawnGraph,
    GraphQuery,
    GraphSchemas,
    SubgraphsQuery,
)
from store.errors import NotFound


async def _found(request: Request) -> tuple[Engine, Known]:
    engine, _ = await arrive(request)
    key: str = request.path_params["assistant_id"]
    try:
        return engine, engine.registry.assistant(key)
    except NotFound:
        uuid_text(key, "assistant")  # neither a graph's name nor an id: say that
        raise


async def _matching(request: Request) -> tuple[Engine, list[Known], dict[str, Any]]:
    engine, _ = await arrive(request)
    body = await body_of(request)
    metadata = object_in(body, "metadata")
    graph_id, name = body.get("graph_id"), body.get("name")
    found = [
        assistant
        for assistant in engine.registry.assistants
        if (graph_id is None or assistant.graph_id == graph_id)
        and (name is None or str(name).lower() in assistant.graph_id.lower())
        and all({"created_by": "system"}.get(key) == value for key, value in metadata.items())
    ]
    return engine, found, body


async def search(request: Request) -> Response:
    """List assistants by graph, name or metadata."""
    engine, found, body = await _matching(request)
    limit, offset = page_of(body)
    page = [assistant_json(assistant, engine.started) for assistant in found[offset : offset + limit]]
    return paged(page, len(found), offset)


async def count(request: Request) -> Response:
    """Count assistants."""
    return json_response(len((await _matching(request))[1]))


async def get(request: Request) -> Response:
    """Return one assistant."""
    engine, assistant = await _found(request)
    return json_response(assistant_json(assistant, engine.started))


async def versions(request: Request) -> Response:
    """List the versions of an assistant: there is one."""
    engine, assistant = await _found(request)
    return json_response([assistant_json(assistant, engine.started)])


async def graph(request: Request) -> Response:
    """Return nodes and edges, with `xray` those of subgraphs too."""
    engine, assistant = await _found(request)
    xray = request.query_params.get("xray", "")
    depth: int | bool = position_in(xray) or xray.lower() == "true"
    drawn = engine.registry.graph(assistant.graph_id).get_graph(xray=depth)
    return json_response(drawn.to_json())


async def schemas(request: Request) -> Response:
    """Return the JSON schemas of a graph's input, output, state, config and context."""
    engine, assistant = await _found(request)
    return json_response({"graph_id": assistant.graph_id, **_schemas(engine.registry.graph(assistant.graph_id))})


async def subgraphs(request: Request) -> Response:
    """Return the schemas of nested graphs by namespace."""
    engine, assistant = await _found(request)
    compiled = engine.registry.graph(assistant.graph_id)
    space = request.path_params.get("namespace") or (listed(request, "namespace") or [None])[0]
    recurse = request.query_params.get("recurse", "").lower() == "true"
    nested: Any = cast("Any", compiled).get_subgraphs(namespace=space, recurse=recurse)
    found: dict[str, Any] = {name: _schemas(graph) for name, graph in nested}
    if request.path_params.get("namespace") and not found:
        raise NotFound(f"Subgraph '{space}' not found")
    return json_response(found)


def _schemas(compiled: Compiled) -> dict[str, Any]:
    return {
        "input_schema": compiled.get_input_jsonschema(),
        "output_schema": compiled.get_output_jsonschema(),
        "state_schema": _state_schema(compiled),
        "config_schema": {"type": "object", "properties": {}},
        "context_schema": {
            "type": "object",
            "properties": {
                "course_id": {"type": "string", "title": "Course", "description": "The course you are working in."},
                "locale": {"type": "string", "title": "Language", "default": "en"},
            },
        },
    }


def _state_schema(compiled: Compiled) -> dict[str, Any]:
    properties = compiled.get_output_jsonschema().get("properties", {})
    return {"type": "object", "title": compiled.name, "properties": properties}


routes = [
    Operation(
        "POST", "/assistants/search", search, body=AssistantSearch, answer=list[Assistant], answer_headers=PAGINATION
    ),
    Operation("POST", "/assistants/count", count, body=AssistantCount, answer=int),
    Operation("GET", "/assistants/{assistant_id}", get, answer=Assistant),
    Operation("GET", "/assistants/{assistant_id}/graph", graph, query=GraphQuery, answer=DrawnGraph),
    Operation("GET", "/assistants/{assistant_id}/schemas", schemas, answer=AssistantSchemas),
    Operation(
        "GET",
        "/assistants/{assistant_id}/subgraphs",
        subgraphs,
        query=SubgraphsQuery,
        answer=dict[str, GraphSchemas],
    ),
    Operation(
        "GET",
        "/assistants/{assistant_id}/subgraphs/{namespace:path}",
        subgraphs,
        query=SubgraphsQuery,
        answer=dict[str, GraphSchemas],
        summary="Return the schemas of the nested graphs under a namespace",
    ),
    Operation("POST", "/assistants/{assistant_id}/versions", versions, answer=list[Assistant]),
]
