"""A course with its teacher and two members, and small factories for goals and tasks."""

from collections.abc import Awaitable, Callable

import pytest

from store import courses, goals, tasks
from store.courses import Course, NewCourse
from store.database import Database
from store.goals import Goal, NewGoal
from store.principal import Principal
from store.tasks import NewTask, Task

GoalFactory = Callable[..., Awaitable[Goal]]
TaskFactory = Callable[..., Awaitable[Task]]


@pytest.fixture
async def course(database: Database, instructor: Principal, learner: Principal, other_learner: Principal) -> Course:
    """A published course both learners are enrolled in."""
    async with database.transaction(instructor) as tx:
        draft = await courses.create(tx, NewCourse(title="Web APIs", id="course-123"))
        published = await courses.publish(tx, draft.id)
    for member in (learner, other_learner):
        async with database.transaction(member) as tx:
            await courses.enroll(tx, published.id)
    return published


@pytest.fixture
def make_goal(database: Database, learner: Principal) -> GoalFactory:
    """Create a goal of Ada's, or of `owner`'s."""

    async def make(owner: Principal | None = None, **values: object) -> Goal:
        async with database.transaction(owner or learner) as tx:
            return await goals.create(tx, NewGoal(**{"title": "Learn Go", **values}))  # pyright: ignore[reportArgumentType]

    return make


@pytest.fixture
def make_task(database: Database, learner: Principal, make_goal: GoalFactory) -> TaskFactory:
    """Create a task of Ada's, or of `owner`'s, in a goal of its own unless one is named."""

    async def make(owner: Principal | None = None, **values: object) -> Task:
        if "goal_id" not in values:
            values["goal_id"] = (await make_goal(owner)).id
        async with database.transaction(owner or learner) as tx:
            return await tasks.create(tx, NewTask(**{"title": "Read", **values}))  # pyright: ignore[reportArgumentType]

    return make
