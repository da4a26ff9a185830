"""How statuses, progress and their times follow each other, for goals and tasks alike."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

from store.errors import IllegalTransition, Invalid
from store.event_types import EventType
from store.types import GoalStatus, TaskStatus

S = TypeVar("S", GoalStatus, TaskStatus)

GOAL_MOVES: Mapping[GoalStatus, frozenset[GoalStatus]] = {
    GoalStatus.PENDING: frozenset({GoalStatus.IN_PROGRESS, GoalStatus.COMPLETED, GoalStatus.CANCELLED}),
    GoalStatus.IN_PROGRESS: frozenset({GoalStatus.PAUSED, GoalStatus.COMPLETED, GoalStatus.CANCELLED}),
    GoalStatus.PAUSED: frozenset({GoalStatus.IN_PROGRESS, GoalStatus.COMPLETED, GoalStatus.CANCELLED}),
    GoalStatus.COMPLETED: frozenset({GoalStatus.IN_PROGRESS}),
    GoalStatus.CANCELLED: frozenset({GoalStatus.PENDING, GoalStatus.IN_PROGRESS}),
}

TASK_MOVES: Mapping[TaskStatus, frozenset[TaskStatus]] = {
    TaskStatus.PENDING: frozenset(
        {TaskStatus.IN_PROGRESS, TaskStatus.BLOCKED, TaskStatus.COMPLETED, TaskStatus.CANCELLED}
    ),
    TaskStatus.IN_PROGRESS: frozenset({TaskStatus.BLOCKED, TaskStatus.COMPLETED, TaskStatus.CANCELLED}),
    TaskStatus.BLOCKED: frozenset({TaskStatus.PENDING, TaskStatus.IN_PROGRESS, TaskStatus.CANCELLED}),
    TaskStatus.COMPLETED: frozenset({TaskStatus.IN_PROGRESS}),
    TaskStatus.CANCELLED: frozenset({TaskStatus.PENDING}),
}

_GOAL_EVENTS = {
    GoalStatus.PENDING: EventType.GOAL_REOPENED,
    GoalStatus.IN_PROGRESS: EventType.GOAL_STARTED,
    GoalStatus.PAUSED: EventType.GOAL_PAUSED,
    GoalStatus.COMPLETED: EventType.GOAL_COMPLETED,
    GoalStatus.CANCELLED: EventType.GOAL_CANCELLED,
}

_TASK_EVENTS = {
    TaskStatus.PENDING: EventType.TASK_REOPENED,
    TaskStatus.IN_PROGRESS: EventType.TASK_STARTED,
    TaskStatus.BLOCKED: EventType.TASK_BLOCKED,
    TaskStatus.COMPLETED: EventType.TASK_COMPLETED,
    TaskStatus.CANCELLED: EventType.TASK_CANCELLED,
}

_REOPENED_GOAL = frozenset({GoalStatus.COMPLETED, GoalStatus.CANCELLED})
_REOPENED_TASK = frozenset({TaskStatus.COMPLETED, TaskStatus.CANCELLED})


def follow_goal(
    changes: Mapping[str, object],
    *,
    status: GoalStatus,
    progress: float,
    started_at: datetime | None,
    completed_at: datetime | None,
    now: datetime,
) -> dict[str, object]:
    """Return `changes` together with every status, progress and time that follows from them.

    The keyword arguments describe the goal as it is. Raises `IllegalTransition` for a move that is not allowed and
    `Invalid` for a status and a progress that contradict each other.
    """
    result = dict(changes)
    target = _goal_target(changes, status, progress)
    if target is status:
        if status is GoalStatus.COMPLETED and changes.get("progress_percentage", 100) != 100:
            raise Invalid("A completed goal has a progress of 100; reopen it with status 'in_progress' as well.")
        return result
    _check_move(GOAL_MOVES, status, target, "goal")
    result["status"] = target
    if target is GoalStatus.COMPLETED:
        if progress != 100:
            result["progress_percentage"] = 100.0
    elif target is GoalStatus.PENDING:
        if started_at is not None:
            raise IllegalTransition("This goal was started once; reopen it with status 'in_progress'.")
    elif status is GoalStatus.COMPLETED and _number(changes.get("progress_percentage"), 100) >= 100:
        raise IllegalTransition("To reopen a completed goal, send its progress_percentage too, below 100.")
    return result | _times(target, GoalStatus.IN_PROGRESS, GoalStatus.COMPLETED, started_at, completed_at, now)


def follow_task(
    changes: Mapping[str, object],
    *,
    status: TaskStatus,
    started_at: datetime | None,
    completed_at: datetime | None,
    now: datetime,
) -> dict[str, object]:
    """Return `changes` together with the times that follow from a new status. Raises `IllegalTransition`."""
    target = TaskStatus(str(changes.get("status", status)))
    if target is status:
        return dict(changes)
    _check_move(TASK_MOVES, status, target, "task")
    return dict(changes) | _times(target, TaskStatus.IN_PROGRESS, TaskStatus.COMPLETED, started_at, completed_at, now)


def goal_event(before: GoalStatus, changes: Mapping[str, object]) -> EventType:
    """Return the most telling event type for these changes of a goal."""
    if "status" in changes:
        after = GoalStatus(str(changes["status"]))
        return EventType.GOAL_REOPENED if before in _REOPENED_GOAL else _GOAL_EVENTS[after]
    if "progress_percentage" in changes:
        return EventType.GOAL_PROGRESS_UPDATED
    return EventType.GOAL_VISIBILITY_CHANGED if set(changes) == {"visibility"} else EventType.GOAL_UPDATED


def task_event(before: TaskStatus, changes: Mapping[str, object]) -> EventType:
    """Return the most telling event type for these changes of a task."""
    if "status" in changes:
        after = TaskStatus(str(changes["status"]))
        return EventType.TASK_REOPENED if before in _REOPENED_TASK else _TASK_EVENTS[after]
    return EventType.TASK_VISIBILITY_CHANGED if set(changes) == {"visibility"} else EventType.TASK_UPDATED


def _goal_target(changes: Mapping[str, object], status: GoalStatus, progress: float) -> GoalStatus:
    asked = changes.get("status")
    wanted = _number(changes.get("progress_percentage"), progress)
    if asked is not None:
        target = GoalStatus(str(asked))
        if target is GoalStatus.COMPLETED and "progress_percentage" in changes and wanted != 100:
            raise Invalid("A completed goal has a progress of 100. Send one of the two, or 100.")
        if target is not GoalStatus.COMPLETED and "progress_percentage" in changes and wanted == 100:
            raise Invalid(f"A progress of 100 means completed, not {target.value}. Send one of the two.")
        return target
    if "progress_percentage" not in changes:
        return status
    if status is GoalStatus.CANCELLED:
        raise IllegalTransition("This goal is cancelled; reopen it before reporting progress.")
    if wanted == 100:
        return GoalStatus.COMPLETED
    if status is GoalStatus.PENDING and wanted == 0:
        return GoalStatus.PENDING
    return GoalStatus.IN_PROGRESS


def _check_move(moves: Mapping[S, frozenset[S]], status: S, target: S, noun: str) -> None:
    if target not in moves[status]:
        allowed = ", ".join(sorted(move.value for move in moves[status]))
        raise IllegalTransition(
            f"A {noun} that is {status.value} cannot become {target.value}. From here it can become: {allowed}."
        )


def _times(
    target: S, started: S, completed: S, started_at: datetime | None, completed_at: datetime | None, now: datetime
) -> dict[str, object]:
    times: dict[str, object] = {}
    if target in (started, completed) and started_at is None:
        times["started_at"] = now
    if target is completed:
        times["completed_at"] = now
    elif completed_at is not None:
        times["completed_at"] = None
    return times


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default
