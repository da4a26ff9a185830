"""Courses and enrollments as clients send and receive them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict

from api.schemas.common import LEFT_OUT, Body, Created, Id, Identifier, Language, Moment, Prose, Shown, Title
from store.types import CourseStatus, Visibility

Audience = Annotated[Visibility, Strict(False)]
OwnId = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:~-]*$")]
Documentation = Annotated[str, Field(max_length=500_000)]

EXAMPLE: dict[str, Any] = {
    "id": "course-123",
    "owner_id": "user-0197a5a27c007abc8000",
    "title": "Web services in Python",
    "description": "From a first endpoint to a tested service.",
    "documentation": "# Endpoints\n\nAn endpoint is ...",
    "language": "en",
    "status": "draft",
    "visibility": "global",
    "published_at": None,
    "archived_at": None,
    "version": 1,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "updated_at": "2026-01-31T12:00:00.000000Z",
}
ENROLLMENT_EXAMPLE: dict[str, Any] = {
    "id": "0197a5a2-7c03-7abc-8000-1234567890ab",
    "course_id": "course-123",
    "user_id": "user-0197a5a27c007abc8001",
    "course_owner_id": "user-0197a5a27c007abc8000",
    "enrolled_as": "learner",
    "version": 1,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "updated_at": "2026-01-31T12:00:00.000000Z",
}


class CourseCreate(Body):
    """A new course; it begins as a draft, and you as its instructor."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "title": "Web services in Python",
                    "description": "From a first endpoint to a tested service.",
                    "documentation": "# Endpoints\n\nAn endpoint is ...",
                }
            ]
        }
    )

    id: OwnId | None = None
    """An id of your own choice; left out, one is made. Where courses live elsewhere too, one your token names."""
    title: Title
    description: Prose = ""
    documentation: Documentation = ""
    """Markdown; it is what learners' questions are answered from."""
    language: Language = "en"
    visibility: Audience = Visibility.GLOBAL
    """Who may read it once published: everybody (`global`), or those you enroll (`course`, and `private` likewise)."""


class CourseUpdate(Body):
    """What to change; members left out stay as they are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"documentation": "# Endpoints, revised"}]})

    title: Title = LEFT_OUT
    description: Prose = LEFT_OUT
    documentation: Documentation = LEFT_OUT
    language: Language = LEFT_OUT
    visibility: Audience = LEFT_OUT


class CourseQuery(Created):
    """Which courses to list, newest first."""

    status: CourseStatus | None = None
    language: Language | None = None
    owner_id: Identifier | None = None
    enrolled: Annotated[bool, Field(description="Only courses you belong to.")] = False


class Course(Shown):
    """A course as it is now."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    id: str
    owner_id: str
    title: str
    description: str
    documentation: str
    language: str
    status: CourseStatus
    visibility: Visibility
    published_at: Moment | None
    archived_at: Moment | None
    version: int
    created_at: Moment
    updated_at: Moment


class EnrollmentCreate(Body):
    """Whom to enroll: yourself unless you own the course."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"user_id": "user-0197a5a27c007abc8001"}]})

    user_id: Identifier | None = None


class Leaver(BaseModel):
    """Who leaves a course: yourself unless you own it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user_id: Annotated[Identifier | None, Field(description="Whom to remove from a course of your own.")] = None


class Enrollment(Shown):
    """A place in a course."""

    model_config = ConfigDict(json_schema_extra={"examples": [ENROLLMENT_EXAMPLE]})

    id: Id
    course_id: str
    user_id: str
    course_owner_id: str
    enrolled_as: Literal["learner", "instructor"]
    version: int
    created_at: Moment
    updated_at: Moment
