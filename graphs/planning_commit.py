"""Turning an approved plan into rows: one transaction, ids minted before, refused when the ground has moved."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, cast
from uuid import UUID

from agents.plan import PlanDraft, TaskDraft
from graphs.planning_state import Base, Evidence, Existing, Plan, PlanRequest
from store import goals, tasks
from store.database import Transaction
from store.errors import Conflict, IllegalTransition
from store.event_types import JsonObject
from store.goals import NewGoal
from store.tasks import NewTask, Task
from store.types import Priority, TaskStatus, TaskType
from tools.context import ToolContext
from tools.goals import CLOSED, normalised, open_goals

LIFE = timedelta(days=7)
"""An offer older than this is not carried out: the learner's weeks have moved on."""


class Stale(Conflict):
    """The goal has changed since this plan was made."""


async def base_of(tx: Transaction, goal_id: UUID) -> Base:
    """Return the goal to revise, its tasks under short keys. Raises NotFound, IllegalTransition for a closed goal."""
    goal = await goals.lock(tx, goal_id)
    if goal.status in CLOSED:
        raise IllegalTransition(f"This goal is {goal.status.value}; reopen it before revising its plan.")
    rows = [task for task in await tasks.list_of_goal(tx, goal_id) if task.status is not TaskStatus.CANCELLED]
    keys = {task.id: f"t{number}" for number, task in enumerate(rows, start=1)}
    return Base(
        goal_id=str(goal.id),
        title=goal.title,
        version=goal.version,
        tasks=[_existing(task, keys) for task in rows],
    )


def restored(draft: PlanDraft, base: Base | None) -> PlanDraft:
    """Give kept tasks their own words back where only cleaning changed them: the learner may link what they like."""
    old = {task["key"]: task for task in base["tasks"]} if base else {}
    return draft.model_copy(
        update={"tasks": [_restored(task, old[task.key]) if task.key in old else task for task in draft.tasks]}
    )


def _restored(task: TaskDraft, old: Existing) -> TaskDraft:
    own = {"title": old["title"], "done_when": old["done_when"], "skills": old["skills"]}
    clean = task.model_copy(update=own).cleaned()
    return task.model_copy(update={name: own[name] for name in own if getattr(clean, name) == getattr(task, name)})


def difference(draft: PlanDraft, base: Base | None) -> dict[str, list[str]]:
    """Return by title what a plan adds, changes, drops and leaves; finished tasks always stay."""
    old = {task["key"]: task for task in base["tasks"]} if base else {}
    open_ = {key: task for key, task in old.items() if task["status"] != "completed"}
    new = {task.key: task for task in draft.tasks}
    return {
        "finished": [task["title"] for key, task in old.items() if key not in open_],
        "added": [task.title for key, task in new.items() if key not in open_],
        "changed": [task.title for key, task in new.items() if key in open_ and _changes(task, open_[key])],
        "dropped": [task["title"] for key, task in open_.items() if key not in new],
        "unchanged": [task.title for key, task in new.items() if key in open_ and not _changes(task, open_[key])],
    }


async def commit(
    context: ToolContext, request: PlanRequest, plan: Plan, base: Base | None, evidence: Sequence[Evidence], model: str
) -> JsonObject:
    """Write the plan. Raises Stale, and Conflict when an open goal of this title has appeared meanwhile."""
    draft = PlanDraft.model_validate(plan["draft"])
    if context.now - datetime.fromisoformat(plan["made_at"]) > LIFE:
        raise Stale(f"This plan is more than {LIFE.days} days old.")
    async with context.transaction() as tx:
        if base is None:
            goal_id = await _create_goal(tx, context, request, plan, draft, evidence, model)
            ids = {task.key: context.new_id() for task in draft.tasks}
            await _create_tasks(tx, goal_id, draft.tasks, ids, plan, evidence, offset=0)
        else:
            goal_id = UUID(base["goal_id"])
            ids = await _revise(tx, context, request, plan, draft, base, evidence)
    diff = cast("JsonObject", difference(draft, base)) if base else None
    return {"goal_id": str(goal_id), "task_ids": {key: str(value) for key, value in ids.items()}, "diff": diff}


async def _create_goal(
    tx: Transaction,
    context: ToolContext,
    request: PlanRequest,
    plan: Plan,
    draft: PlanDraft,
    evidence: Sequence[Evidence],
    model: str,
) -> UUID:
    for goal in await open_goals(tx):
        if normalised(goal.title) == normalised(draft.title):
            raise Conflict(f"An open goal {goal.title!r} exists by now.")
    new = NewGoal(
        id=context.new_id(),
        title=draft.title,
        description=draft.outcome,
        course_id=request.course_id,
        due_at=_end(request.deadline),
        details={
            "plan_id": plan["plan_id"],
            "assumptions": draft.assumptions,
            "not_doing": draft.not_doing,
            "hours_per_week": request.hours_per_week,
            "planned_by": model,
            "foreign": any(not item["mine"] for item in evidence),
        },
    )
    return (await goals.create(tx, new)).id


async def _create_tasks(
    tx: Transaction, goal_id: UUID, drafts: Sequence[TaskDraft], ids: Mapping[str, UUID], plan: Plan,
    evidence: Sequence[Evidence], *, offset: int,
) -> None:  # fmt: skip
    order = plan["schedule"]["order"]
    cited = {item["id"]: item for item in evidence}
    for task in sorted(drafts, key=lambda task: order.index(task.key)):
        sources = [_source(cited[source]) for source in task.sources if source in cited]
        new = NewTask(
            id=ids[task.key],
            goal_id=goal_id,
            title=task.title,
            description=task.why,
            type=TaskType(task.kind),
            priority=_priority(task, plan),
            position=offset + order.index(task.key),
            acceptance_criteria=task.done_when,
            estimated_minutes=task.est_minutes,
            skills=task.skills,
            depends_on=[ids[key] for key in task.depends_on],
            due_at=_end(date.fromisoformat(plan["schedule"]["due"][task.key])),
            details={"why": task.why, "sources": sources},
        )
        await tasks.create(tx, new)


async def _revise(
    tx: Transaction, context: ToolContext, request: PlanRequest, plan: Plan, draft: PlanDraft, base: Base,
    evidence: Sequence[Evidence],
) -> dict[str, UUID]:  # fmt: skip
    goal_id = UUID(base["goal_id"])
    await _unmoved(tx, goal_id, base)
    old = {task["key"]: task for task in base["tasks"]}
    finished = [key for key, task in old.items() if task["status"] == "completed"]
    ids = {key: UUID(task["id"]) for key, task in old.items()}
    ids |= {task.key: context.new_id() for task in draft.tasks if task.key not in old}
    kept = [task for task in draft.tasks if task.key in old]
    order = plan["schedule"]["order"]
    # Dependencies shrink before they grow: so no state in between has a circle the final one has not.
    for task in kept:
        stays = [key for key in old[task.key]["depends_on"] if key in task.depends_on]
        if stays != old[task.key]["depends_on"]:
            await tasks.update(tx, ids[task.key], {"depends_on": [ids[key] for key in stays]})
    for key in [key for key in old if key not in finished and key not in {task.key for task in draft.tasks}]:
        await tasks.update(tx, ids[key], {"status": TaskStatus.CANCELLED, "depends_on": []})
    added = [task for task in draft.tasks if task.key not in old]
    links = {task.key: [ids[key] for key in task.depends_on] for task in added}
    await _create_tasks(
        tx, goal_id, [task.model_copy(update={"depends_on": []}) for task in added], ids, plan, evidence,
        offset=len(finished),
    )  # fmt: skip
    for task in kept:
        position = len(finished) + order.index(task.key)
        changes = _columns(task, ids) if _changes(task, old[task.key]) else {}
        await tasks.update(tx, ids[task.key], {**changes, "position": position})
    for key, depends_on in links.items():
        await tasks.update(tx, ids[key], {"depends_on": depends_on})
    if request.deadline:
        await goals.update(tx, goal_id, {"due_at": _end(request.deadline)})
    return {task.key: ids[task.key] for task in draft.tasks}


async def _unmoved(tx: Transaction, goal_id: UUID, base: Base) -> None:
    goal = await goals.lock(tx, goal_id)
    rows = [task for task in await tasks.list_of_goal(tx, goal_id) if task.status is not TaskStatus.CANCELLED]
    if goal.version != base["version"] or {str(task.id): task.version for task in rows} != {
        task["id"]: task["version"] for task in base["tasks"]
    }:
        raise Stale


def _existing(task: Task, keys: Mapping[UUID, str]) -> Existing:
    return Existing(
        key=keys[task.id],
        id=str(task.id),
        version=task.version,
        title=task.title,
        kind=task.type.value,
        status=task.status.value,
        why=task.description,
        done_when=list(task.acceptance_criteria) or [task.title],
        est_minutes=max(15, min(240, task.estimated_minutes or 60)),
        skills=list(task.skills) or [task.title[:60]],
        depends_on=[keys[other] for other in task.depends_on if other in keys],
    )


def _changes(task: TaskDraft, old: Existing) -> bool:
    return (task.title, task.kind, task.done_when, task.est_minutes, task.skills, sorted(task.depends_on)) != (
        old["title"], old["kind"], old["done_when"], old["est_minutes"], old["skills"], sorted(old["depends_on"]),
    )  # fmt: skip


def _columns(task: TaskDraft, ids: Mapping[str, UUID]) -> dict[str, Any]:
    return {
        "title": task.title,
        "type": TaskType(task.kind),
        "acceptance_criteria": task.done_when,
        "estimated_minutes": task.est_minutes,
        "skills": task.skills,
        "depends_on": [ids[key] for key in task.depends_on],
    }


def _source(item: Evidence) -> dict[str, str | bool]:
    return {
        "kind": item["kind"],
        "entity_id": item["entity_id"],
        "title": item["title"],
        "heading": item["heading"],
        "mine": item["mine"],
    }


def _priority(task: TaskDraft, plan: Plan) -> Priority:
    return Priority.HIGH if task.key in plan["schedule"]["critical_path"] else Priority.MEDIUM


def _end(day: date | None) -> datetime | None:
    return datetime.combine(day, time(23, 59, 59), UTC) if day else None
