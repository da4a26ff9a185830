"""Erases a person's content from every place, so that what others did can still be replayed.

Rows go, through the usual deletions and their events. Events stay as shells: that something happened, when, in which
order, but not what it said. The same shells replace the events in Parquet and in the log queue of RabbitMQ.
"""

import asyncio
import contextlib
import dataclasses
from dataclasses import dataclass
from typing import Final, LiteralString
from uuid import UUID

import aio_pika
import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from store import courses, cursors, entity_snapshots, goals, users
from store.broker import Broker, declare
from store.database import Database, Transaction
from store.errors import Conflict, Unavailable
from store.event_rows import CONTENT_DIGEST, SequencedEvent, content_digest
from store.event_types import EventType
from store.events import envelope, recording
from store.faults import fault
from store.goals import GoalFilter
from store.lake import Lake
from store.messages import EXCHANGE
from store.principal import SERVICE, Principal
from store.repair import rewind
from store.types import Role

SHELL: Final = '{"erased": true, "changes": {}}'
DELETED_SHELL: Final = '{"erased": true, "changes": {}, "deleted": true}'
"""Exactly as PostgreSQL prints these values, so that the copies stay equal to the byte."""
CATCH_UP_SECONDS: Final = 60.0
EMPTIED_OTHERWISE: Final = {
    "events": "hollowed: that something happened stays",
    "entity_snapshots": "hollowed with the events they add up",
    "users": "deleted last, with an event",
    "goals": "deleted one by one, with an event each",
    "tasks": "deleted with their goals",
    "code_snapshots": "deleted with their tasks",
    "enrollments": "left, with an event; an owner stays in the courses that stay",
}
"""Tables with a `user_id` that the sweep over all tables passes by, and why."""


@dataclass(slots=True)
class Erased:
    """What an erasure did."""

    user_id: str
    rows: int = 0
    events: int = 0
    files: int = 0
    log_queue: bool | None = None
    """True when the log queue was made anew, None when no broker is configured."""


async def erase_user(
    database: Database, lake: Lake, user_id: str, *, rabbitmq_url: str | None = None, exchange: str = EXCHANGE
) -> Erased:
    """Erase everything `user_id` wrote; safe to repeat, and to be repeated after a crash until it returns.

    Courses they own stay, with their events and their documentation, for the sake of those enrolled. Needs a running
    event path, for what was read before the erasure but not yet written to the lake must have arrived there; raises
    `Unavailable` when it does not come.
    """
    result = Erased(user_id)
    await _delete_rows(database, user_id, result)
    async with database.transaction(SERVICE) as tx:
        result.events = await _hollow_events(tx, user_id)
    await _wait_for_lake(database, lake)
    await asyncio.to_thread(lake.folder.sweep)
    while rewritten := await _rewrite_files(database, lake, user_id):
        result.files += rewritten
    async with database.transaction(SERVICE) as tx:
        # Again: states of whoever read the events before they were empty, and stores what they added up to after.
        await entity_snapshots.wait_for_writers(tx)
        await _hollow_snapshots(tx, user_id)
    if rabbitmq_url is not None:
        await _renew_log_queue(rabbitmq_url, exchange)
        async with database.transaction(SERVICE) as tx:
            border: int = await tx.fetch_value("SELECT pruned_to FROM event_head") or 0
        with contextlib.suppress(Conflict):  # nothing was published yet
            await rewind(database, Broker.name, border)
        result.log_queue = True
    return result


async def _delete_rows(database: Database, user_id: str, result: Erased) -> None:
    person = Principal(user_id, Role.LEARNER)
    while True:
        async with database.transaction(person) as tx:
            page = await goals.list(tx, GoalFilter(limit=100))
            for goal in page.items:
                await goals.delete(tx, goal.id)
        result.rows += len(page.items)
        if not page.items:
            break
    async with database.transaction(person) as tx:
        for enrollment in await courses.enrollments(tx):
            if enrollment.user_id != enrollment.course_owner_id:
                await courses.leave(tx, enrollment.course_id)
                result.rows += 1
    async with database.transaction(SERVICE) as tx:
        result.rows += await _delete_everywhere_else(tx, user_id)
        event = envelope(tx, EventType.USER_ERASED, {}, deleted=True)
        if await tx.fetch_value(_DELETE_USER, event | {"id": user_id}):
            result.rows += 1
            await users.announce_closed(tx)


_DELETE_USER: LiteralString = (
    """
WITH changed AS (
    DELETE FROM users AS u WHERE u.id = %(id)s
    RETURNING u.id, u.version + 1 AS version,
              greatest(clock_timestamp(), u.updated_at + interval '1 microsecond') AS updated_at
)"""
    + recording("id")
    + "SELECT version FROM changed"
)


async def _delete_everywhere_else(tx: Transaction, user_id: str) -> int:
    """Delete from every table that has a `user_id`: a table added tomorrow is not forgotten."""
    cursor = await tx.connection.execute(
        """
        SELECT c.relname, EXISTS (
                   SELECT FROM pg_attribute AS t WHERE t.attrelid = c.oid AND t.attname = 'entity_type')
        FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND a.attname = 'user_id' AND NOT a.attisdropped AND NOT c.relname = ANY (%s)
        ORDER BY c.relname
        """,
        [list(EMPTIED_OTHERWISE)],
    )
    waiting: list[tuple[str, bool]] = await cursor.fetchall()
    deleted = 0
    while waiting:
        held: list[tuple[str, bool]] = []
        for table, about_entities in waiting:
            # What is stored about a course, such as its place in the search index, stays with the course.
            kept = sql.SQL("AND entity_type <> 'course'") if about_entities else sql.SQL("")
            try:
                async with tx.savepoint():
                    query = sql.SQL("DELETE FROM {} WHERE user_id = %s {}").format(sql.Identifier(table), kept)
                    deleted += (await tx.connection.execute(query, [user_id])).rowcount
            except psycopg.errors.ForeignKeyViolation:
                held.append((table, about_entities))  # something of another table still points here: that one first
        if held == waiting:
            names = ", ".join(table for table, _ in held)
            raise Conflict(f"Rows in {names} hold each other; delete them by hand first.")
        waiting = held
    return deleted


# An event is theirs when it is about them or what was theirs alone. Where the row stays, its events must add up to it.
_THEIRS: LiteralString = """
    e.user_id = %(user)s AND e.entity_type <> 'course'
    AND NOT (e.entity_type = 'enrollment' AND EXISTS (SELECT FROM enrollments AS r WHERE r.id::text = e.entity_id))
"""


async def _hollow_events(tx: Transaction, user_id: str) -> int:
    # No cut meanwhile: it would take the digest of a text that is about to go, and nobody would have noted it.
    # An update rather than a lock: a cut that looked before it must see that it has to look again.
    await tx.execute("UPDATE event_head SET one = one")
    await tx.execute("SET LOCAL app.event_maintenance = 'erase'")
    query: LiteralString = (
        "SELECT l.position, "
        + CONTENT_DIGEST
        + """
        FROM events AS e LEFT JOIN event_log AS l USING (seq)
        WHERE """
        + _THEIRS
        + """ AND e.payload->'erased' IS NULL ORDER BY e.seq FOR UPDATE OF e
        """
    )
    async with tx.connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(query, {"user": user_id})
        before: dict[int, bytes] = {row[0]: row[1] for row in await cursor.fetchall() if row[0] is not None}
    hollow: LiteralString = (
        """
        UPDATE events AS e SET payload = CASE WHEN payload ? 'deleted' THEN %(deleted)s ELSE %(shell)s END::jsonb
        WHERE """
        + _THEIRS
        + " AND e.payload->'erased' IS NULL"
    )
    count = await tx.execute(hollow, {"user": user_id, "deleted": DELETED_SHELL, "shell": SHELL})
    remaining: LiteralString = (
        "SELECT l.position, " + CONTENT_DIGEST + " FROM event_log AS l JOIN events AS e USING (seq)"
        " WHERE l.position = ANY (%s)"
    )
    async with tx.connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(remaining, [list(before)])
        after: dict[int, bytes] = dict(await cursor.fetchall())
    await _note(tx, [(position, original, after[position]) for position, original in before.items()])
    await _hollow_snapshots(tx, user_id)
    await tx.execute(
        """
        UPDATE sink_parked AS p SET error = 'erased' FROM event_log AS l JOIN events AS e USING (seq)
        WHERE l.position = p.position AND e.user_id = %s
        """,  # what a sink said of an event may quote it
        [user_id],
    )
    return count


async def _hollow_snapshots(tx: Transaction, user_id: str) -> None:
    query: LiteralString = "UPDATE entity_snapshots AS e SET state = '{}' WHERE " + _THEIRS
    await tx.execute(query, {"user": user_id})


async def _note(tx: Transaction, redactions: list[tuple[int, bytes, bytes]]) -> None:
    async with tx.connection.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO event_redactions (position, original, remaining) VALUES (%s, %s, %s)
            ON CONFLICT (position) DO UPDATE SET remaining = EXCLUDED.remaining
            """,
            redactions,
        )


async def _wait_for_lake(database: Database, lake: Lake) -> None:
    """Wait until everything cut before the erasure is in files, where the next step finds it."""
    async with database.transaction(SERVICE) as tx:
        await cursors.register(tx.connection, lake.name)
        await cursors.request_flush(tx.connection, lake.name)
    try:
        async with asyncio.timeout(CATCH_UP_SECONDS):
            while True:
                async with database.transaction(SERVICE) as tx:
                    if await cursors.flushed(tx.connection, lake.name):
                        return
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise Unavailable(
            "The lake does not take events, so some may still be on their way there. Start the service, see"
            " `goals events verify`, and repeat the erasure."
        ) from None


async def _rewrite_files(database: Database, lake: Lake, user_id: str) -> int:
    """Replace their events in every file: also in superseded ones that still lie there, and in those set aside."""
    async with database.transaction(SERVICE) as tx:
        kept = frozenset(str(each) for each in await _enrollments_kept(tx, user_id))
    rewritten = 0
    for file in [*await asyncio.to_thread(lake.folder.files), *await asyncio.to_thread(lake.folder.forked)]:
        theirs = [e for e in await asyncio.to_thread(lake.read_file, file, user_id=user_id) if _is_theirs(e, kept)]
        if not theirs:
            continue
        events = await asyncio.to_thread(lake.read_file, file)
        shells = [_shell(e) if e.user_id == user_id and _is_theirs(e, kept) else e for e in events]
        if not file.forked:  # positions set aside were given again, to other events
            pruned = [(e.position, content_digest(e), content_digest(_shell(e))) for e in theirs]
            async with database.transaction(SERVICE) as tx:
                await _note(tx, await _unknown(tx, pruned))
        await asyncio.to_thread(lake.replace, file, shells)
        fault("erase.lake_rewritten")
        rewritten += 1
    return rewritten


async def _enrollments_kept(tx: Transaction, user_id: str) -> list[UUID]:
    cursor = await tx.connection.execute("SELECT id FROM enrollments WHERE user_id = %s", [user_id])
    return [row[0] for row in await cursor.fetchall()]


async def _unknown(tx: Transaction, redactions: list[tuple[int, bytes, bytes]]) -> list[tuple[int, bytes, bytes]]:
    """Return those redactions that are not noted yet: their events were pruned from PostgreSQL before."""
    cursor = await tx.connection.execute(
        "SELECT position FROM event_redactions WHERE position = ANY (%s)", [[each[0] for each in redactions]]
    )
    known = {row[0] for row in await cursor.fetchall()}
    return [each for each in redactions if each[0] not in known]


def _is_theirs(event: SequencedEvent, kept: frozenset[str]) -> bool:
    """Twin of `_THEIRS`, for an event of the person's that may be a shell already."""
    stays = event.entity_type == "course" or (event.entity_type == "enrollment" and event.entity_id in kept)
    return not stays and not event.payload.get("erased")


def _shell(event: SequencedEvent) -> SequencedEvent:
    return dataclasses.replace(event, payload_json=DELETED_SHELL if "deleted" in event.payload else SHELL)


async def _renew_log_queue(url: str, exchange: str) -> None:
    """Delete the log queue with all it holds and make it anew; the relay then fills it with the shells."""
    connection = await aio_pika.connect(url, timeout=5)
    async with connection:
        channel = await connection.channel()
        await channel.queue_delete(f"{exchange}.log")
        await declare(channel, exchange)
