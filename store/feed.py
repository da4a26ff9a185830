"""Live events for the rest of the service: LISTEN as a hint, polling as the truth, under the caller's own rights."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import LiteralString

from store.database import Database
from store.event_rows import Event
from store.principal import Principal
from store.timeline import visible_owner
from store.wakeups import SEQUENCED, Wakeups

POLL_SECONDS = 10.0
BATCH = 200

_NEXT: LiteralString = """
    e.id, e.entity_type, e.entity_id, e.entity_version, e.type, e.schema_version, e.occurred_at, e.recorded_at,
    e.actor, e.user_id, e.thread_id, e.run_id, e.checkpoint_id, e.tool_call_id, e.correlation_id, e.causation_id,
    e.command_key, e.payload, e.metadata, l.position, l.sequenced_at
FROM event_log AS l JOIN events AS e USING (seq)
WHERE l.position > %(after)s AND l.position <= %(head)s AND (%(owner)s::text IS NULL OR e.user_id = %(owner)s)
ORDER BY l.position LIMIT %(limit)s
"""


async def positions(database: Database, wakeups: Wakeups, principal: Principal) -> AsyncGenerator[int]:
    """Yield the head of the log now and whenever it has moved."""
    last = -1
    with wakeups.bell(SEQUENCED) as bell:
        while True:
            head = await _head(database, principal)
            if head != last:
                last = head
                yield head
            await bell.wait(POLL_SECONDS)


async def follow(
    database: Database, wakeups: Wakeups, principal: Principal, after: int | None = None
) -> AsyncGenerator[list[Event]]:
    """Yield batches of the events the principal may see, in order, as they are sequenced.

    `after` is the last position already seen; None means from now on. No connection is held between batches, so a
    slow reader costs nothing. Events pruned meanwhile are skipped: whoever is that far behind should use `history`.
    """
    async with aclosing(positions(database, wakeups, principal)) as heads:
        async for head in heads:
            if after is None:
                after = head
            while after < head:
                events = await _between(database, principal, after, head)
                if events:
                    yield events
                after = (events[-1].position or head) if len(events) == BATCH else head


async def _head(database: Database, principal: Principal) -> int:
    async with database.transaction(principal) as tx:
        found: int = await tx.fetch_value("SELECT next_position - 1 FROM event_head")
        return found


async def _between(database: Database, principal: Principal, after: int, head: int) -> list[Event]:
    query: LiteralString = "SELECT " + _NEXT
    async with database.transaction(principal) as tx:
        return await tx.fetch_all(
            query, {"after": after, "head": head, "owner": visible_owner(principal), "limit": BATCH}, row=Event
        )
