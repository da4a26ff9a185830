"""Why not the others, and what to do when nothing can begin: answers computed from the same state as the ranking."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from agents.ranking import Kind, Ranked, snoozed
from store.candidates import Candidates, OpenTask
from store.types import TaskStatus

OTHERS = 5


class Obstacle(StrEnum):
    """Why something was not suggested."""

    WAITS = "waits"
    BLOCKED = "blocked"
    SNOOZED = "snoozed"
    UNKNOWN_DEPENDENCY = "unknown_dependency"
    REJECTED = "rejected"
    TOO_LONG = "too_long"
    LOWER = "lower"
    NO_TASKS = "no_tasks"


@dataclass(frozen=True, slots=True)
class WhyNot:
    """One task that was left out, with what stands in its way."""

    title: str
    obstacle: Obstacle
    task_id: UUID | None = None
    waits_for: tuple[str, ...] = ()
    factor: str = ""
    """The factor that speaks most for the best one instead."""
    until: datetime | None = None


def why_not(candidates: Candidates, ranked: Sequence[Ranked], chosen: int, now: datetime) -> list[WhyNot]:
    """Explain what was not among the first `chosen`: lower ranks first, then what cannot begin."""
    best = ranked[0] if ranked else None
    lower = [_lower(each, best) for each in ranked[chosen:] if best is not None and each.kind is Kind.TASK]
    stuck = [obstacle_of(task, candidates, now) for task in candidates.tasks]
    return [*lower[:OTHERS], *[each for each in stuck if each is not None]][:OTHERS]


def _lower(other: Ranked, best: Ranked) -> WhyNot:
    if other.factors.get("just_rejected", 0) < -1:
        return WhyNot(other.title, Obstacle.REJECTED, other.task_id)
    if other.factors.get("fits", 0) < 0 <= best.factors.get("fits", 0):
        return WhyNot(other.title, Obstacle.TOO_LONG, other.task_id)
    names = sorted(set(best.factors) | set(other.factors))
    gaps = {name: best.factors.get(name, 0) - other.factors.get(name, 0) for name in names}
    factor = max(gaps, key=lambda name: (gaps[name], name)) if gaps else ""
    return WhyNot(other.title, Obstacle.LOWER, other.task_id, factor=factor if gaps.get(factor, 0) > 0 else "")


def obstacle_of(task: OpenTask, candidates: Candidates, now: datetime) -> WhyNot | None:
    """What keeps a task from beginning now; None when nothing does."""
    if candidates.unknown_blockers(task):
        return WhyNot(task.title, Obstacle.UNKNOWN_DEPENDENCY, task.id)
    waiting = tuple(blocker.title for blocker in candidates.open_blockers(task))
    if waiting:
        return WhyNot(task.title, Obstacle.WAITS, task.id, waits_for=waiting)
    if task.status is TaskStatus.BLOCKED:
        return WhyNot(task.title, Obstacle.BLOCKED, task.id)
    if snoozed(task, now):
        return WhyNot(task.title, Obstacle.SNOOZED, task.id, until=task.snoozed_until)
    return None


def smallest_step(candidates: Candidates, now: datetime) -> WhyNot:
    """The one thing that would set work free when nothing can begin: never silence.

    Broken data comes first, because it blocks for ever; then the task whose obstacle the learner can lift, the one
    with the least work behind it; then the earliest end of a snooze.
    """
    stuck = [(task, why) for task in candidates.tasks if (why := obstacle_of(task, candidates, now)) is not None]
    if not stuck:
        return WhyNot("", Obstacle.NO_TASKS)
    order = (Obstacle.UNKNOWN_DEPENDENCY, Obstacle.BLOCKED, Obstacle.SNOOZED, Obstacle.WAITS)
    latest = datetime.max.replace(tzinfo=now.tzinfo)
    _, why = min(
        stuck,
        key=lambda pair: (
            order.index(pair[1].obstacle),
            pair[1].until or latest,
            pair[0].estimated_minutes or 10_000,
            pair[0].position,
            pair[0].title,
        ),
    )
    return why
