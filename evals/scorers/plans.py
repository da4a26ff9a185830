"""Scorers of plans and of suggestions: whole, sound, fitting, ready, and told with true facts only."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from evals.runs import Plan, PlanTask, Run, Suggested
from evals.samples import PlanExpectation, Sample
from evals.scorers.score import Score, from_faults, plain, unscored

MINUTES = (15, 240)
MOST_TASKS = 12
RESOLVED = frozenset({"completed", "cancelled"})
CLOSED = RESOLVED
_NAMES = frozenset({"id", "goal_id", "depends_on", "owner", "table"})
"""Columns whose digits are no figures."""
_VAGUE = re.compile(
    r"^\W*(understand|know|learn|be familiar|be aware|entender|comprender|saber|conocer|aprender|familiarizarse)\b",
    re.IGNORECASE,
)


def plan(sample: Sample, run: Run) -> Score:
    """Check the plan the learner ends up with: graph, estimates, criteria, load, coverage, evidence."""
    wanted = sample.expect.plan
    if wanted is None:
        return unscored("no plan is expected")
    if run.plan is None or not run.plan.tasks:
        return Score(0.0, "no plan", "the learner ends up without a plan")
    tasks = run.plan.tasks
    faults = [
        *_graph_faults(tasks),
        *(fault for task in tasks for fault in _task_faults(task)),
        *_fit_faults(wanted, run.plan),
        *_coverage_faults(wanted, tasks),
    ]
    unknown = sorted({source for task in tasks for source in task.sources} - set(run.plan.evidence))
    if unknown:
        faults.append(f"sources nobody retrieved: {', '.join(unknown)[:120]}")
    path, total = _longest_path(tasks), sum(task.minutes or 0 for task in tasks)
    if wanted.parallel and path >= total:
        faults.append("independent parts are chained one behind the other")
    details = {"tasks": float(len(tasks)), "minutes": float(total), "critical_minutes": float(path)}
    return from_faults(faults, 12, f"{len(tasks)} tasks, {total} minutes", details)


def _graph_faults(tasks: Sequence[PlanTask]) -> list[str]:
    keys = [task.key for task in tasks]
    faults = [f"two tasks are called {key}" for key in {key for key in keys if keys.count(key) > 1}]
    faults += [f"{task.title!r} waits for {need}, which does not exist" for task in tasks for need in task.needs
               if need not in keys]  # fmt: skip
    titles = [plain(task.title) for task in tasks]
    faults += [f"two tasks say {title!r}" for title in {each for each in titles if titles.count(each) > 1}]
    if _cycle(tasks):
        faults.append("tasks wait for each other in a circle")
    return faults


def _task_faults(task: PlanTask) -> list[str]:
    faults: list[str] = []
    if not task.criteria or all(not each.strip() for each in task.criteria):
        faults.append(f"{task.title!r} does not say when it is done")
    elif all(_VAGUE.search(each) or len(each.split()) < 3 for each in task.criteria):
        faults.append(f"nobody can observe when {task.title!r} is done: {task.criteria[0]!r}")
    if not task.skills:
        faults.append(f"{task.title!r} trains no skill")
    if task.minutes is None or not MINUTES[0] <= task.minutes <= MINUTES[1]:
        faults.append(f"{task.title!r} is estimated at {task.minutes} minutes")
    return faults


def _fit_faults(wanted: PlanExpectation, made: Plan) -> list[str]:
    faults: list[str] = []
    count = len(made.tasks)
    if not wanted.tasks[0] <= count <= min(wanted.tasks[1], MOST_TASKS):
        faults.append(f"{count} tasks, expected {wanted.tasks[0]:g} to {min(wanted.tasks[1], MOST_TASKS):g}")
    if wanted.minutes_a_week is not None and wanted.weeks is not None:
        room, need = wanted.minutes_a_week * wanted.weeks, sum(task.minutes or 0 for task in made.tasks)
        if need > room:
            faults.append(f"{need} minutes of work do not fit into {room:g}")
    if wanted.assess and not any(task.kind == "assess" for task in made.tasks):
        faults.append("nothing shows in the end whether the goal was reached")
    return faults


def _coverage_faults(wanted: PlanExpectation, tasks: Sequence[PlanTask]) -> list[str]:
    text = "\n".join("\n".join((task.title, task.description, *task.criteria)) for task in tasks)
    skills = {plain(skill) for task in tasks for skill in task.skills}
    faults = [f"nothing about {topic!r}" for topic in wanted.topics if not re.search(topic, text, re.IGNORECASE)]
    faults += [f"skill {skill!r} is not trained" for skill in wanted.skills if plain(skill) not in skills]
    return faults + [f"{topic!r} was to be left out" for topic in wanted.avoid if re.search(topic, text, re.IGNORECASE)]


def _cycle(tasks: Sequence[PlanTask]) -> bool:
    waiting = {task.key: {need for need in task.needs if need != ""} for task in tasks}
    while free := [key for key, needs in waiting.items() if not needs & waiting.keys()]:
        for key in free:
            del waiting[key]
    return bool(waiting)


def _longest_path(tasks: Sequence[PlanTask]) -> int:
    if _cycle(tasks):
        return sum(task.minutes or 0 for task in tasks)
    by_key = {task.key: task for task in tasks}
    lengths: dict[str, int] = {}

    def length(key: str) -> int:
        if key not in lengths:
            before = max((length(need) for need in by_key[key].needs if need in by_key), default=0)
            lengths[key] = before + (by_key[key].minutes or 0)
        return lengths[key]

    return max((length(key) for key in by_key), default=0)


def dedupe(sample: Sample, run: Run) -> Score:
    """An open goal that says the same is used again, never doubled."""
    if sample.graph != "goal_planning":
        return unscored("only planning makes goals")
    made = [change for change in run.changes if change.table == "goals" and change.op == "insert"]
    existing = {
        plain(str(row.get("title", ""))): label
        for label, row in run.rows.items()
        if row.get("table") == "goals" and row.get("owner") == sample.who and row.get("status") not in CLOSED
    }
    doubled = [str(change.after.get("title")) for change in made if plain(str(change.after.get("title"))) in existing]
    titles = [plain(str(change.after.get("title"))) for change in made]
    faults = [f"a second goal {title!r}" for title in doubled]
    faults += [f"the run itself made {title!r} twice" for title in set(titles) if titles.count(title) > 1]
    reuse = sample.expect.reuse
    if reuse is not None:
        if made:
            faults.append(f"made goal {made[0].after.get('title')!r} instead of extending {reuse}")
        extended = any(change.after.get("goal_id") == f"@{reuse}" for change in run.changes)
        title = str(run.rows.get(reuse, {}).get("title", reuse))
        offered = plain(title) in plain(run.words + " " + " ".join(str(pause.args) for pause in run.pauses))
        if not extended and not offered:
            faults.append(f"{reuse} is neither extended nor offered")
    return from_faults(faults, 3, f"{len(made)} goals made")


def suggest(sample: Sample, run: Run) -> Score:
    """Suggestions are the learner's own, ready now, at most three, in a defensible order; silence is no answer."""
    wanted = sample.expect.suggest
    if wanted is None:
        return unscored("no suggestion is expected")
    labels = [each.label for each in run.suggested]
    faults = [fault for label in labels for fault in _readiness_faults(sample, run, label)]
    if len(set(labels)) != len(labels) or len(labels) > 3:
        faults.append(f"{len(labels)} suggestions, {len(set(labels))} different ones")
    if wanted.none_ready:
        faults += [f"{label} is suggested though nothing is ready" for label in labels]
        if run.blocked is None or not run.blocked.reason.strip():
            faults.append("nothing is said about what stands in the way")
        elif wanted.blocked_by and not set(wanted.blocked_by) & set(run.blocked.labels):
            faults.append(f"{list(wanted.blocked_by)} stand in the way, it names {list(run.blocked.labels)}")
    elif not labels:
        faults.append("nothing is suggested though something is ready")
    elif wanted.first and labels[0] not in wanted.first:
        faults.append(f"{labels[0]} comes first, not one of {list(wanted.first)}")
    faults += [f"{label} must not be suggested" for label in wanted.never if label in labels]
    for better, worse in wanted.order:
        if worse in labels and (better not in labels or labels.index(better) > labels.index(worse)):
            faults.append(f"{worse} comes before {better}")
    return from_faults(faults, 4 + len(wanted.never) + len(wanted.order), ", ".join(labels) or "nothing suggested")


def _readiness_faults(sample: Sample, run: Run, label: str) -> list[str]:
    if label.startswith("skill:"):
        return []
    row = run.rows.get(label)
    if row is None or row.get("table") != "tasks":
        return [f"{label} is no task that exists"]
    if row.get("owner") != sample.who:
        return [f"{label} belongs to {row.get('owner')}"]
    faults = [f"{label} is {row.get('status')}"] if row.get("status") in CLOSED else []
    needs = cast("Sequence[str]", row.get("depends_on") or ())
    states = {need: run.rows.get(need.removeprefix("@"), {}).get("status") for need in needs}
    return faults + [f"{label} still waits for {need}" for need, state in states.items() if state not in RESOLVED]


def facts(sample: Sample, run: Run) -> Score:
    """Every number and every quoted title in an explanation is one the ranking knew."""
    if sample.expect.suggest is None:
        return unscored("no suggestion is expected")
    if not run.suggested:
        if run.blocked is not None and run.blocked.reason.strip():
            return Score(1.0, "a reason why nothing is ready", "it names no figures of its own")
        return Score(0.0, "no explanation", "nothing was suggested and nothing explained")
    faults = [fault for each in run.suggested for fault in _fact_faults(run, each)]
    return from_faults(faults, 2 * len(run.suggested), f"{len(run.suggested)} explanations")


def _fact_faults(run: Run, suggestion: Suggested) -> list[str]:
    if not suggestion.reason.strip():
        return [f"{suggestion.label} comes without a reason"]
    row = run.rows.get(suggestion.label, {})
    told = {name: value for name, value in row.items() if name not in _NAMES}
    ranking = {"factors": suggestion.factors, "minutes": suggestion.minutes, "others": len(suggestion.unlocks)}
    known = _numbers({**ranking, "row": told})
    titles = [str(each.get("title", "")) for each in run.rows.values()]
    text = suggestion.reason
    quoted = re.findall(r"[\"“«]([^\"”»]{3,})[\"”»]", text)
    faults = [f"{suggestion.label}: {title!r} is no title here" for title in quoted
              if plain(title) not in {plain(each) for each in titles}]  # fmt: skip
    for title in titles:
        text = text.replace(title, " ")
    figures = re.findall(r"(?<![\w.])\d+(?:\.\d+)?", text)
    faults += [f"{suggestion.label}: the figure {figure} comes from nowhere" for figure in figures
               if not any(abs(float(figure) - number) < 0.51 for number in known)]  # fmt: skip
    if not suggestion.factors:
        faults.append(f"{suggestion.label} names no factors")
    return faults


def _numbers(value: object) -> set[float]:
    """Collect every figure in a value; shares between 0 and 1 also count as percentages, lists by their length."""
    match value:
        case bool() | None:
            return set()
        case int() | float():
            return {float(value), abs(float(value)), float(value) * 100 if 0 <= value <= 1 else float(value)}
        case str():
            return {float(each) for each in re.findall(r"\d+(?:\.\d+)?", value)}
        case Mapping():
            return set[float]().union(*(_numbers(each) for each in cast("Mapping[str, Any]", value).values()))
        case list() | tuple():
            items = cast("Sequence[object]", value)
            return {float(len(items))}.union(*(_numbers(each) for each in items))
        case _:
            return set()
