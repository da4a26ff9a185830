"""What the second protocol can be told to do, over HTTP and WebSocket alike."""

from typing import Any

from api.errors import Problem
from api.protocol.thread_log import own_or_new
from api.protocol.tree import tree_of
from api.runs.engine import ANSWERED, Engine
from api.runs.intake import checkpoint_of
from api.runs.wire import is_list, is_object
from store.errors import Conflict, Invalid, StoreError, TooMany, Unavailable
from store.principal import Principal
from store.threads import Thread

Reply = dict[str, Any]


class CommandRefused(Exception):
    """A command that cannot be carried out; the client gets the code and the text in its reply."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def parts_of(command: dict[str, Any]) -> tuple[int, str, dict[str, Any]]:
    """Return a command's number, method and parameters; raises Problem 400 for anything else than a command."""
    number, method = command.get("id"), command.get("method")
    params: object = command.get("params") or {}
    if not isinstance(number, int) or not isinstance(method, str) or not is_object(params):
        raise Problem(400, "malformed_command", "A command is an object with a whole-number id, a method and params.")
    return number, method, params


def done(number: int, result: dict[str, Any], **meta: object) -> Reply:
    """Reply that a command was carried out."""
    return {"type": "success", "id": number, "result": result, "meta": meta}


def failed(number: int | None, code: str, message: str) -> Reply:
    """Reply that it was not."""
    return {"type": "error", "id": number, "error": code, "message": message}


async def carry_out(
    engine: Engine, caller: Principal, thread_id: str, command: dict[str, Any], request_id: str | None
) -> Reply:
    """Carry out one command and return the reply.

    Raises Problem 400 for what is no command, NotFound for somebody else's thread, TooMany, Unavailable.
    """
    number, method, params = parts_of(command)
    thread = await own_or_new(engine, caller, thread_id)
    try:
        if method == "agent.getTree":
            return done(number, {"tree": await tree_of(engine, caller, thread_id, params.get("run_id"))})
        run = _body_of_run(thread, method, params)
        started = await engine.start_run(caller, run, thread_id, protocol=2, request_id=request_id)
    except CommandRefused as refused:
        return failed(number, refused.code, str(refused))
    except (TooMany, Unavailable):
        raise
    except Conflict as error:
        return failed(number, "no_such_interrupt" if str(error) == ANSWERED else "invalid_argument", str(error))
    except StoreError as error:
        return failed(number, "no_such_run" if method == "agent.getTree" else "invalid_argument", str(error))
    result = {"run_id": started.run.run_id} if method == "run.start" else {}
    return done(number, result, applied_through_seq=started.after)


def _body_of_run(thread: Thread | None, method: str, params: dict[str, Any]) -> dict[str, Any]:
    if method == "run.start":
        return _start_body(thread, params)
    if method == "input.respond":
        return _respond_body(thread, params)
    if method.startswith("subscription."):
        raise CommandRefused("not_supported", f"'{method}' belongs to a WebSocket; here each stream is a subscription.")
    if method.startswith(("state.", "input.")):
        raise CommandRefused("not_supported", f"'{method}' is not offered; use the REST routes.")
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
