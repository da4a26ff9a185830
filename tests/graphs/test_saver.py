"""LangGraph's saver on our tables: its DDL, its owner's rows only, and nothing from a worker that lost its lease."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.postgres.base import MIGRATIONS
from langgraph.checkpoint.serde.types import _DeltaSnapshot  # pyright: ignore[reportPrivateUsage]
from psycopg import sql

from graphs.saver import SNAPSHOT_BYTES, checkpointer
from store import runs, threads
from store.database import Database
from store.errors import StoreError
from store.principal import SERVICE, Principal
from store.runs import NewRun, Run
from store.types import new_id
from tests.postgres import Urls, with_database

COLUMNS = """
SELECT c.relname AS of, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS required,
    pg_get_expr(d.adbin, d.adrelid) AS fallback
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relname LIKE 'checkpoint%' AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
  AND a.attname <> 'user_id' ORDER BY 1, 2
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE tablename LIKE 'checkpoint%' ORDER BY 1"
CONFIG: Any = {"configurable": {"thread_id": "", "checkpoint_ns": ""}}


@pytest.fixture
async def bare_url(urls: Urls) -> AsyncIterator[str]:
    """A database with nothing but what the library's own setup makes."""
    name = f"bare_{new_id().hex}"
    async with await psycopg.AsyncConnection.connect(urls.owner, autocommit=True) as connection:
        await connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        url = with_database(urls.owner, name)
        async with AsyncPostgresSaver.from_conn_string(url) as saver:
            await saver.setup()
        yield url
        await connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


async def catalogue(url: str) -> tuple[list[Any], list[Any], list[Any]]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        columns = await (await connection.execute(COLUMNS)).fetchall()
        indexes = await (await connection.execute(INDEXES)).fetchall()
        done = await (await connection.execute("SELECT v FROM checkpoint_migrations ORDER BY v")).fetchall()
    return columns, indexes, done


async def test_our_tables_are_the_librarys(database_url: str, bare_url: str) -> None:
    ours, theirs = await catalogue(database_url), await catalogue(bare_url)
    assert ours == theirs
    assert len(ours[2]) == len(MIGRATIONS)


async def saved(saver: AsyncPostgresSaver, thread_id: str) -> Any:
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"words": ["private"]}
    checkpoint["channel_versions"] = {"words": "1"}
    config: Any = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
    return await saver.aput(config, checkpoint, {"source": "input", "step": -1, "parents": {}}, {"words": "1"})


async def test_a_thread_is_its_owners_alone(database: Database, learner: Principal, other_learner: Principal) -> None:
    thread_id = str(new_id())
    config = await saved(checkpointer(database, learner), thread_id)
    mine = await checkpointer(database, learner).aget_tuple(config)
    assert mine is not None
    assert mine.checkpoint["channel_values"] == {"words": ["private"]}
    stranger = checkpointer(database, other_learner)
    assert await stranger.aget_tuple(config) is None
    assert [item async for item in stranger.alist(None)] == []
    await stranger.adelete_thread(thread_id)
    assert await checkpointer(database, learner).aget_tuple(config) is not None


async def claimed(database: Database, who: Principal) -> Run:
    thread_id = str(new_id())
    new = NewRun(str(new_id()), thread_id, "a", "g", {"input": None})
    async with database.transaction(who) as tx:
        await threads.create(tx, thread_id, metadata={})
        await threads.lock(tx, thread_id)
        return await runs.create(tx, new, owner="here")


async def test_only_the_owner_of_the_run_writes(database: Database, learner: Principal) -> None:
    run = await claimed(database, learner)
    await saved(checkpointer(database, learner, epoch=run.epoch), run.thread_id)
    for epoch in (None, "another"):
        with pytest.raises(StoreError) as refused:
            await saved(checkpointer(database, learner, epoch=epoch), run.thread_id)
        assert isinstance(refused.value.__cause__, psycopg.errors.SerializationFailure)
        config: Any = {"configurable": {"thread_id": run.thread_id, "checkpoint_ns": "", "checkpoint_id": "1"}}
        with pytest.raises(StoreError):
            await checkpointer(database, learner, epoch=epoch).aput_writes(config, [("words", "x")], "task")


async def test_a_worker_that_comes_too_late_writes_nothing(database: Database, learner: Principal) -> None:
    run = await claimed(database, learner)
    async with database.transaction(SERVICE) as tx:
        await runs.hand_back(tx, run.lease)
    with pytest.raises(StoreError):
        await saved(checkpointer(database, learner, epoch=run.epoch), run.thread_id)
    async with database.transaction(SERVICE) as tx:
        again = (await runs.claim(tx, 1, "there"))[0]
    assert again.attempt == 2
    with pytest.raises(StoreError):
        await saved(checkpointer(database, learner, epoch=run.epoch), run.thread_id)
    await saved(checkpointer(database, learner, epoch=again.epoch), run.thread_id)


async def test_a_planted_checkpoint_runs_nothing(database: Database, learner: Principal, database_url: str) -> None:
    import ormsgpack

    thread_id = str(new_id())
    config = await saved(checkpointer(database, learner), thread_id)
    payload = ormsgpack.packb(("os", "system", "touch planted"))
    blob = ormsgpack.packb(ormsgpack.Ext(0, payload))
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as owner:
        await owner.execute("UPDATE checkpoint_blobs SET blob = %s, type = 'msgpack'", (blob,))
    found = await checkpointer(database, learner).aget_tuple(config)
    assert found is not None
    assert found.checkpoint["channel_values"]["words"] != 0


COMMITS = """
SELECT count(DISTINCT xmin::text) FROM (
    SELECT xmin FROM checkpoints WHERE thread_id = %(thread)s
    UNION ALL SELECT xmin FROM checkpoint_writes WHERE thread_id = %(thread)s
    UNION ALL SELECT xmin FROM checkpoint_blobs WHERE thread_id = %(thread)s
) AS rows
"""


async def test_results_and_the_next_state_share_a_commit(database: Database, learner: Principal) -> None:
    run = await claimed(database, learner)
    saver = checkpointer(database, learner, epoch=run.epoch)
    config: Any = {"configurable": {"thread_id": run.thread_id, "checkpoint_ns": "", "checkpoint_id": "1"}}
    await asyncio.gather(
        saver.aput_writes(config, [("words", "a"), ("other", "b")], "one"),
        saver.aput_writes(config, [("__interrupt__", "first")], "two"),
        saver.aput_writes(config, [("__interrupt__", "last")], "two"),
        saved(saver, run.thread_id),
    )
    async with database.transaction(SERVICE) as tx:
        assert await tx.fetch_value(COMMITS, {"thread": run.thread_id}) == 1
        written = await tx.connection.execute(
            "SELECT task_id, idx, channel, blob FROM checkpoint_writes WHERE thread_id = %s ORDER BY 1, 2",
            (run.thread_id,),
        )
        rows = await written.fetchall()
    assert [row[:3] for row in rows] == [("one", 0, "words"), ("one", 1, "other"), ("two", -3, "__interrupt__")]
    assert saver.serde.loads_typed(("msgpack", rows[2][3])) == "last"


async def test_everybody_hears_that_a_shared_commit_was_refused(database: Database, learner: Principal) -> None:
    run = await claimed(database, learner)
    saver = checkpointer(database, learner, epoch="another")
    config: Any = {"configurable": {"thread_id": run.thread_id, "checkpoint_ns": "", "checkpoint_id": "1"}}
    outcomes = await asyncio.gather(
        saver.aput_writes(config, [("words", "a")], "one"),
        saver.aput_writes(config, [("words", "b")], "two"),
        saved(saver, run.thread_id),
        return_exceptions=True,
    )
    assert [isinstance(outcome, StoreError) for outcome in outcomes] == [True] * 3


async def test_whoever_is_cancelled_takes_nobody_along(database: Database, learner: Principal) -> None:
    run = await claimed(database, learner)
    saver = checkpointer(database, learner, epoch=run.epoch)
    config: Any = {"configurable": {"thread_id": run.thread_id, "checkpoint_ns": "", "checkpoint_id": "1"}}
    first = asyncio.create_task(saver.aput_writes(config, [("words", "a")], "one"))
    second = asyncio.create_task(saver.aput_writes(config, [("words", "b")], "two"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()
    async with database.transaction(SERVICE) as tx:
        kept = await tx.fetch_value(
            "SELECT count(*) FROM checkpoint_writes WHERE thread_id = %s AND task_id = 'two'", (run.thread_id,)
        )
    assert kept == 1


async def test_a_remembered_history_is_everybodys_own_list(database: Database, learner: Principal) -> None:
    history = [HumanMessage(f"message {n} " + "x" * 100, id=str(n)) for n in range(300)]
    serde = checkpointer(database, learner).serde
    stored = serde.dumps_typed(_DeltaSnapshot(history))
    assert len(stored[1]) > SNAPSHOT_BYTES[0]
    one, two = (checkpointer(database, learner).serde.loads_typed(stored).value for _ in range(2))
    assert one == two == history
    assert one[0] is two[0]
    one.clear()
    assert checkpointer(database, learner).serde.loads_typed(stored).value == history
