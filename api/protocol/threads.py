"""Threads: create, find, change, copy, delete, and watch all their runs."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from api.protocol.common import (
    PAGINATION,
    arrive,
    body_of,
    empty,
    json_response,
    listed,
    page_of,
    paged,
    position_in,
    thread_of,
    wants_nothing_back,
)
from api.protocol.operation import Operation
from api.protocol.shapes import thread_json
from api.protocol.streams import EVENTS, as_v1, sent
from api.protocol.thread_log import frames_of
from api.runs.engine import Engine
from api.runs.intake import list_in, many, object_in, uuid_text
from api.runs.wire import plain
from api.schemas.threads import Thread as Seen
from api.schemas.threads import (
    ThreadCount,
    ThreadCreate,
    ThreadPatch,
    ThreadSearch,
    ThreadsPrune,
    ThreadsPruned,
    WatchQuery,
)
from api.schemas.wire import Free
from api.streaming import EventStream, event, joined
from store import frames, runs, thread_retention, threads
from store.errors import Invalid, NotFound
from store.frames import Frame
from store.principal import Principal
from store.threads import Thread, ThreadFilter, ThreadStatus
from store.types import new_id

MOST_PRUNED = 1000
_SORTABLE = ("thread_id", "status", "created_at", "updated_at")
_STREAM_MODES = ("run_modes", "lifecycle", "state_update")


async def _values(engine: Engine, caller: Principal, thread: Thread) -> Any:  # noqa: ANN401 - any state
    """The latest state of a thread, read from its newest checkpoint: there is no second copy that could differ."""
    if thread.graph_id is None:
        return None
    try:
        graph, config = engine.open(caller, thread)
    except NotFound:  # a graph this server no longer has
        return None
    return plain((await graph.aget_state(config)).values) or None


async def create(request: Request) -> Response:
    """Create a thread, with the caller's id or a new one."""
    engine, caller = await arrive(request)
    body = await body_of(request)
    thread_id = uuid_text(body["thread_id"], "thread") if body.get("thread_id") else str(new_id())
    metadata = object_in(body, "metadata")
    graph_id = body.get("graph_id")
    if graph_id is not None:
        assistant = engine.registry.assistant(str(graph_id))
        metadata = {**metadata, "graph_id": assistant.graph_id, "assistant_id": assistant.assistant_id}
        graph_id = assistant.graph_id
    async with engine.database.transaction(caller) as tx:
        thread = await threads.create(
            tx, thread_id, metadata=metadata, graph_id=graph_id, if_exists=str(body.get("if_exists") or "raise")
        )
    return json_response(thread_json(thread))


def _filter(body: dict[str, Any]) -> ThreadFilter:
    ids = list_in(body, "ids")
    try:
        status = ThreadStatus(body["status"]) if body.get("status") else None
    except ValueError:
        raise Invalid(f"'status' must be one of: {', '.join(ThreadStatus)}.") from None
    return ThreadFilter(
        ids=None if ids is None else [uuid_text(item, "thread") for item in ids],
        metadata=object_in(body, "metadata") or None,
        status=status,
    )


async def search(request: Request) -> Response:
    """List the caller's threads, newest first unless asked otherwise."""
    engine, caller = await arrive(request)
    body = await body_of(request)
    limit, offset = page_of(body)
    sort_by = str(body.get("sort_by") or "updated_at")
    if sort_by not in _SORTABLE:
        sort_by = "updated_at"
    async with engine.database.transaction(caller) as tx:
        page = await threads.search(
            tx, _filter(body), limit=limit, offset=offset, sort_by=sort_by, descending=body.get("sort_order") != "asc"
        )
    select = many(body.get("select"))
    shown: list[dict[str, Any]] = []
    for thread in page.items:
        values = await _values(engine, caller, thread) if not select or "values" in select else None
        entry = thread_json(thread, values)
        shown.append({key: entry[key] for key in select if key in entry} if select else entry)
    return paged(shown, page.total, offset)


async def count(request: Request) -> Response:
    """Count the caller's threads."""
    engine, caller = await arrive(request)
    body = await body_of(request)
    async with engine.database.transaction(caller) as tx:
        return json_response(await threads.count(tx, _filter(body)))


async def get(request: Request) -> Response:
    """Return a thread with its latest values."""
    engine, caller = await arrive(request)
    async with engine.database.transaction(caller) as tx:
        thread = await threads.get(tx, thread_of(request))
    return json_response(thread_json(thread, await _values(engine, caller, thread)))


async def patch(request: Request) -> Response:
    """Merge metadata into a thread."""
    engine, caller = await arrive(request)
    body = await body_of(request)
    async with engine.database.transaction(caller) as tx:
        thread = await threads.add_metadata(tx, thread_of(request), object_in(body, "metadata"))
    if wants_nothing_back(request):
        return empty()
    return json_response(thread_json(thread, await _values(engine, caller, thread)))


async def delete(request: Request) -> Response:
    """Delete a thread with everything that belongs to it; a run in progress is stopped."""
    engine, caller = await arrive(request)
    await _remove(engine, caller, thread_of(request))
    return empty()


async def _remove(engine: Engine, caller: Principal, thread_id: str) -> bool:
    async with engine.database.transaction(caller) as tx:
        await threads.lock(tx, thread_id)
        going = await runs.unfinished(tx, thread_id)
        await threads.delete(tx, thread_id)
    for run in going:
        engine.worker.cancel(run.run_id, "rollback")
    engine.worker.hub.touch(thread_id)
    return True


async def _shorten(engine: Engine, caller: Principal, thread_id: str) -> bool:
    async with engine.database.transaction(caller) as tx:
        await threads.lock(tx, thread_id)
        return not await runs.unfinished(tx, thread_id) and await thread_retention.shorten(tx, thread_id)


async def prune(request: Request) -> Response:
    """Delete threads, or only their past states, and count them.

    Passed over are ids that are not the caller's and, for `keep_latest`, threads on which a run is going.
    """
    engine, caller = await arrive(request)
    body = await body_of(request)
    named = [uuid_text(thread_id, "thread") for thread_id in list_in(body, "thread_ids") or []]
    if len(named) > MOST_PRUNED:
        raise Invalid(f"'thread_ids' may name {MOST_PRUNED} threads at most.")
    forget = {"delete": _remove, "keep_latest": _shorten}.get(str(body.get("strategy") or "delete"))
    if forget is None:
        raise Invalid("'strategy' must be delete or keep_latest.")
    count = 0
    for thread_id in dict.fromkeys(named):
        with suppress(NotFound):
            count += await forget(engine, caller, thread_id)
    return json_response({"pruned_count": count})


async def copy(request: Request) -> Response:
    """Copy a thread with its whole history."""
    engine, caller = await arrive(request)
    async with engine.database.transaction(caller) as tx:
        copied = await threads.copy(tx, thread_of(request), str(new_id()))
    return json_response(thread_json(copied, await _values(engine, caller, copied)))


async def watch(request: Request) -> ASGIApp:
    """Stream all runs of a thread, present and future."""
    engine, caller = await arrive(request)
    thread_id = thread_of(request)
    modes = listed(request, "stream_modes", "stream_mode") or ["run_modes"]
    for mode in modes:
        if mode not in _STREAM_MODES:
            raise Invalid(f"Invalid stream mode {mode!r}. Choose from: {', '.join(_STREAM_MODES)}.")
    last = request.headers.get("last-event-id")
    async with engine.database.transaction(caller) as tx:
        await threads.get(tx, thread_id)
        newest = await frames.last_seq(tx, thread_id)
    if last is None:
        after = newest
    elif last in ("-", "-1"):
        after = 0
    elif (place := position_in(last)) is not None:
        after = place
    else:
        raise Invalid("Last-Event-ID must be an id this stream has sent, or '-' for everything.")
    return EventStream(
        _thread_events(frames_of(engine, caller, thread_id, after), frozenset(modes)),
        life=engine.limits.stream_seconds,
    )


async def _thread_events(frames: AsyncGenerator[list[Frame]], modes: frozenset[str]) -> AsyncGenerator[bytes]:
    async with aclosing(frames) as batches:
        async for batch in batches:
            parts: list[bytes] = []
            for frame in filter(None, map(as_v1, batch)):
                if frame.event == "state_update":
                    if "state_update" in modes:
                        parts.append(sent(frame))
                elif frame.event == "end":
                    if "lifecycle" in modes:
                        done = f'{{"status":"run_done","run_id":"{frame.run_id}"}}'
                        parts.append(event("metadata", done, frame.seq))
                elif "run_modes" in modes or ("lifecycle" in modes and frame.event == "metadata"):
                    parts.append(sent(frame))
            if parts:
                yield joined(parts)


routes = [
    Operation("POST", "/threads", create, body=ThreadCreate, answer=Seen, also=(404, 409)),
    Operation(
        "POST", "/threads/search", search, body=ThreadSearch, answer=list[Seen | Free], answer_headers=PAGINATION
    ),
    Operation("POST", "/threads/prune", prune, body=ThreadsPrune, answer=ThreadsPruned),
    Operation("POST", "/threads/count", count, body=ThreadCount, answer=int),
    Operation("GET", "/threads/{thread_id}", get, answer=Seen),
    Operation(
        "PATCH",
        "/threads/{thread_id}",
        patch,
        body=ThreadPatch,
        headers={"Prefer": "`return=minimal` for an answer without a body."},
        answers={200: Seen, 204: None},
    ),
    Operation("DELETE", "/threads/{thread_id}", delete),
    Operation("POST", "/threads/{thread_id}/copy", copy, answer=Seen),
    Operation(
        "GET",
        "/threads/{thread_id}/stream",
        watch,
        query=WatchQuery,
        headers={"Last-Event-ID": "The id of the last event you have; `-` for everything that is kept."},
        answer=EVENTS,
    ),
]
