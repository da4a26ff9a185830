"""What goal planning keeps between its steps: plain JSON and messages, so that a checkpoint loads no code."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Literal, cast
from uuid import UUID

from langchain_core.messages import BaseMessage, ToolMessage
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from agents.failures import ModelFailure
from agents.plan import plain
from agents.plan_checks import DEFAULT_HOURS, Frame, Schedule, Violation
from graphs.messages import Messages, Spending

MAX_EVIDENCE = 24


class PlanInput(TypedDict, total=False):
    """What a client may send: an objective with its conditions, or just chat messages."""

    messages: Messages
    objective: str | None
    deadline: str | None
    """YYYY-MM-DD."""
    hours_per_week: float | None
    level: str | None
    constraints: list[str] | None
    course_id: str | None
    mode: str | None
    """create, or revise together with goal_id."""
    goal_id: str | None


class Evidence(TypedDict):
    """A piece of text that was found, under the id a plan may cite."""

    id: str
    kind: str
    """outline for a course's headings, else the type of the entity."""
    entity_id: str
    title: str
    heading: str
    text: str
    mine: bool


class Result(TypedDict, total=False):
    """How a run ended; `status` is always there, the rest where it applies."""

    status: Literal[
        "committed",
        "rejected",
        "needs_input",
        "duplicate",
        "stale",
        "invalid_input",
        "invalid_plan",
        "failed",
        "answered",
    ]
    message: str
    kind: str
    goal_id: str
    task_ids: dict[str, str]
    plan: dict[str, Any]
    evidence: list[Evidence]
    diff: dict[str, list[str]]
    extend_goal_id: str
    low_evidence: bool
    provenance: dict[str, Any]


class Existing(TypedDict):
    """A task of the goal under revision."""

    key: str
    id: str
    version: int
    title: str
    kind: str
    status: str
    why: str
    done_when: list[str]
    est_minutes: int
    skills: list[str]
    depends_on: list[str]


class Base(TypedDict):
    """The goal under revision as it was when the plan was made."""

    goal_id: str
    title: str
    version: int
    tasks: list[Existing]


class Plan(TypedDict):
    """A checked plan, ready to be offered: the proposal and everything code computed for it."""

    plan_id: str
    made_at: str
    draft: dict[str, Any]
    schedule: Schedule
    warnings: list[Violation]


class State(PlanInput, total=False):
    """The whole state; the fields of the input are emptied once they are read."""

    request: dict[str, Any]
    base: Base | None
    evidence: list[Evidence]
    draft: dict[str, Any] | None
    violations: list[Violation]
    attempts: int
    feedback: list[str]
    plan: Plan | None
    decision: str
    result: Result | None
    turn: str
    """Id of the message this run answers; what came before it belongs to earlier runs."""
    spent: Spending


class PlanRequest(BaseModel):
    """A request for a plan, read and checked."""

    model_config = ConfigDict(extra="forbid")

    text: str = ""
    objective: str = ""
    deadline: date | None = None
    hours_per_week: float | None = Field(default=None, gt=0, le=100, allow_inf_nan=False)
    level: Literal["beginner", "intermediate", "advanced"] | None = None
    constraints: list[str] = Field(default=[], max_length=20)
    course_id: str | None = Field(default=None, max_length=200)
    mode: Literal["create", "revise"] = "create"
    goal_id: UUID | None = None
    locale: str = "en"
    today: date
    structured: bool = False
    """True when the client sent an objective rather than chat."""
    clarified: int = 0
    notes: list[str] = []
    """Assumptions code made while reading the request."""

    def frame(self, evidence: Iterable[Evidence], base: Base | None) -> Frame:
        """Return what a plan for this request is checked against."""
        finished = [task for task in base["tasks"] if task["status"] == "completed"] if base else []
        return Frame(
            start=self.today,
            evidence=frozenset(item["id"] for item in evidence),
            deadline=self.deadline,
            hours_per_week=self.hours_per_week or DEFAULT_HOURS,
            locale=self.locale,
            finished={task["key"]: task["title"] for task in finished},
            assessed=any(task["kind"] == "assess" for task in finished),
        )


def request_of(state: State) -> PlanRequest:
    """Return the request this run works on."""
    return PlanRequest.model_validate(state.get("request", {}))


def collect(messages: Sequence[BaseMessage]) -> list[Evidence]:
    """Number what the tools found, best first, without hidden characters and without doubles."""
    found: list[Evidence] = []
    seen: set[tuple[str, str]] = set()
    for item in _items(messages):
        key = (item["entity_id"], item["heading"] or item["text"][:80])
        if key not in seen and len(found) < MAX_EVIDENCE:
            seen.add(key)
            item["id"] = f"E{len(found) + 1}"
            found.append(item)
    return found


def _items(messages: Sequence[BaseMessage]) -> Iterable[Evidence]:
    for message in messages:
        if not isinstance(message, ToolMessage) or message.status == "error":
            continue
        body = cast("dict[str, Any]", json.loads(message.text))
        course = cast("Mapping[str, Any]", body.get("course") or {})
        for section in cast("list[Mapping[str, Any]]", body.get("outline") or []):
            if section.get("level") != 1:
                yield _evidence("outline", course.get("id"), course.get("title"), section, mine=False)
        for hit in _in_order(cast("list[Mapping[str, Any]]", body.get("hits") or [])):
            mine = bool(hit.get("mine"))
            yield _evidence(str(hit.get("entity_type")), hit.get("entity_id"), hit.get("title"), hit, mine=mine)


def _in_order(hits: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The passages of one course as its author ordered them; a plan that follows them then begins at the beginning."""
    best = list(dict.fromkeys(hit.get("entity_id") for hit in hits))

    def place(hit: Mapping[str, Any]) -> tuple[int, int]:
        line = str(hit.get("lines") or "0").split("-")[0]
        return best.index(hit.get("entity_id")), int(line)

    return sorted(hits, key=place)


def _evidence(kind: str, entity: object, title: object, item: Mapping[str, Any], *, mine: bool) -> Evidence:
    return Evidence(
        id="",
        kind=kind,
        entity_id=str(entity or ""),
        title=plain(str(title or ""), 200),
        # a course's documentation often begins with its title, which is the first part already
        heading=plain(" > ".join(dict.fromkeys(str(item.get("heading") or "").split(" > "))), 160),
        text=plain(str(item.get("text") or ""), 600),
        mine=mine,
    )


def failed(failure: ModelFailure) -> dict[str, Any]:
    """Return the update that ends a run whose model gave no usable answer."""
    return {"result": Result(status="failed", kind=failure.kind.value, message=str(failure))}
