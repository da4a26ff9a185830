"""Looks at a database from outside: every row before and after, and the events in all three places."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString, cast

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from evals.databases import Urls
from evals.labels import labelled
from evals.runs import EventSeen, RowChange, Sinks
from store import sequencer
from store.background import service_session
from store.event_rows import SequencedEvent, content_digest
from store.lake import Lake
from store.relay import BatchPolicy, Relay, Sink, SinkUnavailable
from store.wakeups import Bell

Rows = dict[tuple[str, str], dict[str, Any]]

_TABLES: dict[str, LiteralString] = {
    "users": "SELECT id, id AS owner, to_jsonb(r) AS row FROM users AS r",
    "courses": "SELECT id, owner_id AS owner, to_jsonb(r) AS row FROM courses AS r",
    "enrollments": "SELECT id::text, user_id AS owner, to_jsonb(r) AS row FROM enrollments AS r",
    "goals": "SELECT id::text, user_id AS owner, to_jsonb(r) AS row FROM goals AS r",
    "tasks": "SELECT id::text, user_id AS owner, to_jsonb(r) AS row FROM tasks AS r",
    "code_snapshots": "SELECT id::text, user_id AS owner, to_jsonb(r) AS row FROM code_snapshots AS r",
    "skill_mastery": "SELECT user_id || '/' || skill AS id, user_id AS owner, to_jsonb(r) AS row"
    " FROM skill_mastery AS r",
    "mastery_evidence": "SELECT user_id || '/' || skill || '/' || snapshot_id AS id, user_id AS owner,"
    " to_jsonb(r) AS row FROM mastery_evidence AS r",
    "hint_grants": "SELECT user_id || '/' || snapshot_id || '/' || level AS id, user_id AS owner,"
    " to_jsonb(r) AS row FROM hint_grants AS r",
    "suggestion_feedback": "SELECT id::text, user_id AS owner, to_jsonb(r) AS row FROM suggestion_feedback AS r",
}

_EVENTS: LiteralString = """
SELECT e.id::text, e.type, e.entity_id, e.entity_version AS version, e.user_id AS owner, e.tool_call_id, l.position
FROM events AS e LEFT JOIN event_log AS l USING (seq) WHERE e.seq > %s ORDER BY e.seq
"""

_EFFECTS: LiteralString = """
SELECT tool, status, ai_message_id, call_index, tool_call_id, result FROM tool_ledger ORDER BY created_at, call_index
"""


async def all_rows(urls: Urls) -> Rows:
    """Return every row of every table a run could change, as its owner in PostgreSQL sees it: past all policies."""
    rows: Rows = {}
    for table, query in _TABLES.items():
        for found in await _fetch(urls, query):
            rows[(table, found["id"])] = {**found["row"], "table": table, "owner": found["owner"]}
    return rows


def changes(before: Rows, after: Rows, labels: dict[str, str]) -> tuple[RowChange, ...]:
    """Return what is different, with ids of seeded rows written as labels."""
    found: list[RowChange] = []
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        found.append(
            RowChange(
                table=key[0],
                op="insert" if old is None else "delete" if new is None else "update",
                id=key[1],
                owner=str((new or old or {})["owner"]),
                label=labels.get(key[1]),
                before=_shown(old, labels),
                after=_shown(new, labels),
            )
        )
    return tuple(found)


def _shown(row: dict[str, Any] | None, labels: dict[str, str]) -> dict[str, Any]:
    own = {name: value for name, value in (row or {}).items() if name not in ("table", "owner")}
    return cast("dict[str, Any]", labelled(own, labels))


@dataclass(slots=True)
class Memory:
    """A broker in this process: it keeps what it was given, and can be away for a while."""

    name: str = "broker"
    away: int = 0
    events: list[SequencedEvent] = field(default_factory=list[SequencedEvent])

    async def deliver(self, events: Sequence[SequencedEvent]) -> None:
        if self.away:
            self.away -= 1
            raise SinkUnavailable("The broker is away.")
        self.events.extend(events)


@dataclass(slots=True)
class Places:
    """The three places of one run: the database, its own lake, and a broker."""

    urls: Urls
    folder: Path
    broker: Memory = field(default_factory=Memory)
    start: int = 0

    async def begin(self) -> None:
        """Bring the cursors past everything that was seeded, and remember where the run begins."""
        await drain(self.urls, [Memory("lake"), Memory("broker")])
        (row,) = await _fetch(self.urls, "SELECT coalesce(max(seq), 0) AS seq FROM events")
        self.start = row["seq"]

    async def end(self) -> tuple[tuple[EventSeen, ...], Sinks]:
        """Drain the log into lake and broker through the real relays, and read all three places back."""
        lake = Lake(str(self.folder))
        await drain(self.urls, [lake, self.broker])
        while self.broker.away:
            await drain(self.urls, [self.broker])
        await drain(self.urls, [self.broker])
        found = await _fetch(self.urls, _EVENTS, [self.start])
        digests = {str(event.id): content_digest(event).hex()[:16] for event in self.broker.events}
        log = tuple(EventSeen.model_validate({**row, "digest": digests.get(row["id"], "")}) for row in found)
        return log, Sinks(
            lake=tuple(_seen(event) for batch in lake.read() for event in batch),
            broker=tuple(_seen(event) for event in self.broker.events),
        )


async def drain(urls: Urls, sinks: Sequence[Sink]) -> None:
    """Number every committed event and deliver it to each sink, with the sequencer and relays that serve in earnest."""
    async with service_session(urls.login) as connection:
        while await sequencer.cut(connection) is not None:
            pass
    for sink in sinks:
        relay = Relay(urls.login, sink, Bell(), policy=_policy(sink))
        relay.stop()
        await relay.run()


def _policy(sink: Sink) -> BatchPolicy:
    return BatchPolicy(fixed_borders=True, parks=False) if isinstance(sink, Lake) else BatchPolicy(parks=False)


async def effects(urls: Urls) -> list[dict[str, Any]]:
    """Return the ledger: every effect a run has had, by tool call or by node."""
    return await _fetch(urls, _EFFECTS)


async def _fetch(urls: Urls, query: LiteralString, params: Sequence[object] = ()) -> list[dict[str, Any]]:
    async with (
        await AsyncConnection.connect(urls.owner) as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        await cursor.execute(query, params)
        return await cursor.fetchall()


def _seen(event: SequencedEvent) -> EventSeen:
    return EventSeen(
        id=str(event.id),
        type=event.type,
        entity_id=event.entity_id,
        version=event.entity_version,
        owner=event.user_id,
        position=event.position,
        digest=content_digest(event).hex()[:16],
        tool_call_id=event.tool_call_id,
    )
