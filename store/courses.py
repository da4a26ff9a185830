"""Courses, their documentation, and who is enrolled in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, LiteralString
from uuid import UUID

from store.database import Transaction
from store.errors import Conflict, Forbidden, IllegalTransition, NotFound
from store.event_types import EventType
from store.events import envelope, recording
from store.principal import Principal
from store.reading import Reader
from store.records import NEWEST_FIRST, asked_changes, asked_clauses, check_version, page_of, values_of
from store.types import CourseStatus, Page, Role, Visibility, new_id


@dataclass(frozen=True)
class Course:
    """A course as it is now; `documentation` is Markdown."""

    id: str
    owner_id: str
    title: str
    description: str
    documentation: str
    language: str
    status: CourseStatus
    visibility: Visibility
    published_at: datetime | None
    archived_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Enrollment:
    """One user's place in one course."""

    id: UUID
    course_id: str
    user_id: str
    course_owner_id: str
    enrolled_as: Literal["learner", "instructor"]
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCourse:
    """What the maker of a course decides."""

    title: str
    description: str = ""
    documentation: str = ""
    language: str = "en"
    visibility: Visibility = Visibility.GLOBAL
    """Who may read it once published: global means everybody, else those enrolled.

    Into a course that is not for everybody only its owner enrolls.
    """
    id: str | None = None
    """An id of the caller's own; None mints one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseFilter:
    """Which courses to list, newest first. `None` means any."""

    status: CourseStatus | None = None
    language: str | None = None
    owner_id: str | None = None
    enrolled: bool = False
    """Only courses the caller belongs to."""
    created_from: datetime | None = None
    created_to: datetime | None = None
    skip: int = 0
    limit: int = 50


EDITABLE = frozenset({"title", "description", "documentation", "language", "visibility"})

_MISSING = "There is no course of that id here for you."

_CREATE: LiteralString = (
    """
WITH stamp AS MATERIALIZED (SELECT clock_timestamp() AS at),
changed AS (
    INSERT INTO courses (id, owner_id, title, description, documentation, language, status, visibility, published_at,
                         archived_at, version, created_at, updated_at)
    SELECT n.id, n.owner_id, n.title, n.description, n.documentation, n.language, n.status, n.visibility,
           n.published_at, n.archived_at, 1, stamp.at, stamp.at
    FROM stamp, jsonb_populate_record(NULL::courses, %(payload)s::jsonb -> 'changes') AS n
    RETURNING *
)"""
    + recording("owner_id")
    + "SELECT * FROM changed"
)

_UPDATE: LiteralString = (
    """
WITH changed AS (
    UPDATE courses AS c
    SET (title, description, documentation, language, status, visibility, published_at, archived_at) = (
            SELECT n.title, n.description, n.documentation, n.language, n.status, n.visibility, n.published_at,
                   n.archived_at
            FROM jsonb_populate_record(c, %(payload)s::jsonb -> 'changes') AS n),
        version = c.version + 1,
        updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond')
    WHERE c.id = %(id)s AND c.owner_id = %(actor)s
    RETURNING c.*
)"""
    + recording("owner_id")
    + "SELECT * FROM changed"
)

_ENROLL: LiteralString = (
    """
WITH stamp AS MATERIALIZED (SELECT clock_timestamp() AS at),
changed AS (
    INSERT INTO enrollments (id, course_id, user_id, course_owner_id, enrolled_as, version, created_at, updated_at)
    SELECT n.id, n.course_id, n.user_id, n.course_owner_id, n.enrolled_as, 1, stamp.at, stamp.at
    FROM stamp, jsonb_populate_record(NULL::enrollments, %(payload)s::jsonb -> 'changes') AS n
    RETURNING *
)"""
    + recording("user_id")
    + "SELECT * FROM changed"
)

_LEAVE: LiteralString = (
    """
WITH changed AS (
    DELETE FROM enrollments AS e WHERE e.id = %(id)s
    RETURNING e.id, e.user_id, e.version + 1 AS version,
              greatest(clock_timestamp(), e.updated_at + interval '1 microsecond') AS updated_at
)"""
    + recording("user_id")
    + "SELECT version FROM changed"
)

_READABLE: LiteralString = """
    (owner_id = %(user_id)s OR (status = 'published' AND visibility = 'global')
     OR (status <> 'draft' AND id = ANY (my_courses())))
"""

_CLAUSES: dict[str, LiteralString] = {
    "status": "status = %(status)s",
    "language": "language = %(language)s",
    "owner_id": "owner_id = %(owner_id)s",
    "created_from": "created_at >= %(created_from)s",
    "created_to": "created_at <= %(created_to)s",
}
_ENROLLED: LiteralString = " AND id = ANY ((SELECT my_courses())::text[])"


async def create(tx: Transaction, new: NewCourse) -> Course:
    """Create a draft of the caller's, who is enrolled in it as instructor.

    Raises `Forbidden` unless the caller is an instructor or admin, or for an id that may be another service's;
    `Conflict` when the id is taken.
    """
    if tx.principal.role not in (Role.INSTRUCTOR, Role.ADMIN):
        raise Forbidden("Only an instructor or an admin can create a course.")
    if new.id is not None and tx.policy.courses_elsewhere and not _vouched_for(tx.principal, new.id):
        raise Forbidden("Courses live in another service too; your token does not name this one. Leave the id out.")
    changes = {
        **values_of(new),
        "id": new.id or f"course-{new_id().hex}",
        "owner_id": tx.principal.user_id,
        "status": CourseStatus.DRAFT,
        "published_at": None,
        "archived_at": None,
    }
    course = await tx.fetch_one(_CREATE, envelope(tx, EventType.COURSE_CREATED, changes), row=Course)
    assert course is not None
    await _enroll(tx, course, tx.principal.user_id, "instructor")
    return course


async def get(tx: Reader, course_id: str) -> Course:
    """Return a course the caller may read. Raises `NotFound`."""
    course = await tx.fetch_one(
        "SELECT * FROM courses WHERE id = %(id)s AND " + _READABLE,
        {"id": course_id, "user_id": tx.principal.user_id},
        row=Course,
    )
    if course is None:
        raise NotFound(_MISSING)
    return course


async def list(tx: Reader, wanted: CourseFilter) -> Page[Course]:  # noqa: A001 - reads as courses.list
    """Return one page of the courses the caller may read."""
    params = values_of(wanted) | {"user_id": tx.principal.user_id}
    listed = "FROM courses WHERE " + _READABLE + asked_clauses(_CLAUSES, params)
    if wanted.enrolled:
        listed += _ENROLLED
    return await page_of(tx, listed, NEWEST_FIRST, params, Course)


async def update(
    tx: Transaction, course_id: str, asked: Mapping[str, object], *, expected_version: int | None = None
) -> Course:
    """Change a course of the caller's. Raises `NotFound`, `VersionConflict`, `Invalid`, `IllegalTransition`."""
    current = await _lock(tx, course_id)
    check_version(current.version, expected_version)
    changes = asked_changes(current, asked, EDITABLE)
    if not changes:
        return current
    if current.status is CourseStatus.ARCHIVED:
        raise IllegalTransition("This course is archived and can no longer be changed; publish it again first.")
    kind = EventType.COURSE_VISIBILITY_CHANGED if changes.keys() == {"visibility"} else EventType.COURSE_UPDATED
    return await _write(tx, course_id, kind, changes)


async def publish(tx: Transaction, course_id: str, *, expected_version: int | None = None) -> Course:
    """Publish a draft, or an archived course again. Raises `NotFound`, `VersionConflict`, `IllegalTransition`."""
    current = await _lock(tx, course_id)
    check_version(current.version, expected_version)
    if current.status is CourseStatus.PUBLISHED:
        raise IllegalTransition("This course is published already.")
    changes = {"status": CourseStatus.PUBLISHED, "published_at": tx.now(), "archived_at": None}
    return await _write(tx, course_id, EventType.COURSE_PUBLISHED, changes)


async def archive(tx: Transaction, course_id: str, *, expected_version: int | None = None) -> Course:
    """Archive a course: its members keep reading it, nobody joins or changes it any more.

    Raises `NotFound`, `VersionConflict`, `IllegalTransition`.
    """
    current = await _lock(tx, course_id)
    check_version(current.version, expected_version)
    if current.status is CourseStatus.ARCHIVED:
        raise IllegalTransition("This course is archived already.")
    changes = {"status": CourseStatus.ARCHIVED, "archived_at": tx.now()}
    return await _write(tx, course_id, EventType.COURSE_ARCHIVED, changes)


async def enroll(tx: Transaction, course_id: str, user_id: str | None = None) -> Enrollment:
    """Enroll the caller in a published course, or anybody in a course of the caller's own.

    Raises `NotFound`, `Conflict` when enrolled already, `Forbidden` for somebody else's sake,
    `IllegalTransition` for a course that takes nobody in.
    """
    course = await get(tx, course_id)
    member = user_id or tx.principal.user_id
    if course.owner_id != tx.principal.user_id:
        if member != tx.principal.user_id:
            raise Forbidden("Only the owner of a course enrolls other people.")
        if course.status is not CourseStatus.PUBLISHED:
            raise IllegalTransition(f"This course is {course.status.value}; one can join published courses only.")
    taken = await tx.fetch_value(
        "SELECT true FROM enrollments WHERE course_id = %s AND user_id = %s", [course_id, member]
    )
    if taken:
        raise Conflict("This user is enrolled in the course already.")
    return await _enroll(tx, course, member, "learner")


async def leave(tx: Transaction, course_id: str, user_id: str | None = None) -> None:
    """End the caller's enrollment, or anybody's in a course of the caller's own. Raises `NotFound`, `Conflict`."""
    member = user_id or tx.principal.user_id
    enrollment = await tx.fetch_one(
        "SELECT * FROM enrollments WHERE course_id = %(course_id)s AND user_id = %(member)s"
        " AND (user_id = %(me)s OR course_owner_id = %(me)s)",
        {"course_id": course_id, "member": member, "me": tx.principal.user_id},
        row=Enrollment,
    )
    if enrollment is None:
        raise NotFound("There is no such enrollment here for you.")
    if enrollment.user_id == enrollment.course_owner_id:
        raise Conflict("The owner cannot leave their own course; archive it instead.")
    await tx.fetch_value(_LEAVE, envelope(tx, EventType.ENROLLMENT_DELETED, {}, deleted=True) | {"id": enrollment.id})


async def members(tx: Reader, course_id: str, *, skip: int = 0, limit: int = 50) -> Page[Enrollment]:
    """Return one page of the enrollments of a course: all to its owner, their own to everybody else."""
    await get(tx, course_id)
    params = {"course_id": course_id, "me": tx.principal.user_id, "skip": skip, "limit": limit}
    listed: LiteralString = (
        "FROM enrollments WHERE course_id = %(course_id)s AND (user_id = %(me)s OR course_owner_id = %(me)s)"
    )
    return await page_of(tx, listed, " ORDER BY created_at, id", params, Enrollment)


async def enrollments(tx: Reader) -> Sequence[Enrollment]:
    """Return all of the caller's own enrollments, oldest first."""
    return await tx.fetch_all(
        "SELECT * FROM enrollments WHERE user_id = %s ORDER BY created_at, id", [tx.principal.user_id], row=Enrollment
    )


def _vouched_for(caller: Principal, course_id: str) -> bool:
    return caller.role is Role.ADMIN or course_id in caller.courses


async def _enroll(
    tx: Transaction, course: Course, user_id: str, enrolled_as: Literal["learner", "instructor"]
) -> Enrollment:
    changes = {
        "id": new_id(),
        "course_id": course.id,
        "user_id": user_id,
        "course_owner_id": course.owner_id,
        "enrolled_as": enrolled_as,
    }
    enrollment = await tx.fetch_one(_ENROLL, envelope(tx, EventType.ENROLLMENT_CREATED, changes), row=Enrollment)
    assert enrollment is not None
    return enrollment


async def _lock(tx: Transaction, course_id: str) -> Course:
    course = await tx.fetch_one(
        "SELECT * FROM courses WHERE id = %s AND owner_id = %s FOR NO KEY UPDATE",
        [course_id, tx.principal.user_id],
        row=Course,
    )
    if course is not None:
        return course
    await get(tx, course_id)  # raises NotFound unless the caller may at least read it
    raise Forbidden("Only the owner of a course can change it.")


async def _write(tx: Transaction, course_id: str, kind: EventType, changes: Mapping[str, object]) -> Course:
    course = await tx.fetch_one(_UPDATE, envelope(tx, kind, changes) | {"id": course_id}, row=Course)
    if course is None:
        raise NotFound(_MISSING)
    return course
