"""What a learner could do next, as the database knows it: open tasks, what they wait for, what was turned down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, LiteralString
from uuid import UUID

from store.database import Transaction
from store.errors import NotFound
from store.types import Priority, TaskStatus, TaskType


class Decided(StrEnum):
    """What became of a suggestion."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    SNOOZED = "snoozed"


@dataclass(frozen=True, slots=True)
class OpenTask:
    """A task that is not finished, in a goal that is being worked on."""

    id: UUID
    goal_id: UUID
    goal_title: str
    goal_priority: Priority
    goal_due_at: datetime | None
    title: str
    type: TaskType
    status: TaskStatus
    priority: Priority
    position: int
    estimated_minutes: int | None
    skills: list[str]
    depends_on: list[UUID]
    due_at: datetime | None
    updated_at: datetime
    last_decision: str | None
    decided_at: datetime | None
    snoozed_until: datetime | None
    failed_snapshot_id: UUID | None
    """The last validated snapshot of the task, when it failed."""
    failed_issues: list[dict[str, Any]] | None


@dataclass(frozen=True, slots=True)
class Blocker:
    """A task something waits for."""

    id: UUID
    title: str
    status: TaskStatus

    @property
    def resolved(self) -> bool:
        """A cancelled task holds nobody back."""
        return self.status in (TaskStatus.COMPLETED, TaskStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Everything a suggestion is made from. A dependency missing in `blockers` names a task that does not exist."""

    tasks: Sequence[OpenTask]
    blockers: Mapping[UUID, Blocker]
    last_worked_skills: Sequence[str]
    """Skills of the task finished last: two of a kind in a row teach less than a change."""
    goals_by_skill: Mapping[str, UUID]
    """For every skill, a goal in progress that trains it: where a review of it belongs."""
    resting_goals: int
    """Goals that are paused: the reason why there may be nothing to do."""

    def open_blockers(self, task: OpenTask) -> list[Blocker]:
        found = [self.blockers[other] for other in task.depends_on if other in self.blockers]
        return [blocker for blocker in found if not blocker.resolved]

    def unknown_blockers(self, task: OpenTask) -> list[UUID]:
        return [other for other in task.depends_on if other not in self.blockers]

    def ready(self, task: OpenTask) -> bool:
        """Nothing stands in the way of working on it."""
        return (
            task.status is not TaskStatus.BLOCKED and not self.open_blockers(task) and not self.unknown_blockers(task)
        )


_OPEN: LiteralString = """
SELECT t.id, t.goal_id, g.title AS goal_title, g.priority AS goal_priority, g.due_at AS goal_due_at,
       t.title, t.type, t.status, t.priority, t.position, t.estimated_minutes, t.skills, t.depends_on, t.due_at,
       t.updated_at, f.decision AS last_decision, f.recorded_at AS decided_at, f.until AS snoozed_until,
       CASE WHEN v.failed THEN v.id END AS failed_snapshot_id,
       CASE WHEN v.failed THEN v.validation_issues END AS failed_issues
FROM tasks AS t
JOIN goals AS g ON g.id = t.goal_id AND g.user_id = %(user_id)s AND g.status IN ('pending', 'in_progress')
LEFT JOIN LATERAL (
    SELECT decision, recorded_at, until FROM suggestion_feedback
    WHERE user_id = %(user_id)s AND task_id = t.id ORDER BY recorded_at DESC, id DESC LIMIT 1
) AS f ON true
LEFT JOIN LATERAL (
    SELECT id, validation_issues, validation_status = 'failed' AS failed FROM code_snapshots
    WHERE user_id = %(user_id)s AND task_id = t.id AND validated_at IS NOT NULL
    ORDER BY validated_at DESC, id DESC LIMIT 1
) AS v ON true
WHERE t.user_id = %(user_id)s AND t.status IN ('pending', 'in_progress', 'blocked')
  AND (%(goal_id)s::uuid IS NULL OR t.goal_id = %(goal_id)s)
ORDER BY t.goal_id, t.position, t.id
LIMIT 400
"""

_LAST_SKILLS: LiteralString = """
SELECT skills FROM tasks WHERE user_id = %s AND status = 'completed' ORDER BY completed_at DESC, id LIMIT 1
"""

_GOALS_BY_SKILL: LiteralString = """
SELECT DISTINCT ON (skill) skill, t.goal_id
FROM tasks AS t
JOIN goals AS g ON g.id = t.goal_id AND g.user_id = %(user_id)s AND g.status IN ('pending', 'in_progress')
CROSS JOIN unnest(t.skills) AS skill
WHERE t.user_id = %(user_id)s AND (%(goal_id)s::uuid IS NULL OR t.goal_id = %(goal_id)s)
ORDER BY skill, t.updated_at DESC, t.id
"""


@dataclass(frozen=True, slots=True)
class _SkillGoal:
    skill: str
    goal_id: UUID


async def load(tx: Transaction, goal_id: UUID | None = None) -> Candidates:
    """Return the caller's open tasks, of one goal or of all. Raises `NotFound` for a goal that is not the caller's."""
    user_id = tx.principal.user_id
    if goal_id is not None and not await tx.fetch_value(
        "SELECT EXISTS (SELECT FROM goals WHERE id = %s AND user_id = %s)", [goal_id, user_id]
    ):
        raise NotFound("There is no goal of that id here for you.")
    tasks = await tx.fetch_all(_OPEN, {"user_id": user_id, "goal_id": goal_id}, row=OpenTask)
    wanted = list({other for task in tasks for other in task.depends_on})
    blockers = await tx.fetch_all(
        "SELECT id, title, status FROM tasks WHERE user_id = %s AND id = ANY (%s)", [user_id, wanted], row=Blocker
    )
    last: list[str] | None = await tx.fetch_value(_LAST_SKILLS, [user_id])
    homes = await tx.fetch_all(_GOALS_BY_SKILL, {"user_id": user_id, "goal_id": goal_id}, row=_SkillGoal)
    resting: int = await tx.fetch_value(
        "SELECT count(*) FROM goals WHERE user_id = %s AND status = 'paused'", [user_id]
    )
    return Candidates(
        tasks,
        {blocker.id: blocker for blocker in blockers},
        last or [],
        {home.skill: home.goal_id for home in homes},
        resting,
    )


async def decide(
    tx: Transaction, decision_id: UUID, task_id: UUID, decision: Decided, now: datetime, until: datetime | None = None
) -> None:
    """Remember what the caller did with a suggestion; the same id is remembered once.

    Raises `NotFound` for a task that is not the caller's.
    """
    if not await tx.fetch_value(
        "SELECT EXISTS (SELECT FROM tasks WHERE id = %s AND user_id = %s)", [task_id, tx.principal.user_id]
    ):
        raise NotFound("There is no task of that id here for you.")
    await tx.execute(
        "INSERT INTO suggestion_feedback (id, user_id, task_id, decision, until, recorded_at)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING",
        [decision_id, tx.principal.user_id, task_id, decision.value, until, now],
    )
