"""Proves that PostgreSQL, Parquet and RabbitMQ hold the same events, or names the first place where they do not."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import LiteralString

from psycopg.rows import tuple_row

from store import lag
from store.database import Transaction
from store.event_rows import CONTENT_DIGEST, SequencedEvent, chain, content_digest
from store.lake import DamagedFile, Lake
from store.lake_files import LakeFile
from store.lake_schema import footer_of

PAGE = 10_000


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be."""

    place: str
    position: int | None
    what: str


@dataclass(slots=True)
class Report:
    """What an audit looked at and what it found; sound when it found nothing."""

    positions: int = 0
    batches: int = 0
    files: int = 0
    messages: int | None = None
    """None when RabbitMQ was not looked at."""
    rows: int = 0
    differences: list[Difference] = field(default_factory=list[Difference])

    @property
    def sound(self) -> bool:
        return not self.differences

    def add(self, place: str, position: int | None, what: str) -> None:
        self.differences.append(Difference(place, position, what))


async def verify(tx: Transaction, lake: Lake | None) -> Report:
    """Compare the log with itself and with the lake; needs the background role. RabbitMQ: `store.broker_audit`."""
    report = Report()
    await _check_counts(tx, report)
    await _check_versions(tx, report)
    if lake is not None:
        await _check_files(tx, lake, report)
    await _check_chain(tx, lake, report)
    await _check_rows(tx, report)
    return report


async def leaves(tx: Transaction, after: int, upto: int) -> list[tuple[int, bytes]]:
    """Return (position, content digest) of the events PostgreSQL holds in `(after, upto]`."""
    query: LiteralString = (
        "SELECT l.position, "
        + CONTENT_DIGEST
        + """
        FROM event_log AS l JOIN events AS e USING (seq)
        WHERE l.position > %s AND l.position <= %s ORDER BY l.position
        """
    )
    async with tx.connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(query, [after, upto])
        return await cursor.fetchall()


def file_events(lake: Lake, file: LakeFile) -> list[SequencedEvent]:
    """Return the events of a file; raises `DamagedFile` unless it is exactly what its name and footer say."""
    lake.check_whole(file)
    events = lake.read_file(file)
    if [event.position for event in events] != list(range(file.first, file.last + 1)):
        raise DamagedFile(f"{file.path} does not hold positions {file.first} to {file.last}.")
    known = lake.footer(file) or {}
    if known != footer_of(events, file.epoch) | {"goals.format": known.get("goals.format", "")}:
        raise DamagedFile(f"{file.path} does not match the digest in its footer.")
    return events


async def _check_counts(tx: Transaction, report: Report) -> None:
    head = await lag.head(tx)
    report.positions = head.position
    cursor = await tx.connection.execute(
        """
        SELECT count(*), min(l.position), max(l.position), count(e.seq)
        FROM event_log AS l LEFT JOIN events AS e USING (seq)
        """
    )
    row = await cursor.fetchone()
    count, first, last, present = row or (0, None, None, 0)
    expected = head.position - head.pruned_to
    if count != expected or (count and (first, last) != (head.pruned_to + 1, head.position)):
        missing: int | None = await tx.fetch_value(
            """
            SELECT min(p) FROM generate_series(%s::bigint, %s::bigint) AS p
            WHERE NOT EXISTS (SELECT FROM event_log AS l WHERE l.position = p)
            """,
            [head.pruned_to + 1, head.position],
        )
        report.add("log", missing, f"event_log has {count} positions where {expected} belong")
    if present != count:
        gone: int | None = await tx.fetch_value(
            "SELECT min(l.position) FROM event_log AS l WHERE NOT EXISTS (SELECT FROM events AS e WHERE e.seq = l.seq)"
        )
        report.add("postgres", gone, f"{count - present} events with a position are gone from the events table")


async def _check_versions(tx: Transaction, report: Report) -> None:
    cursor = await tx.connection.execute(
        """
        SELECT entity_type, entity_id, entity_version, position FROM (
            SELECT e.entity_type, e.entity_id, e.entity_version, l.position,
                   lag(e.entity_version) OVER entity AS version_before, lag(l.position) OVER entity AS position_before,
                   lag(e.recorded_at) OVER entity AS time_before, e.recorded_at
            FROM events AS e JOIN event_log AS l USING (seq)
            WINDOW entity AS (PARTITION BY e.entity_type, e.entity_id ORDER BY e.entity_version)
        ) AS pairs
        WHERE version_before IS NOT NULL
          AND (entity_version <> version_before + 1 OR position <= position_before OR recorded_at <= time_before)
        ORDER BY position LIMIT 1
        """
    )
    row = await cursor.fetchone()
    if row:
        report.add("postgres", row[3], f"{row[0]} {row[1]} version {row[2]} does not follow the one before it")


async def _check_files(tx: Transaction, lake: Lake, report: Report) -> None:
    cursor = await tx.connection.execute("SELECT position, pending_end FROM sinks WHERE name = %s", [lake.name])
    row = await cursor.fetchone()
    delivered, pending = row or (0, None)
    border = (await lag.head(tx)).pruned_to
    expected = 1
    for file in await asyncio.to_thread(lake.files):
        report.files += 1
        if file.first != expected:
            report.add("lake", min(expected, file.first), f"{file.path} comes where position {expected} belongs")
            return
        if file.last > (pending or delivered):
            report.add("lake", delivered + 1, f"{file.path} goes beyond what was delivered ({delivered})")
            return
        expected = file.last + 1
        if not await _same_content(tx, lake, file, border, report):
            return
    if expected <= delivered:
        report.add("lake", expected, f"the file with position {expected} is missing")


async def _same_content(tx: Transaction, lake: Lake, file: LakeFile, border: int, report: Report) -> bool:
    try:
        events = await asyncio.to_thread(file_events, lake, file)
    except DamagedFile as error:
        report.add("lake", file.first, str(error))
        return False
    here = dict(await leaves(tx, max(file.first - 1, border), file.last))
    for event in events:
        if event.position > border and here.get(event.position) != content_digest(event):
            report.add("lake", event.position, f"{file.path} and PostgreSQL differ at position {event.position}")
            return False
    return True


async def _check_chain(tx: Transaction, lake: Lake | None, report: Report) -> None:
    border = (await lag.head(tx)).pruned_to
    if border and lake is None:
        report.add("lake", 1, "pruned history cannot be proven without the lake")
        return
    cursor = await tx.connection.execute("SELECT position, original, remaining FROM event_redactions")
    erased: dict[int, tuple[bytes, bytes]] = {row[0]: (row[1], row[2]) for row in await cursor.fetchall()}
    cursor = await tx.connection.execute(
        "SELECT first_position, last_position, digest FROM event_batches ORDER BY batch_no"
    )
    batches: list[tuple[int, int, bytes]] = await cursor.fetchall()
    stream = _all_leaves(tx, lake, border, report.positions)
    digest, waiting = b"", None
    for first, last, expected in batches:
        found: list[tuple[int, bytes]] = [] if waiting is None else [waiting]
        waiting = None
        async for position, content in stream:
            original, remaining = erased.get(position, (content, content))
            if content != remaining:
                report.add("log", position, "an erased event was changed afterwards")
                return
            if position > last:
                waiting = (position, original)
                break
            found.append((position, original))
            if position == last:
                break
        digest = chain(digest, found)
        report.batches += 1
        if digest != expected:
            report.add("log", first, f"the events {first} to {last} do not match the digest of their batch")
            return


async def _all_leaves(tx: Transaction, lake: Lake | None, border: int, upto: int) -> AsyncGenerator[tuple[int, bytes]]:
    if border and lake is not None:
        try:
            for events in lake.read(upto=border):
                for event in events:
                    yield event.position, content_digest(event)
        except DamagedFile:
            return
    for after in range(border, upto, PAGE):
        for leaf in await leaves(tx, after, min(after + PAGE, upto)):
            yield leaf


_TABLES: Sequence[tuple[str, LiteralString]] = (
    ("user", "users"),
    ("course", "courses"),
    ("enrollment", "enrollments"),
    ("goal", "goals"),
    ("task", "tasks"),
    ("code_snapshot", "code_snapshots"),
)


async def _check_rows(tx: Transaction, report: Report) -> None:
    """Rows must equal the fold of their events; those whose first events were pruned are left to `replay`."""
    for entity_type, table in _TABLES:
        query: LiteralString = (
            """
            WITH folded AS (
                SELECT e.entity_id, min(e.entity_version) AS first,
                       jsonb_fold(e.payload->'changes' ORDER BY e.entity_version) || jsonb_build_object(
                           'version', max(e.entity_version), 'created_at', min(e.recorded_at),
                           'updated_at', max(e.recorded_at)) AS state
                FROM events AS e WHERE e.entity_type = %s GROUP BY e.entity_id
            )
            SELECT r.id::text, count(*) OVER ()
            FROM """
            + table
            + """ AS r LEFT JOIN folded AS f ON f.entity_id = r.id::text
            WHERE f.first = 1 AND to_jsonb(r) IS DISTINCT FROM to_jsonb(jsonb_populate_record(NULL::"""
            + table
            + """, f.state))
            ORDER BY 1 LIMIT 1
            """
        )
        cursor = await tx.connection.execute(query, [entity_type])
        row = await cursor.fetchone()
        report.rows += await tx.fetch_value("SELECT count(*) FROM " + table) or 0
        if row:
            report.add("rows", None, f"{entity_type} {row[0]} is not the fold of its events ({row[1]} such in all)")
