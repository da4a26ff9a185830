"""Candidates: which tasks are offered to the ranking, what they wait for, and what the learner said before."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from store import candidates, goals, snapshots, tasks
from store.candidates import Decided
from store.database import Database
from store.errors import NotFound
from store.goals import NewGoal
from store.principal import Principal
from store.snapshots import NewSnapshot, Validation
from store.tasks import NewTask, Task
from store.types import GoalStatus, TaskStatus, ValidationStatus, new_id

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def chain(database: Database, who: Principal, length: int = 3) -> list[Task]:
    async with database.transaction(who) as tx:
        goal = await goals.create(tx, NewGoal(title="Learn loops"))
        made: list[Task] = []
        for number in range(length):
            before = [made[-1].id] if made else []
            made.append(await tasks.create(tx, NewTask(goal_id=goal.id, title=f"Step {number}", depends_on=before)))
        return made


async def test_only_tasks_with_nothing_in_the_way_are_ready(database: Database, learner: Principal) -> None:
    first, second, _ = await chain(database, learner)
    async with database.transaction(learner) as tx:
        found = await candidates.load(tx)
        assert [task.title for task in found.tasks if found.ready(task)] == ["Step 0"]
        assert [blocker.title for blocker in found.open_blockers(found.tasks[1])] == ["Step 0"]
        await tasks.update(tx, first.id, {"status": TaskStatus.CANCELLED})
        found = await candidates.load(tx)
        assert [task.id for task in found.tasks if found.ready(task)] == [second.id]


async def test_tasks_of_goals_that_rest_are_left_out(database: Database, learner: Principal) -> None:
    first = (await chain(database, learner))[0]
    async with database.transaction(learner) as tx:
        await goals.update(tx, first.goal_id, {"status": GoalStatus.IN_PROGRESS})
        await goals.update(tx, first.goal_id, {"status": GoalStatus.PAUSED})
        assert (await candidates.load(tx)).tasks == []


async def test_a_failed_validation_is_known_until_a_later_one_passes(database: Database, learner: Principal) -> None:
    first = (await chain(database, learner, 1))[0]
    async with database.transaction(learner) as tx:
        snapshot = await snapshots.create(tx, NewSnapshot(task_id=first.id, file_path="a.py", content="x = 1"))
        failed = Validation(status=ValidationStatus.FAILED, score=0.4, issues=[{"type": "syntax-error"}])
        await snapshots.record_validation(tx, snapshot.id, failed)
        (task,) = (await candidates.load(tx)).tasks
        assert task.failed_snapshot_id == snapshot.id
        assert task.failed_issues == [{"type": "syntax-error"}]
        await snapshots.record_validation(tx, snapshot.id, Validation(status=ValidationStatus.PASSED, score=1.0))
        (task,) = (await candidates.load(tx)).tasks
        assert (task.failed_snapshot_id, task.failed_issues) == (None, None)


async def test_a_decision_is_remembered_once(database: Database, learner: Principal) -> None:
    first = (await chain(database, learner, 1))[0]
    decision = new_id()
    async with database.transaction(learner) as tx:
        for _ in range(2):
            await candidates.decide(tx, decision, first.id, Decided.REJECTED, NOW)
        assert await tx.fetch_value("SELECT count(*) FROM suggestion_feedback") == 1
        (task,) = (await candidates.load(tx)).tasks
    assert (task.last_decision, task.decided_at) == ("rejected", NOW)


async def test_nobody_is_offered_or_decides_on_the_tasks_of_another(
    database: Database, learner: Principal, other_learner: Principal
) -> None:
    first = (await chain(database, learner))[0]
    async with database.transaction(other_learner) as tx:
        assert (await candidates.load(tx)).tasks == []
        with pytest.raises(NotFound):
            await candidates.load(tx, first.goal_id)
        with pytest.raises(NotFound):
            await candidates.decide(tx, UUID(int=7), first.id, Decided.REJECTED, NOW)
