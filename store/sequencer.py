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
from psycopg.rows import scalar_row

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
"""From so many events in a cut on, the longer pause: each cut costs something of its own, of a machine that is busy."""


class Restored(StoreError):
    """This database was restored from elsewhere. Stop the writers and run `goals events adopt`, then start again."""


class UnsafeCommits(StoreError):
    """synchronous_commit is off: a crash could take back what was already published. Switch it on for this login."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where the last cut ended."""

    version: int
    """Of the row that says so."""
    xmax: int
    xip: list[int]
    seq_floor: int
    next_position: int
    batch_no: int
    sequenced_at: datetime
    digest: bytes
    epoch: int


@dataclass(frozen=True, slots=True)
class Cut:
    """What one cut did, and where the next one begins."""

    first_position: int
    head: Head

    @property
    def last_position(self) -> int:
        return self.head.next_position - 1

    @property
    def sequenced_at(self) -> datetime:
        return self.head.sequenced_at

    @property
    def count(self) -> int:
        return self.head.next_position - self.first_position


_HEAD: LiteralString = """
    h.xmin::text::bigint, pg_snapshot_xmax(h.upto)::text::bigint, ARRAY(SELECT pg_snapshot_xip(h.upto)::text::bigint),
    h.seq_floor, h.next_position, h.batch_no, h.sequenced_at, h.digest, h.epoch
"""

# One statement is one round trip and one transaction, and its snapshot is what the head keeps. The head it starts from
# may be out of date by the time its row is locked: somebody else has cut, or an erasure has changed events this
# snapshot still sees as they were. Both leave a new version of the row, whose xmin is another; then `turn` is empty,
# and so is the cut. It locks only when there is something new, so looking for nothing writes nothing.
# The bounds travel as values of an unprepared statement: joined from the head row, or in a generic plan, the planner
# cannot see that they are selective and reads the whole table (9-15 ms instead of 0.1 at 55,000 events).
_CUT: LiteralString = (
    """
WITH fresh AS MATERIALIZED (
    SELECT e.seq, %(next)s - 1 + row_number() OVER (ORDER BY e.seq) AS position, """
    + CONTENT_DIGEST
    + """ AS content
    FROM events AS e
    WHERE e.seq > %(floor)s AND (e.xid >= %(xmax)s OR e.xid = ANY (%(xip)s))
), turn AS MATERIALIZED (
    SELECT FROM event_head WHERE xmin::text::bigint = %(version)s AND EXISTS (SELECT FROM fresh) FOR UPDATE
), cut AS MATERIALIZED (
    SELECT count(*) AS events,
           greatest(clock_timestamp(), %(last)s::timestamptz + interval '1 microsecond') AS at,
           sha256(%(digest)s::bytea || string_agg(int8send(position) || content, ''::bytea ORDER BY position)) AS digest
    FROM fresh, turn
    HAVING count(*) > 0
), logged AS (
    INSERT INTO event_log (position, seq, sequenced_at) SELECT fresh.position, fresh.seq, cut.at FROM fresh, cut
), batch AS (
    INSERT INTO event_batches (batch_no, epoch, first_position, last_position, sequenced_at, upto, digest)
    SELECT %(batch)s + 1, %(epoch)s, %(next)s, %(next)s + events - 1, at, pg_current_snapshot(), digest FROM cut
)
UPDATE event_head AS h
SET upto = pg_current_snapshot(), next_position = %(next)s + events, batch_no = %(batch)s + 1,
    sequenced_at = at, digest = cut.digest
FROM cut
RETURNING pg_notify(%(channel)s, (h.next_position - 1)::text), """
    + _HEAD
)


async def read_head(connection: AsyncConnection) -> Head:
    """Return where the last cut ended, whoever made it."""
    cursor = await connection.execute("SELECT " + _HEAD + " FROM event_head AS h")
    row = await cursor.fetchone()
    if row is None:
        raise Restored("The event_head row is missing: restore the database, or migrate a new one.")
    return Head(*row)


async def cut(connection: AsyncConnection, head: Head | None = None) -> Cut | None:
    """Give positions to everything committed since the last cut; None when there was nothing, or no longer.

    Needs an autocommit connection of the background role, on the primary. Safe in any number of processes at once.
    `head` is where the caller knows the last cut to have ended; without it, it is read.
    """
    head = head or await read_head(connection)
    fault("sequencer.before_cut")
    # Only this connection notifies, so the database-wide lock of NOTIFY holds up nobody.
    cursor = await connection.execute(_CUT, bounds(head), prepare=False)
    row = await cursor.fetchone()
    if row is None:
        return None
    fault("sequencer.after_commit")
    return Cut(head.next_position, Head(*row[1:]))


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


def bounds(head: Head) -> dict[str, object]:
    """Return the values of the cut that follows `head`."""
    return {
        "channel": SEQUENCED,
        "version": head.version,
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
        made = None
        try:
            while True:
                last_round = self.stopping
                # The last time from the head as it is now: what somebody else did to it must not end this too early.
                made = await cut(connection, made.head if made and not last_round else None)
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
