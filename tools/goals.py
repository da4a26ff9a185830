"""Goals as verbs a model may call: find, read, create, change, delete."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from uuid import UUID

from langchain_core.tools import BaseTool

from store import goals, tasks
from store.database import Transaction
from store.event_types import JsonObject
from store.goals import Goal, GoalFilter, NewGoal
from store.types import GoalStatus, GoalType, Priority, TaskStatus
from tools.context import Effect, Runtime, verb
from tools.replies import ToolProblem, clip, reply

CLOSED = (GoalStatus.COMPLETED, GoalStatus.CANCELLED)


def brief(goal: Goal) -> JsonObject:
    """Return what a model needs to know of a goal, and no more."""
    return reply(
        id=goal.id,
        title=clip(goal.title, 200),
        status=goal.status,
        priority=goal.priority,
        progress=round(goal.progress_percentage, 1),
        course_id=goal.course_id,
        due_at=goal.due_at,
        version=goal.version,
        **({"foreign": True} if goal.details.get("foreign") else {}),
    )


def normalised(title: str) -> str:
    """Reduce a title to what makes it the same title: letters and digits, without case, accents and spacing."""
    plain = unicodedata.normalize("NFKD", title).casefold()
    return " ".join(re.findall(r"[^\W_]+", "".join(c for c in plain if not unicodedata.combining(c))))


def end_of_day(day: date | None) -> datetime | None:
    """Return the last second of a day in UTC, which is when something due that day is due."""
    return None if day is None else datetime.combine(day, time(23, 59, 59), UTC)


async def open_goals(tx: Transaction) -> Sequence[Goal]:
    """Return the caller's goals that are neither completed nor cancelled, newest first, at most 200."""
    page = await goals.list(tx, GoalFilter(limit=200))
    return [goal for goal in page.items if goal.status not in CLOSED]


async def refuse_twin(tx: Transaction, title: str, course_id: str | None) -> None:
    """Raise ToolProblem when the caller already has an open goal of this title in this course."""
    for goal in await open_goals(tx):
        if normalised(goal.title) == normalised(title) and goal.course_id == course_id:
            raise ToolProblem(f"There is an open goal of this title already: {goal.id}.", "Extend that one instead.")


@verb(Effect.READ)
async def list_goals(
    runtime: Runtime,
    status: GoalStatus | None = None,
    course_id: str | None = None,
    words: str | None = None,
    limit: int = 20,
) -> JsonObject:
    """List the learner's own goals, newest first, as {goals: [{id, title, status, progress, ...}], total}.

    Use it to find the id of a goal the learner names; `words` keeps goals whose title contains all of these words.
    Do not use it to look for other people's goals: it never returns any.
    """
    async with runtime.context.transaction() as tx:
        page = await goals.list(tx, GoalFilter(status=status, course_id=course_id, limit=200))
    wanted = set(normalised(words or "").split())
    found = [goal for goal in page.items if wanted <= set(normalised(goal.title).split())]
    total = len(found) if wanted else page.total
    return reply(goals=[brief(goal) for goal in found[: max(1, min(limit, 50))]], total=total)


@verb(Effect.READ)
async def get_goal(goal_id: UUID, runtime: Runtime) -> JsonObject:
    """Read one of the learner's goals with its description and how many tasks are in each status.

    Get the id from list_goals. For the tasks themselves call list_tasks.
    """
    async with runtime.context.transaction() as tx:
        goal = await goals.get(tx, goal_id)
        if goal.user_id != runtime.context.principal.user_id:
            raise ToolProblem("That goal belongs to somebody else.", "Find the learner's own goals with list_goals.")
        own = await tasks.list_of_goal(tx, goal_id)
    counts = {status.value: sum(task.status is status for task in own) for status in TaskStatus}
    return reply(
        goal={**brief(goal), "description": clip(goal.description)}, tasks={k: n for k, n in counts.items() if n}
    )


@verb(Effect.WRITE)
async def create_goal(
    title: str,
    runtime: Runtime,
    description: str = "",
    course_id: str | None = None,
    type: GoalType = GoalType.LEARNING,  # noqa: A002 - the name the model sees
    priority: Priority = Priority.MEDIUM,
    due: date | None = None,
) -> JsonObject:
    """Create one empty goal for the learner, exactly as they worded it. Returns the new goal with its id.

    Only when the learner asks for a bare goal. If they want to know how to reach something, a plan is better: say so.
    Refused when an open goal of the same title exists; extend that one with create_task instead.
    """
    async with runtime.context.transaction() as tx:
        await refuse_twin(tx, title, course_id)
        new = NewGoal(
            id=runtime.context.new_id(),
            title=title,
            description=description,
            course_id=course_id,
            type=type,
            priority=priority,
            due_at=end_of_day(due),
        )
        return reply(created=brief(await goals.create(tx, new)))


@verb(Effect.WRITE)
async def update_goal(
    goal_id: UUID,
    runtime: Runtime,
    title: str | None = None,
    description: str | None = None,
    status: GoalStatus | None = None,
    priority: Priority | None = None,
    due: date | None = None,
) -> JsonObject:
    """Change a goal of the learner: only the fields you give. Returns the goal as it is now.

    Status moves: pending -> in_progress -> completed; in_progress <-> paused; anything open -> cancelled. An illegal
    move is refused with the reason. For progress call set_goal_progress.
    """
    asked = {"title": title, "description": description, "status": status, "priority": priority}
    changes: dict[str, object] = {name: value for name, value in asked.items() if value is not None}
    if due is not None:
        changes["due_at"] = end_of_day(due)
    if not changes:
        raise ToolProblem("Nothing to change was given.", "Name at least one field with its new value.")
    async with runtime.context.transaction() as tx:
        return reply(updated=brief(await goals.update(tx, goal_id, changes)))


@verb(Effect.WRITE)
async def set_goal_progress(goal_id: UUID, percentage: float, runtime: Runtime) -> JsonObject:
    """Set how far the learner is with a goal, 0 to 100. Above 0 starts it, 100 completes it.

    Only when the learner states a figure; finished tasks do not need it.
    """
    async with runtime.context.transaction() as tx:
        return reply(updated=brief(await goals.set_progress(tx, goal_id, percentage)))


@verb(Effect.DESTROY)
async def delete_goal(goal_id: UUID, runtime: Runtime) -> JsonObject:
    """Delete a goal with all its tasks and code. Cannot be undone; the learner is asked before it happens.

    When they only lost interest, update_goal with status cancelled keeps the history.
    """
    async with runtime.context.transaction() as tx:
        goal = await goals.lock(tx, goal_id)
        count = len(await tasks.list_of_goal(tx, goal_id))
        await goals.delete(tx, goal_id)
    return reply(deleted={"id": goal.id, "title": clip(goal.title, 200), "tasks": count})


TOOLS: tuple[BaseTool, ...] = (list_goals, get_goal, create_goal, update_goal, set_goal_progress, delete_goal)
