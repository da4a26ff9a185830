"""Plays the reference outcome of a case against the real store: a case that its own gold cannot pass is wrong."""

from collections.abc import Mapping
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage

from evals import observe, reading
from evals.labels import id_of, labels_of, resolved
from evals.play import Scene, Trail, finish
from evals.runs import Hit, Pause, Run
from evals.samples import Bug, Sample
from store import goals, snapshots, tasks
from store.database import Transaction
from store.goals import NewGoal
from store.principal import Origin
from store.snapshots import Validation
from store.tasks import NewTask
from store.types import GoalStatus, TaskStatus, TaskType, ValidationStatus


async def perform(scene: Scene) -> Run:
    """Write what the case's gold says, say what it says, and return the run as if a graph had done it."""
    sample, gold = scene.sample, scene.sample.gold
    labels = labels_of(scene.world)
    before = await observe.all_rows(scene.urls)
    places = observe.Places(scene.urls, scene.folder / "lake")
    await places.begin()
    trail = Trail(usable=True)
    async with scene.database.transaction(scene.caller, Origin(channel="tool")) as tx:
        result = await _goal(tx, sample) if gold.plan is not None else _suggested(sample)
        for label, columns in gold.deed.items():
            await _deed(tx, label, cast("dict[str, Any]", columns))
        for key in gold.scores:
            await _validation(tx, sample, key, scene)
    for key in gold.scores:
        rows = await observe.all_rows(scene.urls)
        trail.checked.append(reading.checked(key, rows["code_snapshots", str(id_of(key))], {"hints": [gold.hint]}))
    trail.results.append(result)
    wanted = sample.expect.trajectory
    trail.nodes += wanted.nodes if wanted else ()
    trail.nodes += () if trail.nodes else ("gold",)
    trail.pauses += [Pause(action="asked", decision="approve")] * ((wanted.pauses or 0) if wanted else 0)
    trail.messages += [*_calls(sample), AIMessage(gold.say)]
    hits = [Hit(label=label, score=1.0) for label in gold.hits] if sample.graph == "search" else None
    return await finish(scene, trail, reading.Before(before, places, labels), 0.1, hits)


async def _goal(tx: Transaction, sample: Sample) -> dict[str, Any]:
    """Make a plan of reading and practice for each topic, then a piece of work and a check of it."""
    given = sample.gold.goal
    topics = [topic.strip() for topic in (sample.gold.plan or "").split(",")]
    if "extend" in given:
        goal_id = id_of(str(given["extend"]))
    else:
        title = str(given.get("title") or sample.input.get("objective") or topics[0])[:100]
        goal_id = (await goals.create(tx, NewGoal(title=title, course_id=sample.context.get("course_id")))).id
    practised: list[Any] = []
    for topic in topics:
        read = await _task(tx, goal_id, "read", f"Read: {topic}", topics, [])
        practised.append(await _task(tx, goal_id, "practice", f"Practise: {topic}", topics, [read]))
    await _task(tx, goal_id, "assess", f"Check yourself: {', '.join(topics)}", topics, practised)
    return {"status": "committed", "goal_id": str(goal_id), "evidence": []}


async def _task(tx: Transaction, goal_id: Any, kind: str, title: str, skills: list[str], needs: list[Any]) -> Any:  # noqa: ANN401
    new = NewTask(
        goal_id=goal_id,
        title=title,
        type=TaskType(kind),
        acceptance_criteria=["a page of notes or a running example exists"],
        estimated_minutes=30,
        skills=skills,
        depends_on=needs,
    )
    return (await tasks.create(tx, new)).id


async def _deed(tx: Transaction, label: str, columns: Mapping[str, Any]) -> None:
    if columns.get("delete"):
        await goals.delete(tx, id_of(label))
    elif "/" in label:
        await tasks.update(tx, id_of(label), {"status": TaskStatus(columns["status"])})
    elif "status" in columns:
        await goals.update(tx, id_of(label), {"status": GoalStatus(columns["status"])})
    else:
        await goals.update(tx, id_of(label), dict(columns))


async def _validation(tx: Transaction, sample: Sample, key: str, scene: Scene) -> None:
    code = sample.expect.code
    bugs = [bug for bug in code.bugs if bug.snapshot == key] if code else []
    content = next(each.content for each in scene.world.snapshots if each.key == key).splitlines()
    verdict = (code.verdict.get(key) if code else None) or "failed"
    await snapshots.record_validation(
        tx,
        id_of(key),
        Validation(
            status=ValidationStatus(verdict),
            score=sample.gold.scores[key],
            feedback="What was found is in the list.",
            issues=[_issue(bug, content) for bug in bugs] or _made_up(verdict, content),
        ),
    )


def _issue(bug: Bug, content: list[str]) -> dict[str, Any]:
    return {
        "type": bug.categories[-1],
        "category": bug.categories[0],
        "severity": bug.severity,
        "line": bug.line,
        "line_end": bug.line_end or bug.line,
        "quote": content[bug.line - 1].strip(),
        "message": "A planted defect",
    }


def _made_up(verdict: str, content: list[str]) -> list[dict[str, Any]]:
    """A failed snapshot without planted defects (an empty one, or one of the crash suite) fails as a whole."""
    if verdict == "passed":
        return []
    quote = content[0].strip() if content else ""
    return [{"type": "empty", "category": "syntax", "severity": "essential", "line": 1, "quote": quote, "message": "-"}]


def _suggested(sample: Sample) -> dict[str, Any]:
    gold = sample.gold
    suggestions = [
        {"task_id": str(id_of(label)), "score": 1.0, "factors": {"ready": 1.0}, "reason": "It is ready now."}
        for label in gold.suggest
    ]
    blocked = [{"task_id": str(id_of(label)), "reason": gold.say} for label in gold.blocked_by]
    wanted = sample.expect.suggest
    if wanted is not None and wanted.none_ready and not blocked:
        blocked = [{"reason": gold.say}]
    return {"suggestions": suggestions, "blocked_by": blocked}


def _calls(sample: Sample) -> list[BaseMessage]:
    wanted = sample.expect.trajectory
    made: list[BaseMessage] = []
    for number, call in enumerate(wanted.calls if wanted else ()):
        args = cast("dict[str, Any]", resolved(call.args))
        made.append(AIMessage("", tool_calls=[ToolCall(name=call.name, args=args, id=f"gold_{number}")]))
        made.append(ToolMessage("{}", name=call.name, tool_call_id=f"gold_{number}"))
    return made
