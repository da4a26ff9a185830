"""Tasks: the steps of a goal, their order and what they wait for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, LiteralString, cast
from uuid import UUID

from store import snapshots, transitions
from store.database import Transaction
from store.dependencies import check_dependencies, check_resolved
from store.errors import IllegalTransition, NotFound
from store.event_types import EventType
from store.events import envelope, recording
from store.reading import Reader
from store.records import (
    NEWEST_FIRST,
    asked_changes,
    asked_clauses,
    check_version,
    follow_sharing,
    inherited_visibility,
    page_of,
    values_of,
)
from store.types import GoalStatus, Page, Priority, TaskStatus, TaskType, Visibility, new_id


@dataclass(frozen=True)
class Task:
    """A task as it is now."""

    id: UUID
    goal_id: UUID
    user_id: str
    course_id: str | None
    title: str
    description: str
    type: TaskType
    status: TaskStatus
    priority: Priority
    position: int
    acceptance_criteria: list[str]
    estimated_minutes: int | None
    actual_minutes: int | None
    skills: list[str]
    depends_on: list[UUID]
    visibility: Visibility
    due_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    details: dict[str, Any]
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """What the maker of a task decides; the rest follows from its goal."""

    goal_id: UUID
    title: str
    description: str = ""
    type: TaskType = TaskType.PRACTICE
    priority: Priority = Priority.MEDIUM
    position: int | None = None
    """None appends the task to its goal."""
    acceptance_criteria: Sequence[str] = ()
    estimated_minutes: int | None = None
    skills: Sequence[str] = ()
    depends_on: Sequence[UUID] = ()
    visibility: Visibility | None = None
    due_at: datetime | None = None
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks to list, newest first, or in their goal's order when `goal_id` is given. `None` means any."""

    goal_id: UUID | None = None
    status: TaskStatus | None = None
    type: TaskType | None = None
    priority: Priority | None = None
    course_id: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    due_from: datetime | None = None
    due_to: datetime | None = None
    skip: int = 0
    limit: int = 50


EDITABLE = frozenset(
    {
        "title", "description", "type", "status", "priority", "position", "acceptance_criteria", "estimated_minutes",
        "actual_minutes", "skills", "depends_on", "visibility", "due_at", "details",
    }
)  # fmt: skip

_MISSING = "There is no task of that id here for you."

_CREATE: LiteralString = (
    """
WITH stamp AS MATERIALIZED (SELECT clock_timestamp() AS at),
changed AS (
    INSERT INTO tasks (id, goal_id, user_id, course_id, title, description, type, status, priority, position,
                       acceptance_criteria, estimated_minutes, actual_minutes, skills, depends_on, visibility, due_at,
                       started_at, completed_at, details, version, created_at, updated_at)
    SELECT n.id, n.goal_id, n.user_id, n.course_id, n.title, n.description, n.type, n.status, n.priority, n.position,
           n.acceptance_criteria, n.estimated_minutes, n.actual_minutes, n.skills, n.depends_on, n.visibility, n.due_at,
           n.started_at, n.completed_at, n.details, 1, stamp.at, stamp.at
    FROM stamp, jsonb_populate_record(NULL::tasks, %(payload)s::jsonb -> 'changes') AS n
    RETURNING *
)"""
    + recording("user_id")
    + "SELECT * FROM changed"
)

_UPDATE: LiteralString = (
    """
WITH changed AS (
    UPDATE tasks AS t
    SET (title, description, type, status, priority, position, acceptance_criteria, estimated_minutes, actual_minutes,
         skills, depends_on, visibility, due_at, started_at, completed_at, details) = (
            SELECT n.title, n.description, n.type, n.status, n.priority, n.position, n.acceptance_criteria,
                   n.estimated_minutes, n.actual_minutes, n.skills, n.depends_on, n.visibility, n.due_at, n.started_at,
                   n.completed_at, n.details
            FROM jsonb_populate_record(t, %(payload)s::jsonb -> 'changes') AS n),
        version = t.version + 1,
        updated_at = greatest(clock_timestamp(), t.updated_at + interval '1 microsecond')
    WHERE t.id = %(id)s AND t.user_id = %(actor)s
    RETURNING t.*
)"""
    + recording("user_id")
    + "SELECT * FROM changed"
)

_DELETE: LiteralString = (
    """
WITH changed AS (
    DELETE FROM tasks AS t WHERE t.id = %(id)s AND t.user_id = %(actor)s
    RETURNING t.id, t.user_id, t.version + 1 AS version,
              greatest(clock_timestamp(), t.updated_at + interval '1 microsecond') AS updated_at
)"""
    + recording("user_id")
    + "SELECT version FROM changed"
)

_OWN: LiteralString = "FROM tasks WHERE user_id = %(user_id)s"
_OF_GOAL: LiteralString = (
    "FROM tasks WHERE goal_id = %(goal_id)s AND (user_id = %(user_id)s OR visibility <> 'private')"
)

_CLAUSES: dict[str, LiteralString] = {
    "status": "status = %(status)s",
    "type": "type = %(type)s",
    "priority": "priority = %(priority)s",
    "course_id": "course_id = %(course_id)s",
    "created_from": "created_at >= %(created_from)s",
    "created_to": "created_at <= %(created_to)s",
    "due_from": "due_at >= %(due_from)s",
    "due_to": "due_at <= %(due_to)s",
}

_IN_ORDER: LiteralString = " ORDER BY position, created_at, id"


async def create(tx: Transaction, new: NewTask) -> Task:
    """Add a task to a goal of the caller's.

    Raises `NotFound` for a goal that is not theirs, `IllegalTransition` for one that is over, `Invalid` for
    dependencies outside the goal.
    """
    goal = await _goal(tx, new.goal_id)
    if goal.status in (GoalStatus.COMPLETED, GoalStatus.CANCELLED):
        raise IllegalTransition(f"The goal is {goal.status.value}; reopen it before adding tasks.")
    task_id = new.id or new_id()
    siblings = await _siblings(tx, new.goal_id)
    check_dependencies(task_id, new.depends_on, {task.id: task.depends_on for task in siblings})
    last = max((task.position for task in siblings), default=-1)
    changes = {
        **values_of(new),
        "id": task_id,
        "user_id": tx.principal.user_id,
        "course_id": goal.course_id,
        "status": TaskStatus.PENDING,
        "position": last + 1 if new.position is None else new.position,
        "actual_minutes": None,
        "visibility": await inherited_visibility(tx, new.visibility, goal),
        "started_at": None,
        "completed_at": None,
    }
    task = await tx.fetch_one(_CREATE, envelope(tx, EventType.TASK_CREATED, changes), row=Task)
    assert task is not None
    return task


async def get(tx: Reader, task_id: UUID) -> Task:
    """Return a task of the caller's, or one that is shared with them. Raises `NotFound`."""
    task = await tx.fetch_one(
        "SELECT * FROM tasks WHERE id = %s AND (user_id = %s OR visibility <> 'private')",
        [task_id, tx.principal.user_id],
        row=Task,
    )
    if task is None:
        raise NotFound(_MISSING)
    return task


async def list(tx: Reader, wanted: TaskFilter) -> Page[Task]:  # noqa: A001 - reads as tasks.list
    """Return one page of the caller's tasks, or of a goal's tasks the caller may see."""
    params = values_of(wanted) | {"user_id": tx.principal.user_id}
    head, order = (_OWN, NEWEST_FIRST) if wanted.goal_id is None else (_OF_GOAL, _IN_ORDER)
    listed = head + asked_clauses(_CLAUSES, params)
    return await page_of(tx, listed, order, params, Task)


async def list_of_goal(tx: Reader, goal_id: UUID) -> Sequence[Task]:
    """Return all of the caller's tasks of a goal, in their order."""
    return await tx.fetch_all(
        "SELECT * FROM tasks WHERE goal_id = %s AND user_id = %s ORDER BY position, created_at, id",
        [goal_id, tx.principal.user_id],
        row=Task,
    )


async def update(
    tx: Transaction, task_id: UUID, asked: Mapping[str, object], *, expected_version: int | None = None
) -> Task:
    """Change a task of the caller's; its times follow its status.

    Raises `NotFound`, `VersionConflict`, `IllegalTransition` (also while a task it depends on is open), and `Invalid`
    for dependencies that leave the goal or form a cycle.
    """
    current = await lock(tx, task_id)
    check_version(current.version, expected_version)
    changes = asked_changes(current, asked, EDITABLE)
    if not changes:
        return current
    changes = await follow_sharing(tx, current, asked, changes)
    changes = transitions.follow_task(
        changes,
        status=current.status,
        started_at=current.started_at,
        completed_at=current.completed_at,
        now=tx.now(),
    )
    await _check_order(tx, current, changes)
    event = envelope(tx, transitions.task_event(current.status, changes), changes)
    task = await tx.fetch_one(_UPDATE, event | {"id": task_id}, row=Task)
    if task is None:
        raise NotFound(_MISSING)
    return task


async def delete(tx: Transaction, task_id: UUID, *, expected_version: int | None = None) -> None:
    """Delete a task of the caller's with its snapshots; tasks that waited for it no longer do. Raises `NotFound`."""
    current = await lock(tx, task_id)
    check_version(current.version, expected_version)
    await _goal(tx, current.goal_id)
    for sibling in await _siblings(tx, current.goal_id):
        if task_id in sibling.depends_on:
            await update(tx, sibling.id, {"depends_on": [other for other in sibling.depends_on if other != task_id]})
    await _delete(tx, task_id)


async def delete_of_goal(tx: Transaction, goal_id: UUID) -> None:
    """Delete every task of a goal the caller owns, each with its snapshots and its event."""
    for task in await _siblings(tx, goal_id):
        await _delete(tx, task.id)


async def lock(tx: Transaction, task_id: UUID) -> Task:
    """Return a task of the caller's, held against other writers until the transaction ends. Raises `NotFound`."""
    task = await tx.fetch_one(
        "SELECT * FROM tasks WHERE id = %s AND user_id = %s FOR NO KEY UPDATE",
        [task_id, tx.principal.user_id],
        row=Task,
    )
    if task is None:
        raise NotFound(_MISSING)
    return task


@dataclass(frozen=True, slots=True)
class _Goal:
    status: GoalStatus
    course_id: str | None
    visibility: Visibility


@dataclass(frozen=True, slots=True)
class _Sibling:
    id: UUID
    title: str
    status: TaskStatus
    position: int
    depends_on: Sequence[UUID]


async def _goal(tx: Transaction, goal_id: UUID) -> _Goal:
    # Locking the goal serialises everything that reads several of its tasks: dependencies and positions.
    goal = await tx.fetch_one(
        "SELECT status, course_id, visibility FROM goals WHERE id = %s AND user_id = %s FOR NO KEY UPDATE",
        [goal_id, tx.principal.user_id],
        row=_Goal,
    )
    if goal is None:
        raise NotFound("There is no goal of that id here for you.")
    return goal


async def _siblings(tx: Transaction, goal_id: UUID) -> Sequence[_Sibling]:
    return await tx.fetch_all(
        "SELECT id, title, status, position, depends_on FROM tasks WHERE goal_id = %s AND user_id = %s"
        " ORDER BY position, id",
        [goal_id, tx.principal.user_id],
        row=_Sibling,
    )


async def _check_order(tx: Transaction, current: Task, changes: Mapping[str, object]) -> None:
    begins = changes.get("status") in (TaskStatus.IN_PROGRESS, TaskStatus.COMPLETED)
    if "depends_on" not in changes and not (begins and current.depends_on):
        return
    await _goal(tx, current.goal_id)
    siblings = await _siblings(tx, current.goal_id)
    depends_on = cast("Sequence[UUID]", changes.get("depends_on", current.depends_on))
    check_dependencies(current.id, depends_on, {task.id: task.depends_on for task in siblings})
    if begins:
        check_resolved(depends_on, {task.id: (task.title, task.status) for task in siblings})


async def _delete(tx: Transaction, task_id: UUID) -> None:
    await snapshots.delete_of_task(tx, task_id)
    event = envelope(tx, EventType.TASK_DELETED, {}, deleted=True)
    await tx.fetch_value(_DELETE, event | {"id": task_id})
