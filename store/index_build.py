"""Builds the index of a model beside the one that serves, then lets searches move to it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import psycopg
from psycopg import AsyncConnection, sql

from store import index_check, index_models
from store.database import Database
from store.index_entities import index
from store.principal import SERVICE
from store.search_types import SEARCHABLE
from store.vectors import Embedder

_PAGE: Final = 500
_DELETE_TOGETHER: Final = 5000
_ROUNDS: Final = 5
_WATCH_SECONDS: Final = 0.5


class Stage(StrEnum):
    """What a rebuild is doing."""

    EMBED = "embed"
    GRAPH = "graph"
    CATCH_UP = "catch up"
    SWAP = "swap"
    CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage has come."""

    stage: Stage
    done: int
    total: int


Report = Callable[[Progress], None]


def quiet(_: Progress) -> None:
    """Report nothing."""


async def rebuild(
    database: Database, embedder: Embedder, *, owner_url: str | None = None, report: Report = quiet
) -> None:
    """Embed everything for the embedder's model and let searches use it; they go on with the old one until then.

    With the database owner's URL the model gets partitions of its own, which are filled before their graph is built:
    four times faster than through the graph. Can be stopped and called again: what is embedded is not embedded again.
    Raises `SinkUnavailable` when the embedder stays away.
    """
    leaves = await _leaves(owner_url, embedder.model) if owner_url else []
    async with database.transaction(SERVICE) as tx:
        await index_models.begin(tx, embedder.model)
    await _embed_all(database, embedder, report)
    if owner_url:
        await _graphs(owner_url, leaves, report)
    await repair(database, embedder, report)
    report(Progress(Stage.SWAP, 0, 1))
    async with database.transaction(SERVICE) as tx:
        before = await index_models.current(tx)
        await index_models.swap(tx, embedder.model)
    report(Progress(Stage.SWAP, 1, 1))
    if before is not None and before != embedder.model:
        await _forget_model(database, before, report)


async def repair(database: Database, embedder: Embedder, report: Report = quiet) -> int:
    """Index whatever differs from its live row, again and again while rows change; return what is left over."""
    left = 0
    for _ in range(_ROUNDS):
        found = [d for d in await index_check.differences(database, embedder.model) if d.kind != "failed"]
        left = len(found)
        if not found:
            break
        report(Progress(Stage.CATCH_UP, 0, left))
        await index(database, embedder, [difference.key for difference in found])
        report(Progress(Stage.CATCH_UP, left, left))
    async with database.transaction(SERVICE) as tx:
        await index_check.count_again(tx)
    return left


async def retry_failed(database: Database, embedder: Embedder) -> int:
    """Try again what could not be embedded; return how many entities still cannot be."""
    found = await index_check.differences(database, embedder.model)
    await index(database, embedder, [difference.key for difference in found if difference.kind == "failed"])
    return sum(d.kind == "failed" for d in await index_check.differences(database, embedder.model))


async def _embed_all(database: Database, embedder: Embedder, report: Report) -> None:
    async with database.transaction(SERVICE) as tx:
        total = await tx.fetch_value(
            """
            SELECT (SELECT count(*) FROM goals) + (SELECT count(*) FROM tasks)
                 + (SELECT count(*) FROM code_snapshots) + (SELECT count(*) FROM courses)
            """
        )
    done, last = 0, None
    report(Progress(Stage.EMBED, 0, total))
    while keys := await index_check.live_keys(database, last, _PAGE):
        await index(database, embedder, keys)
        done, last = done + len(keys), keys[-1]
        report(Progress(Stage.EMBED, done, total))


async def _forget_model(database: Database, model: str, report: Report) -> None:
    """Remove the vectors of a model nobody searches any more, a few thousand a commit."""
    gone = 0
    while True:
        async with database.transaction(SERVICE) as tx:
            removed = await tx.execute(
                """
                DELETE FROM embeddings AS e USING (
                    SELECT entity_type, entity_id, chunk_no FROM embeddings WHERE model = %(model)s LIMIT %(most)s
                ) AS old
                WHERE e.model = %(model)s AND (e.entity_type, e.entity_id, e.chunk_no)
                    = (old.entity_type, old.entity_id, old.chunk_no)
                """,
                {"model": model, "most": _DELETE_TOGETHER},
            )
        gone += removed
        report(Progress(Stage.CLEAN, gone, gone))
        if removed < _DELETE_TOGETHER:
            break
    async with database.transaction(SERVICE) as tx:
        await tx.execute("DELETE FROM indexed_entities WHERE model = %s", [model])
        await tx.execute("DELETE FROM embedding_counts WHERE model = %s", [model])


async def _owned(owner_url: str, work: Callable[[AsyncConnection], Awaitable[None]]) -> None:
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as connection:
        await work(connection)


async def _leaves(owner_url: str, model: str) -> list[str]:
    """Make the model's own partitions where it has none and no rows yet; return those whose graph is to be built."""
    made: list[str] = []

    async def make(connection: AsyncConnection) -> None:
        for entity_type in SEARCHABLE:
            parent = f"embeddings_{entity_type.value}"
            name = f"{parent}_{''.join(c if c.isalnum() else '_' for c in model.lower())}"[:60]
            cursor = await connection.execute(
                """
                SELECT to_regclass(%(name)s) IS NOT NULL
                    OR EXISTS (SELECT FROM embeddings WHERE entity_type = %(type)s AND model = %(model)s)
                """,
                {"name": name, "type": entity_type.value, "model": model},
            )
            row = await cursor.fetchone()
            if row and row[0]:
                continue
            await connection.execute(
                sql.SQL(
                    """
                    CREATE TABLE {leaf} PARTITION OF {parent} FOR VALUES IN ({model}) WITH (toast_tuple_target = 8160);
                    ALTER TABLE {leaf} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
                    CREATE POLICY service ON {leaf} TO goals_service USING (true) WITH CHECK (true)
                    """
                ).format(leaf=sql.Identifier(name), parent=sql.Identifier(parent), model=sql.Literal(model))
            )
            made.append(name)

    await _owned(owner_url, make)
    return made


async def _graphs(owner_url: str, leaves: list[str], report: Report) -> None:
    async def build(connection: AsyncConnection) -> None:
        await connection.execute("SET maintenance_work_mem = '512MB'; SET statement_timeout = 0")
        for leaf in leaves:
            await connection.execute(
                # Concurrently: changes keep flowing into the model that is being built.
                sql.SQL(
                    "CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {leaf} USING hnsw (embedding vector_cosine_ops)"
                    " WITH (m = 16, ef_construction = 64) WHERE visibility = 'global'"
                ).format(name=sql.Identifier(f"{leaf}_g"), leaf=sql.Identifier(leaf))
            )

    building = asyncio.create_task(_owned(owner_url, build), name="index graphs")
    await _owned(owner_url, lambda connection: _watch(connection, building, report))
    await building


async def _watch(connection: AsyncConnection, building: "asyncio.Task[None]", report: Report) -> None:
    """Report what PostgreSQL says of the graph it is building, until it is done."""
    report(Progress(Stage.GRAPH, 0, 1))
    while not (await asyncio.wait([building], timeout=_WATCH_SECONDS))[0]:
        async with connection.cursor() as cursor:
            await cursor.execute(
                """
                SELECT blocks_done, blocks_total FROM pg_stat_progress_create_index
                WHERE datname = current_database() LIMIT 1
                """
            )
            row = await cursor.fetchone()
        if row:
            report(Progress(Stage.GRAPH, int(row[0]), max(int(row[1]), 1)))
    report(Progress(Stage.GRAPH, 1, 1))
