"""What may be forgotten of threads: frames nobody can still be following, temporary threads, old checkpoints."""

from dataclasses import dataclass

from store.database import Transaction


@dataclass(frozen=True, slots=True)
class Keep:
    """How long things are kept, in hours."""

    frames: float = 24.0
    """Streams of finished runs can be rejoined for this long."""
    temporary: float = 1.0
    """Stateless runs, counted from their end."""
    history: float = 24.0 * 30
    """Past states of threads nobody has touched since; the latest state stays."""


async def prune(tx: Transaction, keep: Keep, *, limit: int = 200) -> bool:
    """Forget a bounded amount; True when there is more to do. `tx` must be the service's.

    One process at a time does this; others find the lock taken and leave it at that.
    """
    if not await tx.fetch_value("SELECT pg_try_advisory_xact_lock(hashtextextended('prune threads', 0))"):
        return False
    touched = await _frames(tx, keep.frames, limit)
    touched += await _temporary(tx, keep.temporary, limit)
    touched += await _history(tx, keep.history, limit)
    return touched > 0


async def _frames(tx: Transaction, hours: float, limit: int) -> int:
    # Numbers are never given out again: threads.frame_seq remembers the highest.
    return await tx.execute(
        """
        DELETE FROM run_frames AS f USING (
            SELECT DISTINCT thread_id, run_id FROM (
                SELECT thread_id, run_id FROM run_frames
                WHERE created_at < clock_timestamp() - make_interval(secs => %(age)s) ORDER BY created_at LIMIT 5000
            ) AS aged LIMIT %(limit)s
        ) AS old
        WHERE f.thread_id = old.thread_id AND f.run_id = old.run_id
          AND f.created_at < clock_timestamp() - make_interval(secs => %(age)s)
          AND NOT EXISTS (SELECT FROM runs AS r WHERE r.run_id = old.run_id AND r.status IN ('pending', 'running'))
        """,
        {"age": hours * 3600, "limit": limit},
    )


async def _temporary(tx: Transaction, hours: float, limit: int) -> int:
    return await tx.execute(
        """
        WITH gone AS (
            DELETE FROM threads WHERE thread_id IN (
                SELECT thread_id FROM threads AS t
                WHERE stateless AND updated_at < clock_timestamp() - make_interval(secs => %(age)s)
                  AND NOT EXISTS (
                    SELECT FROM runs AS r WHERE r.thread_id = t.thread_id AND r.status IN ('pending', 'running'))
                LIMIT %(limit)s
            ) RETURNING thread_id
        ), frames AS (
            DELETE FROM run_frames WHERE thread_id IN (SELECT thread_id FROM gone)
        ), blobs AS (
            DELETE FROM checkpoint_blobs WHERE thread_id IN (SELECT thread_id FROM gone)
        ), writes AS (
            DELETE FROM checkpoint_writes WHERE thread_id IN (SELECT thread_id FROM gone)
        ), states AS (
            DELETE FROM checkpoints WHERE thread_id IN (SELECT thread_id FROM gone)
        )
        SELECT thread_id FROM gone
        """,
        {"age": hours * 3600, "limit": limit},
    )


async def _history(tx: Transaction, hours: float, limit: int) -> int:
    """Keep the latest checkpoint of each namespace of threads at rest, and what it needs.

    A DeltaChannel's latest value is spread over the checkpoints since its last snapshot, so threads that use one keep
    their history; there it is small (15 times the text, not 800 times).
    """
    rows = await tx.connection.execute(
        """
        SELECT t.thread_id FROM threads AS t
        WHERE t.status IN ('idle', 'error') AND t.state_updated_at < clock_timestamp() - make_interval(secs => %s)
          AND (SELECT count(*) FROM checkpoints AS c WHERE c.thread_id = t.thread_id AND c.checkpoint_ns = '') > 1
          AND NOT EXISTS (
            SELECT FROM checkpoints AS c
            WHERE c.thread_id = t.thread_id AND c.metadata ? 'counters_since_delta_snapshot')
        ORDER BY t.state_updated_at LIMIT %s FOR UPDATE OF t SKIP LOCKED
        """,
        (hours * 3600, limit),
    )
    found = [row[0] for row in await rows.fetchall()]
    for thread_id in found:
        await keep_latest(tx, thread_id)
    return len(found)


async def shorten(tx: Transaction, thread_id: str) -> bool:
    """Keep only the latest state of a thread that is locked and idle; False when its past is what that is made of."""
    spread: bool = await tx.fetch_value(
        """
        SELECT EXISTS (
            SELECT FROM checkpoints WHERE thread_id = %s AND metadata ? 'counters_since_delta_snapshot')
        """,
        (thread_id,),
    )
    if not spread:
        await keep_latest(tx, thread_id)
    return not spread


async def keep_latest(tx: Transaction, thread_id: str) -> None:
    """Drop every checkpoint of a thread but the newest of each namespace, and all that only the others needed."""
    await tx.execute(
        """
        WITH gone AS (
            DELETE FROM checkpoints AS c WHERE c.thread_id = %(thread)s AND EXISTS (
                SELECT FROM checkpoints AS n WHERE n.thread_id = c.thread_id
                  AND n.checkpoint_ns = c.checkpoint_ns AND n.checkpoint_id > c.checkpoint_id)
            RETURNING checkpoint_ns, checkpoint_id
        )
        DELETE FROM checkpoint_writes AS w USING gone AS g
        WHERE w.thread_id = %(thread)s AND w.checkpoint_ns = g.checkpoint_ns AND w.checkpoint_id = g.checkpoint_id
        """,
        {"thread": thread_id},
    )
    await tx.execute(
        """
        DELETE FROM checkpoint_blobs AS b WHERE b.thread_id = %(thread)s AND NOT EXISTS (
            SELECT FROM checkpoints AS c WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns
              AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version)
        """,
        {"thread": thread_id},
    )
