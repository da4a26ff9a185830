"""Turns rows, messages and results of the graphs into the plain record that scorers judge."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from evals.labels import NOW, labelled
from evals.observe import Places, Rows
from evals.runs import Blocked, CallMade, Checked, FindingSeen, Plan, PlanTask, Row, Said, Spent, Suggested

ANSWER_LIMIT = 2000
_NOTHING: Mapping[str, Any] = {}
_KEPT = ("table", "owner", "title", "status", "priority", "type", "due_at", "estimated_minutes", "depends_on",
         "skills", "goal_id", "progress_percentage")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Before:
    """What was there before the run."""

    rows: Rows
    places: Places
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything a run can be read from."""

    before: Rows
    after: Rows
    labels: dict[str, str]
    ledger: Sequence[Mapping[str, Any]]
    results: Sequence[Mapping[str, Any]]
    messages: Sequence[BaseMessage]

    @property
    def result(self) -> Mapping[str, Any]:
        """The outcome of the last run."""
        return self.results[-1] if self.results else _NOTHING


def said(seen: Seen) -> tuple[Said, ...]:
    """Return the conversation without the calls."""
    return tuple(
        Said(role=message.type, text=message.text) for message in seen.messages if message.type in ("human", "ai")
    )


def calls(seen: Seen) -> tuple[CallMade, ...]:
    """Return every tool call with its answer, and the effects nodes had through the ledger."""
    answers: dict[str, list[ToolMessage]] = {}
    for message in seen.messages:
        if isinstance(message, ToolMessage):
            answers.setdefault(message.tool_call_id, []).append(message)
    made: list[CallMade] = []
    asked = [message for message in seen.messages if isinstance(message, AIMessage) and message.tool_calls]
    for turn, message in enumerate(asked):
        for call in message.tool_calls:
            replies = answers.get(call["id"] or "", [])
            answer = replies.pop(0) if replies else None
            status: Literal["success", "error", "unanswered"] = answer.status if answer else "unanswered"
            text = answer.text[:ANSWER_LIMIT] if answer else ""
            args = labelled(call["args"], seen.labels)
            made.append(CallMade(name=call["name"], args=args, status=status, answer=text, turn=turn))
    by_message = {message.id for message in asked}
    by_nodes = [row for row in seen.ledger if row["ai_message_id"] not in by_message]
    made += [CallMade(name=row["tool"], status="success" if row["status"] == "done" else "error") for row in by_nodes]
    return tuple(made)


def rows(seen: Seen) -> dict[str, Row]:
    """Return the goals and tasks there were before, by label."""
    return {
        seen.labels[identifier]: {
            **{name: labelled(row[name], seen.labels) for name in _KEPT if name in row},
            "id": identifier,
        }
        for (table, identifier), row in seen.before.items()
        if table in ("goals", "tasks") and identifier in seen.labels
    }


def plan(seen: Seen) -> Plan | None:
    """Return the plan that was committed: the goal this run made or extended, with the work still to be done."""
    result = seen.result
    goal_id = str(result.get("goal_id") or "")
    goal = seen.after.get(("goals", goal_id))
    if goal is None or result.get("status") != "committed":
        return None
    tasks = [row for (table, _), row in seen.after.items() if table == "tasks" and row["goal_id"] == goal_id]
    live = [row for row in tasks if row["status"] not in ("cancelled", "completed")]
    done = {row["id"] for row in tasks if row["status"] == "completed"}
    evidence = cast("Sequence[Mapping[str, Any]]", result.get("evidence") or [])
    return Plan(
        goal=seen.labels.get(goal_id, goal_id),
        title=goal["title"],
        due_days=_days(goal["due_at"]),
        tasks=tuple(_task(row, done) for row in sorted(live, key=lambda row: row["position"])),
        evidence=tuple(_source(item) for item in evidence),
        assumptions=tuple(goal["details"].get("assumptions", ())),
    )


def checked(label: str, row: Mapping[str, Any], result: Mapping[str, Any]) -> Checked:
    """Return one validation as it is stored, with the hints this run gave."""
    issues = cast("Sequence[Mapping[str, Any]]", row["validation_issues"])
    given = cast("Sequence[Any]", result.get("hints") or ([result["hint"]] if result.get("hint") else []))
    return Checked(
        snapshot=label,
        status=row["validation_status"],
        score=row["validation_score"],
        findings=tuple(_finding(issue) for issue in issues if issue.get("change") != "fixed"),
        feedback=row["validation_feedback"],
        hints=tuple(_words(hint) for hint in given),
        content=row["content"],
    )


def suggested(seen: Seen) -> tuple[Suggested, ...]:
    """Return the suggestions of the last run."""
    result = seen.result
    found = cast("Sequence[Mapping[str, Any]]", result.get("suggestions") or [])
    return tuple(
        Suggested(
            label=seen.labels.get(str(item.get("task_id")), "") or f"skill:{item.get('skill') or item.get('task_id')}",
            score=float(item.get("score") or 0.0),
            factors=labelled({**(item.get("facts") or {}), **(item.get("factors") or {})}, seen.labels),
            reason=str(item.get("reason") or ""),
            minutes=item.get("estimated_minutes"),
            unlocks=tuple(str(labelled(_id(each), seen.labels)) for each in item.get("unlocks") or ()),
            first_step=str(item.get("first_step") or ""),
        )
        for item in found
    )


def blocked(seen: Seen) -> Blocked | None:
    """Return what stands in the way, if the run said that nothing is ready."""
    result = seen.result
    found: Any = result.get("blocked_by")
    if not found:
        return None
    items = cast("Sequence[Any]", found if isinstance(found, list) else [found])
    labels = [seen.labels[each] for item in items for each in _ids(item) if each in seen.labels]
    reasons = [_reason(item) for item in items]
    return Blocked(labels=tuple(dict.fromkeys(labels)), reason=" ".join(filter(None, reasons)))


def added(spent: Spent, more: Mapping[str, Any]) -> Spent:
    """Return the cost of one more run on top."""
    return spent.model_copy(
        update={
            "model_calls": spent.model_calls + int(more.get("model_calls", 0)),
            "tool_calls": spent.tool_calls + int(more.get("tool_calls", 0)),
            "tokens_in": spent.tokens_in + int(more.get("input_tokens", 0)),
            "tokens_out": spent.tokens_out + int(more.get("output_tokens", 0)),
        }
    )


def with_edits(args: Mapping[str, Any], edits: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with values replaced by dotted path, e.g. {"tasks.0.title": "..."}; None removes."""
    edited: dict[str, Any] = deepcopy(dict(args))
    for path, value in edits.items():
        holder: Any = edited
        *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        for step in steps:
            holder = holder[step]
        if value is None:
            del holder[last]
        else:
            holder[last] = value
    return edited


def _task(row: Mapping[str, Any], done: set[str]) -> PlanTask:
    sources = cast("Sequence[Mapping[str, Any]]", row["details"].get("sources") or ())
    return PlanTask(
        key=row["id"],
        title=row["title"],
        kind=row["type"],
        criteria=tuple(row["acceptance_criteria"]),
        minutes=row["estimated_minutes"],
        skills=tuple(row["skills"]),
        needs=tuple(need for need in row["depends_on"] if need not in done),
        sources=tuple(_source(item) for item in sources),
        description=row["description"],
    )


def _source(item: Mapping[str, Any]) -> str:
    return f"{item.get('kind')}:{item.get('entity_id')}#{item.get('heading') or ''}"


def _finding(issue: Mapping[str, Any]) -> FindingSeen:
    return FindingSeen(
        category=str(issue.get("category") or ""),
        severity=str(issue.get("severity") or ""),
        line=int(issue.get("line") or 0),
        line_end=int(issue.get("line_end") or issue.get("line") or 0),
        quote=str(issue.get("quote") or ""),
        title=str(issue.get("message") or ""),
        rule=str(issue.get("type") or ""),
        source=str(issue.get("source") or ""),
    )


def _words(hint: Any) -> str:  # noqa: ANN401 - a text, or an object that holds one
    if isinstance(hint, Mapping):
        found = cast("Mapping[str, Any]", hint)
        return str(found.get("words") or found.get("text") or found)
    return str(hint)


def _id(item: Any) -> str:  # noqa: ANN401 - an id, or an object that holds one
    if isinstance(item, Mapping):
        found = cast("Mapping[str, Any]", item)
        return str(found.get("task_id") or found.get("id") or "")
    return str(item)


def _reason(item: Any) -> str:  # noqa: ANN401 - a text, or an object that holds one
    if isinstance(item, Mapping):
        return str(cast("Mapping[str, Any]", item).get("reason") or "")
    return str(item)


def _ids(value: Any) -> list[str]:  # noqa: ANN401 - any JSON
    match value:
        case str():
            return [value]
        case dict():
            return [each for item in cast("dict[str, Any]", value).values() for each in _ids(item)]
        case list():
            return [each for item in cast("list[Any]", value) for each in _ids(item)]
        case _:
            return []


def _days(moment: str | None) -> float | None:
    return None if moment is None else (datetime.fromisoformat(moment) - NOW).total_seconds() / 86400
