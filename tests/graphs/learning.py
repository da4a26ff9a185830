"""A learner with a goal, a task and code: what tests of validation and suggestion begin with."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from store import goals, snapshots, tasks
from store.database import Database
from store.goals import NewGoal
from store.principal import Principal
from store.snapshots import CodeSnapshot, NewSnapshot
from store.tasks import NewTask

_LOOP = "    total = 0\n    for value in values:\n        total =+ value\n    return total / len(values)\n"
BUGGY = "def mean(values, seen=[]):\n" + _LOOP
BETTER = "def mean(values):\n" + _LOOP
GOOD = "def mean(values):\n    if not values:\n        return 0.0\n    return sum(values) / len(values)\n"
BROKEN = "def mean(values:\n    return 0\n"


@dataclass(frozen=True)
class Work:
    database: Database
    who: Principal
    goal_id: UUID
    task_id: UUID

    async def hand_in(self, content: str, path: str = "mean.py", **more: Any) -> CodeSnapshot:
        async with self.database.transaction(self.who) as tx:
            return await snapshots.create(
                tx, NewSnapshot(task_id=self.task_id, file_path=path, content=content, **more)
            )

    async def read(self, snapshot_id: UUID) -> CodeSnapshot:
        async with self.database.transaction(self.who) as tx:
            return await snapshots.get(tx, snapshot_id)

    async def count(self, table: str) -> int:
        async with self.database.transaction(self.who) as tx:
            return int(await tx.fetch_value(f"SELECT count(*) FROM {table}"))  # pyright: ignore[reportArgumentType]

    async def validations(self) -> int:
        async with self.database.transaction(self.who) as tx:
            return int(await tx.fetch_value("SELECT count(*) FROM events WHERE type = 'code_snapshot.validated'"))


async def working(database: Database, who: Principal, course_id: str | None = None, **task: Any) -> Work:
    values: dict[str, Any] = {
        "title": "Write a function for the mean",
        "acceptance_criteria": ("Defines a function `mean(values)`", "An empty list gives 0"),
        "skills": ("functions",),
        **task,
    }
    async with database.transaction(who) as tx:
        goal = await goals.create(tx, NewGoal(title="Learn statistics", course_id=course_id))
        made = await tasks.create(tx, NewTask(goal_id=goal.id, **values))
    return Work(database, who, goal.id, made.id)
