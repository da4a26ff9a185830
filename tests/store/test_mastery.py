"""Mastery: what an outcome does to a card, once per snapshot, and only for its owner."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from fsrs import Rating

from store import goals, mastery, snapshots, tasks
from store.database import Database
from store.goals import NewGoal
from store.mastery import Evidence
from store.principal import Principal
from store.snapshots import NewSnapshot
from store.tasks import NewTask

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def snapshot_of(database: Database, who: Principal) -> UUID:
    async with database.transaction(who) as tx:
        goal = await goals.create(tx, NewGoal(title="Learn loops"))
        task = await tasks.create(tx, NewTask(goal_id=goal.id, title="Write a loop", skills=("loops",)))
        return (await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="a.py", content="x = 1"))).id


@pytest.mark.parametrize(
    ("passed", "hint_level", "first_try", "expected"),
    [
        (False, 0, True, Rating.Again),
        (False, 4, False, Rating.Again),
        (True, 3, False, Rating.Hard),
        (True, 2, True, Rating.Hard),
        (True, 1, True, Rating.Good),
        (True, 0, False, Rating.Good),
        (True, 0, True, Rating.Easy),
    ],
)
def test_hints_make_a_pass_weigh_less(passed: bool, hint_level: int, first_try: bool, expected: Rating) -> None:
    assert mastery.rating(Evidence("loops", UUID(int=1), passed, hint_level, first_try)) is expected


async def test_one_snapshot_counts_once(database: Database, learner: Principal) -> None:
    evidence = Evidence("loops", await snapshot_of(database, learner), passed=True, hint_level=0, first_try=True)
    async with database.transaction(learner) as tx:
        assert await mastery.record(tx, evidence, NOW)
        once = await mastery.all_of_caller(tx)
        assert not await mastery.record(tx, evidence, NOW + timedelta(days=1))
        assert await mastery.all_of_caller(tx) == once
    assert (once[0].successes, once[0].failures) == (1, 0)
    assert once[0].due_at > NOW + timedelta(days=1)


async def test_first_outcomes_at_once_all_count(database: Database, learner: Principal) -> None:
    first, second = [
        Evidence("loops", await snapshot_of(database, learner), passed=passed, hint_level=0, first_try=True)
        for passed in (True, False)
    ]

    async def later() -> None:
        async with database.transaction(learner) as tx:
            await mastery.record(tx, second, NOW)

    async with database.transaction(learner) as tx:
        await mastery.record(tx, first, NOW)
        waiting = asyncio.create_task(later())
        waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid)"
        async with asyncio.timeout(10):
            while not await tx.fetch_value(waits):  # noqa: ASYNC110 - PostgreSQL offers nothing to wait on
                await asyncio.sleep(0.01)
    await waiting
    async with database.transaction(learner) as tx:
        (skill,) = await mastery.all_of_caller(tx)
    assert (skill.successes, skill.failures) == (1, 1)


async def test_a_skill_is_forgotten_with_time_and_the_card_is_deterministic(
    database: Database, learner: Principal
) -> None:
    evidence = Evidence("loops", await snapshot_of(database, learner), passed=True, hint_level=0, first_try=True)
    async with database.transaction(learner) as tx:
        await mastery.record(tx, evidence, NOW)
        (skill,) = await mastery.all_of_caller(tx)
    assert skill.recall(NOW + timedelta(days=1)) > 0.95
    assert skill.recall(NOW + timedelta(days=200)) < skill.recall(NOW + timedelta(days=20)) < 0.95
    assert skill.due_at == NOW + timedelta(days=(skill.due_at - NOW).days)


async def test_nobody_sees_or_moves_the_skills_of_another(
    database: Database, learner: Principal, other_learner: Principal
) -> None:
    evidence = Evidence("loops", await snapshot_of(database, learner), passed=False, hint_level=0, first_try=True)
    async with database.transaction(learner) as tx:
        await mastery.record(tx, evidence, NOW)
    async with database.transaction(other_learner) as tx:
        assert await mastery.all_of_caller(tx) == []
        assert await tx.execute("UPDATE skill_mastery SET successes = 99 WHERE true") == 0
