"""Ranks what a learner could do next, with every reason as a named factor; equal states give equal orders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from agents.ranking_paths import Paths
from store.candidates import Candidates, Decided, OpenTask
from store.mastery import Mastery
from store.types import Priority, TaskStatus, TaskType

REJECTED_FOR = timedelta(days=7)
SOON = timedelta(days=14)
REMEMBERED = 0.9
"""Below this chance of recall a skill is due for review."""
REVIEW_MINUTES = 15
USUAL_MINUTES = 45

WEIGHTS: Mapping[str, float] = {
    "continuation": 1.5,
    "open_findings": 1.2,
    "due": 2.0,
    "priority": 0.8,
    "critical_path": 1.0,
    "unlocks": 0.8,
    "review_due": 1.5,
    "learning_zone": 0.6,
    "fits": 1.0,
    "just_rejected": -3.0,
    "same_as_last": -0.4,
    "mood": 1.5,
}

_PRIORITY = {Priority.LOW: 0.0, Priority.MEDIUM: 0.33, Priority.HIGH: 0.67, Priority.CRITICAL: 1.0}


class Mood(StrEnum):
    """What the learner feels like."""

    CHALLENGE = "challenge"
    REVIEW = "review"
    UNBLOCK = "unblock"


class Kind(StrEnum):
    """What a suggestion is."""

    TASK = "task"
    REVIEW = "review"
    """A skill that fades; accepting makes a review task in the goal that trains it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the learner asked for."""

    now: datetime
    available_minutes: int | None = None
    mood: Mood | None = None


@dataclass(frozen=True, slots=True)
class Ranked:
    """One possible next step. `factors` are contributions to the score; `facts` the numbers a reason may mention."""

    kind: Kind
    title: str
    score: float
    factors: Mapping[str, float]
    facts: Mapping[str, object]
    task_id: UUID | None = None
    goal_id: UUID | None = None
    skill: str | None = None
    estimated_minutes: int | None = None
    unlocks: tuple[OpenTask, ...] = ()
    type: TaskType | None = None
    status: TaskStatus | None = None


@dataclass(slots=True)
class _Scores:
    values: dict[str, float] = field(default_factory=dict[str, float])

    def add(self, name: str, value: float) -> None:
        if value:
            self.values[name] = round(WEIGHTS[name] * value, 3)

    @property
    def total(self) -> float:
        return round(sum(self.values.values()), 3)


def rank(candidates: Candidates, skills: Sequence[Mastery], wish: Wish) -> list[Ranked]:
    """Return every step that could begin now, best first; equal scores keep the order of the goal."""
    paths = Paths(candidates)
    known = {mastery.skill: mastery for mastery in skills}
    ready = [task for task in candidates.tasks if candidates.ready(task) and not snoozed(task, wish.now)]
    tasks = [_task(task, candidates, paths, known, wish) for task in ready]
    reviews = [_review(mastery, candidates, wish) for mastery in _fading(skills, ready, wish.now)]
    order = {task.id: place for place, task in enumerate(candidates.tasks)}
    return sorted(
        [*tasks, *reviews],
        key=lambda each: (-each.score, order.get(each.task_id, 10_000) if each.task_id else 10_000, each.title),
    )


def snoozed(task: OpenTask, now: datetime) -> bool:
    return task.last_decision == Decided.SNOOZED and task.snoozed_until is not None and task.snoozed_until > now


def _task(task: OpenTask, candidates: Candidates, paths: Paths, known: Mapping[str, Mastery], wish: Wish) -> Ranked:
    scores = _Scores()
    facts: dict[str, object] = {"goal": task.goal_title, "type": task.type.value, "priority": task.priority.value}
    minutes = task.estimated_minutes
    unlocks = paths.unlocked_by(task.id)
    recall = min((known[skill].recall(wish.now) for skill in task.skills if skill in known), default=1.0)
    estimates = [known[skill].estimate for skill in task.skills if skill in known]

    scores.add("continuation", 1.0 if task.status is TaskStatus.IN_PROGRESS else 0.0)
    scores.add("open_findings", 1.0 if task.failed_snapshot_id else 0.0)
    scores.add("due", _urgency(task, wish.now, facts))
    scores.add("priority", max(_PRIORITY[task.priority], 0.5 * _PRIORITY[task.goal_priority]))
    scores.add("critical_path", paths.criticality(task.id))
    scores.add("unlocks", min(1.0, len(unlocks) / 3))
    scores.add("fits", _fit(minutes, wish.available_minutes))
    scores.add("just_rejected", _rejection(task, wish.now))
    scores.add("same_as_last", _likeness(task.skills, candidates.last_worked_skills))
    if recall < REMEMBERED:
        scores.add("review_due", 1 - recall)
        facts["recall_percent"] = round(100 * recall)
    if estimates:
        middle = sum(estimates) / len(estimates)
        scores.add("learning_zone", 1.0 if 0.4 <= middle <= 0.8 else 0.0)
        facts["mastery_percent"] = round(100 * middle)
    scores.add("mood", _mood(wish.mood, task.type, recall, len(unlocks)))
    if minutes is not None:
        facts["estimated_minutes"] = minutes
    if wish.available_minutes is not None:
        facts["available_minutes"] = wish.available_minutes
    if unlocks:
        facts["unlocks_count"] = len(unlocks)
    facts["path_minutes"] = paths.remaining(task.id)
    return Ranked(
        kind=Kind.TASK,
        title=task.title,
        score=scores.total,
        factors=scores.values,
        facts=facts,
        task_id=task.id,
        goal_id=task.goal_id,
        estimated_minutes=minutes,
        unlocks=tuple(unlocks),
        type=task.type,
        status=task.status,
    )


def _review(mastery: Mastery, candidates: Candidates, wish: Wish) -> Ranked:
    scores = _Scores()
    recall = mastery.recall(wish.now)
    scores.add("review_due", 1 - recall)
    scores.add("fits", _fit(REVIEW_MINUTES, wish.available_minutes))
    scores.add("mood", 1.0 if wish.mood is Mood.REVIEW else 0.0)
    scores.add("same_as_last", _likeness([mastery.skill], candidates.last_worked_skills))
    facts: dict[str, object] = {"recall_percent": round(100 * recall), "estimated_minutes": REVIEW_MINUTES}
    if wish.available_minutes is not None:
        facts["available_minutes"] = wish.available_minutes
    return Ranked(
        kind=Kind.REVIEW,
        title=mastery.skill,
        score=scores.total,
        factors=scores.values,
        facts=facts,
        goal_id=candidates.goals_by_skill.get(mastery.skill),
        skill=mastery.skill,
        estimated_minutes=REVIEW_MINUTES,
    )


def _fading(skills: Sequence[Mastery], ready: Sequence[OpenTask], now: datetime) -> list[Mastery]:
    """Skills due for review that no open task would refresh anyway."""
    covered = {skill for task in ready for skill in task.skills}
    return [each for each in skills if each.skill not in covered and each.recall(now) < REMEMBERED]


def _urgency(task: OpenTask, now: datetime, facts: dict[str, object]) -> float:
    due = min((each for each in (task.due_at, task.goal_due_at) if each is not None), default=None)
    if due is None:
        return 0.0
    left = due - now
    facts["due_in_days"] = left.days if left >= timedelta() else -(-left).days
    return 1.0 if left <= timedelta() else max(0.0, 1 - left / SOON)


def _fit(minutes: int | None, available: int | None) -> float:
    if available is None:
        return 0.0
    needed = minutes or USUAL_MINUTES
    return 1.0 if needed <= available else available / needed - 1


def _rejection(task: OpenTask, now: datetime) -> float:
    """1 directly after a no, fading to 0 within a week."""
    if task.last_decision != Decided.REJECTED or task.decided_at is None:
        return 0.0
    return max(0.0, 1 - (now - task.decided_at) / REJECTED_FOR)


def _likeness(skills: Sequence[str], last: Sequence[str]) -> float:
    mine, other = set(skills), set(last)
    return len(mine & other) / len(mine | other) if mine and other else 0.0


def _mood(mood: Mood | None, kind: TaskType, recall: float, unlocks: int) -> float:
    match mood:
        case Mood.CHALLENGE:
            return 1.0 if kind in (TaskType.BUILD, TaskType.ASSESS) else 0.0
        case Mood.REVIEW:
            return 1.0 if kind is TaskType.REVIEW or recall < REMEMBERED else 0.0
        case Mood.UNBLOCK:
            return min(1.0, unlocks / 2)
        case None:
            return 0.0
