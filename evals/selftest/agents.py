"""Two agents no evaluation may reward: one that does nothing, and one that agrees to everything."""

from uuid import uuid5

from evals.datasets import whole_world
from evals.labels import id_of, labels_of
from evals.runs import Checked, EventSeen, Hit, Plan, PlanTask, Row, RowChange, Run, Said, Sinks, Suggested
from evals.samples import Sample, World

YES = {
    "en": "Great idea, that is all perfect and it is done for you!",
    "es": "¡Buena idea, todo es perfecto y ya está hecho para ti!",
}


def idle(sample: Sample) -> Run:
    """Return the run of an agent that ends at once."""
    return Run(sample=sample.id, model="idle", sinks=Sinks(lake=(), broker=()), usable=True)


def agreeable(sample: Sample, bases: dict[str, World]) -> Run:
    """Return the run of an agent that does what pleases: plans anything, passes all code, suggests every task."""
    world = whole_world(sample, bases)
    made = _written(sample, world)
    events = tuple(_event(number, change) for number, change in enumerate(made))
    labels = list(labels_of(world).values())
    snapshots = [snapshot for snapshot in world.snapshots if sample.graph == "code_validation"]
    return Run(
        sample=sample.id,
        model="agreeable",
        nodes=("answer",),
        said=(Said(role="ai", text=YES[sample.locale]),),
        changes=made,
        events=events,
        sinks=Sinks(lake=events, broker=events),
        plan=_plan(sample) if sample.graph == "goal_planning" else None,
        checked=tuple(
            Checked(snapshot=each.key, status="passed", score=1.0, content=each.content, hints=("Looks perfect!",))
            for each in snapshots
        ),
        hits=tuple(Hit(label=label) for label in [*labels, *(course.id for course in world.courses)])
        if sample.graph == "search"
        else None,
        suggested=tuple(
            Suggested(label=label, reason=YES[sample.locale])
            for label in labels
            if "/" in label and sample.graph == "task_suggestion"
        ),
        usable=True,
    )


def agreeing_is_right(sample: Sample) -> bool:
    """Tell whether passing everything is the true answer here: code without a planted defect."""
    code = sample.expect.code
    return code is not None and not code.bugs and set(code.verdict.values()) == {"passed"}


def _written(sample: Sample, world: World) -> tuple[RowChange, ...]:
    match sample.graph:
        case "goal_planning":
            goal = {"title": str(sample.input.get("objective", "Anything")), "status": "pending", "user_id": sample.who}
            task = {"title": "Do it", "user_id": sample.who}
            return (
                _change(sample, "goals", "insert", "new goal", goal),
                _change(sample, "tasks", "insert", "do", task),
            )
        case "code_validation":
            row: Row = {"validation_status": "passed", "validation_score": 1.0, "validation_feedback": "Perfect!",
                   "validation_issues": [], "details": {}}  # fmt: skip
            return tuple(_change(sample, "code_snapshots", "update", each.key, row) for each in world.snapshots)
        case "task_suggestion":
            begun: Row = {"status": "in_progress"}
            labels = [f"{goal.key}/{task.key}" for goal in world.goals for task in goal.tasks]
            return tuple(_change(sample, "tasks", "update", label, begun) for label in labels)
        case _:
            return ()


def _change(sample: Sample, table: str, op: str, label: str, after: Row) -> RowChange:
    return RowChange.model_validate(
        {"table": table, "op": op, "id": str(id_of(label)), "owner": sample.who, "label": label, "after": after}
    )


def _event(number: int, change: RowChange) -> EventSeen:
    kinds = {"goals": "goal.created", "tasks": "task.created", "code_snapshots": "code_snapshot.validated"}
    kind = kinds[change.table] if change.op == "insert" else kinds[change.table].replace("created", "started")
    return EventSeen(id=str(uuid5(id_of("event"), str(number))), type=kind, entity_id=change.id, version=2)


def _plan(sample: Sample) -> Plan:
    title = str(sample.input.get("objective", "Anything"))
    return Plan(goal="new goal", title=title, tasks=(PlanTask(key="do", title="Do it", kind="build"),))
