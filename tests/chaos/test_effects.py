"""Kills processes in the middle of tool calls and commits, lets others continue, and counts every effect."""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from store.database import Database
from store.principal import Principal
from store.types import Role
from tests.chaos.effects_child import GOALS, POINTS
from tests.graphs.learning import GOOD, working
from tests.postgres import Urls

SEED = 20261122
PARTS = 10
"""The whole campaign in pieces, so that one can be repeated by itself."""


@dataclass(slots=True)
class Campaign:
    """A nursery, and what happened in it."""

    process: asyncio.subprocess.Process
    url: str
    kills: int = 0
    calm: list[float] = field(default_factory=list[float])

    async def job(self, job: dict[str, Any], kill_after: float | None = None) -> int:
        """Run one child, killed after some time if asked for; return its exit code."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        await self.process.stdin.drain()
        pid = int(await self.process.stdout.readline())
        ending = asyncio.create_task(self.process.stdout.readline(), name=f"end of {pid}")
        if kill_after is not None:
            await asyncio.wait({ending}, timeout=kill_after)
            if not ending.done():
                os.kill(pid, signal.SIGKILL)
        code = int(await ending)
        self.kills += code == -9
        return code


@asynccontextmanager
async def nursery(url: str) -> AsyncGenerator[Campaign]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chaos.effects_child", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Campaign(process, url)
    finally:
        if process.stdin:
            process.stdin.close()
        await process.wait()


SCENARIOS: dict[str, dict[str, Any]] = {
    "manage": {"graph": "goal_planning", "input": {"messages": [{"type": "human", "content": "make three goals"}]}},
    "plan": {"graph": "goal_planning", "input": {"objective": "Write a compiler"}},
    "validate": {"graph": "code_validation", "input": {"offer_completion": True}},
    "suggest": {"graph": "task_suggestion", "input": {"offer_start": True}},
}


def job_of(campaign: Campaign, scenario: str, number: int, durability: str) -> dict[str, Any]:
    """A job on a thread and for a person of its own."""
    name = f"{scenario}-{durability}-{number}"
    return {
        **SCENARIOS[scenario],
        "url": campaign.url,
        "user": f"user-{name}",
        "thread": name,
        "durability": durability,
    }


async def prepare(job: dict[str, Any]) -> None:
    """Give the person of a job what its graph needs to begin with: a task, and code for it."""
    if job["graph"] == "goal_planning":
        return
    async with Database(job["url"], min_size=1, max_size=1) as database:
        work = await working(database, Principal(job["user"], Role.LEARNER))
        if job["graph"] == "code_validation":
            await work.hand_in(GOOD)


async def survive(campaign: Campaign, job: dict[str, Any], *deaths: dict[str, Any]) -> None:
    """Run a job through its deaths, then until it ends by itself."""
    await prepare(job)
    for death in deaths:
        after = death.pop("after", None)
        if await campaign.job({**job, **death}, after) == 0:
            return
    started = time.monotonic()
    code = await campaign.job(job)
    campaign.calm.append(time.monotonic() - started)
    assert code == 0, f"{job['thread']} did not come to an end: exit {code}"


def counted(url: str, job: dict[str, Any]) -> dict[str, Any]:
    """Everything the job's person has, and every event about it."""
    with psycopg.connect(url) as connection:
        user = [job["user"]]
        titles = Counter(row[0] for row in connection.execute("SELECT title FROM goals WHERE user_id = %s", user))
        tasks = connection.execute("SELECT count(*) FROM tasks WHERE user_id = %s", user).fetchone()
        events = Counter(row[0] for row in connection.execute("SELECT type FROM events WHERE user_id = %s", user))
        ledger = connection.execute("SELECT status FROM tool_ledger WHERE user_id = %s", user).fetchall()
        learnt = connection.execute(
            "SELECT (SELECT count(*) FROM mastery_evidence WHERE user_id = %s),"
            " (SELECT coalesce(sum(successes + failures), 0)::int FROM skill_mastery WHERE user_id = %s),"
            " (SELECT count(*) FROM suggestion_feedback WHERE user_id = %s)",
            user * 3,
        ).fetchone()
    return {
        "goals": dict(titles),
        "tasks": tasks and tasks[0],
        "events": dict(events),
        "ledger": [row[0] for row in ledger],
        "learnt": learnt,
    }


BEGUN = {"goal.created": 1, "task.created": 1}
EXPECTED: dict[str, dict[str, Any]] = {
    "manage": {
        "goals": dict.fromkeys(GOALS, 1),
        "tasks": 0,
        "events": {"goal.created": 3},
        "ledger": ["done"] * 3,
        "learnt": (0, 0, 0),
    },
    "plan": {
        "goals": {"Write a compiler": 1},
        "tasks": 3,
        "events": {"goal.created": 1, "task.created": 3},
        "ledger": ["done"],
        "learnt": (0, 0, 0),
    },
    "validate": {
        "goals": {"Learn statistics": 1},
        "tasks": 1,
        "events": {**BEGUN, "code_snapshot.created": 1, "code_snapshot.validated": 1, "task.completed": 1},
        "ledger": ["done"] * 2,
        "learnt": (1, 1, 0),
    },
    "suggest": {
        "goals": {"Learn statistics": 1},
        "tasks": 1,
        "events": {**BEGUN, "task.started": 1},
        "ledger": ["done"],
        "learnt": (0, 0, 1),
    },
}


async def campaign_of(urls: Urls, random_kills: int, each_point: int, seed: int = SEED) -> Campaign:
    """Kill at random moments and at every named point, in all scenarios and both durabilities; check every thread."""
    dice = random.Random(seed)
    async with nursery(urls.login) as campaign:
        number = 0
        warm = [job_of(campaign, scenario, -1, "sync") for scenario in SCENARIOS]
        for job in warm:
            await survive(campaign, job)
        usual = {scenario: campaign.calm[i] for i, scenario in enumerate(SCENARIOS)}
        for point in POINTS:
            wanted = campaign.kills + each_point
            while campaign.kills < wanted:  # a run that never comes to the point a third time does not count
                number += 1
                scenario = dice.choice([*SCENARIOS])
                job = job_of(campaign, scenario, number, dice.choice(["sync", "sync", "async"]))
                await survive(campaign, job, {"point": point, "passage": dice.randint(1, 3)})
                assert counted(urls.owner, job) == EXPECTED[scenario], (job, point)
        aimed = campaign.kills
        while campaign.kills < aimed + random_kills:
            number += 1
            scenario = dice.choice([*SCENARIOS])
            job = job_of(campaign, scenario, number, dice.choice(["sync", "sync", "async"]))
            deaths = [{"after": dice.uniform(0.0, usual[scenario])} for _ in range(dice.randint(1, 3))]
            await survive(campaign, job, *deaths)
            assert counted(urls.owner, job) == EXPECTED[scenario], job
    return campaign


@pytest.mark.timeout(120)
async def test_effects_happen_once_through_a_share_of_the_kills(urls: Urls) -> None:
    campaign = await campaign_of(urls, random_kills=4, each_point=1)
    assert campaign.kills >= 4 + len(POINTS)


@pytest.mark.chaos
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(PARTS))
async def test_effects_happen_once_through_200_random_kills_and_20_at_each_point(urls: Urls, part: int) -> None:
    started = time.monotonic()
    campaign = await campaign_of(urls, random_kills=200 // PARTS, each_point=20 // PARTS, seed=SEED + part)
    took = time.monotonic() - started
    sys.stdout.write(f"\n{campaign.kills} kills in {took:.0f} s: 0 effects lost, 0 doubled (seed {SEED + part})\n")
