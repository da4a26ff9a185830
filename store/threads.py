"""Threads: conversations with a graph, their status, and what they are waiting for."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg.types.json import Jsonb

from store import checkpoints
from store.database import Transaction
from store.errors import Conflict, NotFound
from store.types import Page


class ThreadStatus(StrEnum):
    """Idle, busy (a run is going or queued), interrupted (waits for a person), or error (its last run failed)."""

    IDLE = "idle"
    BUSY = "busy"
    INTERRUPTED = "interrupted"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Thread:
    """One conversation. Its state lives in the checkpoints; here is what lists and queues need."""

    thread_id: str
    user_id: str
    graph_id: str | None
    status: ThreadStatus
    metadata: dict[str, Any]
    interrupts: dict[str, Any]
    """Questions waiting for an answer: task id -> [{"id", "value"}]."""
    error: dict[str, Any] | None
    stateless: bool
    frame_seq: int
    created_at: datetime
    updated_at: datetime
    state_updated_at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", ThreadStatus(self.status))


@dataclass(frozen=True, slots=True)
class ThreadFilter:
    """Which threads a search returns."""

    ids: list[str] | None = None
    metadata: dict[str, Any] | None = None
    status: ThreadStatus | None = None


def _unknown(thread_id: str) -> NotFound:
    return NotFound(f"Thread {thread_id} not found")


async def create(
    tx: Transaction,
    thread_id: str,
    *,
    metadata: dict[str, Any],
    graph_id: str | None = None,
    stateless: bool = False,
    if_exists: str = "raise",
) -> Thread:
    """Make a thread of the caller's. An existing id is a Conflict, or with "do_nothing" the thread as it is."""
    created = await tx.fetch_one(
        """
        INSERT INTO threads (thread_id, metadata, graph_id, stateless) VALUES (%s, %s, %s, %s)
        ON CONFLICT (thread_id) DO NOTHING RETURNING *
        """,
        (thread_id, Jsonb(metadata), graph_id, stateless),
        row=Thread,
    )
    if created is not None:
        return created
    if if_exists != "do_nothing":
        raise Conflict(f"Thread {thread_id} already exists")
    return await get(tx, thread_id)


async def get(tx: Transaction, thread_id: str) -> Thread:
    """Return the caller's thread; NotFound when it is not there or somebody else's."""
    found = await tx.fetch_one("SELECT * FROM threads WHERE thread_id = %s", (thread_id,), row=Thread)
    if found is None:
        raise _unknown(thread_id)
    return found


async def lock(tx: Transaction, thread_id: str) -> Thread:
    """Return the thread and hold it until the transaction ends, so that queueing decisions are made one at a time."""
    found = await tx.fetch_one("SELECT * FROM threads WHERE thread_id = %s FOR UPDATE", (thread_id,), row=Thread)
    if found is None:
        raise _unknown(thread_id)
    return found


async def search(
    tx: Transaction,
    criteria: ThreadFilter,
    *,
    limit: int,
    offset: int,
    sort_by: str = "updated_at",
    descending: bool = True,
) -> Page[Thread]:
    """Return one page of the caller's threads; `total` counts every match."""
    params = {
        "ids": criteria.ids,
        "metadata": None if criteria.metadata is None else Jsonb(criteria.metadata),
        "status": criteria.status,
        "sort": sort_by,
        "down": descending,
        "limit": limit,
        "offset": offset,
    }
    found = await tx.fetch_all(
        """
        SELECT * FROM threads
        WHERE user_id = (SELECT app_user_id()) AND NOT stateless
          AND (%(ids)s::text[] IS NULL OR thread_id = ANY (%(ids)s::text[]))
          AND (%(metadata)s::jsonb IS NULL OR metadata @> %(metadata)s::jsonb)
          AND (%(status)s::thread_status IS NULL OR status = %(status)s::thread_status)
        ORDER BY
          CASE WHEN %(down)s AND %(sort)s = 'thread_id' THEN thread_id END DESC,
          CASE WHEN NOT %(down)s AND %(sort)s = 'thread_id' THEN thread_id END ASC,
          CASE WHEN %(down)s AND %(sort)s = 'status' THEN status END DESC,
          CASE WHEN NOT %(down)s AND %(sort)s = 'status' THEN status END ASC,
          CASE WHEN %(down)s AND %(sort)s = 'created_at' THEN created_at END DESC,
          CASE WHEN NOT %(down)s AND %(sort)s = 'created_at' THEN created_at END ASC,
          CASE WHEN NOT %(down)s AND %(sort)s = 'updated_at' THEN updated_at END ASC,
          updated_at DESC, thread_id
        LIMIT %(limit)s OFFSET %(offset)s
        """,
        params,
        row=Thread,
    )
    return Page(found, await count(tx, criteria))


async def count(tx: Transaction, criteria: ThreadFilter) -> int:
    """Return how many of the caller's threads match."""
    total: int = await tx.fetch_value(
        """
        SELECT count(*) FROM threads
        WHERE user_id = (SELECT app_user_id()) AND NOT stateless
          AND (%(ids)s::text[] IS NULL OR thread_id = ANY (%(ids)s::text[]))
          AND (%(metadata)s::jsonb IS NULL OR metadata @> %(metadata)s::jsonb)
          AND (%(status)s::thread_status IS NULL OR status = %(status)s::thread_status)
        """,
        {
            "ids": criteria.ids,
            "metadata": None if criteria.metadata is None else Jsonb(criteria.metadata),
            "status": criteria.status,
        },
    )
    return total


async def add_metadata(tx: Transaction, thread_id: str, metadata: dict[str, Any]) -> Thread:
    """Merge `metadata` into the thread's own."""
    changed = await tx.fetch_one(
        """
        UPDATE threads SET metadata = metadata || %s, updated_at = clock_timestamp()
        WHERE thread_id = %s RETURNING *
        """,
        (Jsonb(metadata), thread_id),
        row=Thread,
    )
    if changed is None:
        raise _unknown(thread_id)
    return changed


async def adopt_graph(tx: Transaction, thread: Thread, graph_id: str, assistant_id: str) -> None:
    """Note which graph a thread talks to; clients list their threads by these two metadata keys."""
    if thread.graph_id == graph_id and thread.metadata.get("assistant_id") == assistant_id:
        return
    await tx.execute(
        """
        UPDATE threads SET graph_id = %(graph)s,
            metadata = metadata || jsonb_build_object('graph_id', %(graph)s::text, 'assistant_id', %(assistant)s::text)
        WHERE thread_id = %(thread)s
        """,
        {"thread": thread.thread_id, "graph": graph_id, "assistant": assistant_id},
    )


async def forget_questions(tx: Transaction, thread_id: str) -> None:
    """Note that the open questions have been answered; whoever comes second finds none."""
    await tx.execute("UPDATE threads SET interrupts = '{}' WHERE thread_id = %s", (thread_id,))


async def settle(
    tx: Transaction,
    thread_id: str,
    status: ThreadStatus,
    *,
    interrupts: dict[str, Any],
    error: dict[str, Any] | None = None,
) -> None:
    """Record how the thread stands after its state changed. It stays busy while runs wait in its queue."""
    await tx.execute(
        """
        UPDATE threads SET
            status = CASE WHEN EXISTS (
                SELECT FROM runs WHERE thread_id = %(thread)s AND status IN ('pending', 'running')
            ) THEN 'busy'::thread_status ELSE %(status)s::thread_status END,
            interrupts = %(interrupts)s, error = %(error)s,
            updated_at = clock_timestamp(), state_updated_at = clock_timestamp()
        WHERE thread_id = %(thread)s
        """,
        {
            "thread": thread_id,
            "status": status,
            "interrupts": Jsonb(interrupts),
            "error": None if error is None else Jsonb(error),
        },
    )


async def copy(tx: Transaction, thread_id: str, new_id: str) -> Thread:
    """Make another thread with the same history and metadata; runs and frames stay where they happened."""
    made = await tx.fetch_one(
        """
        INSERT INTO threads (thread_id, graph_id, status, metadata, interrupts)
        SELECT %s, graph_id, CASE WHEN interrupts = '{}' THEN 'idle'::thread_status ELSE 'interrupted' END, metadata,
            interrupts
        FROM threads WHERE thread_id = %s RETURNING *
        """,
        (new_id, thread_id),
        row=Thread,
    )
    if made is None:
        raise _unknown(thread_id)
    await checkpoints.copy_thread(tx, thread_id, new_id)
    return made


async def forget_state(tx: Transaction, thread_id: str) -> None:
    """Delete a thread's checkpoints; its runs and frames stay until retention takes them."""
    await tx.execute("DELETE FROM checkpoints WHERE thread_id = %s", (thread_id,))
    await tx.execute("DELETE FROM checkpoint_blobs WHERE thread_id = %s", (thread_id,))
    await tx.execute("DELETE FROM checkpoint_writes WHERE thread_id = %s", (thread_id,))


async def delete(tx: Transaction, thread_id: str) -> None:
    """Delete a thread with its runs, frames and checkpoints. A run in progress loses its lease and stops."""
    if not await tx.execute("DELETE FROM threads WHERE thread_id = %s", (thread_id,)):
        raise _unknown(thread_id)
    await tx.execute("DELETE FROM run_frames WHERE thread_id = %s", (thread_id,))
    await forget_state(tx, thread_id)
