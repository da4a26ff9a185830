"""Code snapshots as clients send and receive them."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, Strict

from api.schemas.common import LEFT_OUT, Body, Created, Details, Id, Language, Moment, Prose, Shown
from store.types import ValidationStatus, Visibility

Audience = Annotated[Visibility, Strict(False)]
FilePath = Annotated[str, Field(min_length=1, max_length=512)]
Code = Annotated[str, Field(max_length=256 * 1024)]
Score = Annotated[float, Field(ge=0, le=1)]

EXAMPLE: dict[str, Any] = {
    "id": "0197a5a2-7c02-7abc-8000-1234567890ab",
    "task_id": "0197a5a2-7c01-7abc-8000-1234567890ab",
    "goal_id": "0197a5a2-7c00-7abc-8000-1234567890ab",
    "user_id": "user-0197a5a27c007abc8000",
    "course_id": "course-123",
    "file_path": "app/main.py",
    "language": "python",
    "content": "print('hello')\n",
    "content_hash": "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
    "snapshot_version": 1,
    "diff": "",
    "validation_status": "pending",
    "validation_score": None,
    "validation_feedback": "",
    "validation_issues": [],
    "validated_at": None,
    "visibility": "private",
    "details": {},
    "version": 1,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "updated_at": "2026-01-31T12:00:00.000000Z",
}


class SnapshotCreate(Body):
    """The next version of a file of a task of yours."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "task_id": "0197a5a2-7c01-7abc-8000-1234567890ab",
                    "file_path": "app/main.py",
                    "content": "print('hello')\n",
                    "language": "python",
                }
            ]
        }
    )

    task_id: Id
    file_path: FilePath = "main"
    """A relative path; it is a label and never opened on the server."""
    content: Code
    language: Language | None = None
    """Left out, it is guessed from the file's name."""
    visibility: Audience | None = None
    details: Details = Field(default_factory=dict)


class SnapshotUpdate(Body):
    """What to change; new content takes back its validation."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"content": "print('hello, world')\n"}]})

    content: Code = LEFT_OUT
    language: Language = LEFT_OUT
    visibility: Audience = LEFT_OUT
    details: Details = LEFT_OUT


class Issue(Body):
    """One thing a check found."""

    type: Annotated[str, Field(min_length=1, max_length=100)]
    severity: Literal["info", "warning", "error", "essential", "actionable", "informative", "celebratory"]
    line: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    message: Annotated[str, Field(max_length=2000)] = ""
    rule: Annotated[str, Field(max_length=200)] | None = None


class SnapshotValidation(Body):
    """The outcome of a check that ran elsewhere, for example in the editor."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "passed",
                    "score": 0.9,
                    "feedback": "Clear and tested.",
                    "issues": [{"type": "style", "severity": "info", "line": 1, "message": "Line is long."}],
                }
            ]
        }
    )

    status: Literal["passed", "failed"]
    score: Score
    feedback: Prose = ""
    issues: Annotated[list[Issue], Field(max_length=200)] = Field(default_factory=list)


class SnapshotQuery(Created):
    """Which snapshots to list, newest first."""

    task_id: Id | None = None
    goal_id: Id | None = None
    file_path: FilePath | None = None
    language: Language | None = None
    validation_status: ValidationStatus | None = None


class Snapshot(Shown):
    """One version of one file, with what validation said."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    id: Id
    task_id: Id
    goal_id: Id
    user_id: str | None
    """Its owner; null when somebody shares it with you."""
    course_id: str | None
    file_path: str
    language: str
    content: str
    content_hash: str
    snapshot_version: int
    diff: str
    validation_status: ValidationStatus
    validation_score: float | None
    validation_feedback: str
    validation_issues: list[dict[str, Any]]
    validated_at: Moment | None
    visibility: Visibility
    details: dict[str, Any]
    version: int
    created_at: Moment
    updated_at: Moment
