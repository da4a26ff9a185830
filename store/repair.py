"""Makes the copies whole again from PostgreSQL, and starts a new epoch after a database was set back."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC
from itertools import groupby
from typing import LiteralString

from store.audit import file_events
from store.database import Database, Transaction
from store.errors import Conflict
from store.event_rows import CONTENT_DIGEST, SEQUENCED, SequencedEvent, content_digest
from store.lake import DamagedFile, Lake
from store.lake_files import LakeFile
from store.principal import SERVICE
from store.rows import made

CHUNK = 10_000


@dataclass(slots=True)
class Repaired:
    """What a repair wrote and what it could not."""

    written: list[str] = field(default_factory=list[str])
    removed: list[str] = field(default_factory=list[str])
    lost: list[str] = field(default_factory=list[str])
    """Ranges that neither the lake nor PostgreSQL holds any more."""


async def repair_lake(database: Database, lake: Lake) -> Repaired:
    """Write every missing, damaged or differing file again; run it while the lake's relay stands still or idles."""
    result = Repaired()
    async with database.transaction(SERVICE) as tx:
        delivered: int = await tx.fetch_value("SELECT position FROM sinks WHERE name = %s", [lake.name]) or 0
        border: int = await tx.fetch_value("SELECT pruned_to FROM event_head") or 0
        good: list[LakeFile] = []
        for file in await asyncio.to_thread(lake.files):
            if file.last <= delivered and await _is_good(tx, lake, file, border):
                good.append(file)
            else:
                result.removed.append(file.path)
        for first, last in _gaps(good, delivered):
            if first <= border:
                result.lost.append(f"{first}-{min(last, border)}")
            await _rewrite(tx, lake, max(first, border + 1), last, result)
    written = set(result.written)
    result.removed = [path for path in result.removed if path not in written and not _unproven(path, border)]
    await asyncio.to_thread(lake.folder.remove, result.removed)
    return result


async def adopt(database: Database, lake: Lake) -> int:
    """Begin a new epoch on a database that was restored; stop all writers first. Returns the epoch.

    Whatever the lake holds beyond this database's own cursor belongs to a future that was undone: it is set aside under
    `_forked/`, and the relays deliver from their cursors again, marked with the new epoch.
    """
    async with database.transaction(SERVICE) as tx:
        await tx.execute("LOCK TABLE events IN SHARE MODE")
        cursor = await tx.connection.execute("SELECT epoch FROM event_head FOR UPDATE")
        row = await cursor.fetchone()
        if row is None:
            raise Conflict("The event_head row is missing: this database was not migrated completely.")
        await tx.execute(_GIVE_POSITIONS)
        await tx.execute("""
            UPDATE event_head SET epoch = epoch + 1, upto = pg_current_snapshot(),
                   seq_floor = (SELECT coalesce(max(seq), 0) FROM events),
                   system_identifier = (SELECT system_identifier FROM pg_control_system())
        """)
        await tx.execute("UPDATE sinks SET pending_end = NULL WHERE name = %s", [lake.name])
        kept: int = await tx.fetch_value("SELECT position FROM sinks WHERE name = %s", [lake.name]) or 0
        await _set_aside(tx, lake, kept)
    return row[0] + 1


# What had committed without a position before the copy was taken gets one now, as a last batch of the old epoch.
_GIVE_POSITIONS: LiteralString = (
    """
WITH fresh AS MATERIALIZED (
    SELECT e.seq, h.next_position - 1 + row_number() OVER (ORDER BY e.seq) AS position, """
    + CONTENT_DIGEST
    + """ AS content
    FROM events AS e, event_head AS h WHERE NOT EXISTS (SELECT FROM event_log AS l WHERE l.seq = e.seq)
), cut AS MATERIALIZED (
    SELECT count(*) AS events, greatest(clock_timestamp(), h.sequenced_at + interval '1 microsecond') AS at,
           sha256(h.digest || string_agg(int8send(position) || content, ''::bytea ORDER BY position)) AS digest
    FROM fresh, event_head AS h GROUP BY h.sequenced_at, h.digest HAVING count(*) > 0
), logged AS (
    INSERT INTO event_log (position, seq, sequenced_at) SELECT fresh.position, fresh.seq, cut.at FROM fresh, cut
), batch AS (
    INSERT INTO event_batches (batch_no, epoch, first_position, last_position, sequenced_at, upto, digest)
    SELECT batch_no + 1, epoch, next_position, next_position + events - 1, at, pg_current_snapshot(), cut.digest
    FROM event_head, cut
)
UPDATE event_head SET next_position = next_position + events, batch_no = batch_no + 1, sequenced_at = at,
       digest = cut.digest
FROM cut
"""
)


async def rewind(database: Database, sink: str, to: int) -> None:
    """Let a sink receive everything after position `to` again; consumers drop what they have seen."""
    async with database.transaction(SERVICE) as tx:
        border: int = await tx.fetch_value("SELECT pruned_to FROM event_head") or 0
        if to < border:
            raise Conflict(f"Events up to {border} are in the lake only; the sink can go back to {border} at most.")
        done = await tx.execute(
            "UPDATE sinks SET position = %s, pending_end = NULL WHERE name = %s AND position > %s", [to, sink, to]
        )
        if not done:
            raise Conflict(f"The sink {sink!r} does not stand beyond position {to}.")


async def _is_good(tx: Transaction, lake: Lake, file: LakeFile, border: int) -> bool:
    try:
        found = await asyncio.to_thread(file_events, lake, file)
    except DamagedFile:
        return False
    stored = {e.position: content_digest(e) for e in await _events(tx, max(file.first, border + 1), file.last)}
    return all(stored.get(e.position) == content_digest(e) for e in found if e.position > border)


async def _events(tx: Transaction, first: int, last: int) -> list[SequencedEvent]:
    query: LiteralString = (
        "SELECT "
        + SEQUENCED
        + """
        FROM event_log AS l JOIN events AS e USING (seq) WHERE l.position BETWEEN %s AND %s ORDER BY l.position
        """
    )
    async with tx.connection.cursor(row_factory=made(SequencedEvent)) as cursor:
        await cursor.execute(query, [first, last])
        return await cursor.fetchall()


async def _rewrite(tx: Transaction, lake: Lake, first: int, last: int, result: Repaired) -> None:
    for start in range(first, last + 1, CHUNK):
        events = await _events(tx, start, min(start + CHUNK - 1, last))
        for day, group in groupby(events, key=lambda event: event.sequenced_at.astimezone(UTC).date()):
            written = await asyncio.to_thread(lake.write, day, list(group), replace=True)
            result.written.append(written.path)


def _gaps(good: list[LakeFile], upto: int) -> list[tuple[int, int]]:
    gaps: list[tuple[int, int]] = []
    expected = 1
    for file in good:
        if file.first > expected:
            gaps.append((expected, file.first - 1))
        expected = file.last + 1
    if expected <= upto:
        gaps.append((expected, upto))
    return gaps


def _unproven(path: str, border: int) -> bool:
    """True for a file that holds pruned events: damaged or not, it may be the last trace of them."""
    file = LakeFile.parse(path)
    return file is not None and file.first <= border


async def _set_aside(tx: Transaction, lake: Lake, kept: int) -> None:
    for file in await asyncio.to_thread(lake.files):
        if file.last <= kept:
            continue
        if file.first <= kept:
            # Positions up to `kept` are shared by both histories; their file would otherwise leave with the rest.
            old_epoch = Lake(lake.uri, epoch=file.epoch)
            for day, group in groupby(
                await _events(tx, file.first, kept), key=lambda event: event.sequenced_at.astimezone(UTC).date()
            ):
                await asyncio.to_thread(old_epoch.write, day, list(group), replace=True)
        await asyncio.to_thread(lake.folder.move, file.path, replace(file, forked=True).path)
