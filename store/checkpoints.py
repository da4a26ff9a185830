"""The door of LangGraph's PostgreSQL saver: under the caller's identity, its writes under the run's epoch."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncCursor
from psycopg.rows import DictRow, dict_row

from store.database import Database, Transaction
from store.principal import Principal


@asynccontextmanager
async def cursor(
    database: Database, principal: Principal, *, epoch: str | None, pipeline: bool
) -> AsyncGenerator[AsyncCursor[DictRow]]:
    """Open a transaction of `principal` and yield the kind of cursor the saver works with.

    Writes of a run carry its epoch; the `fence` trigger refuses them once the run has another owner.
    """
    async with database.transaction(principal) as tx:
        if not pipeline:
            async with tx.connection.cursor(binary=True, row_factory=dict_row) as reading:
                yield reading
            return
        async with tx.connection.pipeline(), tx.connection.cursor(binary=True, row_factory=dict_row) as writing:
            if epoch is not None:
                await writing.execute("SELECT set_config('app.epoch', %s, true)", (epoch,))
            yield writing


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
