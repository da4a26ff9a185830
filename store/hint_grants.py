"""Hints a learner has taken, with the code they were taken on and the words they were given."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from store.database import Transaction


@dataclass(frozen=True, slots=True)
class Grant:
    """One hint. `fingerprint` names the code as it was, without its layout and comments."""

    task_id: UUID
    snapshot_id: UUID
    hint_key: str
    """The kind of problem; each kind has a ladder of its own."""
    level: int
    fingerprint: str
    words: str
    granted_at: datetime


async def of_task(tx: Transaction, task_id: UUID) -> Sequence[Grant]:
    """Return the caller's hints for a task, oldest first."""
    return await tx.fetch_all(
        "SELECT task_id, snapshot_id, hint_key, level, fingerprint, words, granted_at FROM hint_grants"
        " WHERE user_id = %s AND task_id = %s ORDER BY granted_at, level",
        [tx.principal.user_id, task_id],
        row=Grant,
    )


async def give(tx: Transaction, grant: Grant) -> None:
    """Remember a hint; the same level on the same snapshot keeps its first words."""
    await tx.execute(
        "INSERT INTO hint_grants (user_id, task_id, snapshot_id, hint_key, level, fingerprint, words,"
        " granted_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (user_id, snapshot_id, hint_key, level) DO NOTHING",
        [
            tx.principal.user_id,
            grant.task_id,
            grant.snapshot_id,
            grant.hint_key,
            grant.level,
            grant.fingerprint,
            grant.words,
            grant.granted_at,
        ],
    )
