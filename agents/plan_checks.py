"""What code knows about a plan: what is wrong with it, its order, its critical path, its weeks."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from math import ceil

from typing_extensions import TypedDict

from agents.plan import PlanDraft, TaskDraft

MAX_TASKS = 12
MINUTES = (15, 240)
DEFAULT_HOURS = 5.0

_VAGUE = re.compile(
    r"^(you )?(understand|know|learn|be familiar|feel|entender|entiend|saber|sabes|conocer|conoces|aprender|familiari)",
    re.IGNORECASE,
)
_WORDS = {
    "en": frozenset({"the", "and", "with", "you", "your", "for", "that", "this", "are", "which", "from", "what", "have",
                     "will", "can", "into", "each", "then"}),
    "es": frozenset({"el", "la", "los", "las", "una", "con", "para", "que", "del", "por", "tus", "más", "cada", "este",
                     "esta", "son", "como", "hasta", "qué", "entonces"}),
}  # fmt: skip


class Violation(TypedDict):
    """One thing that is wrong with a plan, said so that its author can repair it."""

    rule: str
    task: str | None
    message: str
    fatal: bool
    """A plan with a fatal one is never offered; the others are repaired if possible and shown if not."""


class Week(TypedDict):
    """One week of the plan."""

    week: int
    minutes: int
    tasks: list[str]


class Schedule(TypedDict):
    """Everything about a plan that is computed."""

    order: list[str]
    critical_path: list[str]
    critical_minutes: int
    total_minutes: int
    minutes_per_week: int
    weeks: int
    load: list[Week]
    due: dict[str, str]
    finish_on: str
    available_minutes: int | None
    feasible: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """What a plan is checked against."""

    start: date
    evidence: Collection[str] = ()
    deadline: date | None = None
    hours_per_week: float = DEFAULT_HOURS
    locale: str = "en"
    finished: Mapping[str, str] = field(default_factory=dict[str, str])
    """Keys and titles of tasks that are done already; they may be depended on and are not planned again."""
    assessed: bool = False
    """True when a finished task was an assessment."""
    mastered: Collection[str] = ()

    @property
    def minutes_per_week(self) -> int:
        return max(15, round(self.hours_per_week * 60))

    @property
    def available_minutes(self) -> int | None:
        if self.deadline is None:
            return None
        return max(0, round((self.deadline - self.start).days / 7 * self.minutes_per_week))


def check(plan: PlanDraft, frame: Frame) -> list[Violation]:
    """Return everything that is wrong with the plan, worst first."""
    found = [*_shape(plan, frame), *(v for task in plan.tasks for v in _task(task, frame)), *_links(plan, frame)]
    if not any(violation["fatal"] for violation in found):
        found += [*_effort(plan, frame), *_language(plan, frame)]
    return sorted(found, key=lambda violation: not violation["fatal"])


def order_of(plan: PlanDraft) -> list[TaskDraft]:
    """Return the tasks so that each comes after what it waits for, otherwise as written; circles are left out."""
    own = {task.key for task in plan.tasks}
    placed: dict[str, TaskDraft] = {}
    while True:
        ready = [
            t for t in plan.tasks if t.key not in placed and all(d in placed or d not in own for d in t.depends_on)
        ]
        if not ready:
            return list(placed.values())
        placed[ready[0].key] = ready[0]


def schedule(plan: PlanDraft, frame: Frame) -> Schedule:
    """Compute order, critical path and weeks of a plan whose links are sound."""
    ordered = order_of(plan)
    length: dict[str, int] = {}
    before: dict[str, str | None] = {}
    for task in ordered:
        longest = max((key for key in task.depends_on if key in length), key=lambda key: length[key], default=None)
        before[task.key] = longest
        length[task.key] = task.est_minutes + (length[longest] if longest else 0)
    path: list[str] = []
    step = max(length, key=lambda key: length[key], default=None)
    while step:
        path.insert(0, step)
        step = before[step]
    load = _weeks(ordered, frame.minutes_per_week)
    total = sum(task.est_minutes for task in ordered)
    ends = {key: frame.start + timedelta(weeks=week["week"]) for week in load for key in week["tasks"]}
    due = {key: min(day, frame.deadline or day).isoformat() for key, day in ends.items()}
    available = frame.available_minutes
    return Schedule(
        order=[task.key for task in ordered],
        critical_path=path,
        critical_minutes=sum(task.est_minutes for task in ordered if task.key in path),
        total_minutes=total,
        minutes_per_week=frame.minutes_per_week,
        weeks=len(load),
        load=load,
        due=due,
        finish_on=max(due.values(), default=frame.start.isoformat()),
        available_minutes=available,
        feasible=available is None or total <= available,
    )


def _weeks(ordered: Sequence[TaskDraft], capacity: int) -> list[Week]:
    """Lay the tasks into weeks in order; a task ends in the week its last minute falls into."""
    load: list[Week] = []
    spent = 0
    for task in ordered:
        first, spent = spent, spent + task.est_minutes
        for number in range(first // capacity, ceil(spent / capacity)):
            if number == len(load):
                load.append(Week(week=number + 1, minutes=0, tasks=[]))
            load[number]["minutes"] += min(spent, (number + 1) * capacity) - max(first, number * capacity)
        load[-1]["tasks"].append(task.key)
    return load


def _shape(plan: PlanDraft, frame: Frame) -> list[Violation]:
    found: list[Violation] = []
    if not plan.title:
        found.append(_fatal("title", None, "The plan has no title."))
    if not plan.tasks:
        found.append(_fatal("tasks", None, "The plan has no tasks."))
    if len(plan.tasks) > MAX_TASKS:
        found.append(
            _fatal("too_many_tasks", None, f"{len(plan.tasks)} tasks; at most {MAX_TASKS}. Merge or drop some.")
        )
    if not frame.assessed and not any(task.kind == "assess" for task in plan.tasks):
        found.append(_fatal("no_assessment", None, "No task of kind assess shows that the goal is reached. Add one."))
    titles = [_same(task.title) for task in plan.tasks]
    done = {_same(title) for title in frame.finished.values()}
    for task, title in zip(plan.tasks, titles, strict=True):
        if titles.count(title) > 1:
            found.append(_fatal("twin_tasks", task.key, f"More than one task is called {task.title!r}."))
        if title in done:
            found.append(_fatal("done_already", task.key, f"{task.title!r} is finished already; leave it out."))
    return found


def _task(task: TaskDraft, frame: Frame) -> list[Violation]:
    found: list[Violation] = []
    if len(task.title) < 3:
        found.append(_fatal("task_title", task.key, "A title has 3 characters or more."))
    if not MINUTES[0] <= task.est_minutes <= MINUTES[1]:
        found.append(
            _fatal("estimate", task.key, f"{task.est_minutes} minutes; {MINUTES[0]} to {MINUTES[1]} are allowed.")
        )
    if not task.done_when:
        found.append(_fatal("done_when", task.key, "Without done_when nobody can tell when it is finished."))
    if not task.skills:
        found.append(_fatal("skills", task.key, "Name at least one skill it trains."))
    found += [
        _soft("not_observable", task.key, f"{criterion!r} cannot be observed; say what one can see.")
        for criterion in task.done_when
        if _VAGUE.match(criterion)
    ]
    found += [
        _fatal("unknown_source", task.key, f"There is no evidence {source!r}; cite only given ids.")
        for source in task.sources
        if source not in frame.evidence
    ]
    mastered = {_same(skill) for skill in frame.mastered}
    if mastered and task.kind in ("read", "practice") and all(_same(skill) in mastered for skill in task.skills):
        found.append(_soft("mastered", task.key, "The learner has mastered these skills already; drop or deepen it."))
    return found


def _links(plan: PlanDraft, frame: Frame) -> list[Violation]:
    keys = [task.key for task in plan.tasks]
    known = {*keys, *frame.finished}
    found = [
        _fatal("twin_keys", key, f"The key {key!r} is used twice.") for key in sorted(set(keys)) if keys.count(key) > 1
    ]
    found += [_fatal("key", task.key, "Every task needs a key of its own.") for task in plan.tasks if not task.key]
    found += [
        _fatal("taken_key", key, f"The key {key!r} belongs to a finished task.")
        for key in keys
        if key in frame.finished
    ]
    for task in plan.tasks:
        for other in task.depends_on:
            if other not in known:
                found.append(_fatal("unknown_key", task.key, f"It depends on {other!r}, which is no task of the plan."))
    if not found and len(placed := order_of(plan)) < len(plan.tasks):
        stuck = sorted(set(keys) - {task.key for task in placed})
        found.append(_fatal("cycle", stuck[0], f"These tasks wait for each other in a circle: {', '.join(stuck)}."))
    return found


def _effort(plan: PlanDraft, frame: Frame) -> list[Violation]:
    figures = schedule(plan, frame)
    found: list[Violation] = []
    if not figures["feasible"]:
        found.append(
            _soft(
                "too_much_work",
                None,
                f"{figures['total_minutes']} minutes of work, but {figures['available_minutes']} until the deadline at "
                f"{figures['minutes_per_week']} a week. Cut scope or shorten tasks.",
            )
        )
    if len(plan.tasks) >= 5 and len(figures["critical_path"]) == len(plan.tasks):
        found.append(_soft("all_in_a_row", None, "Every task waits for the one before. Drop dependencies not needed."))
    return found


def _language(plan: PlanDraft, frame: Frame) -> list[Violation]:
    wanted = "es" if frame.locale.lower().startswith("es") else "en"
    text = " ".join([plan.outcome, *(f"{task.why} {' '.join(task.done_when)}" for task in plan.tasks)]).lower()
    words = re.findall(r"[^\W\d_]+", text)
    counts = {language: sum(word in common for word in words) for language, common in _WORDS.items()}
    other = "en" if wanted == "es" else "es"
    if counts[other] >= 6 and counts[other] > 3 * counts[wanted]:
        return [_soft("language", None, f"Write in {'Spanish' if wanted == 'es' else 'English'}.")]
    return []


def _same(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _fatal(rule: str, task: str | None, message: str) -> Violation:
    return Violation(rule=rule, task=task, message=message, fatal=True)


def _soft(rule: str, task: str | None, message: str) -> Violation:
    return Violation(rule=rule, task=task, message=message, fatal=False)
