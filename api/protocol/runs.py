"""Runs: start, stream, wait, join, cancel."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from api.bodies import decode
from api.errors import request_id_of
from api.protocol.common import arrive, body_of, empty, json_response, listed, page_of, position_in, run_of, thread_of
from api.protocol.operation import Operation
from api.protocol.shapes import run_json
from api.protocol.streams import EVENTS, as_v1, run_events, wanted_events
from api.runs.engine import Engine, Started
from api.runs.intake import list_in, modes_of, uuid_text
from api.runs.wire import dumps, is_list, is_object
from api.schemas.runs import (
    CancelManyQuery,
    CancelQuery,
    JoinQuery,
    RejoinQuery,
    RunBatch,
    RunCreate,
    RunsCancel,
    RunsQuery,
)
from api.schemas.runs import Run as Seen
from api.schemas.wire import Free
from api.streaming import EventStream, WaitingJson
from store import frames, runs, threads
from store.errors import Invalid, NotFound
from store.principal import Principal
from store.runs import Run, RunStatus


async def _start(request: Request, *, waiting: bool = False) -> tuple[Engine, Principal, Started]:
    engine, caller = await arrive(request)
    thread_id = thread_of(request) if "thread_id" in request.path_params else None
    body = await body_of(request)
    if waiting:
        body = {**body, "stream_mode": ["values"], "stream_subgraphs": False}
    started = await engine.start_run(caller, body, thread_id, request_id=request_id_of(request.scope))
    return engine, caller, started


def _home(request: Request, run: Run) -> str:
    """The address of a run, as its client knows it."""
    prefix = request.scope.get("root_path", "")
    if "thread_id" in request.path_params:
        return f"{prefix}/threads/{run.thread_id}/runs/{run.run_id}"
    return f"{prefix}/runs/{run.run_id}"


def _canceller(engine: Engine, caller: Principal, run: Run, *, wanted: bool) -> Callable[[], Awaitable[None]] | None:
    async def gone() -> None:
        await engine.cancel(caller, run.run_id)

    return gone if wanted else None


async def create(request: Request) -> Response:
    """Start a run in the background."""
    _, _, started = await _start(request)
    return json_response(run_json(started.run), headers={"content-location": _home(request, started.run)})


async def stream(request: Request) -> ASGIApp:
    """Start a run and stream what it says."""
    engine, caller, started = await _start(request)
    run, home = started.run, _home(request, started.run)
    events = run_events(
        engine.cursor(caller, run.thread_id, started.after, fresh=run.status is RunStatus.RUNNING),
        run.run_id,
        subgraphs=bool(run.kwargs["stream_subgraphs"]),
    )
    return EventStream(
        events,
        headers={"location": f"{home}/stream", "content-location": home},
        life=engine.limits.stream_seconds,
        gone=_canceller(engine, caller, run, wanted=run.kwargs["on_disconnect"] == "cancel"),
    )


async def wait(request: Request) -> ASGIApp:
    """Start a run and answer with its final values."""
    engine, caller, started = await _start(request, waiting=True)
    run, home = started.run, _home(request, started.run)
    return WaitingJson(
        _result(engine, caller, run, started.after),
        headers={"location": f"{home}/join", "content-location": home},
        gone=_canceller(engine, caller, run, wanted=run.kwargs["on_disconnect"] == "cancel"),
    )


async def _known(request: Request) -> tuple[Engine, Principal, Run]:
    engine, caller = await arrive(request)
    thread_id = thread_of(request) if "thread_id" in request.path_params else None
    async with engine.database.transaction(caller) as tx:
        return engine, caller, await runs.get(tx, run_of(request), thread_id)


async def get(request: Request) -> Response:
    """Return a run."""
    return json_response(run_json((await _known(request))[2]))


async def list_runs(request: Request) -> Response:
    """List the runs of a thread, newest first."""
    engine, caller = await arrive(request)
    thread_id, query = thread_of(request), request.query_params
    limit, offset = page_of(query)
    try:
        status = RunStatus(query["status"]) if "status" in query else None
    except ValueError:
        raise Invalid(f"'status' must be one of: {', '.join(RunStatus)}.") from None
    async with engine.database.transaction(caller) as tx:
        await threads.get(tx, thread_id)
        found = await runs.of_thread(tx, thread_id, status=status, limit=limit, offset=offset)
    fields = listed(request, "select")
    shown = [run_json(run) for run in found]
    return json_response([{key: run[key] for key in fields if key in run} for run in shown] if fields else shown)


async def delete(request: Request) -> Response:
    """Stop a run if it is going, and remove it."""
    engine, caller, run = await _known(request)
    await engine.cancel(caller, run.run_id)
    async with engine.database.transaction(caller) as tx:
        await runs.delete(tx, run.run_id)
    await engine.refresh(caller, run.thread_id)
    await engine.announce(caller, run.thread_id)
    return empty()


async def rejoin(request: Request) -> ASGIApp:
    """Stream a run from where the client left it."""
    engine, caller, run = await _known(request)
    query = request.query_params
    modes = listed(request, "stream_mode")
    events = wanted_events(modes_of(modes)) if modes else None
    after = await _position(engine, caller, run, request.headers.get("last-event-id"))
    return EventStream(
        run_events(
            engine.cursor(caller, run.thread_id, after),
            run.run_id,
            subgraphs=bool(run.kwargs["stream_subgraphs"]),
            events=events,
        ),
        headers={"location": f"{_home(request, run)}/stream", "content-location": _home(request, run)},
        life=engine.limits.stream_seconds,
        gone=_canceller(engine, caller, run, wanted=query.get("cancel_on_disconnect", "") in ("1", "true")),
    )


async def _position(engine: Engine, caller: Principal, run: Run, last: str | None) -> int:
    """Where to begin: after the given id; at the run's first frame for -1; without an id at what comes next."""
    if (place := position_in(last)) is not None:
        return place
    async with engine.database.transaction(caller) as tx:
        if last in ("-1", "-"):
            first = await frames.first_of_run(tx, run.thread_id, run.run_id)
            return first - 1 if first is not None else (await threads.get(tx, run.thread_id)).frame_seq
        return await frames.last_seq(tx, run.thread_id)


async def join(request: Request) -> ASGIApp:
    """Wait for a run's end and answer with its final values."""
    engine, caller, run = await _known(request)
    after = await _position(engine, caller, run, "-1")
    return WaitingJson(
        _result(engine, caller, run, after),
        headers={"location": f"{_home(request, run)}/join", "content-location": _home(request, run)},
        gone=_canceller(
            engine, caller, run, wanted=request.query_params.get("cancel_on_disconnect", "") in ("1", "true")
        ),
    )


async def _result(engine: Engine, caller: Principal, run: Run, after: int) -> str:
    """Return the final values of a run as JSON text, or its error in `__error__`."""
    values: str | None = None
    async for batch in engine.cursor(caller, run.thread_id, after).of_run(run.run_id):
        for frame in filter(None, map(as_v1, batch)):
            if frame.event == "error":
                return f'{{"__error__":{frame.data}}}'
            if frame.event == "values" and not frame.namespace:
                values = frame.data
    if values is not None:
        return values
    try:
        async with engine.database.transaction(caller) as tx:
            thread = await threads.get(tx, run.thread_id)
        graph, config = engine.open(caller, thread)
    except NotFound:
        return "null"
    return dumps((await graph.aget_state(config)).values)


def _action(request: Request) -> str:
    action = request.query_params.get("action", "interrupt")
    if action not in ("interrupt", "rollback"):
        raise Invalid("'action' must be interrupt or rollback.")
    return action


async def cancel(request: Request) -> ASGIApp:
    """Stop a run. Asking twice is the same as asking once; nothing left to stop is a 404."""
    engine, caller, run = await _known(request)
    action = _action(request)
    after = await _position(engine, caller, run, None)
    if not await engine.cancel(caller, run.run_id, action):
        raise NotFound(f"Run {run.run_id} is not running; there is nothing to cancel")
    if request.query_params.get("wait", "") not in ("1", "true"):
        return empty(202)

    async def ended() -> str:
        async for _ in engine.cursor(caller, run.thread_id, after).of_run(run.run_id):
            pass
        return "{}"

    return WaitingJson(ended())


async def cancel_many(request: Request) -> Response:
    """Stop several runs: those named, those of a thread, or all of the caller's, of one status or whichever it is."""
    engine, caller = await arrive(request)
    body = await body_of(request)
    action, named, status = _action(request), list_in(body, "run_ids"), body.get("status")
    if status not in (None, "all", RunStatus.PENDING, RunStatus.RUNNING):
        raise Invalid("'status' must be pending, running or all.")
    if named is None and not body.get("thread_id") and status is None:
        raise Invalid("Say which runs to stop: by run_ids, by thread_id, or by status.")
    async with engine.database.transaction(caller) as tx:
        if named is not None:
            found = [await runs.get(tx, uuid_text(run_id, "run")) for run_id in named]
        elif body.get("thread_id"):
            found = await runs.unfinished(tx, uuid_text(body["thread_id"], "thread"))
        else:
            found = await runs.unfinished_of_caller(tx)
    for run in found:
        if status in (None, "all", run.status):
            await engine.cancel(caller, run.run_id, action)
    return empty()


async def batch(request: Request) -> Response:
    """Start several stateless runs."""
    engine, caller = await arrive(request)
    payload = decode(await request.body() or b"[]")
    bodies = [item for item in payload if is_object(item)] if is_list(payload) else []
    if not is_list(payload) or len(bodies) < len(payload) or len(bodies) > 100:
        raise Invalid("The body must be a list of up to 100 runs.")
    started = [await engine.start_run(caller, body, None) for body in bodies]
    return json_response([run_json(one.run) for one in started])


_LAST = {"Last-Event-ID": "The id of the last event you have; `-1` for the whole run, nothing for what comes next."}
_STREAMED = {"Location": "Where to rejoin the stream.", "Content-Location": "The run."}
_AWAITED = {"Location": "Where to wait again.", "Content-Location": "The run."}
_ALONE = ", without a thread"

routes = [
    Operation(
        "POST",
        "/runs/stream",
        stream,
        body=RunCreate,
        answer=EVENTS,
        answer_headers=_STREAMED,
        also=(404, 409, 429),
        summary="Start a run and stream what it says" + _ALONE,
    ),
    Operation(
        "POST",
        "/runs/wait",
        wait,
        body=RunCreate,
        answer=Any,
        answer_headers=_AWAITED,
        also=(404, 409, 429),
        summary="Start a run and answer with its final values" + _ALONE,
    ),
    Operation("POST", "/runs/batch", batch, body=RunBatch, answer=list[Seen], also=(404, 429)),
    Operation("POST", "/runs/cancel", cancel_many, body=RunsCancel, query=CancelManyQuery, also=(404,)),
    Operation(
        "POST",
        "/runs",
        create,
        body=RunCreate,
        answer=Seen,
        also=(404, 409, 429),
        summary="Start a run in the background" + _ALONE,
    ),
    Operation("GET", "/runs/{run_id}", get, answer=Seen),
    Operation(
        "GET",
        "/runs/{run_id}/stream",
        rejoin,
        query=RejoinQuery,
        headers=_LAST,
        answer=EVENTS,
        answer_headers=_STREAMED,
    ),
    Operation("GET", "/runs/{run_id}/join", join, query=JoinQuery, answer=Any, answer_headers=_AWAITED),
    Operation(
        "POST",
        "/threads/{thread_id}/runs/stream",
        stream,
        body=RunCreate,
        answer=EVENTS,
        answer_headers=_STREAMED,
        also=(409, 429),
    ),
    Operation(
        "POST",
        "/threads/{thread_id}/runs/wait",
        wait,
        body=RunCreate,
        answer=Any,
        answer_headers=_AWAITED,
        also=(409, 429),
    ),
    Operation("POST", "/threads/{thread_id}/runs", create, body=RunCreate, answer=Seen, also=(409, 429)),
    Operation("GET", "/threads/{thread_id}/runs", list_runs, query=RunsQuery, answer=list[Seen | Free]),
    Operation("GET", "/threads/{thread_id}/runs/{run_id}", get, answer=Seen),
    Operation("DELETE", "/threads/{thread_id}/runs/{run_id}", delete),
    Operation(
        "GET",
        "/threads/{thread_id}/runs/{run_id}/stream",
        rejoin,
        query=RejoinQuery,
        headers=_LAST,
        answer=EVENTS,
        answer_headers=_STREAMED,
    ),
    Operation(
        "GET",
        "/threads/{thread_id}/runs/{run_id}/join",
        join,
        query=JoinQuery,
        answer=Any,
        answer_headers=_AWAITED,
    ),
    Operation(
        "POST",
        "/threads/{thread_id}/runs/{run_id}/cancel",
        cancel,
        query=CancelQuery,
        answers={200: dict[str, None], 202: None},
    ),
]
