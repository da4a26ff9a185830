"""How far each sink is behind the log: what `/health`, metrics and the command line show."""

from dataclasses import dataclass
from datetime import datetime

from store.database import Transaction


@dataclass(frozen=True, slots=True)
class SinkLag:
    """One sink against the head of the log."""

    name: str
    position: int
    lag: int
    lag_seconds: float
    parked: int
    failures: int
    last_error: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log ends."""

    position: int
    epoch: int
    sequenced_at: datetime
    pruned_to: int
    unsequenced: int
    """Committed events without a position yet, counted up to 1,000."""


async def head(tx: Transaction) -> Head:
    """Return the end of the log; needs the background role."""
    found = await tx.fetch_one(
        """
        SELECT next_position - 1 AS position, epoch, sequenced_at, pruned_to,
               (SELECT count(*) FROM (
                    SELECT FROM events AS e
                    WHERE e.seq > coalesce((SELECT max(l.seq) FROM event_log AS l), 0) LIMIT 1000) AS new
               ) AS unsequenced
        FROM event_head
        """,
        row=Head,
    )
    if found is None:
        raise LookupError("event_head is empty")
    return found


async def sinks(tx: Transaction) -> list[SinkLag]:
    """Return every sink that was ever opened, by name; needs the background role."""
    return await tx.fetch_all(
        """
        SELECT s.name, s.position, greatest(h.next_position - 1 - s.position, 0) AS lag,
               coalesce(extract(epoch FROM clock_timestamp() - (
                   SELECT l.sequenced_at FROM event_log AS l WHERE l.position = s.position + 1)), 0)::float8
                   AS lag_seconds,
               (SELECT count(*) FROM sink_parked AS p WHERE p.sink = s.name) AS parked,
               s.failures, s.last_error, s.updated_at
        FROM sinks AS s, event_head AS h ORDER BY s.name
        """,
        row=SinkLag,
    )
