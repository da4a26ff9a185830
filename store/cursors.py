"""Durable cursors: how far each sink has come, moved by fenced updates only."""

from dataclasses import dataclass
from typing import LiteralString

from psycopg import AsyncConnection

from store.errors import StoreError
from store.event_rows import SEQUENCED as COLUMNS
from store.event_rows import SequencedEvent
from store.rows import made
from store.wakeups import COMMITTED, SEQUENCED


class Fenced(StoreError):
    """Another process moved this cursor. This one steps back and reads again where the sink stands."""


class MissingPositions(StoreError):
    """The log has a hole: rows of `event_log` or `events` are gone. Delivery holds; `goals events verify` names it."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where one sink stands."""

    name: str
    position: int
    pending_end: int | None
    waiting: int
    age: float
    """For how many seconds the next event has waited, by PostgreSQL's clock alone: ours may be another."""
    flush: bool
    retry_position: int | None


async def register(connection: AsyncConnection, name: str) -> None:
    """Make the sink known; a new one starts at the oldest event that is still kept."""
    await connection.execute(
        """
        INSERT INTO sinks (name, position) SELECT %s, pruned_to FROM event_head
        ON CONFLICT (name) DO NOTHING
        """,
        [name],
    )


async def read(connection: AsyncConnection, name: str) -> Cursor:
    """Return where the sink stands now."""
    async with connection.cursor(row_factory=made(Cursor)) as cursor:
        await cursor.execute(
            """
            SELECT s.name, s.position, s.pending_end, h.next_position - 1 - s.position AS waiting,
                   (SELECT coalesce(extract(epoch FROM clock_timestamp() - max(l.sequenced_at)), 0)::float8
                    FROM event_log AS l WHERE l.position = s.position + 1) AS age,
                   s.flush_to > s.position AS flush,
                   (SELECT min(p.position) FROM sink_parked AS p WHERE p.sink = s.name AND p.retry) AS retry_position
            FROM sinks AS s, event_head AS h WHERE s.name = %s
            """,
            [name],
        )
        row = await cursor.fetchone()
    if row is None:
        raise StoreError(f"The sink {name!r} is not registered.")
    return row


async def request_flush(connection: AsyncConnection, name: str) -> None:
    """Ask the sink's relay, in whatever process, to deliver everything committed by now without waiting for more."""
    await connection.execute("SELECT pg_notify(%s, ''), pg_notify(%s, '')", [COMMITTED, SEQUENCED])
    await connection.execute(
        """
        UPDATE sinks SET flush_to = h.next_position - 1 + (
            SELECT count(*) FROM events AS e
            WHERE e.seq > coalesce((SELECT max(l.seq) FROM event_log AS l), 0))
        FROM event_head AS h WHERE name = %s
        """,
        [name],
    )


async def flushed(connection: AsyncConnection, name: str) -> bool:
    """Tell whether the sink has delivered what was asked for."""
    cursor = await connection.execute("SELECT position >= flush_to FROM sinks WHERE name = %s", [name])
    row = await cursor.fetchone()
    return bool(row and row[0])


async def fetch(connection: AsyncConnection, at: Cursor, *, most: int, most_bytes: int) -> list[SequencedEvent]:
    """Return the next events in order; exactly the fixed batch when there is one."""
    last = at.pending_end or at.position + most
    query: LiteralString = (
        "SELECT "
        + COLUMNS
        + """
        FROM (
            SELECT log.*, sum(pg_column_size(ev.payload)) OVER (ORDER BY log.position) AS running
            FROM event_log AS log JOIN events AS ev USING (seq)
            WHERE log.position > %(after)s AND log.position <= %(last)s
        ) AS l JOIN events AS e USING (seq)
        WHERE l.running <= %(bytes)s OR l.position = %(after)s + 1 OR %(fixed)s
        ORDER BY l.position
        """
    )
    async with connection.cursor(row_factory=made(SequencedEvent)) as cursor:
        await cursor.execute(
            query,
            {"after": at.position, "last": last, "bytes": most_bytes, "fixed": at.pending_end is not None},
            prepare=False,
        )
        events = await cursor.fetchall()
    expected = range(at.position + 1, at.position + 1 + len(events))
    if not events or [event.position for event in events] != list(expected):
        raise MissingPositions(f"Position {at.position + 1} and on cannot be read whole for the sink {at.name}.")
    return events


async def fetch_one(connection: AsyncConnection, position: int) -> list[SequencedEvent]:
    """Return the event at `position` in a list, empty when it was pruned."""
    query: LiteralString = (
        "SELECT " + COLUMNS + " FROM event_log AS l JOIN events AS e USING (seq) WHERE l.position = %s"
    )
    async with connection.cursor(row_factory=made(SequencedEvent)) as cursor:
        await cursor.execute(query, [position])
        return await cursor.fetchall()


async def fix_border(connection: AsyncConnection, at: Cursor, end: int) -> None:
    """Decide durably where the next batch ends; raises `Fenced` when somebody else did."""
    done = await connection.execute(
        """
        UPDATE sinks SET pending_end = %s, updated_at = clock_timestamp()
        WHERE name = %s AND position = %s AND pending_end IS NULL
        """,
        [end, at.name, at.position],
    )
    _must_hit(done.rowcount, at)


async def advance(connection: AsyncConnection, at: Cursor, to: int) -> None:
    """Move the cursor from where it was read; raises `Fenced` when it is no longer there."""
    done = await connection.execute(
        """
        UPDATE sinks SET position = %(to)s, pending_end = NULL, updated_at = clock_timestamp(),
               failures = 0, last_error = NULL
        WHERE name = %(name)s AND position = %(old)s
        """,
        {"to": to, "name": at.name, "old": at.position},
    )
    _must_hit(done.rowcount, at)


async def park(connection: AsyncConnection, at: Cursor, position: int, error: str) -> None:
    """Set one event aside with its error and move the cursor past it, in one commit."""
    async with connection.transaction():
        await connection.execute(
            """
            INSERT INTO sink_parked (sink, position, attempts, error) VALUES (%s, %s, 1, %s)
            ON CONFLICT (sink, position) DO UPDATE
            SET attempts = sink_parked.attempts + 1, error = EXCLUDED.error, parked_at = clock_timestamp()
            """,
            [at.name, position, error[:2000]],
        )
        await advance(connection, at, position)


async def park_again(connection: AsyncConnection, name: str, position: int, error: str) -> None:
    """Note that a second delivery failed too."""
    await connection.execute(
        """
        UPDATE sink_parked SET retry = false, attempts = attempts + 1, error = %s, parked_at = clock_timestamp()
        WHERE sink = %s AND position = %s
        """,
        [error[:2000], name, position],
    )


async def release(connection: AsyncConnection, name: str, position: int) -> None:
    """Forget a parked event that has been delivered after all."""
    await connection.execute("DELETE FROM sink_parked WHERE sink = %s AND position = %s", [name, position])


async def report(connection: AsyncConnection, name: str, failures: int, error: str) -> None:
    """Leave the reason of a failing delivery where every process and `/health` can read it."""
    await connection.execute(
        "UPDATE sinks SET failures = %s, last_error = %s, failed_at = clock_timestamp() WHERE name = %s",
        [failures, error[:2000], name],
    )


def _must_hit(rows: int, at: Cursor) -> None:
    if rows != 1:
        raise Fenced(f"The cursor of {at.name} is no longer at {at.position}.")
