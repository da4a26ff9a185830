"""The end of a run in one commit: its last words, its outcome, and how its thread stands."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.types.json import Jsonb

from store.database import Transaction
from store.frames import Frame, Lease, as_json
from store.runs import RunStatus
from store.threads import ThreadStatus


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended, and what it leaves behind."""

    status: RunStatus
    frames: Sequence[Frame]
    """Its last words; at least the `end`."""
    standing: ThreadStatus
    interrupts: dict[str, Any] = field(default_factory=dict[str, Any])
    error: dict[str, Any] | None = None
    forget_state: bool = False
    """The thread was made for this run alone; nobody will ask for its checkpoints."""


async def record(tx: Transaction, lease: Lease, thread_id: str, ending: Ending, sender: str) -> bool | None:
    """Record an ending if the lease still holds; True when more runs wait on the thread, None when it does not hold.

    `tx` must be the service's.
    """
    # By itself, so that the next statement sees every run that was queued before the thread was ours.
    await tx.execute("SELECT FROM threads WHERE thread_id = %s FOR UPDATE", (thread_id,))
    cursor = await tx.connection.execute(
        """
        WITH done AS (
            UPDATE runs SET status = %(status)s, error = %(error)s, epoch = NULL, lease_until = NULL,
                updated_at = clock_timestamp(), finished_at = clock_timestamp()
            WHERE run_id = %(run)s AND epoch = %(epoch)s AND status = 'running'
            RETURNING run_id, thread_id, user_id
        ), said AS (
            INSERT INTO run_frames (thread_id, seq, run_id, user_id, event, namespace, data)
            SELECT d.thread_id, f.seq, f.run_id, d.user_id, f.event, f.namespace, f.data::text
            FROM done AS d, json_to_recordset(%(frames)s::json)
                AS f (seq bigint, run_id text, event text, namespace text, data json)
            ON CONFLICT (thread_id, seq) DO NOTHING
        ), settled AS (
            UPDATE threads AS t SET
                status = CASE WHEN EXISTS (
                    SELECT FROM runs AS r WHERE r.thread_id = t.thread_id AND r.status = 'pending'
                ) THEN 'busy'::thread_status ELSE %(standing)s::thread_status END,
                interrupts = %(interrupts)s, error = %(error)s, frame_seq = greatest(frame_seq, %(seq)s),
                updated_at = clock_timestamp(), state_updated_at = clock_timestamp()
            FROM done AS d WHERE t.thread_id = d.thread_id RETURNING t.thread_id, t.status
        ), states AS (
            DELETE FROM checkpoints AS c USING done AS d WHERE %(forget)s AND c.thread_id = d.thread_id
        ), blobs AS (
            DELETE FROM checkpoint_blobs AS c USING done AS d WHERE %(forget)s AND c.thread_id = d.thread_id
        ), writes AS (
            DELETE FROM checkpoint_writes AS c USING done AS d WHERE %(forget)s AND c.thread_id = d.thread_id
        )
        SELECT status = 'busy', pg_notify('run_frames', thread_id || ' ' || %(sender)s) FROM settled
        """,
        {
            "run": lease.run_id,
            "epoch": lease.epoch,
            "status": ending.status,
            "error": None if ending.error is None else Jsonb(ending.error),
            "frames": as_json(ending.frames),
            "standing": ending.standing,
            "interrupts": Jsonb(ending.interrupts),
            "seq": ending.frames[-1].seq,
            "forget": ending.forget_state,
            "sender": sender,
        },
    )
    row = await cursor.fetchone()
    return None if row is None else bool(row[0])
