"""Keeps replays short: every so many versions the state of an entity is stored, in the background."""

from collections.abc import Sequence
from typing import Final

from psycopg.types.json import Jsonb

from store.database import Database, Transaction
from store.event_rows import SequencedEvent
from store.folding import REDUCER
from store.lake import Lake
from store.principal import SERVICE
from store.replay import fold_of

EVERY: Final = 200


class SnapshotSink:
    """Stores the state of an entity at every 200th version. Satisfies `store.relay.Sink`."""

    name = "snapshots"

    def __init__(self, database: Database, archive: Lake | None = None) -> None:
        self._database = database
        self._archive = archive

    async def deliver(self, events: Sequence[SequencedEvent]) -> None:
        due = [event for event in events if event.entity_version % EVERY == 0]
        if due:
            async with self._database.transaction(SERVICE) as tx:
                await tx.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended('entity_snapshots', 0))")
                for event in due:
                    await store_snapshot(tx, event, self._archive)


async def wait_for_writers(tx: Transaction) -> None:
    """Return once every sink that has read events has stored their states; others wait until `tx` ends."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('entity_snapshots', 0))")


async def store_snapshot(tx: Transaction, event: SequencedEvent, archive: Lake | None) -> None:
    """Store the state of the event's entity as it was right after it; needs the background role."""
    fold, _ = await fold_of(tx, event.entity_type, event.entity_id, version=event.entity_version, archive=archive)
    await tx.execute(
        """
        INSERT INTO entity_snapshots (
            entity_type, entity_id, version, reducer, user_id, position, recorded_at, created_at, deleted, state)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (entity_type, entity_id, reducer, version) DO NOTHING
        """,
        [
            event.entity_type,
            event.entity_id,
            fold.version,
            REDUCER,
            event.user_id,
            event.position,
            fold.recorded_at,
            fold.created_at,
            fold.deleted,
            Jsonb(fold.state),
        ],
    )
