"""The second protocol: commands go in by one route, everything a thread says comes out of another."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from api.errors import Problem, request_id_of
from api.protocol.commands import carry_out
from api.protocol.common import arrive, body_of, json_response, position_in, thread_of
from api.protocol.envelopes import ENVELOPES, filter_of, thread_events
from api.protocol.operation import Operation
from api.protocol.thread_log import frames_of, own_or_new
from api.schemas.runs import Command, CommandDone, CommandFailed, EventFilter
from api.streaming import EventStream
from store.errors import Invalid


async def commands(request: Request) -> Response:
    """Carry out one command."""
    engine, caller = await arrive(request)
    thread_id = thread_of(request)
    command = await body_of(request)
    return json_response(await carry_out(engine, caller, thread_id, command, request_id_of(request.scope)))


async def events(request: Request) -> ASGIApp:
    """Stream what a thread says, from its beginning or from where the client was. A new thread's stream just waits.

    The same path takes a WebSocket, with `subscription.subscribe` for each such stream and commands beside them.
    """
    engine, caller = await arrive(request)
    thread_id = thread_of(request)
    body = await body_of(request)
    try:
        wanted = filter_of(body)
    except Invalid as error:
        raise Problem(400, "bad_filter", str(error)) from error
    since = body.get("since") or body.get("since_event_id") or request.headers.get("last-event-id") or 0
    await own_or_new(engine, caller, thread_id)
    return EventStream(
        thread_events(frames_of(engine, caller, thread_id, position_in(since) or 0), wanted),
        life=engine.limits.stream_seconds,
    )


routes = [
    Operation(
        "POST",
        "/threads/{thread_id}/commands",
        commands,
        body=Command,
        answer=CommandDone | CommandFailed,
        also=(409, 429),
    ),
    Operation(
        "POST",
        "/threads/{thread_id}/stream/events",
        events,
        body=EventFilter,
        headers={"Last-Event-ID": "The `seq` of the last event you have; `since` in the body says the same."},
        answer=ENVELOPES,
    ),
]
