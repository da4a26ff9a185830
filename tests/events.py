"""Raw events for tests of the log: written without the store's mutators, inside transactions the test controls."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
from psycopg import AsyncConnection

from store.event_rows import SequencedEvent
from store.types import new_id

INSERT = """
INSERT INTO events (id, entity_type, entity_id, entity_version, type, schema_version, occurred_at, recorded_at,
                    actor, user_id, correlation_id, command_key, payload, metadata)
VALUES (%s, %s, %s, %s, %s, 1, clock_timestamp(), clock_timestamp(), %s, %s, %s, %s, %s, '{"channel": "test"}')
"""


def event_values(
    entity_id: str,
    version: int,
    *,
    entity_type: str = "goal",
    verb: str = "updated",
    user_id: str = "ada",
    changes: dict[str, object] | None = None,
    payload: dict[str, object] | None = None,
    command_key: str | None = None,
) -> list[object]:
    """Return the parameters of `INSERT`."""
    body = payload if payload is not None else {"changes": changes or {"title": f"version {version}"}}
    kind = f"{entity_type}.{verb}"
    text = json.dumps(body)
    return [new_id(), entity_type, entity_id, version, kind, user_id, user_id, uuid4(), command_key, text]


async def write(connection: AsyncConnection, entity_id: str, version: int, **more: object) -> UUID:
    """Insert one event and return its id."""
    values = event_values(entity_id, version, **more)  # pyright: ignore[reportArgumentType]
    await connection.execute(INSERT, values)
    identity = values[0]
    assert isinstance(identity, UUID)
    return identity


def write_many(url: str, entity_id: str, versions: range, **more: object) -> None:
    """Insert one committed event per version."""
    rows = [event_values(entity_id, version, **more) for version in versions]  # pyright: ignore[reportArgumentType]
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.executemany(INSERT, rows)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for `condition`, or fail after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is watched lives in the database or in another process
            await asyncio.sleep(0.01)


class MemorySink:
    """A sink that remembers what it was given, and fails when told to."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.events: list[SequencedEvent] = []
        self.calls = 0
        self.failures: list[Exception] = []

    @property
    def positions(self) -> list[int]:
        return [event.position for event in self.events]

    async def deliver(self, events: Sequence[SequencedEvent]) -> None:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        self.events.extend(events)


def sequenced(
    first: int, last: int, *, at: datetime | None = None, entity_id: str = "g", user_id: str = "ada"
) -> list[SequencedEvent]:
    """Return events as a relay would hand them to a sink."""
    moment = at or datetime(2026, 3, 4, 12, tzinfo=UTC)
    return [
        SequencedEvent(
            position=position,
            sequenced_at=moment + timedelta(milliseconds=position),
            id=new_id(),
            entity_type="goal",
            entity_id=entity_id,
            entity_version=position,
            type="goal.updated",
            schema_version=1,
            occurred_at=moment,
            recorded_at=moment + timedelta(milliseconds=position),
            actor=user_id,
            user_id=user_id,
            thread_id=None,
            run_id=None,
            checkpoint_id=None,
            tool_call_id=None,
            correlation_id=new_id(),
            causation_id=None,
            command_key=None,
            payload_json=json.dumps({"changes": {"title": f"version {position}"}}),
            metadata_json="{}",
        )
        for position in range(first, last + 1)
    ]
