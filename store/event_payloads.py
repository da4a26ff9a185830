"""Payload models of all events: what each kind of change may carry."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from store.types import (
    CourseStatus,
    GoalStatus,
    GoalType,
    Priority,
    Role,
    TaskStatus,
    TaskType,
    UserStatus,
    ValidationStatus,
    Visibility,
)

Percentage = Annotated[float, Field(ge=0, le=100)]
Score = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]


class _Payload(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Changes(_Payload):
    """New values of columns; a column that did not change is absent, one that was emptied is null."""

    version: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class UserChanges(_Changes):
    id: str | None = None
    email: str | None = None
    name: str | None = None
    role: Role | None = None
    status: UserStatus | None = None
    locale: str | None = None
    preferences: dict[str, JsonValue] | None = None


class CourseChanges(_Changes):
    id: str | None = None
    owner_id: str | None = None
    title: str | None = None
    description: str | None = None
    documentation: str | None = None
    language: str | None = None
    status: CourseStatus | None = None
    visibility: Visibility | None = None
    published_at: datetime | None = None
    archived_at: datetime | None = None


class EnrollmentChanges(_Changes):
    id: UUID | None = None
    course_id: str | None = None
    user_id: str | None = None
    course_owner_id: str | None = None
    enrolled_as: Literal["learner", "instructor"] | None = None


class GoalChanges(_Changes):
    id: UUID | None = None
    user_id: str | None = None
    course_id: str | None = None
    title: str | None = None
    description: str | None = None
    type: GoalType | None = None
    status: GoalStatus | None = None
    priority: Priority | None = None
    progress_percentage: Percentage | None = None
    visibility: Visibility | None = None
    due_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    details: dict[str, JsonValue] | None = None


class TaskChanges(_Changes):
    id: UUID | None = None
    goal_id: UUID | None = None
    user_id: str | None = None
    course_id: str | None = None
    title: str | None = None
    description: str | None = None
    type: TaskType | None = None
    status: TaskStatus | None = None
    priority: Priority | None = None
    position: int | None = None
    acceptance_criteria: list[str] | None = None
    estimated_minutes: int | None = None
    actual_minutes: int | None = None
    skills: list[str] | None = None
    depends_on: list[UUID] | None = None
    visibility: Visibility | None = None
    due_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    details: dict[str, JsonValue] | None = None


class CodeSnapshotChanges(_Changes):
    id: UUID | None = None
    task_id: UUID | None = None
    goal_id: UUID | None = None
    user_id: str | None = None
    course_id: str | None = None
    file_path: str | None = None
    language: str | None = None
    content: str | None = None
    content_hash: str | None = None
    snapshot_version: int | None = None
    diff: str | None = None
    validation_status: ValidationStatus | None = None
    validation_score: Score | None = None
    validation_feedback: str | None = None
    validation_issues: list[JsonValue] | None = None
    validated_at: datetime | None = None
    visibility: Visibility | None = None
    details: dict[str, JsonValue] | None = None


class UserPayload(_Payload):
    changes: UserChanges


class CoursePayload(_Payload):
    changes: CourseChanges


class EnrollmentPayload(_Payload):
    changes: EnrollmentChanges


class GoalPayload(_Payload):
    changes: GoalChanges


class TaskPayload(_Payload):
    changes: TaskChanges


class CodeSnapshotPayload(_Payload):
    changes: CodeSnapshotChanges


class _NoChanges(_Payload):
    pass


class Deleted(_Payload):
    """The entity is gone; its history stays."""

    changes: _NoChanges
    deleted: Literal[True]


class _About(_Payload):
    """What a client's event is about; every reference is optional and only a hint for readers."""

    course_id: Annotated[str, Field(max_length=200)] | None = None
    goal_id: UUID | None = None
    task_id: UUID | None = None
    code_snapshot_id: UUID | None = None


class SessionStarted(_About):
    client: Annotated[str, Field(max_length=100)]
    """The program that speaks, e.g. `vscode 1.104`."""


class SessionEnded(_About):
    reason: Annotated[str, Field(max_length=200)] | None = None
    active_seconds: Annotated[int, Field(ge=0, le=7 * 86400)] | None = None


class HintViewed(_About):
    level: Annotated[int, Field(ge=1, le=10)]
    text: Annotated[str, Field(max_length=4000)] | None = None


class TestRunReported(_About):
    """Results from the learner's machine; a claim, never proof."""

    __test__ = False  # the name is the event's; this is not a test case for pytest to collect
    passed: Count
    failed: Count
    skipped: Count
    duration_ms: Annotated[float, Field(ge=0, le=86_400_000)] | None = None
    failures: Annotated[list[Annotated[str, Field(max_length=1000)]], Field(max_length=50)] = []


class NoteAdded(_About):
    text: Annotated[str, Field(min_length=1, max_length=10_000)]


BY_ENTITY: dict[str, type[BaseModel]] = {
    "user": UserPayload,
    "course": CoursePayload,
    "enrollment": EnrollmentPayload,
    "goal": GoalPayload,
    "task": TaskPayload,
    "code_snapshot": CodeSnapshotPayload,
}
