"""Building blocks for tests of goal planning: plans a model might propose, and a driver of a run."""

from collections.abc import Sequence
from typing import Any

from langgraph.types import Command

from agents.plan import PlanDraft, TaskDraft
from graphs import goal_planning
from graphs.deps import Deps
from store import goals, tasks
from store.database import Database
from store.goals import Goal, GoalFilter
from store.principal import Principal
from store.tasks import Task
from tests.graphs.conftest import compiled, context_of, thread


def task(key: str, *after: str, kind: Any = "practice", **more: Any) -> TaskDraft:
    """A sound task."""
    fields: dict[str, Any] = {
        "title": f"Work on part {key}",
        "why": f"Needed for {key}.",
        "done_when": [f"Exercise {key} passes."],
        "est_minutes": 60,
        "skills": [f"skill {key}"],
        "sources": [],
    }
    return TaskDraft(key=key, kind=kind, depends_on=list(after), **{**fields, **more})


def plan(*tasks_: TaskDraft, title: str = "Write a compiler", **more: Any) -> PlanDraft:
    """A sound plan: two independent tasks and an assessment, unless told otherwise."""
    chosen = list(tasks_) or [task("a"), task("b"), task("c", "a", "b", kind="assess")]
    fields: dict[str, Any] = {"outcome": "A toy compiler runs.", "assumptions": [], "not_doing": []}
    return PlanDraft(title=title, tasks=chosen, **{**fields, **more})


class Planning:
    """Goal planning on one thread for one person."""

    def __init__(self, deps: Deps, who: Principal, name: str = "thread-1", saver: Any = None, **context: Any) -> None:
        self.app = compiled(goal_planning.build(deps), saver)
        self.config = thread(name)
        self.context = context_of(who, **context)

    async def start(self, **given: Any) -> Any:
        """Run until the graph ends or asks."""
        return await self.app.ainvoke(given, self.config, context=self.context, durability="sync")

    async def answer(self, kind: str, **more: Any) -> Any:
        """Answer what the graph asks."""
        resume = Command(resume={"decisions": [{"type": kind, **more}]})
        return await self.app.ainvoke(resume, self.config, context=self.context, durability="sync")

    async def edit(self, draft: dict[str, Any]) -> Any:
        """Answer with an edited plan."""
        return await self.answer("edit", edited_action={"name": "commit_plan", "args": draft})

    async def asked(self) -> list[dict[str, Any]]:
        """What the graph asks now."""
        state = await self.app.aget_state(self.config)
        return [interrupt.value for interrupt in state.interrupts]


async def goals_of(database: Database, who: Principal) -> Sequence[Goal]:
    """All goals of a person."""
    async with database.transaction(who) as tx:
        return (await goals.list(tx, GoalFilter(limit=200))).items


async def tasks_of(database: Database, who: Principal, goal: Goal) -> Sequence[Task]:
    """All tasks of a goal, in order."""
    async with database.transaction(who) as tx:
        return await tasks.list_of_goal(tx, goal.id)
