"""What task suggestion keeps between its steps: plain JSON and messages."""

from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from agents.ranking import Mood
from graphs.messages import Messages, Spending


class SuggestionInput(TypedDict, total=False):
    """What a client may send: wishes for the next step, a decision about an earlier suggestion, or chat messages."""

    messages: Messages
    available_minutes: int | None
    goal_id: str | None
    mood: str | None
    """challenge, review or unblock."""
    limit: int | None
    """1 to 3 suggestions."""
    offer_start: bool | None
    """Ask whether to begin the best one."""
    accept: str | None
    """Begin this task, or the review `skill:<name>`: the learner's own decision."""
    reject: str | None
    """Not this task; it steps back for a week."""
    snooze: str | None
    """Not this task before `until`."""
    until: str | None


class Request(BaseModel):
    """A request for suggestions, read and checked."""

    model_config = ConfigDict(extra="forbid")

    available_minutes: int | None = Field(default=None, ge=1, le=1440)
    goal_id: UUID | None = None
    mood: Mood | None = None
    limit: int = Field(default=3, ge=1, le=3)
    offer_start: bool = False
    accept: str | None = Field(default=None, max_length=240)
    reject: UUID | None = None
    snooze: UUID | None = None
    until: datetime | None = None
    locale: str = "en"


class Suggestion(TypedDict):
    """One next step. `score` and `factors` are computed; only `reason` and `first_step` are anybody's words."""

    label: str
    kind: str
    task_id: str | None
    skill: str | None
    goal_id: str | None
    title: str
    best: bool
    score: float
    factors: dict[str, float]
    facts: dict[str, Any]
    estimated_minutes: int | None
    unlocks: list[dict[str, str]]
    reason: str
    first_step: str


class Result(TypedDict, total=False):
    """How a run ended; `status` is always there, the rest where it applies."""

    status: Literal["suggested", "nothing_ready", "started", "declined", "noted", "stale", "not_found", "invalid_input"]
    message: str
    suggestions: list[Suggestion]
    why_not: list[dict[str, Any]]
    blocked_by: list[dict[str, Any]]
    """When nothing can begin: the smallest thing that would set work free, and what else stands in the way."""
    started: dict[str, Any] | None
    decision: str
    provenance: dict[str, Any]


class State(SuggestionInput, total=False):
    """The whole state; the fields of the input are emptied once they are read."""

    request: dict[str, Any]
    attempt_id: str
    """Names this round; minted before the step that writes, so that a repetition is recognised."""
    offered: list[Suggestion]
    """What was suggested last in this thread, so that 'start it' and 'not the second' mean something."""
    chosen: dict[str, str] | None
    """What is to be begun: {"task_id"} or {"skill", "goal_id"}."""
    explained_by: str
    choice: str
    result: Result | None
    spent: Spending


def updated(result: Result | None, **more: object) -> Result:
    """Return the result with some fields replaced."""
    return cast(Result, {**(result or {}), **more})
