"""What code validation keeps between its steps: plain JSON, and never a snapshot's code, which stays in its row."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from graphs.messages import Messages, Spending
from store.findings import Finding, from_issue


class ValidationInput(TypedDict, total=False):
    """What a client may send: a snapshot to check with its wishes, or just chat messages."""

    messages: Messages
    snapshot_id: str | None
    task_id: str | None
    """Instead of a snapshot: the newest one of this task."""
    code: str | None
    """Code that is not saved anywhere: it is reviewed, and nothing is recorded."""
    language: str | None
    hint_level: int | None
    """0 to 4; what is really given depends on the attempts made."""
    finding: str | None
    """Identity of the finding a hint is wanted for; the most important one when absent."""
    previous_snapshot_id: str | None
    """The version to compare with; the one before when absent."""
    client_test_results: dict[str, Any] | None
    """{"tests": [{"name", "status": "pass" | "fail" | "error", "message"?}]}, run on the learner's machine."""
    offer_completion: bool | None
    """Ask, when everything is in order, whether the task is to be completed."""
    complete_task: bool | None
    """Complete the task if the code passes: the learner's own decision, made beforehand."""


class TestResult(BaseModel):
    """One test of the learner's own run: evidence that nobody here has checked."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field(max_length=300)
    status: Literal["pass", "fail", "error"]
    message: str | None = Field(default=None, max_length=4000)


class TestRun(BaseModel):
    """Results as test runners of exercise platforms write them."""

    model_config = ConfigDict(extra="ignore")

    tests: list[TestResult] = Field(max_length=500)


class Request(BaseModel):
    """A request for a validation, read and checked."""

    model_config = ConfigDict(extra="forbid")

    snapshot_id: UUID | None = None
    task_id: UUID | None = None
    previous_snapshot_id: UUID | None = None
    code: str | None = Field(default=None, max_length=300_000)
    language: str | None = Field(default=None, max_length=60)
    hint_level: int = Field(default=0, ge=0, le=4)
    finding: str | None = Field(default=None, max_length=64)
    client_test_results: TestRun | None = None
    offer_completion: bool = False
    complete_task: bool = False
    locale: str = "en"
    chat: bool = False
    """Asked in words; a missing snapshot is then looked for."""


class Subject(TypedDict):
    """What is being checked, as it was when the run began."""

    snapshot_id: str | None
    task_id: str | None
    goal_id: str | None
    course_id: str | None
    file_path: str
    language: str
    snapshot_version: int
    row_version: int
    first_try: bool
    title: str
    description: str
    criteria: list[str]
    skills: list[str]
    task_status: str


class Static(TypedDict):
    """What the static layer found."""

    issues: list[dict[str, Any]]
    depth: str
    parsed: bool
    outline: dict[str, Any]
    seconds: float


class EvidenceItem(TypedDict):
    """A piece of text somebody wrote, under the id a finding may cite."""

    id: str
    kind: str
    entity_id: str
    title: str
    heading: str
    text: str
    mine: bool


class Hint(TypedDict):
    """The hint that was given, and how it relates to what was asked for."""

    level: int
    asked: int
    held_back: bool
    repeated: bool
    words: str
    finding: str
    hint_key: str
    by: str
    """prepared, model, or why the model's words were not used."""


class Result(TypedDict, total=False):
    """How a run ended; `status` is always there, the rest where it applies."""

    status: Literal["passed", "failed", "not_checked", "needs_input", "not_found", "stale", "invalid_input", "error"]
    message: str
    recorded: bool
    snapshot_id: str | None
    task_id: str | None
    score: float | None
    findings: list[dict[str, Any]]
    shown: list[str]
    """Identities of the at most three findings the learner was told."""
    fixed: list[dict[str, Any]]
    rubric: list[dict[str, Any]]
    summary: str
    hint: Hint | None
    tests: dict[str, Any] | None
    evidence: list[EvidenceItem]
    proposal: dict[str, Any] | None
    task_completed: bool
    provenance: dict[str, Any]


class State(ValidationInput, total=False):
    """The whole state; the fields of the input are emptied once they are read."""

    request: dict[str, Any]
    focus: str
    """The snapshot this thread spoke of last, for 'give me a hint'."""
    attempt_id: str
    """Names this validation; minted before the step that commits it, so that a repetition is recognised."""
    subject: Subject | None
    static: Static | None
    evidence: list[EvidenceItem]
    review: dict[str, Any] | None
    reviewed_by: str
    """model, rules, or the kind of failure."""
    repairs: int
    complaints: list[str]
    checked: dict[str, Any]
    hint: Hint | None
    decision: str
    result: Result | None
    spent: Spending


def request_of(state: State) -> Request:
    """Return the request this run works on."""
    return Request.model_validate(state.get("request", {}))


def subject_of(state: State) -> Subject:
    """Return what is being checked; only for steps after a successful load."""
    subject = state.get("subject")
    if subject is None:
        raise RuntimeError("This step runs only once there is something to check.")
    return subject


def static_of(state: State) -> Static:
    """Return what the static layer found; only for steps after it."""
    static = state.get("static")
    if static is None:
        raise RuntimeError("This step runs only after the static checks.")
    return static


def findings_in(issues: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Read findings back from JSON, leaving out what another client stored in another shape."""
    read = [from_issue(issue) for issue in issues]
    return [finding for finding in read if finding is not None]


def checked_findings(state: State) -> list[Finding]:
    """Return the findings after the checks."""
    return findings_in(cast("list[dict[str, Any]]", state.get("checked", {}).get("findings", [])))
