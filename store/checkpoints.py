"""The door of LangGraph's PostgreSQL saver: under the caller's identity, its writes under the run's epoch."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncCursor
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Json

from store.database import Database, Transaction
from store.principal import Principal


@dataclass(slots=True)
class Batch:
    """What a saver wants written together: rows as LangGraph's saver 3.2.0 makes them."""

    states: list[Sequence[Any]] = field(default_factory=list[Sequence[Any]])
    """(thread, namespace, id, parent id, checkpoint, metadata)"""
    blobs: list[Sequence[Any]] = field(default_factory=list[Sequence[Any]])
    """(thread, namespace, channel, version, type, bytes or None)"""
    writes: list[Sequence[Any]] = field(default_factory=list[Sequence[Any]])
    """(thread, namespace, checkpoint id, task, task path, place, channel, type, bytes); the first one stays"""
    overwrites: list[Sequence[Any]] = field(default_factory=list[Sequence[Any]])
    """The same, but the last one stays: interrupts, errors, answers."""

    def __bool__(self) -> bool:
        return bool(self.states or self.blobs or self.writes or self.overwrites)

    def add(self, other: "Batch") -> None:
        """Take another batch's rows as well."""
        self.states += other.states
        self.blobs += other.blobs
        self.writes += other.writes
        self.overwrites += other.overwrites


async def write(tx: Transaction, batch: Batch) -> None:
    """Write a batch in one statement; the `fence` trigger refuses it once the run has another owner."""
    # One statement may not hit a row twice: the last one to overwrite it stays.
    states = {tuple(row[:3]): row for row in batch.states}
    overwrites = {_place(row): row for row in batch.overwrites}
    writes = [row for row in batch.writes if _place(row) not in overwrites]
    data: list[bytes | None] = []
    rows = {
        "blobs": _numbered(batch.blobs, data),
        "writes": _numbered(writes, data),
        "overwrites": _numbered(overwrites.values(), data),
        "states": [[*row[:4], row[4].obj, row[5].obj] for row in states.values()],
    }
    # One JSON text and one array of bytes: psycopg escapes arrays of text element by element, at a quarter of the cost
    # of the whole write.
    await tx.connection.execute(
        """
        WITH blobs AS (
            INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
            SELECT r->>0, r->>1, r->>2, r->>3, r->>4, (%(data)b::bytea[])[(r->>5)::int]
            FROM json_array_elements(%(rows)s::json->'blobs') AS r
            ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING
        ), writes AS (
            INSERT INTO checkpoint_writes
                (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
            SELECT r->>0, r->>1, r->>2, r->>3, r->>4, (r->>5)::int, r->>6, r->>7, (%(data)b::bytea[])[(r->>8)::int]
            FROM json_array_elements(%(rows)s::json->'writes') AS r
            ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO NOTHING
        ), overwrites AS (
            INSERT INTO checkpoint_writes
                (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
            SELECT r->>0, r->>1, r->>2, r->>3, r->>4, (r->>5)::int, r->>6, r->>7, (%(data)b::bytea[])[(r->>8)::int]
            FROM json_array_elements(%(rows)s::json->'overwrites') AS r
            ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO UPDATE
            SET channel = EXCLUDED.channel, type = EXCLUDED.type, blob = EXCLUDED.blob
        )
        INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
        SELECT r->>0, r->>1, r->>2, r->>3, (r->4)::jsonb, (r->5)::jsonb
        FROM json_array_elements(%(rows)s::json->'states') AS r
        ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id) DO UPDATE
        SET checkpoint = EXCLUDED.checkpoint, metadata = EXCLUDED.metadata
        """,
        {"rows": Json(rows), "data": data},
    )


def _place(row: Sequence[Any]) -> tuple[Any, ...]:
    return (*row[:4], row[5])


def _numbered(rows: Iterable[Sequence[Any]], data: list[bytes | None]) -> list[list[Any]]:
    """Return rows whose last column is the place of its bytes in `data`."""
    numbered: list[list[Any]] = []
    for *text, blob in rows:
        data.append(blob)
        numbered.append([*text, len(data)])
    return numbered


@asynccontextmanager
async def cursor(
    database: Database, principal: Principal, *, epoch: str | None = None
) -> AsyncGenerator[AsyncCursor[DictRow]]:
    """Open a transaction of `principal` and yield the kind of cursor the saver reads with."""
    async with (
        database.transaction(principal, epoch=epoch) as tx,
        tx.connection.cursor(binary=True, row_factory=dict_row) as reading,
    ):
        yield reading


async def latest_id(tx: Transaction, thread_id: str) -> str | None:
    """Return the newest root checkpoint of a thread."""
    found: str | None = await tx.fetch_value(
        """
        SELECT checkpoint_id FROM checkpoints WHERE thread_id = %s AND checkpoint_ns = ''
        ORDER BY checkpoint_id DESC LIMIT 1
        """,
        (thread_id,),
    )
    return found


async def exists(tx: Transaction, thread_id: str, checkpoint_id: str, checkpoint_ns: str = "") -> bool:
    """Tell whether a checkpoint belongs to this thread of the caller's."""
    found: Any = await tx.fetch_value(
        "SELECT 1 FROM checkpoints WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id = %s",
        (thread_id, checkpoint_ns, checkpoint_id),
    )
    return found is not None


async def copy_thread(tx: Transaction, source: str, target: str) -> None:
    """Give `target` the whole history of `source`; both must be the caller's."""
    await tx.execute(
        """
        INSERT INTO checkpoints
            (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
        SELECT %s, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint,
            CASE WHEN metadata ? 'thread_id'
                 THEN jsonb_set(metadata, '{thread_id}', to_jsonb(%s::text)) ELSE metadata END
        FROM checkpoints WHERE thread_id = %s
        """,
        (target, target, source),
    )
    await tx.execute(
        """
        INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
        SELECT %s, checkpoint_ns, channel, version, type, blob FROM checkpoint_blobs WHERE thread_id = %s
        """,
        (target, source),
    )
    await tx.execute(
        """
        INSERT INTO checkpoint_writes
            (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path)
        SELECT %s, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path
        FROM checkpoint_writes WHERE thread_id = %s
        """,
        (target, source),
    )


async def roll_back(tx: Transaction, thread_id: str, run_id: str, base: str | None) -> None:
    """Undo what a run did to its thread's state; `base` is the checkpoint it started from.

    What the run left on that checkpoint (answers to its questions, results of its tasks) goes too; the questions
    themselves stay. Blobs nobody refers to any more go with the next pruning.
    """
    await tx.execute(
        """
        WITH gone AS (
            DELETE FROM checkpoints WHERE thread_id = %(thread)s AND metadata->>'run_id' = %(run)s
            RETURNING checkpoint_ns, checkpoint_id
        )
        DELETE FROM checkpoint_writes AS w USING gone AS g
        WHERE w.thread_id = %(thread)s AND w.checkpoint_ns = g.checkpoint_ns AND w.checkpoint_id = g.checkpoint_id
        """,
        {"thread": thread_id, "run": run_id},
    )
    await tx.execute(
        """
        DELETE FROM checkpoint_writes
        WHERE thread_id = %s AND checkpoint_id = %s AND channel NOT IN ('__interrupt__')
        """,
        (thread_id, base),
    )
