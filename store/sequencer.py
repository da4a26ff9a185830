"""Gives committed events their positions: gap-free, in an order no reader can see broken.

How a cut works: the head remembers, as a PostgreSQL snapshot, what had committed at the last cut. New is what that
snapshot could not see and this statement's snapshot can. Every event is in exactly one such difference, whenever its
transaction began, whatever else is open. Inside a cut `seq` orders events, and a later version of an entity always
has the higher `seq`, because its writer waited for the row.

Why not the obvious ways: reading `seq > last` loses events that commit late; waiting for the oldest transaction stalls
behind any idle one and swaps versions of an entity; a lock around writers costs most of their rate.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

from store.background import BackgroundLoop
from store.errors import StoreError
from store.event_rows import CONTENT_DIGEST
from store.faults import fault
from store.wakeups import SEQUENCED, Bell, Wakeups

log = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
BUSY_SECONDS = 0.02
"""Pause after a cut that found something: commits gather meanwhile, and writers keep their rate."""
CROWD, CROWDED_SECONDS = 16, 0.08
"""From so many events in a cut on, the longer pause: a cut costs 5 ms and 30 us an event, of a machine that is busy."""


class Restored(StoreError):
    """This database was restored from elsewhere. Stop the writers and run `goals events adopt`, then start again."""


class UnsafeCommits(StoreError):
    """synchronous_commit is off: a crash could take back what was already published. Switch it on for this login."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What one cut did."""

    first_position: int
    last_position: int
    sequenced_at: datetime

    @property
    def count(self) -> int:
        return self.last_position - self.first_position + 1


@dataclass(frozen=True, slots=True)
class _Head:
    xmax: int
    xip: list[int]
    seq_floor: int
    next_position: int
    batch_no: int
    sequenced_at: datetime
    digest: bytes
    epoch: int


_HEAD: LiteralString = """
SELECT pg_snapshot_xmax(upto)::text::bigint AS xmax,
       ARRAY(SELECT pg_snapshot_xip(upto)::text::bigint) AS xip,
       seq_floor, next_position, batch_no, sequenced_at, digest, epoch
FROM event_head
"""

# The bounds travel as values of an unprepared statement: joined from the head row, or in a generic plan, the planner
# cannot see that they are selective and reads the whole table (9-15 ms instead of 0.1 at 55,000 events).
_ANY: LiteralString = """
SELECT EXISTS (
    SELECT FROM events AS e WHERE e.seq > %(floor)s AND (e.xid >= %(xmax)s OR e.xid = ANY (%(xip)s)))
"""

_CUT: LiteralString = (
    """
WITH fresh AS MATERIALIZED (
    SELECT e.seq, %(next)s - 1 + row_number() OVER (ORDER BY e.seq) AS position, """
    + CONTENT_DIGEST
    + """ AS content
    FROM events AS e
    WHERE e.seq > %(floor)s AND (e.xid >= %(xmax)s OR e.xid = ANY (%(xip)s))
), cut AS MATERIALIZED (
    SELECT count(*) AS events,
           greatest(clock_timestamp(), %(last)s::timestamptz + interval '1 microsecond') AS at,
           sha256(%(digest)s::bytea || string_agg(int8send(position) || content, ''::bytea ORDER BY position)) AS digest
    FROM fresh
    HAVING count(*) > 0
), logged AS (
    INSERT INTO event_log (position, seq, sequenced_at) SELECT fresh.position, fresh.seq, cut.at FROM fresh, cut
), batch AS (
    INSERT INTO event_batches (batch_no, epoch, first_position, last_position, sequenced_at, upto, digest)
    SELECT %(batch)s + 1, %(epoch)s, %(next)s, %(next)s + events - 1, at, pg_current_snapshot(), digest FROM cut
)
UPDATE event_head
SET upto = pg_current_snapshot(), next_position = %(next)s + events, batch_no = %(batch)s + 1,
    sequenced_at = at, digest = cut.digest
FROM cut
RETURNING %(next)s::bigint AS first_position, %(next)s + events - 1 AS last_position, at AS sequenced_at
"""
)


async def cut(connection: AsyncConnection) -> Cut | None:
    """Give positions to everything committed since the last cut; None when there was nothing.

    Needs an autocommit connection of the background role, on the primary. Safe in any number of processes at once.
    """
    if not await _something_new(connection):
        return None
    fault("sequencer.before_cut")
    async with connection.transaction():
        # The lock first, the snapshot in the next statement: otherwise a cut that waited here would look with old eyes.
        head = await _read_head(connection, lock=True)
        async with connection.cursor(row_factory=class_row(Cut)) as cursor:
            await cursor.execute(_CUT, _bounds(head), prepare=False)
            made = await cursor.fetchone()
        if made is not None:
            # Only this connection notifies, so the database-wide lock of NOTIFY holds up nobody.
            await connection.execute("SELECT pg_notify(%s, %s)", [SEQUENCED, str(made.last_position)])
        fault("sequencer.before_commit")
    fault("sequencer.after_commit")
    return made


async def check_origin(connection: AsyncConnection) -> None:
    """Raise `Restored` or `UnsafeCommits` when positions given from here could contradict those given before."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("""
            SELECT h.system_identifier = c.system_identifier FROM event_head AS h, pg_control_system() AS c""")
        if not await cursor.fetchone():
            raise Restored
        await cursor.execute("SELECT current_setting('synchronous_commit')")
        if await cursor.fetchone() == "off":
            raise UnsafeCommits


async def _something_new(connection: AsyncConnection) -> bool:
    head = await _read_head(connection)
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_ANY, _bounds(head), prepare=False)
        return bool(await cursor.fetchone())


async def _read_head(connection: AsyncConnection, *, lock: bool = False) -> _Head:
    async with connection.cursor(row_factory=class_row(_Head)) as cursor:
        await cursor.execute(_HEAD + "FOR UPDATE" if lock else _HEAD)
        head = await cursor.fetchone()
    if head is None:
        raise Restored("The event_head row is missing: restore the database, or migrate a new one.")
    return head


def _bounds(head: _Head) -> dict[str, object]:
    return {
        "xmax": head.xmax,
        "xip": head.xip,
        "floor": head.seq_floor,
        "next": head.next_position,
        "batch": head.batch_no,
        "epoch": head.epoch,
        "last": head.sequenced_at,
        "digest": head.digest,
    }


class Sequencer(BackgroundLoop):
    """Cuts whenever something was committed; on `stop` it cuts once more, so that relays can drain to the end."""

    def __init__(self, url: str, wakeups: Wakeups, bell: Bell) -> None:
        super().__init__("sequencer", url, bell)
        self._wakeups = wakeups
        self.position = 0

    async def work(self, connection: AsyncConnection) -> None:
        await check_origin(connection)
        self._wakeups.sequencing_here = True
        try:
            while True:
                last_round = self.stopping
                made = await cut(connection)
                if made is not None:
                    self.position = made.last_position
                    self._wakeups.ring(SEQUENCED)
                if last_round:
                    return
                if made is not None and not self.stopping:
                    await asyncio.sleep(BUSY_SECONDS if made.count < CROWD else CROWDED_SECONDS)
                else:
                    await self._bell.wait(IDLE_SECONDS)
        finally:
            self._wakeups.sequencing_here = False
