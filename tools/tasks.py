"""Tasks and their dependencies as verbs a model may call."""

from datetime import date
from uuid import UUID

from langchain_core.tools import BaseTool

from store import tasks
from store.event_types import JsonObject
from store.tasks import NewTask, Task, TaskFilter
from store.types import Priority, TaskStatus, TaskType
from tools.context import Effect, Runtime, verb
from tools.goals import end_of_day, normalised
from tools.replies import ToolProblem, clip, reply


def brief(task: Task) -> JsonObject:
    """Return what a model needs to know of a task, and no more."""
    return reply(
        id=task.id,
        goal_id=task.goal_id,
        title=clip(task.title, 200),
        type=task.type,
        status=task.status,
        estimated_minutes=task.estimated_minutes,
        depends_on=task.depends_on,
        due_at=task.due_at,
        **({"foreign": True} if _foreign(task) else {}),
    )


def _foreign(task: Task) -> bool:
    """Tell whether its words may come from other people: a plan wrote it from material that was not the learner's."""
    return any(not source.get("mine") for source in task.details.get("sources", []) if isinstance(source, dict))


@verb(Effect.READ)
async def list_tasks(
    runtime: Runtime,
    goal_id: UUID | None = None,
    status: TaskStatus | None = None,
    words: str | None = None,
    limit: int = 30,
) -> JsonObject:
    """List the learner's own tasks as {tasks: [{id, goal_id, title, status, depends_on, ...}], total}.

    With goal_id they come in the order of the plan. `words` keeps tasks whose title contains all of these words.
    """
    async with runtime.context.transaction() as tx:
        page = await tasks.list(tx, TaskFilter(goal_id=goal_id, status=status, limit=200))
    wanted = set(normalised(words or "").split())
    own = [task for task in page.items if task.user_id == runtime.context.principal.user_id]
    found = [task for task in own if wanted <= set(normalised(task.title).split())]
    return reply(tasks=[brief(task) for task in found[: max(1, min(limit, 50))]], total=len(found))


@verb(Effect.READ)
async def get_task(task_id: UUID, runtime: Runtime) -> JsonObject:
    """Read one of the learner's tasks with its description and what must be true for it to be done."""
    async with runtime.context.transaction() as tx:
        task = await tasks.get(tx, task_id)
    if task.user_id != runtime.context.principal.user_id:
        raise ToolProblem("That task belongs to somebody else.", "Find the learner's own tasks with list_tasks.")
    more = reply(description=clip(task.description), done_when=task.acceptance_criteria, skills=task.skills)
    return reply(task={**brief(task), **more})


@verb(Effect.WRITE)
async def create_task(
    goal_id: UUID,
    title: str,
    done_when: list[str],
    runtime: Runtime,
    description: str = "",
    type: TaskType = TaskType.PRACTICE,  # noqa: A002 - the name the model sees
    estimated_minutes: int | None = None,
    skills: list[str] | None = None,
    depends_on: list[UUID] | None = None,
    due: date | None = None,
) -> JsonObject:
    """Add one task to the end of a goal of the learner. Returns the new task with its id.

    The title must make sense without this conversation. done_when lists observable facts, such as "all tests pass".
    depends_on holds ids of tasks of the same goal that must be finished first; leave it empty when in doubt.
    """
    if not any(criterion.strip() for criterion in done_when):
        raise ToolProblem("A task needs at least one observable done_when.", "State how one can see that it is done.")
    async with runtime.context.transaction() as tx:
        new = NewTask(
            id=runtime.context.new_id(),
            goal_id=goal_id,
            title=title,
            description=description,
            type=type,
            acceptance_criteria=done_when,
            estimated_minutes=estimated_minutes,
            skills=skills or [],
            depends_on=depends_on or [],
            due_at=end_of_day(due),
        )
        return reply(created=brief(await tasks.create(tx, new)))


@verb(Effect.WRITE)
async def update_task(
    task_id: UUID,
    runtime: Runtime,
    title: str | None = None,
    description: str | None = None,
    status: TaskStatus | None = None,
    priority: Priority | None = None,
    done_when: list[str] | None = None,
    estimated_minutes: int | None = None,
    due: date | None = None,
) -> JsonObject:
    """Change a task of the learner: only the fields you give. Returns the task as it is now.

    Starting a task whose dependencies are open is refused with their names. To finish a task call complete_task.
    """
    asked = {
        "title": title,
        "description": description,
        "status": status,
        "priority": priority,
        "acceptance_criteria": done_when,
        "estimated_minutes": estimated_minutes,
        "due_at": end_of_day(due),
    }
    changes: dict[str, object] = {name: value for name, value in asked.items() if value is not None}
    if not changes:
        raise ToolProblem("Nothing to change was given.", "Name at least one field with its new value.")
    async with runtime.context.transaction() as tx:
        return reply(updated=brief(await tasks.update(tx, task_id, changes)))


@verb(Effect.WRITE)
async def complete_task(task_id: UUID, runtime: Runtime, actual_minutes: int | None = None) -> JsonObject:
    """Mark a task as completed because the learner says it is done, with the minutes it took if they said so.

    Never on your own judgement. Returns the task and which tasks it has freed.
    """
    changes: dict[str, object] = {"status": TaskStatus.COMPLETED}
    if actual_minutes is not None:
        changes["actual_minutes"] = actual_minutes
    async with runtime.context.transaction() as tx:
        task = await tasks.update(tx, task_id, changes)
        siblings = await tasks.list_of_goal(tx, task.goal_id)
    done = {other.id for other in siblings if other.status in (TaskStatus.COMPLETED, TaskStatus.CANCELLED)}
    freed = [
        other.title
        for other in siblings
        if task_id in other.depends_on and other.id not in done and set(other.depends_on) <= done
    ]
    return reply(updated=brief(task), freed=freed)


@verb(Effect.WRITE)
async def add_dependency(task_id: UUID, depends_on: UUID, runtime: Runtime) -> JsonObject:
    """Make one task wait for another of the same goal. A circle, or a task of another goal, is refused."""
    async with runtime.context.transaction() as tx:
        task = await tasks.lock(tx, task_id)
        if depends_on in task.depends_on:
            return reply(unchanged=brief(task))
        return reply(updated=brief(await tasks.update(tx, task_id, {"depends_on": [*task.depends_on, depends_on]})))


@verb(Effect.WRITE)
async def remove_dependency(task_id: UUID, depends_on: UUID, runtime: Runtime) -> JsonObject:
    """Let a task no longer wait for another one of its goal. Returns the task as it is now."""
    async with runtime.context.transaction() as tx:
        task = await tasks.lock(tx, task_id)
        if depends_on not in task.depends_on:
            return reply(unchanged=brief(task))
        left = [other for other in task.depends_on if other != depends_on]
        return reply(updated=brief(await tasks.update(tx, task_id, {"depends_on": left})))


@verb(Effect.DESTROY)
async def delete_task(task_id: UUID, runtime: Runtime) -> JsonObject:
    """Delete a task with its code; tasks that waited for it no longer do. The learner is asked before it happens.

    When it merely became needless, update_task with status cancelled keeps the history.
    """
    async with runtime.context.transaction() as tx:
        task = await tasks.lock(tx, task_id)
        await tasks.delete(tx, task_id)
    return reply(deleted={"id": task.id, "title": clip(task.title, 200)})


TOOLS: tuple[BaseTool, ...] = (
    list_tasks,
    get_task,
    create_task,
    update_task,
    complete_task,
    add_dependency,
    remove_dependency,
    delete_task,
)
