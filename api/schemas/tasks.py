"""Tasks as clients send and receive them."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, Strict

from api.schemas.common import LEFT_OUT, Body, Created, Details, Id, Identifier, Minutes, Moment, Prose, Shown, Title
from store.types import Priority, TaskStatus, TaskType, Visibility

Type = Annotated[TaskType, Strict(False)]
Status = Annotated[TaskStatus, Strict(False)]
Urgency = Annotated[Priority, Strict(False)]
Audience = Annotated[Visibility, Strict(False)]
Position = Annotated[int, Field(ge=0, le=100_000)]
Criteria = Annotated[list[Annotated[str, Field(min_length=1, max_length=1000)]], Field(max_length=50)]
Skills = Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=50)]
Dependencies = Annotated[list[Id], Field(max_length=100)]

EXAMPLE: dict[str, Any] = {
    "id": "0197a5a2-7c01-7abc-8000-1234567890ab",
    "goal_id": "0197a5a2-7c00-7abc-8000-1234567890ab",
    "user_id": "user-0197a5a27c007abc8000",
    "course_id": "course-123",
    "title": "Write the first endpoint",
    "description": "",
    "type": "build",
    "status": "pending",
    "priority": "medium",
    "position": 0,
    "acceptance_criteria": ["GET /health answers 200"],
    "estimated_minutes": 45,
    "actual_minutes": None,
    "skills": ["http"],
    "depends_on": [],
    "visibility": "private",
    "due_at": None,
    "started_at": None,
    "completed_at": None,
    "details": {},
    "version": 1,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "updated_at": "2026-01-31T12:00:00.000000Z",
}


class TaskCreate(Body):
    """A new step of a goal of yours."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "goal_id": "0197a5a2-7c00-7abc-8000-1234567890ab",
                    "title": "Write the first endpoint",
                    "type": "build",
                    "acceptance_criteria": ["GET /health answers 200"],
                    "estimated_minutes": 45,
                    "skills": ["http"],
                }
            ]
        }
    )

    goal_id: Id
    title: Title
    description: Prose = ""
    type: Type = TaskType.PRACTICE
    priority: Urgency = Priority.MEDIUM
    position: Position | None = None
    """Its place among the steps; left out, it comes last."""
    acceptance_criteria: Criteria = Field(default_factory=list)
    estimated_minutes: Minutes | None = None
    skills: Skills = Field(default_factory=list)
    depends_on: Dependencies = Field(default_factory=list)
    """Tasks of the same goal that come first."""
    visibility: Audience | None = None
    due_at: Moment | None = None
    details: Details = Field(default_factory=dict)


class TaskUpdate(Body):
    """What to change; members left out stay as they are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "completed", "actual_minutes": 50}]})

    title: Title = LEFT_OUT
    description: Prose = LEFT_OUT
    type: Type = LEFT_OUT
    status: Status = LEFT_OUT
    priority: Urgency = LEFT_OUT
    position: Position = LEFT_OUT
    acceptance_criteria: Criteria = LEFT_OUT
    estimated_minutes: Minutes | None = None
    actual_minutes: Annotated[int, Field(ge=0, le=525_600)] | None = None
    skills: Skills = LEFT_OUT
    depends_on: Dependencies = LEFT_OUT
    visibility: Audience = LEFT_OUT
    due_at: Moment | None = None
    details: Details = LEFT_OUT


class TaskQuery(Created):
    """Which tasks to list: newest first, or a goal's in their order."""

    goal_id: Id | None = None
    status: TaskStatus | None = None
    type: TaskType | None = None
    priority: Priority | None = None
    course_id: Identifier | None = None
    due_from: Moment | None = None
    due_to: Moment | None = None


class Task(Shown):
    """A task as it is now."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    id: Id
    goal_id: Id
    user_id: str | None
    """Its owner; null when somebody shares it with you."""
    course_id: str | None
    title: str
    description: str
    type: TaskType
    status: TaskStatus
    priority: Priority
    position: int
    acceptance_criteria: list[str]
    estimated_minutes: int | None
    actual_minutes: int | None
    skills: list[str]
    depends_on: list[Id]
    visibility: Visibility
    due_at: Moment | None
    started_at: Moment | None
    completed_at: Moment | None
    details: dict[str, Any]
    version: int
    created_at: Moment
    updated_at: Moment
