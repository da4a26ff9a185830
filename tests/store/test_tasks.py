"""Tasks: order, dependencies, transitions, deletion."""

from uuid import uuid4

import pytest

from store import goals, tasks
from store.database import Database
from store.errors import IllegalTransition, Invalid, NotFound
from store.principal import Principal
from store.tasks import NewTask, TaskFilter
from store.types import TaskStatus
from tests.store.conftest import GoalFactory, TaskFactory


async def test_tasks_keep_the_order_they_were_added_in(
    database: Database, learner: Principal, make_goal: GoalFactory
) -> None:
    goal = await make_goal()
    async with database.transaction(learner) as tx:
        for title in ("first", "second", "third"):
            await tasks.create(tx, NewTask(goal_id=goal.id, title=title))
        listed = await tasks.list(tx, TaskFilter(goal_id=goal.id))
    assert [(task.title, task.position) for task in listed.items] == [("first", 0), ("second", 1), ("third", 2)]


async def test_a_task_waits_until_what_it_depends_on_is_done(
    database: Database, learner: Principal, make_task: TaskFactory
) -> None:
    first = await make_task(title="Read the book")
    second = await make_task(goal_id=first.goal_id, depends_on=[first.id])
    async with database.transaction(learner) as tx:
        with pytest.raises(IllegalTransition, match="waits for: Read the book"):
            await tasks.update(tx, second.id, {"status": TaskStatus.IN_PROGRESS})
        await tasks.update(tx, first.id, {"status": TaskStatus.COMPLETED})
        started = await tasks.update(tx, second.id, {"status": TaskStatus.IN_PROGRESS})
    assert started.started_at is not None


async def test_a_circle_of_dependencies_is_refused(
    database: Database, learner: Principal, make_task: TaskFactory
) -> None:
    first = await make_task()
    second = await make_task(goal_id=first.goal_id, depends_on=[first.id])
    third = await make_task(goal_id=first.goal_id, depends_on=[second.id])
    async with database.transaction(learner) as tx:
        with pytest.raises(Invalid, match="circle"):
            await tasks.update(tx, first.id, {"depends_on": [third.id]})


async def test_a_dependency_outside_the_goal_is_refused(make_task: TaskFactory) -> None:
    elsewhere = await make_task()
    for stranger in (elsewhere.id, uuid4()):
        with pytest.raises(Invalid, match=str(stranger)):
            await make_task(depends_on=[stranger])


async def test_deleting_a_task_frees_those_that_waited_for_it(
    database: Database, learner: Principal, make_task: TaskFactory
) -> None:
    first = await make_task()
    second = await make_task(goal_id=first.goal_id, depends_on=[first.id])
    async with database.transaction(learner) as tx:
        await tasks.delete(tx, first.id)
        assert (await tasks.get(tx, second.id)).depends_on == []
        with pytest.raises(NotFound):
            await tasks.get(tx, first.id)


async def test_a_task_of_somebody_elses_goal_cannot_be_made(
    other_learner: Principal, make_goal: GoalFactory, make_task: TaskFactory
) -> None:
    goal = await make_goal()
    with pytest.raises(NotFound, match="no goal"):
        await make_task(other_learner, goal_id=goal.id)


async def test_a_finished_goal_takes_no_more_tasks(
    database: Database, learner: Principal, make_goal: GoalFactory, make_task: TaskFactory
) -> None:
    goal = await make_goal()
    async with database.transaction(learner) as tx:
        await goals.set_progress(tx, goal.id, 100)
    with pytest.raises(IllegalTransition, match="reopen it"):
        await make_task(goal_id=goal.id)


async def test_a_completed_task_can_be_reopened_and_loses_its_completion_time(
    database: Database, learner: Principal, make_task: TaskFactory
) -> None:
    task = await make_task()
    async with database.transaction(learner) as tx:
        done = await tasks.update(tx, task.id, {"status": TaskStatus.COMPLETED})
        again = await tasks.update(tx, task.id, {"status": TaskStatus.IN_PROGRESS})
    assert done.completed_at is not None
    assert again.completed_at is None
    assert again.started_at == done.started_at


async def test_an_unchanged_update_writes_nothing(
    database: Database, learner: Principal, make_task: TaskFactory
) -> None:
    task = await make_task()
    async with database.transaction(learner) as tx:
        assert (await tasks.update(tx, task.id, {"title": task.title})).version == 1


async def test_what_code_computes_cannot_be_edited(
    database: Database, learner: Principal, make_task: TaskFactory
) -> None:
    task = await make_task()
    async with database.transaction(learner) as tx:
        with pytest.raises(Invalid, match="user_id cannot be changed"):
            await tasks.update(tx, task.id, {"user_id": "bob"})
