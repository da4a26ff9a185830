"""State is the fold of its events: whatever is done to an entity, its history adds up to its row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, LiteralString
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import goals, snapshots, tasks
from store.database import Database, Transaction
from store.errors import StoreError
from store.goals import NewGoal
from store.principal import Principal
from store.snapshots import NewSnapshot, Validation
from store.tasks import NewTask
from store.types import GoalStatus, GoalType, Priority, TaskStatus, TaskType, ValidationStatus

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
TIMES = st.floats(1e9, 4e9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
GOAL_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "title": TEXT,
        "description": TEXT,
        "type": st.sampled_from(GoalType),
        "status": st.sampled_from(GoalStatus),
        "priority": st.sampled_from(Priority),
        "progress_percentage": st.floats(0, 100) | st.sampled_from([0.0, 100.0]),
        "due_at": TIMES | st.none(),
        "details": st.dictionaries(TEXT, st.none() | st.booleans() | st.integers(-9, 9) | TEXT, max_size=3),
    },
)
TASK_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "title": TEXT,
        "type": st.sampled_from(TaskType),
        "status": st.sampled_from(TaskStatus),
        "acceptance_criteria": st.lists(TEXT, max_size=3),
        "skills": st.lists(TEXT, max_size=3),
        "estimated_minutes": st.integers(1, 600) | st.none(),
        "position": st.integers(0, 9),
    },
)


@dataclass(frozen=True)
class _Recorded:
    entity_version: int
    recorded_at: datetime
    changes: dict[str, Any]


HISTORY: LiteralString = (
    "SELECT entity_version, recorded_at, payload -> 'changes' AS changes FROM events"
    " WHERE entity_type = %s AND entity_id = %s ORDER BY entity_version"
)
ROWS: Mapping[str, LiteralString] = {
    "goal": "SELECT to_jsonb(t) FROM goals AS t WHERE id = %s",
    "task": "SELECT to_jsonb(t) FROM tasks AS t WHERE id = %s",
    "code_snapshot": "SELECT to_jsonb(t) FROM code_snapshots AS t WHERE id = %s",
}


async def assert_fold_is_row(tx: Transaction, entity: str, entity_id: UUID) -> Sequence[_Recorded]:
    """Compare the folded history of an entity with its row, column by column."""
    history = await tx.fetch_all(HISTORY, [entity, str(entity_id)], row=_Recorded)
    state: dict[str, Any] = {}
    for event in history:
        state |= event.changes
    state["version"] = history[-1].entity_version
    state["created_at"], state["updated_at"] = history[0].recorded_at, history[-1].recorded_at
    row = await tx.fetch_value(ROWS[entity], [entity_id])
    assert {name: _comparable(value) for name, value in state.items()} == {
        name: _comparable(value) for name, value in row.items()
    }
    assert [event.entity_version for event in history] == list(range(1, len(history) + 1))
    times = [event.recorded_at for event in history]
    assert all(after - before >= timedelta(microseconds=1) for before, after in pairwise(times))
    return history


def _comparable(value: Any) -> Any:
    """Times compare as times: PostgreSQL and Python print the same moment differently."""
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) and len(value) >= 25 else value
    except ValueError:
        return value


_FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_FEW
@given(steps=st.lists(GOAL_CHANGES, max_size=6))
async def test_a_goals_history_adds_up_to_its_row(
    database: Database, learner: Principal, steps: list[dict[str, object]]
) -> None:
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="Learn Go", details={"a": {"b": [1, 2.5, None]}}))
        for step in steps:
            try:
                async with tx.savepoint():
                    await goals.update(tx, goal.id, step)
            except StoreError:
                continue
        await assert_fold_is_row(tx, "goal", goal.id)


@_FEW
@given(steps=st.lists(TASK_CHANGES, max_size=6))
async def test_a_tasks_history_adds_up_to_its_row(
    database: Database, learner: Principal, steps: list[dict[str, object]]
) -> None:
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="Learn Go"))
        first = await tasks.create(tx, NewTask(goal_id=goal.id, title="Read"))
        task = await tasks.create(tx, NewTask(goal_id=goal.id, title="Try", depends_on=[first.id]))
        for step in steps:
            try:
                async with tx.savepoint():
                    await tasks.update(tx, task.id, step)
            except StoreError:
                continue
        await assert_fold_is_row(tx, "task", task.id)


@_FEW
@given(contents=st.lists(TEXT, min_size=1, max_size=4), score=st.floats(0, 1))
async def test_a_snapshots_history_adds_up_to_its_row(
    database: Database, learner: Principal, contents: list[str], score: float
) -> None:
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="Learn Go"))
        task = await tasks.create(tx, NewTask(goal_id=goal.id, title="Try"))
        made = await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="a.py", content="start"))
        for content in contents:
            await snapshots.update(tx, made.id, {"content": content})
        verdict = Validation(status=ValidationStatus.FAILED, score=score, issues=[{"line": 1, "why": contents[0]}])
        await snapshots.record_validation(tx, made.id, verdict)
        await assert_fold_is_row(tx, "code_snapshot", made.id)


async def test_deleting_a_goal_records_an_event_for_everything_in_it(database: Database, learner: Principal) -> None:
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="Learn Go"))
        task = await tasks.create(tx, NewTask(goal_id=goal.id, title="Try"))
        made = await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="a.py", content="x"))
        await goals.delete(tx, goal.id)
        for entity, entity_id in (("goal", goal.id), ("task", task.id), ("code_snapshot", made.id)):
            kinds = await tx.fetch_value(
                "SELECT array_agg(type ORDER BY entity_version) FROM events WHERE entity_id = %s", [str(entity_id)]
            )
            assert kinds == [f"{entity}.created", f"{entity}.deleted"]


async def test_a_rolled_back_change_leaves_no_event(database: Database, learner: Principal) -> None:
    async def create_and_fail() -> None:
        async with database.transaction(learner) as tx:
            await goals.create(tx, NewGoal(title="Never"))
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError, match="changed my mind"):
        await create_and_fail()
    async with database.transaction(learner) as tx:
        assert await tx.fetch_value("SELECT count(*) FROM events") == 0
