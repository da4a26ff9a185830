"""What one execution of a case left behind: plain data, so that it can be scored, stored and shown again."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from evals.samples import Strict

Row = dict[str, Any]


class Outcome(StrEnum):
    """How a run ended."""

    FINISHED = "finished"
    PAUSED = "paused"
    """It still waits for an answer the script does not have."""
    FAILED = "failed"
    """It ended with a typed failure the learner was told about."""
    CRASHED = "crashed"
    """It ended with an error nobody foresaw: a defect of the graph."""
    INFRA = "infra"
    """The harness could not run it: counted, never scored."""


class RowChange(Strict):
    """One row that is different after the run."""

    table: str
    op: Literal["insert", "update", "delete"]
    id: str
    owner: str
    label: str | None = None
    before: Row = Field(default_factory=dict[str, Any])
    after: Row = Field(default_factory=dict[str, Any])


class EventSeen(Strict):
    """One event in one of the three places."""

    id: str
    type: str
    entity_id: str
    version: int
    owner: str = ""
    position: int | None = None
    digest: str = ""
    tool_call_id: str | None = None


class CallMade(Strict):
    """A tool call, or an effect a node performed through the ledger."""

    name: str
    args: dict[str, Any] = Field(default_factory=dict[str, Any])
    status: Literal["success", "error", "unanswered"] = "success"
    answer: str = ""
    turn: int = 0


class Said(Strict):
    """One message of the conversation."""

    role: str
    text: str


class Pause(Strict):
    """A question to the learner and the scripted answer."""

    action: str
    args: dict[str, Any] = Field(default_factory=dict[str, Any])
    decision: str = ""


class FindingSeen(Strict):
    """One finding of a validation."""

    category: str
    severity: str
    line: int
    line_end: int
    quote: str = ""
    title: str = ""
    rule: str = ""
    source: str = ""


class Checked(Strict):
    """One validation, by the key of the snapshot it judged."""

    snapshot: str
    status: str
    score: float | None
    findings: tuple[FindingSeen, ...] = ()
    feedback: str = ""
    hints: tuple[str, ...] = ()
    content: str = ""


class Hit(Strict):
    """One row a search returned."""

    label: str
    owner: str = ""
    text: str = ""
    score: float = 0.0


class Suggested(Strict):
    """One suggestion."""

    label: str
    score: float = 0.0
    factors: dict[str, Any] = Field(default_factory=dict[str, Any])
    reason: str = ""
    minutes: int | None = None
    unlocks: tuple[str, ...] = ()
    first_step: str = ""


class Blocked(Strict):
    """Why nothing can be started, and the smallest way on."""

    labels: tuple[str, ...] = ()
    reason: str = ""


class PlanTask(Strict):
    """One task of a committed or proposed plan, as far as plans are judged."""

    key: str
    title: str
    kind: str
    criteria: tuple[str, ...] = ()
    minutes: int | None = None
    skills: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    description: str = ""


class Plan(Strict):
    """What the learner now has in front of them."""

    goal: str
    title: str = ""
    due_days: float | None = None
    tasks: tuple[PlanTask, ...] = ()
    evidence: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()


class Spent(Strict):
    """What the run cost."""

    model_calls: int = 0
    tool_calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    node_seconds: dict[str, float] = Field(default_factory=dict[str, float])


class Sinks(Strict):
    """Which of the places were looked at; an empty one that was looked at is a finding, not an excuse."""

    lake: tuple[EventSeen, ...] | None = None
    broker: tuple[EventSeen, ...] | None = None


class Run(Strict):
    """Everything known about one execution of a case."""

    sample: str
    trial: int = 0
    model: str = "offline"
    outcome: Outcome = Outcome.FINISHED
    error: str = ""
    nodes: tuple[str, ...] = ()
    said: tuple[Said, ...] = ()
    calls: tuple[CallMade, ...] = ()
    pauses: tuple[Pause, ...] = ()
    rows: dict[str, Row] = Field(default_factory=dict[str, Row])
    """Goals and tasks as they were before the run, by label; each has `table`, `owner` and `id`."""
    changes: tuple[RowChange, ...] = ()
    events: tuple[EventSeen, ...] = ()
    sinks: Sinks = Sinks()
    plan: Plan | None = None
    checked: tuple[Checked, ...] = ()
    hits: tuple[Hit, ...] | None = None
    suggested: tuple[Suggested, ...] = ()
    blocked: Blocked | None = None
    spent: Spent = Spent()
    usable: bool | None = None
    """After a fault: whether the thread could be finished and asked again."""

    @property
    def words(self) -> str:
        """What the learner reads."""
        return "\n".join(message.text for message in self.said if message.role == "ai" and message.text)
