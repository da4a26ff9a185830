"""What clients report themselves: sessions, viewed hints, test runs, notes, each on a stream of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from psycopg.types.json import Jsonb

from store.database import Transaction
from store.errors import Conflict, Invalid
from store.event_rows import Event
from store.event_types import POSTABLE, EventType, JsonObject, check_payload, check_text, spec_of
from store.types import new_id

TRIES = 3
MAX_ID = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClientEvent:
    """One report. Events of one `entity_id` form a stream with versions of its own."""

    type: EventType
    entity_id: str
    payload: Mapping[str, object]
    occurred_at: datetime | None = None
    """When it happened by the client's clock; None means now."""
    schema_version: int | None = None
    """Of the payload, for clients older than this service."""


@dataclass(frozen=True, slots=True)
class _Place:
    version: int
    recorded_at: datetime | None


async def post(tx: Transaction, new: NewClientEvent) -> Event:
    """Record what a client reports; the same command key again returns the event it made the first time.

    Raises `Invalid` for types only the store records, `PayloadRejected`, and `Conflict` when the stream's id is taken.
    """
    if new.type not in POSTABLE:
        allowed = ", ".join(sorted(POSTABLE))
        raise Invalid(f"{new.type} is recorded by the service itself. Clients report: {allowed}.")
    if not 1 <= len(new.entity_id) <= MAX_ID:
        raise Invalid(f"entity_id must have 1 to {MAX_ID} characters.")
    check_text(new.entity_id, "entity_id")
    payload = check_payload(new.type, new.payload, new.schema_version)
    earlier = await _earlier(tx)
    if earlier is not None:
        return earlier
    for _ in range(TRIES):
        event = _event(tx, new, payload, await _next_place(tx, new))
        try:
            async with tx.savepoint():
                await _insert(tx, event)
        except psycopg.errors.UniqueViolation:
            continue  # somebody wrote to the same stream in the same moment
        tx.events_recorded += 1
        return event
    raise Conflict(f"{new.type.entity} {new.entity_id!r} cannot be written to. Choose another entity_id.")


async def _earlier(tx: Transaction) -> Event | None:
    if tx.origin.command_key is None:
        return None
    return await tx.fetch_one(
        """
        SELECT e.id, e.entity_type, e.entity_id, e.entity_version, e.type, e.schema_version, e.occurred_at,
               e.recorded_at, e.actor, e.user_id, e.thread_id, e.run_id, e.checkpoint_id, e.tool_call_id,
               e.correlation_id, e.causation_id, e.command_key, e.payload, e.metadata, l.position, l.sequenced_at
        FROM events AS e LEFT JOIN event_log AS l USING (seq)
        WHERE e.command_key = %s AND e.user_id = %s
        """,
        [tx.origin.command_key, tx.principal.user_id],
        row=Event,
    )


async def _next_place(tx: Transaction, new: NewClientEvent) -> _Place:
    found = await tx.fetch_one(
        """
        SELECT greatest(max(version), 0) + 1 AS version, max(recorded_at) AS recorded_at FROM (
            SELECT entity_version AS version, recorded_at FROM events
            WHERE entity_type = %(type)s AND entity_id = %(id)s AND user_id = %(me)s
            UNION ALL
            SELECT version, recorded_at FROM entity_snapshots
            WHERE entity_type = %(type)s AND entity_id = %(id)s AND user_id = %(me)s
        ) AS known
        """,
        {"type": new.type.entity, "id": new.entity_id, "me": tx.principal.user_id},
        row=_Place,
    )
    return found or _Place(1, None)


def _event(tx: Transaction, new: NewClientEvent, payload: JsonObject, place: _Place) -> Event:
    now = tx.now()
    if place.recorded_at is not None:
        now = max(now, place.recorded_at + timedelta(microseconds=1))
    origin = tx.origin
    return Event(
        id=new_id(),
        entity_type=new.type.entity,
        entity_id=new.entity_id,
        entity_version=place.version,
        type=new.type,
        schema_version=new.schema_version or spec_of(new.type).schema_version,
        occurred_at=new.occurred_at or now,
        recorded_at=now,
        actor=tx.principal.user_id,
        user_id=tx.principal.user_id,
        thread_id=origin.thread_id,
        run_id=origin.run_id,
        checkpoint_id=origin.checkpoint_id,
        tool_call_id=origin.tool_call_id,
        correlation_id=origin.correlation_id,
        causation_id=origin.causation_id,
        command_key=origin.command_key,
        payload=payload,
        metadata={"channel": origin.channel, "role": tx.principal.role.value},
    )


async def _insert(tx: Transaction, event: Event) -> None:
    await tx.execute(
        """
        INSERT INTO events (
            id, entity_type, entity_id, entity_version, type, schema_version, occurred_at, recorded_at, actor, user_id,
            thread_id, run_id, checkpoint_id, tool_call_id, correlation_id, causation_id, command_key, payload,
            metadata)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [
            event.id,
            event.entity_type,
            event.entity_id,
            event.entity_version,
            event.type,
            event.schema_version,
            event.occurred_at,
            event.recorded_at,
            event.actor,
            event.user_id,
            event.thread_id,
            event.run_id,
            event.checkpoint_id,
            event.tool_call_id,
            event.correlation_id,
            event.causation_id,
            event.command_key,
            Jsonb(event.payload),
            Jsonb(event.metadata),
        ],
    )
