"""The log of frames: numbers are given out once, whoever used them."""

from typing import Any

from api.runs.engine import run_executor
from store import frames, runs, threads
from store.database import Database
from store.frames import Frame
from store.principal import SERVICE, Principal
from store.runs import NewRun, RunStatus
from store.types import new_id
from tests.api.protocol.graphs import steps


async def abandoned(database: Database, who: Principal, *, stateless: bool) -> str:
    """Make a thread on which a worker died in the middle of a run that was then cancelled; return its id."""
    thread_id = str(new_id())
    async with database.transaction(who) as tx:
        thread = await threads.create(tx, thread_id, metadata={}, stateless=stateless)
        if not stateless:
            await threads.adopt_graph(tx, thread, "steps", "steps")
        run = await runs.create(tx, NewRun(str(new_id()), thread_id, "steps", "steps", {}), owner="dead")
    said = [Frame(seq, run.run_id, "values", "", "{}") for seq in (1, 2, 3)]
    async with database.transaction(SERVICE) as tx:
        assert await frames.append(tx, said, [run.lease], "dead")
        await runs.hand_back(tx, run.lease)
        assert await runs.end_pending(tx, run.run_id, RunStatus.INTERRUPTED)
    return thread_id


async def test_numbers_of_an_abandoned_run_are_not_given_out_again(database: Database, learner: Principal) -> None:
    body: dict[str, Any] = {"assistant_id": "steps", "input": {"wanted": 2, "taken": []}, "stream_mode": ["values"]}
    for stateless in (False, True):
        thread_id = await abandoned(database, learner, stateless=stateless)
        async with run_executor(database, {"steps": steps()}) as engine:
            started = await engine.start_run(learner, body, thread_id)
            cursor = engine.cursor(learner, thread_id, started.after, fresh=True)
            seen = [frame async for batch in cursor.of_run(started.run.run_id) for frame in batch]
        async with database.transaction(learner) as tx:
            kept = await frames.of_thread(tx, thread_id, after=0)
        assert [frame.seq for frame in kept] == list(range(1, 4 + len(seen)))
        assert kept[3:] == seen
        assert seen[-1].event == "end"
