"""The embedding sink: every change of a goal, task, snapshot or course reaches the index, and nobody has to ask for it.

Events only say that something changed; the row as it is now is what gets indexed, so late, repeated and reordered
events all lead to the same index.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

from store import index_build, index_models
from store.database import Database
from store.event_rows import SequencedEvent
from store.index_entities import index
from store.principal import SERVICE
from store.search_types import SEARCHABLE, OpenTransaction
from store.types import EntityType
from store.vectors import Embedder

__all__ = ["IndexSink", "index", "wait_for"]

_log = logging.getLogger(__name__)
_POLL_SECONDS: Final = (0.02, 0.05, 0.1, 0.2)
_MOVED_UNASKED: Final = 2000
"""An index of so many entities follows the configuration by itself; a larger one costs money, so somebody asks."""


class IndexSink:
    """Drinks from the event log. Give it to a relay."""

    name = "index"

    def __init__(self, database: Database, embedder: Embedder) -> None:
        self._database = database
        self._embedder = embedder

    async def deliver(self, events: Sequence[SequencedEvent]) -> None:
        """Return once the index knows all these events are about; raises `SinkUnavailable` without an embedder."""
        names = {entity_type.value: entity_type for entity_type in SEARCHABLE}
        keys = dict.fromkeys((names[e.entity_type], e.entity_id) for e in events if e.entity_type in names)
        if not keys:
            return
        await self._follow_configuration()
        for embedder in await index_models.writable(self._database, self._embedder):
            await index(self._database, embedder, keys)

    async def _follow_configuration(self) -> None:
        """Move a small index to the model this process prefers: a key was set, or taken away."""
        async with self._database.transaction(SERVICE) as tx:
            current = await index_models.current(tx)
            if current is None or current == self._embedder.model:
                return
            entities = await tx.fetch_value("SELECT count(*) FROM indexed_entities WHERE model = %s", [current])
        if entities <= _MOVED_UNASKED:
            _log.warning("The index moves from %s to %s.", current, self._embedder.model)
            await index_build.rebuild(self._database, self._embedder)


async def wait_for(
    transaction: OpenTransaction, entity_type: EntityType, entity_id: str, version: int, *, timeout: float = 5.0
) -> bool:
    """Wait until the caller's own entity is indexed in at least this version; False when time is up first."""
    deadline = time.monotonic() + timeout
    for attempt in range(1_000_000):
        async with transaction() as tx:
            seen = await tx.fetch_value(
                """
                SELECT i.version >= %s FROM indexed_entities AS i JOIN index_models AS m USING (model)
                WHERE m.state = 'current' AND i.entity_type = %s AND i.entity_id = %s
                """,
                [version, entity_type.value, entity_id],
            )
        left = deadline - time.monotonic()
        if seen or left <= 0:
            return bool(seen)
        await asyncio.sleep(min(left, _POLL_SECONDS[min(attempt, len(_POLL_SECONDS) - 1)]))
    return False
