"""Compares the index with the rows it is made from, and says how far it has come."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from store.database import Database, Transaction
from store.index_documents import EntityKey
from store.principal import SERVICE
from store.types import EntityType

_LIVE: Final[LiteralString] = """
    SELECT 'goal' AS entity_type, id::text AS entity_id, version FROM goals
    UNION ALL SELECT 'task', id::text, version FROM tasks
    UNION ALL SELECT 'code_snapshot', id::text, version FROM code_snapshots
    UNION ALL SELECT 'course', id, version FROM courses
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """One entity the index is wrong about: `missing`, `stale`, `orphaned`, or `failed` with the reason."""

    entity_type: str
    entity_id: str
    kind: str
    reason: str | None

    @property
    def key(self) -> EntityKey:
        """The entity."""
        return EntityType(self.entity_type), self.entity_id


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """How far the index of one model has come."""

    model: str
    state: str
    entities: int
    chunks: int
    failed: int
    bytes: int


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """The index as an operator wants to know it. `waiting` events are written and not yet indexed."""

    models: list[ModelStatus]
    waiting: int
    oldest_seconds: float


async def differences(database: Database, model: str, *, limit: int = 10_000) -> list[Difference]:
    """Return what a rebuild would have to do; empty when the index is whole."""
    query: LiteralString = (
        "WITH live AS ("
        + _LIVE
        + """), seen AS (SELECT * FROM indexed_entities WHERE model = %(model)s)
        SELECT coalesce(live.entity_type, seen.entity_type) AS entity_type,
               coalesce(live.entity_id, seen.entity_id) AS entity_id,
               CASE WHEN seen.entity_id IS NULL THEN 'missing' WHEN live.entity_id IS NULL THEN 'orphaned'
                    WHEN seen.version < live.version THEN 'stale' ELSE 'failed' END AS kind, seen.error AS reason
        FROM live FULL JOIN seen USING (entity_type, entity_id)
        WHERE live.entity_id IS NULL OR seen.entity_id IS NULL OR seen.version < live.version OR seen.error IS NOT NULL
        ORDER BY 1, 2 LIMIT %(limit)s
        """
    )
    async with database.transaction(SERVICE) as tx:
        return await tx.fetch_all(query, {"model": model, "limit": limit}, row=Difference)


async def status(database: Database) -> IndexStatus:
    """Return the models of the index and how many events wait for it."""
    async with database.transaction(SERVICE) as tx:
        models = await tx.fetch_all(
            """
            SELECT m.model, m.state,
                (SELECT count(*) FROM indexed_entities AS i WHERE i.model = m.model) AS entities,
                (SELECT coalesce(sum(c.rows), 0)::bigint FROM embedding_counts AS c
                 WHERE c.model = m.model AND c.scope = 'user') AS chunks,
                (SELECT count(*) FROM indexed_entities AS i WHERE i.model = m.model AND error IS NOT NULL) AS failed,
                (SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint
                 FROM pg_partition_tree('embeddings') WHERE isleaf) AS bytes
            FROM index_models AS m ORDER BY m.state DESC, m.model
            """,
            row=ModelStatus,
        )
        waiting, oldest = await _lag(tx)
    return IndexStatus(models, waiting, oldest)


@dataclass(frozen=True, slots=True)
class _Lag:
    waiting: int
    oldest_seconds: float


async def _lag(tx: Transaction) -> tuple[int, float]:
    row = await tx.fetch_one(
        """
        SELECT h.next_position - 1 - coalesce(s.position, h.pruned_to) AS waiting,
            coalesce(extract(epoch FROM clock_timestamp() - (
                SELECT l.sequenced_at FROM event_log AS l WHERE l.position = s.position + 1
            )), 0)::float8 AS oldest_seconds
        FROM event_head AS h LEFT JOIN sinks AS s ON s.name = 'index'
        """,
        row=_Lag,
    )
    return (row.waiting, row.oldest_seconds) if row else (0, 0.0)


async def count_again(tx: Transaction) -> int:
    """Set the sizes of all scopes from the rows themselves; return how many were wrong."""
    return await tx.execute(
        """
        WITH truth AS (
            SELECT model, entity_type, scope, key, count(*) AS rows FROM embeddings, LATERAL (VALUES
                ('user', user_id, true), ('course', course_id, visibility <> 'private' AND course_id IS NOT NULL),
                ('global', '', visibility = 'global')) AS part (scope, key, counts)
            WHERE counts GROUP BY 1, 2, 3, 4
        ), wrong AS (
            SELECT model, entity_type, scope, key, coalesce(truth.rows, 0) AS rows
            FROM truth FULL JOIN embedding_counts AS c USING (model, entity_type, scope, key)
            WHERE coalesce(c.rows, 0) <> coalesce(truth.rows, 0)
        )
        INSERT INTO embedding_counts AS c SELECT * FROM wrong
        ON CONFLICT (model, entity_type, scope, key) DO UPDATE SET rows = excluded.rows
        """
    )


async def live_keys(database: Database, after: EntityKey | None, most: int) -> Sequence[EntityKey]:
    """Return entities to index in one stable order, a page at a time."""
    query: LiteralString = (
        "SELECT entity_type, entity_id FROM (" + _LIVE + ") AS live"
        " WHERE (entity_type, entity_id) > (%(type)s, %(id)s) ORDER BY 1, 2 LIMIT %(most)s"
    )
    parameters = {"type": after[0].value if after else "", "id": after[1] if after else "", "most": most}
    async with database.transaction(SERVICE) as tx:
        return [row.key for row in await tx.fetch_all(query, parameters, row=_Key)]


@dataclass(frozen=True, slots=True)
class _Key:
    entity_type: str
    entity_id: str

    @property
    def key(self) -> EntityKey:
        return EntityType(self.entity_type), self.entity_id
