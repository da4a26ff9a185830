"""What a client may ask of a run: a strict allow-list, everything else in its body is dropped."""

from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

import orjson
from langgraph.types import Command, Send

from api.runs.produce import STREAM_MODES
from api.runs.wire import is_list, is_object
from graphs.context import LearnerContext
from store.errors import Invalid
from store.principal import Principal
from store.runs import NewRun
from store.search_rank import is_spanish
from store.spans import traceparent
from store.types import new_id

Body = Mapping[str, Any]

_STRATEGIES = ("enqueue", "reject", "interrupt", "rollback")
_MAX_RECURSION = 200


def uuid_text(value: object, what: str) -> str:
    """Return the canonical text of a UUID; raises Invalid as LangGraph's server words it."""
    try:
        return str(UUID(str(value)))
    except ValueError:
        raise Invalid(f"Invalid {what} ID: must be a UUID") from None


def many(value: object) -> list[str]:
    """Return a list however it was sent: a list, a single name, a JSON array as text, or names with commas."""
    if value is None:
        return []
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            try:
                return many(orjson.loads(text))
            except orjson.JSONDecodeError:
                raise Invalid(f"Not a JSON array: {text[:80]}") from None
        return [part.strip() for part in text.split(",") if part.strip()]
    if isinstance(value, Sequence):
        return [item for part in cast("Sequence[object]", value) for item in many(part)]
    raise Invalid("Expected a list of names.")


def modes_of(value: object, *, default: tuple[str, ...] = ("values",)) -> list[str]:
    """Return the stream modes asked for; raises Invalid for one that does not exist on this protocol."""
    modes = list(dict.fromkeys(many(value))) or list(default)
    for mode in modes:
        if mode not in STREAM_MODES:
            raise Invalid(f"Invalid stream mode {mode!r}. Choose from: {', '.join(sorted(STREAM_MODES))}.")
    return modes


def object_in(body: Body, key: str) -> dict[str, Any]:
    """Return a member that is an object, an empty one when it is left out; raises Invalid."""
    value: object = body.get(key)
    if value is None:
        return {}
    if not is_object(value):
        raise Invalid(f"'{key}' must be an object.")
    return value


def list_in(body: Body, key: str) -> list[object] | None:
    """Return a member that is a list, None when it is left out; raises Invalid."""
    value: object = body.get(key)
    if value is not None and not is_list(value):
        raise Invalid(f"'{key}' must be a list.")
    return value


def _choice(body: Body, key: str, choices: Sequence[str], default: str) -> str:
    value: object = body.get(key)
    if value is None:
        return default
    if value not in choices:
        raise Invalid(f"'{key}' must be one of: {', '.join(choices)}.")
    return str(value)


def _nodes(value: object) -> str | list[str] | None:
    if value is None or value == "*":
        return cast("str | None", value)
    return many(value) or None


def place_in(body: Body) -> dict[str, Any]:
    """Return those members that say where in a thread's history something is; raises Invalid for odd ones."""
    place = {key: body[key] for key in ("checkpoint_id", "checkpoint_ns") if body.get(key) is not None}
    for key, value in place.items():
        if not isinstance(value, str):
            raise Invalid(f"'{key}' must be a string.")
    branches = object_in(body, "checkpoint_map")
    if not all(isinstance(checkpoint_id, str) for checkpoint_id in branches.values()):
        raise Invalid("'checkpoint_map' must give the id of a checkpoint for each namespace.")
    return {**place, "checkpoint_map": branches} if branches else place


def checkpoint_of(body: Body) -> dict[str, Any] | None:
    """Return the checkpoint a request names, in any of the places clients put it."""
    named = place_in(object_in(body, "checkpoint"))
    configurable = place_in(object_in(object_in(body, "config"), "configurable"))
    checkpoint_id = named.get("checkpoint_id") or place_in(body).get("checkpoint_id")
    checkpoint_id = checkpoint_id or configurable.get("checkpoint_id")
    space = named.get("checkpoint_ns") or configurable.get("checkpoint_ns") or ""
    if not checkpoint_id:
        return {"checkpoint_ns": space} if space else None
    return {"checkpoint_id": checkpoint_id, "checkpoint_ns": space}


def kwargs_of(body: Body, *, temporary: bool) -> dict[str, Any]:
    """Return what the run needs to be executed by any worker, checked; raises Invalid."""
    if (command := body.get("command")) is not None:
        command_of(command)
    config = object_in(body, "config")
    limit: object = config.get("recursion_limit")
    if limit is not None and (not isinstance(limit, int) or not 1 <= limit <= _MAX_RECURSION):
        raise Invalid(f"'recursion_limit' must be a whole number between 1 and {_MAX_RECURSION}.")
    tags: object = config.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in cast("list[object]", tags)):
        raise Invalid("'tags' must be a list of strings.")
    context = {**object_in(config, "configurable"), **object_in(body, "context")}
    return {
        "input": body.get("input"),
        "command": command,
        "config": {"recursion_limit": limit, "tags": cast("list[str]", tags)[:20]},
        "context": {key: context[key] for key in ("course_id", "locale") if isinstance(context.get(key), str)},
        "checkpoint": checkpoint_of(body),
        "stream_mode": modes_of(body.get("stream_mode")),
        "stream_subgraphs": bool(body.get("stream_subgraphs")),
        "stream_resumable": bool(body.get("stream_resumable")),
        "interrupt_before": _nodes(body.get("interrupt_before")),
        "interrupt_after": _nodes(body.get("interrupt_after")),
        "on_disconnect": _choice(body, "on_disconnect", ("continue", "cancel"), "continue"),
        "temporary": temporary and _choice(body, "on_completion", ("delete", "keep"), "delete") == "delete",
    }


def new_run(body: Body, thread_id: str, assistant_id: str, graph_id: str, kwargs: dict[str, Any]) -> NewRun:
    """Return the run a body asks for."""
    delay: object = body.get("after_seconds") or 0
    if not isinstance(delay, int | float) or not 0 <= delay <= 30 * 86400:
        raise Invalid("'after_seconds' must be between 0 and 30 days.")
    metadata = {**object_in(object_in(body, "config"), "metadata"), **object_in(body, "metadata")}
    return NewRun(
        run_id=str(new_id()),
        thread_id=thread_id,
        assistant_id=assistant_id,
        graph_id=graph_id,
        # Whoever executes it goes on with the trace of this request.
        kwargs={**kwargs, "traceparent": parent} if (parent := traceparent()) else kwargs,
        metadata=metadata,
        multitask_strategy=_choice(body, "multitask_strategy", _STRATEGIES, "enqueue"),
        delay_seconds=float(delay),
    )


def command_of(value: object) -> Command[Any]:
    """Return the LangGraph command a body describes; raises Invalid."""
    if not isinstance(value, dict):
        raise Invalid("'command' must be an object with resume, update or goto.")
    command = cast("dict[str, Any]", value)
    update: object = command.get("update")
    if isinstance(update, list):
        pairs = cast("list[object]", update)
        if not all(isinstance(pair, list) and len(cast("list[object]", pair)) == 2 for pair in pairs):
            raise Invalid("'update' as a list must hold [key, value] pairs.")
        update = [tuple(cast("list[Any]", pair)) for pair in pairs]
    elif update is not None and not is_object(update):
        raise Invalid("'update' must be an object or a list of pairs.")
    goto: object = command.get("goto") or []
    targets = cast("list[object]", goto) if isinstance(goto, list) else [goto]
    return Command(resume=command.get("resume"), update=update, goto=[_target(target) for target in targets])


def _target(value: object) -> str | Send:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        send = cast("dict[str, Any]", value)
        if isinstance(send.get("node"), str):
            return Send(send["node"], send.get("input", send.get("args")))
    raise Invalid("'goto' must name a node, or hold objects with node and input.")


def context_of(principal: Principal, kwargs: Body) -> LearnerContext:
    """Return the graph's context: who from the token's identity, the rest from the client's wishes."""
    wishes = cast("dict[str, str]", kwargs.get("context") or {})
    return LearnerContext(
        user_id=principal.user_id,
        role=principal.role.value,
        courses=principal.courses,
        course_id=(wishes.get("course_id") or "")[:200] or None,
        locale=(wishes.get("locale") or _language(kwargs.get("input")))[:35],
    )


def _language(given: object) -> str:
    """The language a learner speaks in, for a client that names none."""
    fields: Body = cast("Body", given) if is_object(given) else {}
    last: object = fields.get("messages")
    if isinstance(last, list):
        last = cast("list[object]", last)[-1] if last else ""
    words = fields.get("objective") or (cast("Body", last).get("content") if is_object(last) else last)
    return "es" if is_spanish(str(words).partition("```")[0]) else "en"
