"""Goals as clients send and receive them."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, Strict

from api.schemas.common import LEFT_OUT, Body, Created, Details, Id, Identifier, Moment, Percentage, Prose, Shown, Title
from store.types import GoalStatus, GoalType, Priority, Visibility

Type = Annotated[GoalType, Strict(False)]
Status = Annotated[GoalStatus, Strict(False)]
Urgency = Annotated[Priority, Strict(False)]
Audience = Annotated[Visibility, Strict(False)]

EXAMPLE: dict[str, Any] = {
    "id": "0197a5a2-7c00-7abc-8000-1234567890ab",
    "user_id": "user-0197a5a27c007abc8000",
    "course_id": "course-123",
    "title": "Build REST API",
    "description": "A small service with tests and documentation.",
    "type": "learning",
    "status": "pending",
    "priority": "high",
    "progress_percentage": 0.0,
    "visibility": "private",
    "due_at": None,
    "started_at": None,
    "completed_at": None,
    "details": {},
    "version": 1,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "updated_at": "2026-01-31T12:00:00.000000Z",
}


class GoalCreate(Body):
    """A new goal; it begins pending, at 0 percent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "course_id": "course-123",
                    "title": "Build REST API",
                    "description": "A small service with tests and documentation.",
                    "priority": "high",
                }
            ]
        }
    )

    title: Title
    description: Prose = ""
    course_id: Identifier | None = None
    """Any course, also one that lives in another service."""
    type: Type = GoalType.LEARNING
    priority: Urgency = Priority.MEDIUM
    visibility: Audience | None = None
    """Left out, it is `course` inside a course you belong to, and `private` otherwise."""
    due_at: Moment | None = None
    details: Details = Field(default_factory=dict)


class GoalUpdate(Body):
    """What to change; members left out stay as they are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "in_progress", "priority": "critical"}]})

    title: Title = LEFT_OUT
    description: Prose = LEFT_OUT
    type: Type = LEFT_OUT
    status: Status = LEFT_OUT
    priority: Urgency = LEFT_OUT
    progress_percentage: Percentage = LEFT_OUT
    visibility: Audience = LEFT_OUT
    due_at: Moment | None = None
    details: Details = LEFT_OUT


class GoalProgress(Body):
    """How far a goal is; 100 completes it, more than 0 starts it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"progress_percentage": 45.5}]})

    progress_percentage: Percentage


class GoalQuery(Created):
    """Which goals to list, newest first."""

    status: GoalStatus | None = None
    type: GoalType | None = None
    priority: Priority | None = None
    course_id: Identifier | None = None
    due_from: Moment | None = None
    due_to: Moment | None = None
    shared: Annotated[bool, Field(description="Also what others share in `course_id`.")] = False


class Goal(Shown):
    """A goal as it is now."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    id: Id
    user_id: str | None
    """Its owner; null when somebody shares it with you."""
    course_id: str | None
    title: str
    description: str
    type: GoalType
    status: GoalStatus
    priority: Priority
    progress_percentage: float
    visibility: Visibility
    due_at: Moment | None
    started_at: Moment | None
    completed_at: Moment | None
    details: dict[str, Any]
    version: int
    created_at: Moment
    updated_at: Moment
