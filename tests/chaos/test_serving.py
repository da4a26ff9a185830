"""Runs survive the death of their worker and of PostgreSQL: no step lost, none twice, no frame lost or out of order."""

import asyncio
import random
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import orjson
import psycopg
import pytest

from api.runs.engine import Engine, Limits, Started, run_executor
from store.database import Database
from store.frames import Frame
from store.principal import Principal
from tests.chaos.serving_child import STEPS, walk
from tests.postgres import Urls

Spawn: TypeAlias = Callable[[], Awaitable[Process]]
BODY: dict[str, Any] = {"assistant_id": "walk", "input": {"taken": []}, "stream_mode": ["values", "updates"]}


@pytest.fixture
async def spawn(urls: Urls) -> AsyncIterator[Spawn]:
    """Starts worker processes; whatever is left of them at the end is killed."""
    started: list[Process] = []

    async def start() -> Process:
        command = [sys.executable, "-m", "tests.chaos.serving_child", urls.login]
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        started.append(process)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def front(database: Database) -> AsyncIterator[Engine]:
    """A process that accepts and streams runs, and executes none."""
    async with run_executor(database, {"walk": walk()}, Limits(concurrent_runs=0)) as engine:
        yield engine


async def watched(engine: Engine, who: Principal, started: Started) -> list[Frame]:
    """Follow a run to its end."""
    found: list[Frame] = []
    async with asyncio.timeout(90):
        async for batch in engine.cursor(who, started.run.thread_id, started.after).of_run(started.run.run_id):
            found += batch
    return found


def check(frames: list[Frame]) -> int:
    """Assert that nothing is missing or doubled; return the number of attempts."""
    assert [frame.seq for frame in frames] == list(range(frames[0].seq, frames[0].seq + len(frames)))
    assert frames[-1].event == "end"
    assert orjson.loads(frames[-1].data)["status"] == "success"
    values: list[Any] = [orjson.loads(frame.data) for frame in frames if frame.event == "values"]
    assert values[-1]["taken"] == list(range(STEPS))
    return orjson.loads([frame for frame in frames if frame.event == "metadata"][-1].data)["attempt"]


async def test_a_killed_worker_loses_nothing_while_another_lives(
    front: Engine, spawn: Spawn, learner: Principal
) -> None:
    first, _ = await spawn(), await spawn()
    started = [await front.start_run(learner, BODY, None) for _ in range(6)]
    streams = [asyncio.create_task(watched(front, learner, one)) for one in started]
    await asyncio.sleep(0.6)
    first.kill()
    attempts = [check(frames) for frames in await asyncio.gather(*streams)]
    assert set(attempts) <= {1, 2}
    assert 2 in attempts


async def test_the_only_worker_is_killed_and_comes_back(front: Engine, spawn: Spawn, learner: Principal) -> None:
    only = await spawn()
    started = await front.start_run(learner, BODY, None)
    stream = asyncio.create_task(watched(front, learner, started))
    await asyncio.sleep(0.6)
    only.kill()
    await only.wait()
    await spawn()
    ready = time.monotonic()
    frames = await stream
    assert check(frames) == 2
    assert time.monotonic() - ready < 15


async def test_a_stopped_worker_hands_its_runs_back(front: Engine, spawn: Spawn, learner: Principal) -> None:
    first = await spawn()
    started = await front.start_run(learner, BODY, None)
    stream = asyncio.create_task(watched(front, learner, started))
    await asyncio.sleep(0.4)
    first.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    await first.wait()
    assert time.monotonic() - begun < 8
    await spawn()
    assert check(await stream) == 2


@pytest.mark.chaos
async def test_a_frozen_worker_writes_nothing_when_it_thaws(front: Engine, spawn: Spawn, learner: Principal) -> None:
    frozen = await spawn()
    started = await front.start_run(learner, BODY, None)
    stream = asyncio.create_task(watched(front, learner, started))
    await asyncio.sleep(0.6)
    frozen.send_signal(signal.SIGSTOP)
    await spawn()
    await asyncio.sleep(11.5)
    frozen.send_signal(signal.SIGCONT)
    assert check(await stream) == 2


@pytest.mark.chaos
async def test_a_restart_of_connections_fails_no_run(
    front: Engine, spawn: Spawn, learner: Principal, database_url: str
) -> None:
    await spawn()
    started = [await front.start_run(learner, BODY, None) for _ in range(3)]
    streams = [asyncio.create_task(watched(front, learner, one)) for one in started]
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as owner:
        for _ in range(3):
            await asyncio.sleep(0.4)
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    for frames in await asyncio.gather(*streams):
        check(frames)


@pytest.mark.chaos
async def test_twenty_random_kills(front: Engine, spawn: Spawn, learner: Principal) -> None:
    dice = random.Random(20)
    workers = [await spawn(), await spawn()]
    for _ in range(10):
        started = [await front.start_run(learner, BODY, None) for _ in range(4)]
        streams = [asyncio.create_task(watched(front, learner, one)) for one in started]
        for _ in range(2):
            await asyncio.sleep(dice.uniform(0.05, 1.0))
            victim = dice.randrange(2)
            workers[victim].kill()
            await workers[victim].wait()
            workers[victim] = await spawn()
        for frames in await asyncio.gather(*streams):
            check(frames)
