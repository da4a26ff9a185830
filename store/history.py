"""Reads the past: events one by one, the history of an entity, and its state at any version, time or position."""

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from store.client_events import NewClientEvent, post
from store.database import Transaction
from store.errors import NotFound
from store.event_rows import Event
from store.lake import Lake
from store.reading import Reader
from store.replay import Replayed, SystemState, replay, system_at
from store.timeline import first_kept_version, of_entity, visible_owner
from store.types import Page

__all__ = [
    "Event",
    "EventFilter",
    "NewClientEvent",
    "Replayed",
    "SystemState",
    "events_of",
    "get_event",
    "history",
    "post",
    "replay",
    "system_at",
]

_EVENT: LiteralString = """
    e.id, e.entity_type, e.entity_id, e.entity_version, e.type, e.schema_version, e.occurred_at, e.recorded_at,
    e.actor, e.user_id, e.thread_id, e.run_id, e.checkpoint_id, e.tool_call_id, e.correlation_id, e.causation_id,
    e.command_key, e.payload, e.metadata, l.position, l.sequenced_at
FROM events AS e LEFT JOIN event_log AS l USING (seq)
"""
_MATCHING: LiteralString = """
WHERE (%(owner)s::text IS NULL OR e.user_id = %(owner)s)
  AND (%(entity_type)s::text IS NULL OR e.entity_type = %(entity_type)s)
  AND (%(entity_id)s::text IS NULL OR e.entity_id = %(entity_id)s)
  AND (%(types)s::text[] IS NULL OR e.type = ANY (%(types)s))
  AND (%(user_id)s::text IS NULL OR e.user_id = %(user_id)s)
  AND (%(run_id)s::text IS NULL OR e.run_id = %(run_id)s)
  AND (%(correlation_id)s::uuid IS NULL OR e.correlation_id = %(correlation_id)s)
  AND (%(since)s::timestamptz IS NULL OR e.recorded_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR e.recorded_at < %(until)s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events to list, newest first. None means any."""

    entity_type: str | None = None
    entity_id: str | None = None
    types: tuple[str, ...] | None = None
    user_id: str | None = None
    run_id: str | None = None
    correlation_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


async def events_of(tx: Reader, wanted: EventFilter, skip: int = 0, limit: int = 50) -> Page[Event]:
    """List the caller's events that are still in PostgreSQL; older ones are reached through `history` and `replay`."""
    params = {
        "owner": visible_owner(tx.principal),
        "entity_type": wanted.entity_type,
        "entity_id": wanted.entity_id,
        "types": None if wanted.types is None else list(wanted.types),
        "user_id": wanted.user_id,
        "run_id": wanted.run_id,
        "correlation_id": wanted.correlation_id,
        "since": wanted.since,
        "until": wanted.until,
        "skip": skip,
        "limit": limit,
    }
    query: LiteralString = "SELECT " + _EVENT + _MATCHING + " ORDER BY e.seq DESC OFFSET %(skip)s LIMIT %(limit)s"
    items = await tx.fetch_all(query, params, row=Event)
    total: int = await tx.fetch_value("SELECT count(*) FROM events AS e " + _MATCHING, params)
    return Page(items, total)


async def get_event(tx: Reader, event_id: UUID) -> Event:
    """Return one event; raises `NotFound` when it is not there or not the caller's."""
    query: LiteralString = (
        "SELECT " + _EVENT + "WHERE e.id = %(id)s AND (%(owner)s::text IS NULL OR e.user_id = %(owner)s)"
    )
    found = await tx.fetch_one(query, {"id": event_id, "owner": visible_owner(tx.principal)}, row=Event)
    if found is None:
        raise NotFound("There is no such event for you.")
    return found


async def history(
    tx: Transaction, entity_type: str, entity_id: str, skip: int = 0, limit: int = 50, *, archive: Lake | None = None
) -> Page[Event]:
    """List what happened to an entity, oldest first, deleted entities included.

    Events already pruned from PostgreSQL come from `archive`. Raises `NotFound` when the caller may see none.
    """
    params = {"type": entity_type, "id": entity_id, "owner": visible_owner(tx.principal)}
    kept = await first_kept_version(tx, entity_type, entity_id)
    if kept.last == 0:
        raise NotFound("There is no such entity for you.")
    first, last = skip + 1, min(skip + limit, kept.last)
    items: list[Event] = []
    if first < kept.first:
        archived = await of_entity(tx, archive, entity_type, entity_id)
        items = [event.as_event() for event in archived if first <= event.entity_version <= min(last, kept.first - 1)]
    query: LiteralString = (
        "SELECT "
        + _EVENT
        + """
        WHERE e.entity_type = %(type)s AND e.entity_id = %(id)s AND e.entity_version BETWEEN %(first)s AND %(last)s
          AND (%(owner)s::text IS NULL OR e.user_id = %(owner)s)
        ORDER BY e.entity_version
        """
    )
    items += await tx.fetch_all(query, {**params, "first": first, "last": last}, row=Event)
    return Page(items, kept.last)
