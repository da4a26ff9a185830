"""Hints taken: remembered with their first words, gone with their task, invisible to others."""

from dataclasses import replace
from datetime import UTC, datetime

from store import goals, hint_grants, snapshots, tasks
from store.database import Database
from store.goals import NewGoal
from store.hint_grants import Grant
from store.principal import Principal
from store.snapshots import NewSnapshot
from store.tasks import NewTask


async def test_a_hint_keeps_its_first_words_and_ends_with_its_task(
    database: Database, learner: Principal, other_learner: Principal
) -> None:
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="Learn loops"))
        task = await tasks.create(tx, NewTask(goal_id=goal.id, title="Write a loop"))
        snapshot = await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="a.py", content="x = 1"))
        grant = Grant(task.id, snapshot.id, "loops", 1, "f00d", "Look at line 3.", datetime(2026, 3, 1, tzinfo=UTC))
        await hint_grants.give(tx, grant)
        await hint_grants.give(tx, replace(grant, words="Another way to say it."))
        assert await hint_grants.of_task(tx, task.id) == [grant]
    async with database.transaction(other_learner) as tx:
        assert await hint_grants.of_task(tx, task.id) == []
    async with database.transaction(learner) as tx:
        await tasks.delete(tx, task.id)
        assert await tx.fetch_value("SELECT count(*) FROM hint_grants") == 0
