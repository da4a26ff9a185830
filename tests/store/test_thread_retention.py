"""Old frames, temporary threads and past states go; what somebody could still need stays."""

from typing import Any

import pytest
from langgraph.graph import StateGraph

from api.runs.engine import Engine, run_executor
from store import frames, runs, threads
from store.database import Database
from store.principal import SERVICE, Principal
from store.thread_retention import Keep, prune
from store.types import new_id
from tests.api.protocol.graphs import Gate, echo, steps

NOTHING = Keep(frames=1, temporary=1, history=1)
ALL = Keep(frames=0, temporary=0, history=0)


@pytest.fixture
def graphs() -> dict[str, StateGraph[Any, Any, Any, Any]]:
    return {"steps": steps(), "echo": echo(), "held": steps(Gate())}


@pytest.fixture
async def engine(database: Database, graphs: dict[str, Any]) -> Any:
    async with run_executor(database, graphs) as running:
        yield running


async def ran(engine: Engine, who: Principal, thread_id: str | None, graph: str = "steps") -> str:
    body: dict[str, Any] = {"assistant_id": graph, "input": {"wanted": 5, "taken": []}, "if_not_exists": "create"}
    started = await engine.start_run(who, body, thread_id)
    async for _ in engine.cursor(who, started.run.thread_id, started.after).of_run(started.run.run_id):
        pass
    return started.run.thread_id


async def pruned(database: Database, keep: Keep) -> bool:
    async with database.transaction(SERVICE) as tx:
        return await prune(tx, keep)


async def test_what_is_young_stays(engine: Engine, database: Database, learner: Principal) -> None:
    await ran(engine, learner, None)
    await ran(engine, learner, str(new_id()))
    assert not await pruned(database, NOTHING)


async def test_a_pruned_thread_keeps_its_state_and_its_numbers(
    engine: Engine, database: Database, learner: Principal
) -> None:
    thread_id = await ran(engine, learner, str(new_id()))
    async with database.transaction(learner) as tx:
        before = await frames.last_seq(tx, thread_id)
    assert await pruned(database, ALL)
    assert not await pruned(database, ALL)
    async with database.transaction(learner) as tx:
        assert await frames.of_thread(tx, thread_id, after=0) == []
        assert await frames.last_seq(tx, thread_id) == before
        thread = await threads.get(tx, thread_id)
        assert await tx.fetch_value("SELECT count(*) FROM checkpoints") == 1
    graph, config = engine.open(learner, thread)
    assert (await graph.aget_state(config)).values == {"wanted": 5, "taken": [0, 1, 2, 3, 4]}
    await ran(engine, learner, thread_id)
    async with database.transaction(learner) as tx:
        assert (await frames.of_thread(tx, thread_id, after=0))[0].seq == before + 1


async def test_temporary_threads_go_whole(engine: Engine, database: Database, learner: Principal) -> None:
    await ran(engine, learner, None)
    await pruned(database, ALL)
    async with database.transaction(SERVICE) as tx:
        assert await tx.fetch_value("SELECT count(*) FROM threads") == 0
        assert await tx.fetch_value("SELECT count(*) FROM runs") == 0
        assert await tx.fetch_value("SELECT count(*) FROM run_frames") == 0


async def test_a_run_in_progress_keeps_everything(engine: Engine, database: Database, learner: Principal) -> None:
    body: dict[str, Any] = {"assistant_id": "held", "input": {"wanted": 5, "taken": []}}
    started = await engine.start_run(learner, body, None)
    async for batch in engine.cursor(learner, started.run.thread_id, started.after).of_run(started.run.run_id):
        if any(frame.event == "values" for frame in batch):
            break
    await pruned(database, ALL)
    async with database.transaction(learner) as tx:
        assert (await runs.get(tx, started.run.run_id)).status == "running"
        assert await frames.of_thread(tx, started.run.thread_id, after=0)
