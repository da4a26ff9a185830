"""Goals: creation, transitions, versions, and who sees them."""

import pytest

from store import goals
from store.database import Database
from store.errors import IllegalTransition, Invalid, NotFound, VersionConflict
from store.goals import GoalFilter, NewGoal
from store.principal import Principal
from store.types import GoalStatus, Priority, Visibility


async def test_a_new_goal_is_pending_private_and_at_zero(database: Database, learner: Principal) -> None:
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="Build REST API", priority=Priority.HIGH))
    assert (goal.status, goal.progress_percentage, goal.visibility) == (GoalStatus.PENDING, 0, Visibility.PRIVATE)
    assert goal.version == 1
    assert goal.created_at == goal.updated_at


async def test_progress_starts_and_completes_a_goal(database: Database, learner: Principal) -> None:
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="Learn Go"))
        started = await goals.set_progress(tx, goal.id, 10)
        done = await goals.set_progress(tx, goal.id, 100)
    assert started.status is GoalStatus.IN_PROGRESS
    assert started.started_at is not None
    assert done.status is GoalStatus.COMPLETED
    assert done.completed_at is not None
    assert done.version == 3


async def test_an_illegal_move_is_refused_with_the_reason(database: Database, learner: Principal) -> None:
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="Learn Go"))
        with pytest.raises(IllegalTransition, match=r"pending cannot become paused.*cancelled, completed, in_progress"):
            await goals.update(tx, goal.id, {"status": GoalStatus.PAUSED})


async def test_status_and_progress_may_not_contradict_each_other(database: Database, learner: Principal) -> None:
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="Learn Go"))
        with pytest.raises(Invalid, match="progress of 100"):
            await goals.update(tx, goal.id, {"status": GoalStatus.COMPLETED, "progress_percentage": 40.0})


async def test_a_stale_version_is_refused(database: Database, learner: Principal) -> None:
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="Learn Go"))
        await goals.update(tx, goal.id, {"title": "Learn Rust"}, expected_version=1)
        with pytest.raises(VersionConflict, match="version 2 by now"):
            await goals.update(tx, goal.id, {"title": "Learn C"}, expected_version=1)


async def test_nobody_else_sees_changes_or_deletes_a_goal(
    database: Database, learner: Principal, other_learner: Principal
) -> None:
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="Secret"))
    async with database.transaction(other_learner) as tx:
        assert (await goals.list(tx, GoalFilter())).total == 0
        with pytest.raises(NotFound):
            await goals.get(tx, goal.id)
        with pytest.raises(NotFound):
            await goals.update(tx, goal.id, {"title": "Mine now"})
        with pytest.raises(NotFound):
            await goals.delete(tx, goal.id)
    async with database.transaction(learner) as tx:
        assert (await goals.get(tx, goal.id)).title == "Secret"


async def test_listing_counts_beyond_the_page(database: Database, learner: Principal) -> None:
    async with database.transaction(learner) as tx:
        for number in range(5):
            await goals.create(tx, NewGoal(title=f"Goal {number}"))
        first = await goals.list(tx, GoalFilter(limit=2))
        last = await goals.list(tx, GoalFilter(skip=4, limit=2))
        beyond = await goals.list(tx, GoalFilter(skip=10, limit=2))
    assert ([goal.title for goal in first.items], first.total) == (["Goal 4", "Goal 3"], 5)
    assert ([goal.title for goal in last.items], last.total) == (["Goal 0"], 5)
    assert (beyond.items, beyond.total) == ([], 5)
