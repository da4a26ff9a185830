"""The state of a thread: read it, now or at a checkpoint; change it; look back."""

from collections.abc import Mapping
from typing import Any, cast

from langgraph.errors import EmptyInputError, InvalidUpdateError
from starlette.requests import Request
from starlette.responses import Response

from api.errors import Problem
from api.protocol.common import arrive, body_of, json_response, listed, thread_of
from api.protocol.operation import Operation
from api.protocol.shapes import checkpoint_json, state_json
from api.runs.engine import BUSY, Engine
from api.runs.intake import checkpoint_of, object_in, place_in
from api.runs.registry import thread_config
from api.runs.wire import is_object
from api.schemas.threads import (
    HistoryQuery,
    HistorySearch,
    LatestStateQuery,
    StateAt,
    StateQuery,
    StateUpdate,
    StateUpdated,
    ThreadState,
)
from api.schemas.wire import Free
from graphs.saver import checkpointer
from store import runs, threads
from store.errors import Conflict, Invalid
from store.principal import Principal
from store.threads import Thread

_EMPTY: dict[str, Any] = {
    "values": {},
    "next": [],
    "tasks": [],
    "metadata": None,
    "created_at": None,
    "checkpoint": None,
    "parent_checkpoint": None,
    "interrupts": [],
    "checkpoint_id": None,
    "parent_checkpoint_id": None,
}


async def _thread(engine: Engine, caller: Principal, request: Request) -> Thread:
    async with engine.database.transaction(caller) as tx:
        return await threads.get(tx, thread_of(request))


async def _read(
    engine: Engine, caller: Principal, thread: Thread, checkpoint: Mapping[str, Any] | None, *, subgraphs: bool
) -> dict[str, Any]:
    if thread.graph_id is None:
        return dict(_EMPTY)
    graph, config = engine.open(caller, thread, checkpoint)
    try:
        return state_json(await graph.aget_state(config, subgraphs=subgraphs))
    except ValueError as error:  # LangGraph's word for a namespace the graph does not have
        raise Problem(400, "bad_checkpoint", str(error)) from error


def _selected(state: dict[str, Any], paths: list[str]) -> dict[str, Any]:
    """Keep only what `select` names, by dotted path; everything when it names nothing."""
    if not paths:
        return state
    chosen: dict[str, Any] = {}
    for path in paths:
        source: Any = state
        target = chosen
        keys = path.split(".")
        for index, key in enumerate(keys):
            if not isinstance(source, dict) or key not in source:
                break
            source = cast("dict[str, Any]", source)[key]
            if index == len(keys) - 1:
                target[key] = source
            else:
                target = target.setdefault(key, {})
    return chosen


async def get(request: Request) -> Response:
    """Return the latest state, or that at the checkpoint of the path."""
    engine, caller = await arrive(request)
    thread = await _thread(engine, caller, request)
    checkpoint_id = request.path_params.get("checkpoint_id") or request.query_params.get("checkpoint_id")
    state = await _read(
        engine,
        caller,
        thread,
        {"checkpoint_id": checkpoint_id, "checkpoint_ns": request.query_params.get("checkpoint_ns", "")},
        subgraphs=request.query_params.get("subgraphs", "").lower() in ("true", "1"),
    )
    return json_response(_selected(state, listed(request, "select")))


async def at_checkpoint(request: Request) -> Response:
    """Return the state at a checkpoint named in the body; without an id, the latest of its namespace."""
    engine, caller = await arrive(request)
    body = await body_of(request)
    thread = await _thread(engine, caller, request)
    checkpoint = {**place_in(body), **place_in(object_in(body, "checkpoint"))}
    state = await _read(engine, caller, thread, checkpoint, subgraphs=bool(body.get("subgraphs")))
    if state["checkpoint"] is None:
        # RemoteGraph reads these of a thread that has not run yet. On the other routes null must stay null: there
        # `useStream` tells an empty thread by it.
        state["checkpoint"] = {"thread_id": thread.thread_id, "checkpoint_ns": "", "checkpoint_id": None}
        state["metadata"] = {}
    return json_response(state)


async def update(request: Request) -> Response:
    """Change the state as if a node had, from the latest or a named checkpoint. Not while a run is going."""
    engine, caller = await arrive(request)
    body = await body_of(request)
    thread_id = thread_of(request)
    async with engine.database.transaction(caller) as tx:
        thread = await threads.lock(tx, thread_id)
        if await runs.unfinished(tx, thread_id):
            raise Conflict(BUSY)
    graph, config = engine.open(caller, thread, checkpoint_of(body))
    try:
        changed = await graph.aupdate_state(config, body.get("values"), as_node=body.get("as_node"))
    except (InvalidUpdateError, EmptyInputError, ValueError, KeyError, TypeError) as error:
        raise Problem(400, "bad_update", f"The state cannot be changed this way: {error}") from error
    await engine.refresh(caller, thread_id)
    await engine.announce_state(caller, thread_id)
    checkpoint = checkpoint_json(cast("Mapping[str, Any]", changed))
    return json_response(
        {
            "checkpoint": checkpoint,
            "configurable": checkpoint,
            "checkpoint_id": checkpoint and checkpoint["checkpoint_id"],
        }
    )


async def history(request: Request) -> Response:
    """List past states, newest first."""
    engine, caller = await arrive(request)
    asked: dict[str, Any] = dict(request.query_params) if request.method == "GET" else await body_of(request)
    thread = await _thread(engine, caller, request)
    checkpoint = place_in(object_in(asked, "checkpoint"))
    try:
        limit = int(asked.get("limit") or 10)
    except (TypeError, ValueError):
        raise Invalid("'limit' must be a whole number.") from None
    if not 1 <= limit <= 1000:
        raise Invalid("'limit' must be between 1 and 1000.")
    if thread.graph_id is None:
        return json_response([])
    graph = engine.registry.graph(thread.graph_id)
    saver = checkpointer(engine.database, caller)
    before = _before(asked.get("before"))
    states = graph.aget_state_history(
        thread_config(saver, thread.thread_id, checkpoint),
        filter=object_in(asked, "metadata") or None,
        before=None if before is None else thread_config(saver, thread.thread_id, {"checkpoint_id": before}),
        limit=limit,
    )
    return json_response([state_json(state) async for state in states])


def _before(value: object) -> str | None:
    """Return a checkpoint id from any of its forms: an id, a checkpoint, or a config."""
    if is_object(value):
        inner: object = value.get("configurable")
        value = inner.get("checkpoint_id") if is_object(inner) else value.get("checkpoint_id")
    if value is not None and not isinstance(value, str):
        raise Invalid("'before' must be a checkpoint or its id.")
    return value or None


routes = [
    Operation(
        "GET",
        "/threads/{thread_id}/state",
        get,
        query=LatestStateQuery,
        answer=ThreadState | Free,
        summary="Return the latest state",
    ),
    Operation("POST", "/threads/{thread_id}/state", update, body=StateUpdate, answer=StateUpdated, also=(409,)),
    Operation("POST", "/threads/{thread_id}/state/checkpoint", at_checkpoint, body=StateAt, answer=ThreadState),
    Operation(
        "GET",
        "/threads/{thread_id}/state/{checkpoint_id}",
        get,
        query=StateQuery,
        answer=ThreadState | Free,
        summary="Return the state at a checkpoint",
    ),
    Operation("GET", "/threads/{thread_id}/history", history, query=HistoryQuery, answer=list[ThreadState]),
    Operation("POST", "/threads/{thread_id}/history", history, body=HistorySearch, answer=list[ThreadState]),
]
