"""The second protocol: commands go in by one route, everything a thread says comes out of another."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from api.errors import Problem, request_id_of
from api.protocol.common import arrive, body_of, json_response, position_in, thread_of
from api.protocol.envelopes import ENVELOPES, filter_of, thread_events
from api.protocol.operation import Operation
from api.protocol.thread_log import frames_of, own_or_new
from api.runs.engine import ANSWERED
from api.runs.intake import checkpoint_of
from api.runs.wire import is_list, is_object
from api.schemas.runs import Command, CommandDone, CommandFailed, EventFilter
from api.streaming import EventStream
from store.errors import Conflict, Invalid, StoreError, Unavailable
from store.threads import Thread


class CommandRefused(Exception):
    """A command that cannot be carried out; the client gets the code and the text in a 200."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


async def commands(request: Request) -> Response:
    """Carry out one command."""
    engine, caller = await arrive(request)
    thread_id = thread_of(request)
    body = await body_of(request)
    number, method = body.get("id"), body.get("method")
    params: object = body.get("params") or {}
    if not isinstance(number, int) or not isinstance(method, str) or not is_object(params):
        raise Problem(400, "malformed_command", "A command is an object with a whole-number id, a method and params.")
    thread = await own_or_new(engine, caller, thread_id)
    try:
        run = _body_of_run(thread, method, params)
        started = await engine.start_run(caller, run, thread_id, protocol=2, request_id=request_id_of(request.scope))
    except CommandRefused as refused:
        return json_response({"type": "error", "id": number, "error": refused.code, "message": str(refused)})
    except Unavailable:
        raise
    except Conflict as error:
        code = "no_such_interrupt" if str(error) == ANSWERED else "invalid_argument"
        return json_response({"type": "error", "id": number, "error": code, "message": str(error)})
    except StoreError as error:
        return json_response({"type": "error", "id": number, "error": "invalid_argument", "message": str(error)})
    result = {"run_id": started.run.run_id} if method == "run.start" else {}
    reply = {"type": "success", "id": number, "result": result, "meta": {"applied_through_seq": started.after}}
    return json_response(reply)


def _body_of_run(thread: Thread | None, method: str, params: dict[str, Any]) -> dict[str, Any]:
    if method == "run.start":
        return _start_body(thread, params)
    if method == "input.respond":
        return _respond_body(thread, params)
    if method.startswith(("subscription.", "agent.", "state.", "input.")):
        raise CommandRefused("not_supported", f"'{method}' is not offered over HTTP; use the REST routes.")
    raise CommandRefused("unknown_command", f"Unknown command '{method}'.")


def _start_body(thread: Thread | None, params: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a run. On a thread that waits for an answer, an input is that answer."""
    body: dict[str, Any] = {
        "assistant_id": params.get("assistant_id"),
        "input": params.get("input"),
        "config": params.get("config"),
        "metadata": params.get("metadata"),
        "multitask_strategy": params.get("multitaskStrategy") or params.get("multitask_strategy"),
        "if_not_exists": "create",
    }
    forks = "checkpoint_id" in (checkpoint_of(body) or {})
    if thread is not None and thread.interrupts and body["input"] is not None and not forks:
        body["command"] = {"resume": body.pop("input")}
    return body


def _respond_body(thread: Thread | None, params: dict[str, Any]) -> dict[str, Any]:
    answers: object = params.get("responses") or [params]
    if not is_list(answers):
        raise Invalid("'responses' must be a list.")
    resume: dict[str, Any] = {}
    for answer in answers:
        if not is_object(answer) or not answer.get("interrupt_id"):
            raise Invalid("An answer needs the interrupt_id of its question.")
        resume[str(answer["interrupt_id"])] = answer.get("response")
    asked = {} if thread is None else thread.interrupts
    open_ids = {item["id"] for items in asked.values() for item in items}
    for interrupt_id in resume:
        if interrupt_id not in open_ids:
            text = f"Unknown or already answered question: {interrupt_id}"
            raise CommandRefused("no_such_interrupt", text)
    return {
        "assistant_id": None if thread is None else thread.graph_id,
        "command": {"resume": resume, "update": params.get("update"), "goto": params.get("goto")},
        "config": params.get("config"),
        "metadata": params.get("metadata"),
    }


async def events(request: Request) -> ASGIApp:
    """Stream what a thread says, from its beginning or from where the client was. A new thread's stream just waits."""
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
        also=(409,),
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
