"""Prunes old events from PostgreSQL once they are safe in the lake; history and replay then read them from there."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from store.audit import file_events, leaves
from store.database import Database, Transaction
from store.entity_snapshots import store_snapshot
from store.errors import Conflict
from store.event_rows import SEQUENCED, SequencedEvent, content_digest
from store.faults import fault
from store.lake import Lake
from store.principal import SERVICE
from store.rows import made


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune did."""

    events: int
    pruned_to: int
    held_back_by: str | None
    """The sink that had not taken more yet, None when only the age decided."""


async def prune(
    database: Database, lake: Lake, *, before: datetime, ignoring: frozenset[str] = frozenset(), chunk: int = 10_000
) -> Pruned:
    """Remove events sequenced before a moment, never beyond any sink's cursor, nor what the lake cannot prove to hold.

    `ignoring` names sinks whose cursor does not count, because nobody will ever run them. Raises `Conflict` when the
    lake differs from PostgreSQL. Interrupted, it has pruned less, and can be run again.
    """
    start, end, held_back_by = await _range(database, before, ignoring)
    done = start
    while done < end:
        upto = min(done + chunk, end)
        async with database.transaction(SERVICE) as tx:
            await _prove(tx, lake, done, upto)
            await _keep_states(tx, lake, done, upto)
            await _delete(tx, done, upto)
            fault("prune.before_commit")
        done = upto
    return Pruned(done - start, done, held_back_by)


async def _range(database: Database, before: datetime, ignoring: frozenset[str]) -> tuple[int, int, str | None]:
    async with database.transaction(SERVICE) as tx:
        cursor = await tx.connection.execute(
            """
            SELECT h.pruned_to, coalesce(max(b.last_position), h.pruned_to)
            FROM event_head AS h LEFT JOIN event_batches AS b ON b.sequenced_at < %s
            GROUP BY h.pruned_to
            """,
            [before],
        )
        row = await cursor.fetchone()
        start, end = row or (0, 0)
        cursor = await tx.connection.execute(
            "SELECT name, position FROM sinks WHERE NOT name = ANY (%s) ORDER BY position LIMIT 1", [list(ignoring)]
        )
        slowest = await cursor.fetchone()
    if slowest and slowest[1] < end:
        return start, max(slowest[1], start), slowest[0]
    return start, max(end, start), None


async def _prove(tx: Transaction, lake: Lake, after: int, upto: int) -> None:
    wanted = dict(await leaves(tx, after, upto))

    def proven() -> set[int]:
        found: set[int] = set()
        for file in lake.files():
            if file.last > after and file.first <= upto:
                found |= {e.position for e in file_events(lake, file) if wanted.get(e.position) == content_digest(e)}
        return found

    missing = sorted(wanted.keys() - await asyncio.to_thread(proven))
    if missing:
        raise Conflict(f"The lake does not hold position {missing[0]}; run `goals events verify` before pruning.")


async def _keep_states(tx: Transaction, lake: Lake, after: int, upto: int) -> None:
    """Store the state of every entity at the border, so that only looks further back need the lake."""
    query: LiteralString = (
        "SELECT DISTINCT ON (e.entity_type, e.entity_id) "
        + SEQUENCED
        + """
        FROM event_log AS l JOIN events AS e USING (seq)
        WHERE l.position > %s AND l.position <= %s
        ORDER BY e.entity_type, e.entity_id, e.entity_version DESC
        """
    )
    async with tx.connection.cursor(row_factory=made(SequencedEvent)) as cursor:
        await cursor.execute(query, [after, upto])
        last_events = await cursor.fetchall()
    for event in last_events:
        await store_snapshot(tx, event, lake)


async def _delete(tx: Transaction, after: int, upto: int) -> None:
    await tx.execute("SET LOCAL app.event_maintenance = 'prune'")
    await tx.execute(
        """
        DELETE FROM events USING event_log AS l
        WHERE l.seq = events.seq AND l.position > %s AND l.position <= %s
        """,
        [after, upto],
    )
    await tx.execute("DELETE FROM event_log WHERE position > %s AND position <= %s", [after, upto])
    await tx.execute("UPDATE event_head SET pruned_to = %s", [upto])
