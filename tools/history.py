"""History as verbs a model may call: what happened to a goal or task, and how it was at another time."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from langchain_core.tools import BaseTool

from store import history, provenance
from store.errors import NotFound
from store.event_types import JsonObject
from store.replay import replay
from store.types import EntityType
from tools.context import Effect, Runtime, verb
from tools.replies import ToolProblem, json_ready, reply

Tracked = Literal["goal", "task", "code_snapshot"]
_SHOWN = ("title", "status", "priority", "progress_percentage", "due_at", "estimated_minutes", "validation_status")


@verb(Effect.READ)
async def entity_history(entity: Tracked, entity_id: UUID, runtime: Runtime, limit: int = 20) -> JsonObject:
    """List what happened to one of the learner's goals, tasks or code snapshots, oldest first, deleted ones included.

    Each entry has the event's type, time, version and the main fields that changed. Use it for "when did I ...".
    """
    async with runtime.context.transaction() as tx:
        page = await history.history(tx, EntityType(entity).value, str(entity_id), skip=0, limit=max(1, min(limit, 50)))
    if any(event.user_id != runtime.context.principal.user_id for event in page.items):
        raise NotFound
    entries = [
        {"version": e.entity_version, "type": e.type, "at": e.recorded_at, "changes": _main(e.payload)}
        for e in page.items
    ]
    return reply(events=entries, total=page.total)


@verb(Effect.READ)
async def replay_entity(entity: Tracked, entity_id: UUID, at: datetime, runtime: Runtime) -> JsonObject:
    """Show how one of the learner's goals, tasks or code snapshots was at a past moment (ISO 8601 with time zone)."""
    if at.tzinfo is None:
        raise ToolProblem("The time has no zone.", "Give it as 2026-01-31T12:00:00Z.")
    async with runtime.context.transaction() as tx:
        page = await history.history(tx, EntityType(entity).value, str(entity_id), skip=0, limit=1)
        if any(event.user_id != runtime.context.principal.user_id for event in page.items):
            raise NotFound
        past = await replay(tx, EntityType(entity).value, str(entity_id), at=at)
    return reply(
        existed=past.state is not None, deleted=past.deleted, version=past.version, state=_main({"changes": past.state})
    )


@verb(Effect.READ)
async def entity_origin(entity: Tracked, entity_id: UUID, runtime: Runtime) -> JsonObject:
    """Say where one of the learner's goals, tasks or code snapshots came from. Use it for "who made this?".

    Each change tells its channel and, if an agent made it, the tool, run, thread and checkpoint of the call.
    """
    async with runtime.context.transaction() as tx:
        found = await provenance.of_entity(tx, EntityType(entity), str(entity_id))
    if not found:
        raise NotFound
    changes = [
        {"version": p.version, "type": p.event_type, "at": p.recorded_at, "channel": p.channel, "tool": p.tool,
         "run": p.run_id, "thread": p.thread_id, "checkpoint": p.checkpoint_id}
        for p in found[-20:]
    ]  # fmt: skip
    return reply(changes=changes, total=len(found))


def _main(payload: Mapping[str, Any]) -> JsonObject:
    changes: Mapping[str, object] = payload.get("changes") or {}
    return {name: json_ready(changes[name]) for name in _SHOWN if name in changes}


TOOLS: tuple[BaseTool, ...] = (entity_history, replay_entity, entity_origin)
