"""Runs: accepted once, owned by one worker at a time, finished exactly once."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg.types.json import Jsonb

from store.database import Transaction
from store.errors import NotFound, TooMany
from store.frames import Lease

LEASE_SECONDS = 10.0
DEAD_SECONDS = 3.5
"""A run whose owner has vanished from the database waits this long for a sign of life, not for its lease to end."""
MAX_ATTEMPTS = 25


class RunStatus(StrEnum):
    """Where a run stands; the names are LangGraph's."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    ERROR = "error"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (RunStatus.PENDING, RunStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a client asked for, checked."""

    run_id: str
    thread_id: str
    assistant_id: str
    graph_id: str
    kwargs: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    multitask_strategy: str = "enqueue"
    protocol: int = 1
    delay_seconds: float = 0.0
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a graph on a thread."""

    run_id: str
    thread_id: str
    user_id: str
    user_role: str
    user_courses: list[str]
    assistant_id: str
    graph_id: str
    status: RunStatus
    protocol: int
    metadata: dict[str, Any]
    kwargs: dict[str, Any]
    multitask_strategy: str
    cancel: str | None
    base_checkpoint_id: str | None
    error: dict[str, Any] | None
    request_id: str | None
    start_after: datetime
    attempt: int
    epoch: str | None
    owner: str | None
    """The process that executes the run, or did so last."""
    lease_until: datetime | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", RunStatus(self.status))

    @property
    def lease(self) -> Lease:
        """The right to write for this run, as of its claim."""
        return Lease(self.run_id, self.epoch or "")


def _unknown(run_id: str) -> NotFound:
    return NotFound(f"Run {run_id} not found")


async def create(tx: Transaction, new: NewRun, *, owner: str | None, most: int = 0) -> Run:
    """Queue a run for the caller's thread; an `owner` has it at once, if the thread is free.

    The thread must be locked by this transaction. Raises TooMany when `most` runs of the caller are unfinished, unless
    that is 0; runs that are started in the same moment do not see each other.
    """
    made = await tx.fetch_one(
        """
        WITH busy AS (
            UPDATE threads SET status = 'busy', updated_at = clock_timestamp() WHERE thread_id = %(thread)s
        ), free AS (
            SELECT %(claim)s AND NOT EXISTS (
                SELECT FROM runs WHERE thread_id = %(thread)s AND status IN ('pending', 'running')
            ) AS yes
        ), room AS (
            SELECT %(most)s = 0 OR (
                SELECT count(*) FROM (
                    SELECT FROM runs WHERE user_id = (SELECT app_user_id()) AND status IN ('pending', 'running')
                    LIMIT %(most)s
                ) AS mine
            ) < %(most)s AS yes
        )
        INSERT INTO runs
            (run_id, thread_id, user_role, user_courses, assistant_id, graph_id, protocol, metadata, kwargs,
            multitask_strategy, request_id, start_after, status, attempt, epoch, owner, lease_until,
            base_checkpoint_id)
        SELECT %(run)s, %(thread)s, %(role)s, %(courses)s, %(assistant)s, %(graph)s, %(protocol)s, %(metadata)s,
            %(kwargs)s, %(strategy)s, %(request)s, clock_timestamp() + make_interval(secs => %(delay)s),
            CASE WHEN free.yes THEN 'running'::run_status ELSE 'pending'::run_status END,
            CASE WHEN free.yes THEN 1 ELSE 0 END,
            CASE WHEN free.yes THEN gen_random_uuid()::text END,
            CASE WHEN free.yes THEN %(owner)s END,
            CASE WHEN free.yes THEN clock_timestamp() + make_interval(secs => %(lease)s) END,
            CASE WHEN free.yes THEN (
                SELECT checkpoint_id FROM checkpoints WHERE thread_id = %(thread)s AND checkpoint_ns = ''
                ORDER BY checkpoint_id DESC LIMIT 1) END
        FROM free, room WHERE room.yes RETURNING *
        """,
        {
            "claim": owner is not None and new.delay_seconds == 0,
            "owner": owner,
            "run": new.run_id,
            "thread": new.thread_id,
            "role": tx.principal.role.value,
            "courses": list(tx.principal.courses),
            "assistant": new.assistant_id,
            "graph": new.graph_id,
            "protocol": new.protocol,
            "metadata": Jsonb(new.metadata),
            "kwargs": Jsonb(new.kwargs),
            "strategy": new.multitask_strategy,
            "request": new.request_id,
            "delay": new.delay_seconds,
            "lease": LEASE_SECONDS,
            "most": most,
        },
        row=Run,
    )
    if made is None:
        raise TooMany(f"{most} runs of yours wait or run already. Try again when one has ended, or cancel one.")
    if made.status is RunStatus.PENDING:
        await tx.execute("SELECT pg_notify('runs_pending', '')")
    return made


async def get(tx: Transaction, run_id: str, thread_id: str | None = None) -> Run:
    """Return the caller's run (of that thread); NotFound when it is not there or somebody else's."""
    found = await tx.fetch_one(
        "SELECT * FROM runs WHERE run_id = %(run)s AND (%(thread)s::text IS NULL OR thread_id = %(thread)s)",
        {"run": run_id, "thread": thread_id},
        row=Run,
    )
    if found is None:
        raise _unknown(run_id)
    return found


async def of_thread(
    tx: Transaction, thread_id: str, *, status: RunStatus | None = None, limit: int = 10, offset: int = 0
) -> list[Run]:
    """Return the runs of a thread, newest first."""
    return await tx.fetch_all(
        """
        SELECT * FROM runs WHERE thread_id = %(thread)s
          AND (%(status)s::run_status IS NULL OR status = %(status)s::run_status)
        ORDER BY created_at DESC, run_id DESC LIMIT %(limit)s OFFSET %(offset)s
        """,
        {"thread": thread_id, "status": status, "limit": limit, "offset": offset},
        row=Run,
    )


async def unfinished(tx: Transaction, thread_id: str) -> list[Run]:
    """Return what runs or waits on a thread, oldest first."""
    return await tx.fetch_all(
        "SELECT * FROM runs WHERE thread_id = %s AND status IN ('pending', 'running') ORDER BY created_at, run_id",
        (thread_id,),
        row=Run,
    )


async def unfinished_of_caller(tx: Transaction) -> list[Run]:
    """Return everything of the caller's that runs or waits."""
    return await tx.fetch_all(
        """
        SELECT * FROM runs WHERE user_id = (SELECT app_user_id()) AND status IN ('pending', 'running')
        ORDER BY created_at LIMIT 1000
        """,
        row=Run,
    )


async def claim(tx: Transaction, limit: int, owner: str) -> list[Run]:
    """Take up to `limit` waiting runs, oldest first and never past an older one of the same thread."""
    return await tx.fetch_all(
        """
        WITH waiting AS (
            SELECT r.run_id FROM runs AS r
            WHERE r.status = 'pending' AND r.start_after <= clock_timestamp()
              AND NOT EXISTS (
                SELECT FROM runs AS o WHERE o.thread_id = r.thread_id AND (
                    o.status = 'running'
                    OR (o.status = 'pending' AND (o.created_at, o.run_id) < (r.created_at, r.run_id))))
            ORDER BY r.created_at LIMIT %(limit)s FOR UPDATE OF r SKIP LOCKED
        )
        UPDATE runs AS r SET status = 'running', attempt = attempt + 1, epoch = gen_random_uuid()::text,
            owner = %(owner)s, lease_until = clock_timestamp() + make_interval(secs => %(lease)s),
            updated_at = clock_timestamp(),
            base_checkpoint_id = CASE WHEN attempt = 0 THEN (
                SELECT checkpoint_id FROM checkpoints AS c WHERE c.thread_id = r.thread_id AND checkpoint_ns = ''
                ORDER BY checkpoint_id DESC LIMIT 1) ELSE base_checkpoint_id END
        FROM waiting WHERE r.run_id = waiting.run_id RETURNING r.*
        """,
        {"limit": limit, "lease": LEASE_SECONDS, "owner": owner},
        row=Run,
    )


async def heartbeat(tx: Transaction, leases: list[Lease]) -> dict[str, str | None]:
    """Renew leases; return the runs that are still owned, each with the cancellation asked for meanwhile."""
    rows = await tx.connection.execute(
        """
        UPDATE runs AS r SET lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
        FROM unnest(%(runs)s::text[], %(epochs)s::text[]) AS l (run_id, epoch)
        WHERE r.run_id = l.run_id AND r.epoch = l.epoch AND r.status = 'running'
        RETURNING r.run_id, r.cancel
        """,
        {
            "lease": LEASE_SECONDS,
            "runs": [lease.run_id for lease in leases],
            "epochs": [lease.epoch for lease in leases],
        },
    )
    return {row[0]: row[1] for row in await rows.fetchall()}


async def reap(tx: Transaction) -> list[str]:
    """Put runs whose owner went silent back into the queue; return the threads concerned.

    Silent is one whose lease ended, or who no longer holds its advisory lock (PostgreSQL drops that with the
    process's connection) and has missed a heartbeat. Wrong guesses cost time only: the fence keeps the old owner out.
    """
    rows = await tx.connection.execute(
        """
        WITH alive AS (
            SELECT (classid::bigint << 32) | objid::bigint AS key FROM pg_locks
            WHERE locktype = 'advisory' AND objsubid = 1 AND granted
        ), silent AS (
            SELECT run_id FROM runs
            WHERE status = 'running' AND (
                lease_until < clock_timestamp()
                OR (lease_until < clock_timestamp() + make_interval(secs => %(spare)s)
                    AND hashtextextended(owner, 0) NOT IN (SELECT key FROM alive)))
            FOR UPDATE SKIP LOCKED
        )
        UPDATE runs AS r SET status = 'pending', epoch = NULL, lease_until = NULL, updated_at = clock_timestamp()
        FROM silent WHERE r.run_id = silent.run_id RETURNING r.thread_id
        """,
        {"spare": LEASE_SECONDS - DEAD_SECONDS},
    )
    return [row[0] for row in await rows.fetchall()]


async def hand_back(tx: Transaction, lease: Lease) -> None:
    """Give a run back to the queue, at its old place."""
    await tx.execute(
        """
        UPDATE runs SET status = 'pending', epoch = NULL, lease_until = NULL, updated_at = clock_timestamp()
        WHERE run_id = %s AND epoch = %s AND status = 'running'
        """,
        (lease.run_id, lease.epoch),
    )
    await tx.execute("SELECT pg_notify('runs_pending', '')")


async def end_pending(tx: Transaction, run_id: str, status: RunStatus) -> bool:
    """End a run that nobody has started."""
    done = await tx.execute(
        """
        UPDATE runs SET status = %s, updated_at = clock_timestamp(), finished_at = clock_timestamp()
        WHERE run_id = %s AND status = 'pending'
        """,
        (status, run_id),
    )
    return done == 1


async def ask_cancel(tx: Transaction, run_id: str, action: str) -> bool:
    """Ask the owner of a running run to stop; True if it was running. Rollback, once asked for, stays."""
    done = await tx.execute(
        """
        UPDATE runs SET cancel = CASE WHEN cancel = 'rollback' THEN cancel ELSE %s END, updated_at = clock_timestamp()
        WHERE run_id = %s AND status = 'running'
        """,
        (action, run_id),
    )
    if done:
        await tx.execute("SELECT pg_notify('runs_cancel', %s)", (f"{run_id} {action}",))
    return done == 1


async def delete(tx: Transaction, run_id: str) -> None:
    """Remove a run and its frames; NotFound when it is not the caller's."""
    thread_id: str | None = await tx.fetch_value("DELETE FROM runs WHERE run_id = %s RETURNING thread_id", (run_id,))
    if thread_id is None:
        raise _unknown(run_id)
    await tx.execute("DELETE FROM run_frames WHERE thread_id = %s AND run_id = %s", (thread_id, run_id))


async def counts(tx: Transaction) -> dict[str, int]:
    """Return how many runs wait and run, for the metrics."""
    rows = await tx.connection.execute(
        "SELECT status::text, count(*) FROM runs WHERE status IN ('pending', 'running') GROUP BY status"
    )
    return {row[0]: row[1] for row in await rows.fetchall()}
