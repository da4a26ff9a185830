"""Goals: what a learner wants to reach."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from store import tasks, transitions
from store.database import Transaction
from store.errors import Invalid, NotFound
from store.event_types import EventType
from store.events import envelope, recording
from store.reading import Reader
from store.records import (
    NEWEST_FIRST,
    asked_changes,
    asked_clauses,
    check_version,
    chosen_visibility,
    follow_sharing,
    page_of,
    values_of,
)
from store.types import GoalStatus, GoalType, Page, Priority, Visibility, new_id


@dataclass(frozen=True)
class Goal:
    """A goal as it is now."""

    id: UUID
    user_id: str
    course_id: str | None
    title: str
    description: str
    type: GoalType
    status: GoalStatus
    priority: Priority
    progress_percentage: float
    visibility: Visibility
    due_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    details: dict[str, Any]
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGoal:
    """What the maker of a goal decides; the rest follows."""

    title: str
    description: str = ""
    course_id: str | None = None
    type: GoalType = GoalType.LEARNING
    priority: Priority = Priority.MEDIUM
    visibility: Visibility | None = None
    """None lets the course and the deployment decide, see `records.chosen_visibility`."""
    due_at: datetime | None = None
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    id: UUID | None = None
    """Given by callers that must not create twice; None mints one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalFilter:
    """Which goals to list, newest first. `None` means any."""

    status: GoalStatus | None = None
    type: GoalType | None = None
    priority: Priority | None = None
    course_id: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    due_from: datetime | None = None
    due_to: datetime | None = None
    shared: bool = False
    """Also list what others share in `course_id`, which must then be given."""
    skip: int = 0
    limit: int = 50


EDITABLE = frozenset(
    {"title", "description", "type", "status", "priority", "progress_percentage", "visibility", "due_at", "details"}
)

_CREATE: LiteralString = (
    """
WITH stamp AS MATERIALIZED (SELECT clock_timestamp() AS at),
given AS MATERIALIZED (
    -- A goal that nobody said how to share is shared with its course only if its maker belongs to that course.
    SELECT CASE
        WHEN NOT %(undecided)s
             OR EXISTS (SELECT FROM enrollments WHERE user_id = %(actor)s AND course_id = %(course_id)s)
        THEN %(payload)s::jsonb
        ELSE jsonb_set(%(payload)s::jsonb, '{changes,visibility}', '"private"') END AS payload
),
changed AS (
    INSERT INTO goals (id, user_id, course_id, title, description, type, status, priority, progress_percentage,
                       visibility, due_at, started_at, completed_at, details, version, created_at, updated_at)
    SELECT n.id, n.user_id, n.course_id, n.title, n.description, n.type, n.status, n.priority, n.progress_percentage,
           n.visibility, n.due_at, n.started_at, n.completed_at, n.details, 1, stamp.at, stamp.at
    FROM stamp, given, jsonb_populate_record(NULL::goals, given.payload -> 'changes') AS n
    RETURNING *
)"""
    + recording("user_id", "(SELECT payload FROM given)")
    + "SELECT * FROM changed"
)

_UPDATE: LiteralString = (
    """
WITH changed AS (
    UPDATE goals AS g
    SET (title, description, type, status, priority, progress_percentage, visibility, due_at, started_at,
         completed_at, details) = (
            SELECT n.title, n.description, n.type, n.status, n.priority, n.progress_percentage, n.visibility, n.due_at,
                   n.started_at, n.completed_at, n.details
            FROM jsonb_populate_record(g, %(payload)s::jsonb -> 'changes') AS n),
        version = g.version + 1,
        updated_at = greatest(clock_timestamp(), g.updated_at + interval '1 microsecond')
    WHERE g.id = %(id)s AND g.user_id = %(actor)s
    RETURNING g.*
)"""
    + recording("user_id")
    + "SELECT * FROM changed"
)

_DELETE: LiteralString = (
    """
WITH changed AS (
    DELETE FROM goals AS g WHERE g.id = %(id)s AND g.user_id = %(actor)s
    RETURNING g.id, g.user_id, g.version + 1 AS version,
              greatest(clock_timestamp(), g.updated_at + interval '1 microsecond') AS updated_at
)"""
    + recording("user_id")
    + "SELECT version FROM changed"
)

# Two heads rather than one condition for both: PostgreSQL finds its index only under a plain comparison.
_OWN: LiteralString = "FROM goals WHERE user_id = %(user_id)s"
_SHARED: LiteralString = "FROM goals WHERE (user_id = %(user_id)s OR visibility <> 'private')"

_CLAUSES: dict[str, LiteralString] = {
    "course_id": "course_id = %(course_id)s",
    "status": "status = %(status)s",
    "type": "type = %(type)s",
    "priority": "priority = %(priority)s",
    "created_from": "created_at >= %(created_from)s",
    "created_to": "created_at <= %(created_to)s",
    "due_from": "due_at >= %(due_from)s",
    "due_to": "due_at <= %(due_to)s",
}


async def create(tx: Transaction, new: NewGoal) -> Goal:
    """Create a goal of the caller's, pending and at 0 percent.

    Raises `Forbidden` when it would be shared with a course the caller does not belong to.
    """
    undecided = new.visibility is None and new.course_id is not None and new.course_id not in tx.principal.courses
    changes = {
        **values_of(new),
        "id": new.id or new_id(),
        "user_id": tx.principal.user_id,
        "status": GoalStatus.PENDING,
        "progress_percentage": 0.0,
        "visibility": await chosen_visibility(tx, new.visibility, new.course_id, leave_open=undecided),
        "started_at": None,
        "completed_at": None,
    }
    event = envelope(tx, EventType.GOAL_CREATED, changes)
    goal = await tx.fetch_one(_CREATE, event | {"course_id": new.course_id, "undecided": undecided}, row=Goal)
    assert goal is not None
    return goal


async def get(tx: Reader, goal_id: UUID) -> Goal:
    """Return a goal of the caller's, or one that is shared with them. Raises `NotFound`."""
    goal = await tx.fetch_one(
        "SELECT * FROM goals WHERE id = %s AND (user_id = %s OR visibility <> 'private')",
        [goal_id, tx.principal.user_id],
        row=Goal,
    )
    if goal is None:
        raise NotFound("There is no goal of that id here for you.")
    return goal


async def list(tx: Reader, wanted: GoalFilter) -> Page[Goal]:  # noqa: A001 - reads as goals.list
    """Return one page of the caller's goals, newest first. Raises `Invalid` for sharing without a course."""
    if wanted.shared and wanted.course_id is None:
        raise Invalid("To list what others share, name the course_id.")
    params = values_of(wanted) | {"user_id": tx.principal.user_id}
    listed = (_SHARED if wanted.shared else _OWN) + asked_clauses(_CLAUSES, params)
    return await page_of(tx, listed, NEWEST_FIRST, params, Goal)


async def update(
    tx: Transaction, goal_id: UUID, asked: Mapping[str, object], *, expected_version: int | None = None
) -> Goal:
    """Change a goal of the caller's; status, progress and times follow each other.

    Nothing is written when nothing differs. Raises `NotFound`, `VersionConflict`, `Invalid`, `IllegalTransition`,
    and `Forbidden` when it would be shared with a course the caller does not belong to.
    """
    current = await lock(tx, goal_id)
    check_version(current.version, expected_version)
    changes = asked_changes(current, asked, EDITABLE)
    if not changes:
        return current
    changes = await follow_sharing(tx, current, asked, changes)
    changes = transitions.follow_goal(
        changes,
        status=current.status,
        progress=current.progress_percentage,
        started_at=current.started_at,
        completed_at=current.completed_at,
        now=tx.now(),
    )
    event = envelope(tx, transitions.goal_event(current.status, changes), changes)
    goal = await tx.fetch_one(_UPDATE, event | {"id": goal_id}, row=Goal)
    if goal is None:
        raise NotFound("There is no goal of that id here for you.")
    return goal


async def set_progress(
    tx: Transaction, goal_id: UUID, percentage: float, *, expected_version: int | None = None
) -> Goal:
    """Set a goal's progress, 0 to 100; 100 completes it, anything above 0 starts it, less than 100 reopens it."""
    return await update(tx, goal_id, {"progress_percentage": float(percentage)}, expected_version=expected_version)


async def delete(tx: Transaction, goal_id: UUID, *, expected_version: int | None = None) -> None:
    """Delete a goal of the caller's with its tasks and their snapshots, an event for each. Raises `NotFound`."""
    current = await lock(tx, goal_id)
    check_version(current.version, expected_version)
    await tasks.delete_of_goal(tx, goal_id)
    event = envelope(tx, EventType.GOAL_DELETED, {}, deleted=True)
    await tx.fetch_value(_DELETE, event | {"id": goal_id})


async def lock(tx: Transaction, goal_id: UUID) -> Goal:
    """Return a goal of the caller's, held against other writers until the transaction ends. Raises `NotFound`."""
    goal = await tx.fetch_one(
        "SELECT * FROM goals WHERE id = %s AND user_id = %s FOR NO KEY UPDATE",
        [goal_id, tx.principal.user_id],
        row=Goal,
    )
    if goal is None:
        raise NotFound("There is no goal of that id here for you.")
    return goal
